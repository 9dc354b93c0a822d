#include "dataplane/engine/tcp/send_queue.h"

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::engine::tcp {

SendBlock* SendBlocks::take() {
  if (free_ == nullptr) {
    grow(growth_blocks);
    grown_ += growth_blocks;
  }
  SendBlock* block = free_;
  free_ = block->next;
  block->end = 0;
  block->next = nullptr;
  ++in_use_;
  return block;
}

void SendBlocks::give_back(SendBlock* block) {
  block->next = free_;
  free_ = block;
  --in_use_;
}

void SendBlocks::grow(uint32_t blocks) {
  if (blocks == 0) return;
  runs_.push_back(std::make_unique<SendBlock[]>(blocks));
  for (uint32_t i = blocks; i-- > 0;) {
    runs_.back()[i].next = free_;
    free_ = &runs_.back()[i];
  }
  blocks_ += blocks;
}

size_t SendBlocks::memory_bytes() const { return size_t{blocks_} * sizeof(SendBlock); }

void SendQueue::push(SendBlocks& blocks, Bytes slice) {
  if (slice.empty()) return;
  if (tail_ == nullptr || tail_->end == SendBlock::slices_max) {
    SendBlock* block = blocks.take();
    if (tail_ == nullptr) {
      oldest_ = unsent_ = {block, 0, 0};
    } else {
      tail_->next = block;
    }
    tail_ = block;
  }
  tail_->slices[tail_->end++] = slice;
  bytes_ += slice.size();
  unsent_bytes_ += slice.size();
}

void SendQueue::advance(SendCursor& cursor, uint32_t bytes) {
  while (bytes > 0) {
    if (cursor.slice == cursor.block->end) {
      cursor = {cursor.block->next, 0, 0};
      PENSTOCK_ASSERT(cursor.block != nullptr);
      continue;
    }
    const auto left =
        static_cast<uint32_t>(cursor.block->slices[cursor.slice].size()) - cursor.offset;
    const uint32_t part = std::min(left, bytes);
    cursor.offset += part;
    bytes -= part;
    if (part == left) {
      ++cursor.slice;
      cursor.offset = 0;
    }
  }
}

void SendQueue::consume(SendBlocks& blocks, uint32_t bytes) {
  PENSTOCK_ASSERT(bytes <= bytes_ - unsent_bytes_);
  bytes_ -= bytes;
  SendBlock* block = oldest_.block;
  advance(oldest_, bytes);
  while (block != oldest_.block) {
    SendBlock* next = block->next;
    // A cursor may stand behind the last slice of a block that was full.
    if (unsent_.block == block) unsent_ = {next, 0, 0};
    blocks.give_back(block);
    block = next;
  }
  if (bytes_ == 0) clear(blocks);
}

void SendQueue::clear(SendBlocks& blocks) {
  for (SendBlock* block = oldest_.block; block != nullptr;) {
    SendBlock* next = block->next;
    blocks.give_back(block);
    block = next;
  }
  *this = {};
}

uint32_t SendQueue::gather(SendCursor& cursor, uint32_t bytes, SegmentOut& out) {
  uint32_t taken = 0;
  while (taken < bytes && out.slice_count < out.slices.size()) {
    if (cursor.slice == cursor.block->end) {
      if (cursor.block->next == nullptr) break;
      cursor = {cursor.block->next, 0, 0};
      continue;
    }
    const Bytes slice = cursor.block->slices[cursor.slice].subspan(cursor.offset);
    const Bytes part = slice.first(std::min<size_t>(slice.size(), bytes - taken));
    out.slices[out.slice_count++] = part;
    taken += static_cast<uint32_t>(part.size());
    cursor.offset += static_cast<uint32_t>(part.size());
    if (part.size() == slice.size()) {
      ++cursor.slice;
      cursor.offset = 0;
    }
  }
  return taken;
}

SendCursor SendQueue::unsent_cursor() {
  while (unsent_.slice == unsent_.block->end && unsent_.block->next != nullptr) {
    unsent_ = {unsent_.block->next, 0, 0};
  }
  return unsent_;
}

void SendQueue::sent(const SendCursor& behind, uint32_t bytes) {
  unsent_ = behind;
  unsent_bytes_ -= bytes;
}

}  // namespace penstock::engine::tcp

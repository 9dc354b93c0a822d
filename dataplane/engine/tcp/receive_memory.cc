#include "dataplane/engine/tcp/receive_memory.h"

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::engine::tcp {

std::span<PacketToken> ReleasedTokens::take(std::span<PacketToken> room) {
  const size_t count = std::min(room.size(), size());
  std::copy_n(tokens_.begin() + static_cast<ptrdiff_t>(taken_), count, room.begin());
  taken_ += count;
  if (taken_ == tokens_.size()) {
    tokens_.clear();
    taken_ = 0;
  }
  return room.first(count);
}

ReceiveMemory::ReceiveMemory(uint32_t packets_max, uint32_t blocks, uint32_t passing_max)
    : packets_max_(packets_max),
      blocks_(blocks),
      passing_max_(passing_max),
      held_(size_t{packets_max} + blocks + passing_max),
      block_memory_(std::make_unique_for_overwrite<uint8_t[]>(size_t{blocks} * block_bytes)),
      // All that is held and as many again: a turn's packets that are not kept.
      released_(2 * (packets_max + passing_max)) {
  for (auto index = static_cast<uint32_t>(held_.size()); index-- > 0;) {
    held_[index].next = free_;
    free_ = index;
  }
  free_blocks_.reserve(blocks);
  for (uint32_t block = blocks; block-- > 0;) free_blocks_.push_back(block);
}

uint32_t ReceiveMemory::take() {
  const uint32_t index = free_;
  if (index == no_index) return no_index;
  HeldBytes& held = held_[index];
  free_ = held.next;
  held.next = no_index;
  held.run_last = no_index;
  held.run_next = no_index;
  return index;
}

void ReceiveMemory::give_back(uint32_t index) {
  held_[index].next = free_;
  free_ = index;
}

uint32_t ReceiveMemory::hold(Bytes bytes, PacketToken token, bool passing) {
  if (packets_ >= packets_max_ + (passing ? passing_max_ : 0)) return no_index;
  const uint32_t index = take();
  if (index == no_index) return no_index;
  HeldBytes& held = held_[index];
  held.data = bytes.data();
  held.bytes = static_cast<uint32_t>(bytes.size());
  held.token = token;
  held.block = no_index;
  ++packets_;
  return index;
}

uint32_t ReceiveMemory::copy(Bytes bytes) {
  if (free_blocks_.empty() || bytes.size() > block_bytes) return no_index;
  const uint32_t index = take();
  if (index == no_index) return no_index;
  HeldBytes& held = held_[index];
  held.block = free_blocks_.back();
  free_blocks_.pop_back();
  ++blocks_used_;
  uint8_t* to = &block_memory_[size_t{held.block} * block_bytes];
  copy_bytes(to, bytes);
  held.data = to;
  held.bytes = static_cast<uint32_t>(bytes.size());
  held.token = {};
  return index;
}

bool ReceiveMemory::extend(uint32_t index, Bytes bytes) {
  HeldBytes& held = held_[index];
  if (held.block == no_index) return false;
  uint8_t* block = &block_memory_[size_t{held.block} * block_bytes];
  const auto used = static_cast<size_t>(held.data - block) + held.bytes;
  if (block_bytes - used < bytes.size()) return false;
  copy_bytes(block + used, bytes);
  held.bytes += static_cast<uint32_t>(bytes.size());
  return true;
}

void ReceiveMemory::drop(uint32_t index) {
  const HeldBytes& held = held_[index];
  if (held.block == no_index) {
    --packets_;
    released_.push(held.token);
  } else {
    --blocks_used_;
    free_blocks_.push_back(held.block);
  }
  give_back(index);
}

void ReceiveMemory::deliver(uint32_t index) {
  if (held_[index].block == no_index) {
    // Tokens go back between turns only.
    drop(index);
    return;
  }
  held_[index].next = delivered_;
  delivered_ = index;
}

void ReceiveMemory::recycle() {
  while (delivered_ != no_index) {
    const uint32_t index = delivered_;
    delivered_ = held_[index].next;
    drop(index);
  }
}

size_t ReceiveMemory::memory_bytes() const {
  return held_.size() * sizeof(HeldBytes) + size_t{blocks_} * block_bytes;
}

}  // namespace penstock::engine::tcp

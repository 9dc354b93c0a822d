#include "dataplane/frame.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "penstock/base/assert.h"
#include "penstock/rtmp/aggregate.h"
#include "penstock/rtmp/message.h"

namespace penstock::dataplane {
namespace {

// 64 KiB of Frames at a time: 900 of them, half a GOP of 12 streams.
constexpr size_t frame_block_bytes = 64 * 1024 - block_header_bytes;

// How many frames ahead a free one is fetched into the cache: one message is about as long as a
// memory access.
constexpr size_t prefetch_ahead = 2;

// A GOP's frames are cold when they are let go, and each takes a few ns then: memory takes 100.
constexpr size_t release_prefetch_ahead = 16;

// A log's first block holds 9 messages of an average 1 Mbit/s stream. A stream that goes on gets
// blocks twice as large, up to 36 messages: taking a block touches cold memory, and two frames on
// either side of an end are two slices of a send. 10,000 watched streams pin 640 MB, a fifth of
// what their GOP caches do.
constexpr size_t log_block_bytes_min = 16 * 1024;
constexpr size_t log_block_bytes_max = 64 * 1024;

// A frame takes at least its header of 12 bytes, so that a block never holds more.
constexpr uint32_t references_per_block = log_block_bytes_max / 12 + 2;

}  // namespace

Bytes first_chunk_body(const Frame& frame) {
  const rtmp::WireHeader header{.timestamp = frame.timestamp};
  const size_t offset = rtmp::wire_end(header, chunk_bytes_out, 0);
  return {frame.bytes + offset, std::min<size_t>(frame.length - offset, chunk_bytes_out)};
}

uint32_t aggregated_bytes(const Frame& frame) {
  return static_cast<uint32_t>(first_chunk_body(frame).size() + rtmp::aggregate_header_bytes +
                               rtmp::aggregate_back_pointer_bytes);
}

bool needs_amf3(const Frame& frame) {
  return frame.kind == FrameKind::data &&
         frame.bytes[rtmp::wire_message_type_offset] == rtmp::message_type::data_amf3;
}

FramePool::~FramePool() {
  for (Block* block : frame_blocks_) blocks_.release(block);
}

Frame* FramePool::take() {
  if (free_.empty()) {
    Block* block = blocks_.take(frame_block_bytes);
    if (block == nullptr) return nullptr;
    frame_blocks_.push_back(block);
    auto* frames = reinterpret_cast<Frame*>(block->data());
    for (size_t i = 0; i < block->capacity / sizeof(Frame); ++i) {
      free_.push_back(new (frames + i) Frame{});
    }
  }
  Frame* frame = free_.back();
  free_.pop_back();
  if (free_.size() > prefetch_ahead) {
    __builtin_prefetch(free_[free_.size() - 1 - prefetch_ahead], 1);
  }
  *frame = Frame{};
  frame->references = 1;
  ++frames_in_use_;
  return frame;
}

Frame* FramePool::make_in_block(Block* block, uint8_t* bytes, uint32_t length) {
  Frame* frame = take();
  if (frame == nullptr) return nullptr;
  frame->block = block;
  frame->bytes = bytes;
  frame->length = length;
  return frame;
}

Frame* FramePool::make_own_room(uint32_t length) {
  Frame* frame = take();
  if (frame == nullptr) return nullptr;
  frame->bytes = static_cast<uint8_t*>(std::malloc(std::max<size_t>(length, 1)));
  PENSTOCK_ASSERT(frame->bytes != nullptr);
  frame->length = length;
  return frame;
}

Frame* FramePool::make_own(Bytes bytes) {
  Frame* frame = make_own_room(static_cast<uint32_t>(bytes.size()));
  if (frame != nullptr) copy_bytes(frame->bytes, bytes);
  return frame;
}

Frame* FramePool::make_copy_for(const Frame& frame, uint32_t message_stream_id) {
  Frame* copy = make_own({frame.bytes, frame.length});
  if (copy == nullptr) return nullptr;
  store_u32_le(copy->bytes + rtmp::wire_message_stream_id_offset, message_stream_id);
  copy->timestamp = frame.timestamp;
  copy->kind = frame.kind;
  copy->key = frame.key;
  copy->config = frame.config;
  copy->config_key = frame.config_key;
  copy->side = frame.side;
  copy->resumes = frame.resumes;
  return copy;
}

Frame* FramePool::make_aggregate(std::span<Frame* const> frames) {
  const auto bytes_of = [](const Frame& frame) {
    return static_cast<uint32_t>(first_chunk_body(frame).size());
  };
  uint32_t bytes = 0;
  for (const Frame* frame : frames) bytes += aggregated_bytes(*frame);
  const uint8_t* first = frames.front()->bytes;
  const rtmp::WireHeader header{
      .chunk_stream_id = rtmp::stream_chunk_stream_id,
      .message_type = rtmp::message_type::aggregate,
      .timestamp = frames.front()->timestamp,
      .message_bytes = bytes,
      .message_stream_id = load_u32_le(first + rtmp::wire_message_stream_id_offset)};
  Frame* made = make_own_room(static_cast<uint32_t>(rtmp::wire_bytes(header, chunk_bytes_out)));
  if (made == nullptr) return nullptr;
  uint32_t offset = 0;
  const auto write = [&](Bytes part) {
    rtmp::wire_write(made->bytes, header, chunk_bytes_out, offset, part);
    offset += static_cast<uint32_t>(part.size());
  };
  // Only the distances within an aggregate count. FFmpeg takes a first 0 for not read yet, and the
  // second message would have no distance to it.
  const uint32_t shift = header.timestamp == 0 ? 1 : 0;
  for (const Frame* frame : frames) {
    const uint8_t type = frame->bytes[rtmp::wire_message_type_offset];
    write(rtmp::aggregate_header(type, bytes_of(*frame), frame->timestamp + shift));
    write(first_chunk_body(*frame));
    write(rtmp::aggregate_back_pointer(bytes_of(*frame)));
  }
  made->timestamp = header.timestamp;
  made->kind = FrameKind::video;  // like it, it may be dropped
  return made;
}

Frame* FramePool::make_stand_in(const Lease& lease, WorkerId lessor) {
  Frame* frame = take();
  if (frame == nullptr) return nullptr;
  // The bytes are only ever read: every writer of a frame holds the sole reference to it, in its
  // owner.
  frame->bytes = const_cast<uint8_t*>(lease.bytes);
  frame->length = lease.length;
  frame->timestamp = lease.timestamp;
  frame->kind = lease.frame_kind;
  frame->key = lease.key;
  frame->config = lease.config;
  frame->config_key = lease.config_key;
  frame->side = lease.side;
  frame->resumes = lease.resumes;
  frame->lessor = static_cast<uint16_t>(lessor);
  frame->leased = lease.frame;
  return frame;
}

void FramePool::release(Frame* frame) {
  PENSTOCK_ASSERT(frame->references > 0);
  if (--frame->references > 0) return;
  if (frame->leased != nullptr) {
    // Never full: the lessor has at most leases_out_max() out, which is the ring's capacity.
    const bool returned = return_rings_[frame->lessor]->push(frame->leased);
    PENSTOCK_ASSERT(returned);
  } else if (frame->block != nullptr) {
    blocks_.release(frame->block);
  } else {
    std::free(frame->bytes);
  }
  --frames_in_use_;
  free_.push_back(frame);
}

void FramePool::release(std::span<Frame* const> frames) {
  Block* block = nullptr;
  uint32_t block_references = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    if (i + release_prefetch_ahead < frames.size()) {
      __builtin_prefetch(frames[i + release_prefetch_ahead], 1);
    }
    Frame* frame = frames[i];
    if (frame->references != 1 || frame->leased != nullptr || frame->block == nullptr) {
      release(frame);
      continue;
    }
    if (frame->block != block) {
      if (block != nullptr) blocks_.release(block, block_references);
      block = frame->block;
      block_references = 0;
    }
    ++block_references;
    frame->references = 0;
    --frames_in_use_;
    free_.push_back(frame);
  }
  if (block != nullptr) blocks_.release(block, block_references);
}

Frame* FrameLog::begin(FramePool& pool, const rtmp::WireHeader& header, uint32_t chunk_bytes) {
  const size_t whole = rtmp::wire_bytes(header, chunk_bytes);
  const size_t room = std::min(whole, frame_bytes_at_once);
  if (whole > frame_bytes_at_once) {
    Block* own = pool.blocks().take(room);
    if (own == nullptr) return nullptr;
    Frame* frame = pool.make_in_block(own, own->data(), static_cast<uint32_t>(whole));
    if (frame == nullptr) pool.blocks().release(own);
    return frame;
  }
  if (room > room_ || references_ == 1) {
    const size_t wanted =
        block_ == nullptr ? log_block_bytes_min
                          : std::min(log_block_bytes_max, (block_bytes_min << block_->order) * 2);
    Block* fresh = pool.blocks().take(wanted - block_header_bytes);
    if (fresh == nullptr) fresh = pool.blocks().take(log_block_bytes_min - block_header_bytes);
    if (fresh == nullptr) return nullptr;
    clear(pool);
    block_ = fresh;
    next_ = fresh->data();
    room_ = fresh->capacity;
    BlockPool::add_references(fresh, references_per_block - 1);
    references_ = references_per_block;
  }
  Frame* frame = pool.make_in_block(block_, next_, static_cast<uint32_t>(whole));
  if (frame == nullptr) return nullptr;
  --references_;
  next_ += room;
  room_ -= static_cast<uint32_t>(room);
  return frame;
}

size_t FrameLog::room(const Frame& frame) {
  // begin() gave so much, and memory of its own is all there from the start.
  if (frame.length <= frame_bytes_at_once || frame.block == nullptr) return frame.length;
  // Only a frame above frame_bytes_at_once grows, and it lies alone in its block.
  const size_t room =
      frame.block->capacity - static_cast<size_t>(frame.bytes - frame.block->data());
  return std::min<size_t>(room, frame.length);
}

bool FrameLog::grow(FramePool& pool, Frame* frame, size_t length) {
  const size_t before = room(*frame);
  if (length <= before) return true;
  Block* old = frame->block;
  // Twice as much each time: at most half of what is held was not sent by the peer.
  Block* larger = pool.blocks().take(std::max(length, std::min<size_t>(before * 2, frame->length)));
  if (larger == nullptr) return false;
  copy_bytes(larger->data(), {frame->bytes, before});
  frame->block = larger;
  frame->bytes = larger->data();
  pool.blocks().release(old);
  return true;
}

void FrameLog::clear(FramePool& pool) {
  if (block_ != nullptr) pool.blocks().release(block_, references_);
  block_ = nullptr;
  next_ = nullptr;
  room_ = references_ = 0;
}

}  // namespace penstock::dataplane

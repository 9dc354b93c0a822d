#include "dataplane/egress.h"

#include <algorithm>

#include "penstock/base/assert.h"
#include "penstock/base/bounded_vector.h"
#include "penstock/rtmp/message.h"

namespace penstock::dataplane {

namespace {

// An aggregate fits into one chunk, and has what a GOP of a second has.
constexpr uint32_t aggregate_bytes_max = chunk_bytes_out;
constexpr size_t aggregate_messages_max = 64;

// Of headers the newest of each is kept: as many as a stream may have, and its metadata.
constexpr size_t headers_max = 257;

/// A header may have to outlive the media around it, and an answer is for now. A larger message
/// than one chunk saves nothing.
bool goes_into_aggregate(const Frame& frame) {
  return !frame.config && frame.kind != FrameKind::control &&
         frame.bytes[rtmp::wire_message_type_offset] != rtmp::message_type::aggregate &&
         aggregated_bytes(frame) <= aggregate_bytes_max;
}

bool droppable(const Frame& frame) { return !frame.config && frame.kind != FrameKind::control; }

}  // namespace

void Egress::grow() {
  std::vector<Frame*> larger(ring_.empty() ? 8 : ring_.size() * 2);
  for (uint32_t i = 0; i < count_; ++i) larger[i] = at(i);
  ring_.swap(larger);
  head_ = 0;
}

void Egress::push(Frame* frame) {
  if (frame->length == 0) return;
  if (count_ == ring_.size()) grow();
  FramePool::add_reference(frame);
  at(count_++) = frame;
  count(*frame);
}

void Egress::count(const Frame& frame) {
  queued_bytes_ += frame.length;
  if (droppable(frame)) droppable_bytes_ += frame.length;
  if (frame.kind == FrameKind::control) control_bytes_ += frame.length;
  if (frame.leased != nullptr) ++leased_count_;
}

/// Only of what waits and is media.
void Egress::uncount(const Frame& frame) {
  queued_bytes_ -= frame.length;
  if (droppable(frame)) droppable_bytes_ -= frame.length;
  if (frame.leased != nullptr) --leased_count_;
}

void Egress::aggregate(FramePool& pool) {
  if (in_flight_bytes_ > 0) return;  // by the next send there is more
  std::array<Frame*, aggregate_messages_max> run;
  uint32_t kept = 0;
  for (uint32_t from = 0; from < count_;) {
    const uint32_t length = run_at(from, run);
    Frame* made =
        length < 2 ? nullptr : pool.make_aggregate(std::span<Frame* const>(run).first(length));
    if (made == nullptr) {
      at(kept++) = at(from++);
      continue;
    }
    for (uint32_t i = 0; i < length; ++i) {
      uncount(*run[i]);
      pool.release(run[i]);
    }
    from += length;
    count(*made);
    at(kept++) = made;
  }
  count_ = kept;
}

/// How many frames from `first` on can be one aggregate.
uint32_t Egress::run_at(uint32_t first, std::span<Frame*> run) {
  const auto message_stream = [](const Frame& frame) {
    return load_u32_le(frame.bytes + rtmp::wire_message_stream_id_offset);
  };
  uint32_t length = 0;
  uint32_t bytes = 0;
  while (length < run.size() && first + length < count_) {
    Frame* frame = at(first + length);
    if (!goes_into_aggregate(*frame)) break;
    if (length > 0 && message_stream(*frame) != message_stream(*run[0])) break;
    bytes += aggregated_bytes(*frame);
    if (bytes > aggregate_bytes_max) break;
    run[length++] = frame;
  }
  return length;
}

uint32_t Egress::flush(engine::Engine& engine, engine::ConnectionId id, Instant now) {
  if (in_flight_bytes_ > 0 || count_ == 0) return 0;
  Bytes slices[engine::Engine::send_slices_max];
  size_t slice_count = 0;
  uint64_t bytes = 0;
  uint32_t taken = 0;
  while (taken < count_ && taken < send_frames_max && bytes < send_bytes_max) {
    const Frame* frame = at(taken);
    const Bytes whole{frame->bytes, frame->length};
    const Bytes rest = taken == 0 ? whole.subspan(front_sent_) : whole;
    // Frames of one stream mostly lie side by side: then they are one slice, and often the whole
    // send is one.
    if (slice_count > 0 &&
        slices[slice_count - 1].data() + slices[slice_count - 1].size() == rest.data()) {
      slices[slice_count - 1] = {slices[slice_count - 1].data(),
                                 slices[slice_count - 1].size() + rest.size()};
    } else {
      if (slice_count == engine::Engine::send_slices_max) break;
      slices[slice_count++] = rest;
    }
    bytes += rest.size();
    if (droppable(*frame)) droppable_bytes_ -= frame->length;
    ++taken;
  }
  in_flight_count_ = taken;
  in_flight_bytes_ = bytes;
  progress_at_ = now;
  engine.send(id, {slices, slice_count});
  return 1;
}

void Egress::sent(FramePool& pool, uint32_t bytes, Instant now) {
  PENSTOCK_ASSERT(bytes <= in_flight_bytes_);
  in_flight_bytes_ -= bytes;
  queued_bytes_ -= bytes;
  progress_at_ = now;
  uint64_t rest = bytes;
  while (rest > 0) {
    Frame* front = at(0);
    const uint32_t missing = front->length - front_sent_;
    if (rest < missing) {
      front_sent_ += static_cast<uint32_t>(rest);
      return;
    }
    rest -= missing;
    front_sent_ = 0;
    if (front->kind == FrameKind::control) control_bytes_ -= front->length;
    if (front->leased != nullptr) --leased_count_;
    pool.release(front);
    head_ = (head_ + 1) & static_cast<uint32_t>(ring_.size() - 1);
    --count_;
    --in_flight_count_;
  }
}

uint32_t Egress::drop_media(FramePool& pool) {
  // From the back, so that of each kind of header the newest is met first.
  BoundedVector<uint32_t, headers_max> seen;
  const uint32_t before = count_;
  uint32_t kept = before;  // [kept, before) is what stays, in order
  for (uint32_t i = before; i > in_flight_count_; --i) {
    Frame* frame = at(i - 1);
    bool stays = !droppable(*frame);
    if (frame->config) {
      const uint32_t key = static_cast<uint32_t>(frame->kind) << 16 | frame->config_key;
      const bool newer = std::ranges::find(seen, key) != seen.end();
      stays = !newer && !seen.full();
      if (stays) seen.push_back(key);
    }
    if (stays) {
      at(--kept) = frame;
      continue;
    }
    uncount(*frame);
    pool.release(frame);
  }
  for (uint32_t i = kept; i < before; ++i) at(in_flight_count_ + i - kept) = at(i);
  count_ = in_flight_count_ + before - kept;
  return before - count_;
}

void Egress::clear(FramePool& pool) {
  for (uint32_t i = 0; i < count_; ++i) pool.release(at(i));
  ring_.clear();
  head_ = count_ = in_flight_count_ = leased_count_ = front_sent_ = 0;
  in_flight_bytes_ = queued_bytes_ = droppable_bytes_ = control_bytes_ = 0;
}

}  // namespace penstock::dataplane

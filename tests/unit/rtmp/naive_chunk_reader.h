#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "penstock/base/fault.h"
#include "penstock/base/limits.h"

namespace penstock::test {

struct WholeMessage {
  uint32_t chunk_stream_id = 0;
  uint32_t timestamp = 0;
  uint8_t type = 0;
  uint32_t message_stream_id = 0;
  std::vector<uint8_t> payload;

  bool operator==(const WholeMessage&) const = default;
};

struct Decoded {
  std::vector<WholeMessage> messages;  // in the order of their completion
  std::optional<Fault> fault;
};

/// The chunk layer by the book, from a stream that is there as a whole: one byte at a time, every
/// message a copy, every state in a map. What the real reader does must come to the same.
class NaiveChunkReader {
 public:
  NaiveChunkReader(std::vector<uint8_t> stream, uint32_t message_bytes_max,
                   uint64_t partial_bytes_max)
      : stream_(std::move(stream)),
        message_bytes_max_(message_bytes_max),
        partial_bytes_max_(partial_bytes_max) {}

  Decoded decode() {
    while (!decoded_.fault && chunk()) {
    }
    return decoded_;
  }

 private:
  struct State {
    uint32_t timestamp = 0, delta = 0, delta_known = 0, extended = 0;
    uint32_t length = 0, message_stream_id = 0;
    uint8_t type = 0;
    bool has_extended = false;
    bool unfinished = false;
    std::vector<uint8_t> payload;
  };

  bool there(size_t count) const { return at_ + count <= stream_.size(); }
  uint32_t byte() { return stream_[at_++]; }
  uint32_t big(int count) {
    uint32_t value = 0;
    while (count-- > 0) value = value << 8 | byte();
    return value;
  }
  uint32_t peek4() {
    const size_t start = at_;
    const uint32_t value = big(4);
    at_ = start;
    return value;
  }
  bool fail(Fault fault) {
    decoded_.fault = fault;
    return false;
  }

  /// One chunk; false when the stream ends in it.
  bool chunk() {
    if (!there(1)) return false;
    const uint32_t first = byte();
    const uint32_t type = first >> 6;
    uint32_t id = first & 63;
    if (id < 2) {
      if (!there(id + 1)) return false;
      const uint32_t low = byte();
      id = 64 + low + (id == 1 ? 256 * byte() : 0);
    }
    const size_t header = type == 0 ? 11 : type == 1 ? 7 : type == 2 ? 3 : 0;
    if (!there(header)) return false;
    const bool known = states_.contains(id);
    uint32_t time = 0, length = 0;
    uint8_t message_type = 0;
    uint32_t message_stream_id = 0;
    if (type < 3) time = big(3);
    if (type < 2) length = big(3);
    if (type < 2) message_type = static_cast<uint8_t>(byte());
    if (type == 0) {
      for (int i = 0; i < 4; ++i) message_stream_id |= byte() << 8 * i;
    }
    const bool extended = type < 3 && time == 0xFFFFFF;
    if (extended) {
      if (!there(4)) return false;
      time = big(4);
    }
    if (type == 3 && known && states_[id].has_extended) {
      if (!there(4)) return false;
      const State& state = states_[id];
      const uint32_t timestamp = state.timestamp + (state.unfinished ? 0 : state.delta);
      if (peek4() == state.extended || peek4() == timestamp) big(4);
    }
    if (!known) {
      if (type > 1) return fail(Fault::chunk_header_without_base);
      if (states_.size() == chunk_streams_max) return fail(Fault::chunk_streams_exceeded);
    }
    State& state = states_[id];
    if (type == 1 || type == 2) {
      if (state.unfinished) return fail(Fault::chunk_inside_message);
    }
    if (type == 0) {
      state.timestamp = time;
      state.delta = time <= 10'000 ? time : state.delta_known;
      state.message_stream_id = message_stream_id;
    } else if (type < 3) {
      state.timestamp += time;
      state.delta = state.delta_known = time;
    }
    if (type < 3) {
      state.has_extended = extended;
      state.extended = time;
    }
    if (type == 3 && !state.unfinished) state.timestamp += state.delta;
    if (type < 3 || !state.unfinished) {
      state.unfinished = false;
      state.payload.clear();
      if (type < 2) {
        state.length = length;
        state.type = message_type;
      }
      if (state.length > message_bytes_max_) return fail(Fault::message_too_large);
      if (unfinished_count() == partial_messages_max ||
          unfinished_bytes() + state.length > partial_bytes_max_) {
        return fail(Fault::partial_messages_exceeded);
      }
      state.unfinished = true;
    }
    return payload(id, state);
  }

  bool payload(uint32_t id, State& state) {
    const uint32_t chunk_bytes = chunk_bytes_;
    for (uint32_t i = 0; i < chunk_bytes && state.payload.size() < state.length; ++i) {
      if (!there(1)) return false;
      state.payload.push_back(static_cast<uint8_t>(byte()));
    }
    if (state.payload.size() < state.length) return true;
    state.unfinished = false;
    decoded_.messages.push_back(
        {id, state.timestamp, state.type, state.message_stream_id, state.payload});
    return control(decoded_.messages.back());
  }

  bool control(const WholeMessage& message) {
    if ((message.type != 1 && message.type != 2) || message.payload.size() < 4) return true;
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value = value << 8 | message.payload[static_cast<size_t>(i)];
    if (message.type == 1) {
      if (value == 0) return fail(Fault::chunk_size_zero);
      chunk_bytes_ = std::min(value, 0xFFFFFFu);
    } else if (states_.contains(value)) {
      states_[value].unfinished = false;
    }
    return true;
  }

  size_t unfinished_count() const {
    return static_cast<size_t>(
        std::ranges::count_if(states_, [](const auto& entry) { return entry.second.unfinished; }));
  }
  uint64_t unfinished_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [id, state] : states_) bytes += state.unfinished ? state.length : 0;
    return bytes;
  }

  std::vector<uint8_t> stream_;
  size_t at_ = 0;
  uint32_t message_bytes_max_;
  uint64_t partial_bytes_max_;
  uint32_t chunk_bytes_ = 128;
  std::map<uint32_t, State> states_;
  Decoded decoded_;
};

}  // namespace penstock::test

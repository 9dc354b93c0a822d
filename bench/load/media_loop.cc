#include "bench/load/media_loop.h"

#include <algorithm>
#include <array>

#include "penstock/base/assert.h"
#include "penstock/rtmp/message.h"
#include "penstock/rtmp/wire.h"

namespace penstock::load {
namespace {

constexpr uint32_t delta_ms_max = 0xFFFFFE;  // beyond it is the extended timestamp

void append_type0(std::vector<uint8_t>& wire, const LoopInput& message, uint32_t chunk_bytes) {
  const rtmp::WireHeader header{.chunk_stream_id = chunk_stream_of(message.message_type),
                                .message_type = message.message_type,
                                .timestamp = 0,
                                .message_bytes = static_cast<uint32_t>(message.payload.size()),
                                .message_stream_id = 1};
  const size_t at = wire.size();
  wire.resize(at + rtmp::wire_bytes(header, chunk_bytes));
  rtmp::wire_write(wire.data() + at, header, chunk_bytes, 0, message.payload);
}

void append_type1(std::vector<uint8_t>& wire, const LoopInput& message, uint32_t delta_ms,
                  uint32_t chunk_bytes) {
  const uint8_t chunk_stream = chunk_stream_of(message.message_type);
  uint8_t header[type1_header_bytes] = {static_cast<uint8_t>(1 << 6 | chunk_stream)};
  store_u24(header + 1, delta_ms);
  store_u24(header + 4, static_cast<uint32_t>(message.payload.size()));
  header[7] = message.message_type;
  wire.insert(wire.end(), std::begin(header), std::end(header));
  for (size_t at = 0; at < message.payload.size(); at += chunk_bytes) {
    if (at > 0) wire.push_back(static_cast<uint8_t>(3 << 6 | chunk_stream));
    const auto piece = Bytes(message.payload)
                           .subspan(at, std::min<size_t>(chunk_bytes, message.payload.size() - at));
    wire.insert(wire.end(), piece.begin(), piece.end());
  }
}

}  // namespace

uint8_t chunk_stream_of(uint8_t message_type) {
  if (message_type == rtmp::message_type::audio) return 4;
  return message_type == rtmp::message_type::video ? 6 : 5;
}

MediaLoop make_loop(std::span<const LoopInput> preamble, std::span<const LoopInput> body,
                    uint32_t period_ms, uint32_t chunk_bytes) {
  PENSTOCK_ASSERT(!body.empty());
  MediaLoop loop;
  loop.period_us = uint64_t{period_ms} * 1000;
  for (const LoopInput& message : preamble) {
    loop.preamble_at.push_back(static_cast<uint32_t>(loop.preamble.size()));
    append_type0(loop.preamble, message, chunk_bytes);
  }
  // Where each type stands at the end of the turn before: its first delta leads on from there.
  std::array<int64_t, 256> at_ms{};
  for (const LoopInput& message : body)
    at_ms[message.message_type] = int64_t{message.timestamp_ms} - period_ms;
  for (const LoopInput& message : body) {
    int64_t& before_ms = at_ms[message.message_type];
    const auto delta_ms = static_cast<uint32_t>(
        std::clamp<int64_t>(message.timestamp_ms - before_ms, 0, delta_ms_max));
    before_ms = std::max<int64_t>(before_ms, message.timestamp_ms);
    LoopMessage laid{.wire_at = static_cast<uint32_t>(loop.image.size()),
                     .due_us = message.due_us,
                     .timestamp_ms = message.timestamp_ms,
                     .payload_bytes = static_cast<uint32_t>(message.payload.size()),
                     .message_type = message.message_type};
    append_type1(loop.image, message, delta_ms, chunk_bytes);
    laid.wire_bytes = static_cast<uint32_t>(loop.image.size()) - laid.wire_at;
    if (message.stamp_at > 0) {
      // The stamp lies within the first chunk, whose size is 128 at least.
      laid.stamp_at = static_cast<uint16_t>(type1_header_bytes + message.stamp_at);
      loop.stamped = true;
    }
    if (message.message_type != rtmp::message_type::data)
      loop.step_ms_max = std::max(loop.step_ms_max, delta_ms);
    loop.messages.push_back(laid);
  }
  return loop;
}

}  // namespace penstock::load

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "penstock/base/bytes.h"

namespace penstock::load {

/// A message before it is laid out in chunks. `due_us` counts from the begin of the loop.
struct LoopInput {
  uint8_t message_type = 0;
  uint32_t timestamp_ms = 0;
  uint64_t due_us = 0;
  size_t stamp_at = 0;  // in the payload; 0: none
  std::vector<uint8_t> payload;
};

/// One message of a loop as it lies in the image.
struct LoopMessage {
  uint32_t wire_at = 0;
  uint32_t wire_bytes = 0;
  uint64_t due_us = 0;  // after the begin of the loop
  uint32_t timestamp_ms = 0;
  uint32_t payload_bytes = 0;
  uint16_t stamp_at = 0;  // from the message's first wire byte; 0: none
  uint8_t message_type = 0;
};

constexpr size_t type1_header_bytes = 8;  // basic header 1, message header 7

/// What publishers send for ever: made once, shared by all of them and never written to. A
/// publisher sends the preamble, whose messages have type 0 headers and timestamp 0, and then the
/// image again and again. Every message of the image has a type 1 header with a delta (as librtmp
/// and FFmpeg send), and on each chunk stream the deltas add up to the period, so the bytes of
/// every turn are equal while the timestamps go on. In the first turn the publisher puts a type 0
/// header in place of the first one of each chunk stream.
struct MediaLoop {
  std::vector<uint8_t> preamble;
  std::vector<uint32_t> preamble_at;  // where each message of it begins
  std::vector<uint8_t> image;
  std::vector<LoopMessage> messages;
  uint64_t period_us = 0;
  uint32_t step_ms_max = 0;  // the largest distance of two timestamps of one kind
  bool stamped = false;

  [[nodiscard]] Bytes wire(const LoopMessage& message) const {
    return Bytes(image).subspan(message.wire_at, message.wire_bytes);
  }
};

/// Lays out a loop. `preamble` goes first (metadata, sequence headers), `body` has at least one
/// message and, of each type, timestamps that do not go down; deltas that would be negative become
/// 0. The message stream id of the preamble is 1, what nearly every server gives to a connection
/// with one stream. `period_ms` is not below the largest timestamp of the body.
[[nodiscard]] MediaLoop make_loop(std::span<const LoopInput> preamble,
                                  std::span<const LoopInput> body, uint32_t period_ms,
                                  uint32_t chunk_bytes);

// Audio, video and data on chunk streams of their own, as FFmpeg has them.
[[nodiscard]] uint8_t chunk_stream_of(uint8_t message_type);

}  // namespace penstock::load

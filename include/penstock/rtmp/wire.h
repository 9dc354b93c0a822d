#pragma once

#include <cstddef>
#include <cstdint>

#include "penstock/base/bytes.h"

namespace penstock::rtmp {

/// One message laid out in chunks: a type 0 header with the absolute timestamp, then the payload,
/// with a type 3 header (and the extended timestamp again, where there is one) before each further
/// chunk. No state of a chunk stream goes in, so one copy serves every subscriber
/// (RTMP 1.0, 5.3.1).
struct WireHeader {
  uint8_t chunk_stream_id = 0;  // 2..63: the one-byte form only
  uint8_t message_type = 0;
  uint32_t timestamp = 0;      // ms
  uint32_t message_bytes = 0;  // payload, at most 0xFFFFFF
  uint32_t message_stream_id = 0;
};

/// Bytes of the whole wire form.
[[nodiscard]] size_t wire_bytes(const WireHeader& header, uint32_t chunk_bytes);

/// Writes payload bytes [offset, offset + piece.size()) to their places in `wire`, with every
/// header that comes before one of them, and returns the end of what was written, in bytes from
/// `wire`. Pieces come in order and cover the payload once; `wire` needs room up to the returned
/// end only, so it may grow with what has really arrived. A message without payload takes one empty
/// piece.
size_t wire_write(uint8_t* wire, const WireHeader& header, uint32_t chunk_bytes, uint32_t offset,
                  Bytes piece);

/// Upper bound of what wire_write returns for this offset and piece length.
[[nodiscard]] size_t wire_end(const WireHeader& header, uint32_t chunk_bytes, uint32_t payload_end);

/// Where the message type lies in a wire form.
constexpr size_t wire_message_type_offset = 7;
/// Where the message stream id (little-endian, 4 bytes) lies in a wire form.
constexpr size_t wire_message_stream_id_offset = 8;

}  // namespace penstock::rtmp

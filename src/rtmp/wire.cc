#include "penstock/rtmp/wire.h"

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::rtmp {
namespace {

constexpr uint32_t timestamp_extended = 0xFFFFFF;
constexpr size_t type0_bytes = 12;  // basic header 1, message header 11

size_t extended_bytes(const WireHeader& header) {
  return header.timestamp >= timestamp_extended ? 4 : 0;
}

size_t write_type0(uint8_t* wire, const WireHeader& header) {
  const bool extended = header.timestamp >= timestamp_extended;
  wire[0] = header.chunk_stream_id;
  store_u24(wire + 1, extended ? timestamp_extended : header.timestamp);
  store_u24(wire + 4, header.message_bytes);
  wire[7] = header.message_type;
  store_u32_le(wire + wire_message_stream_id_offset, header.message_stream_id);
  if (extended) store_u32(wire + type0_bytes, header.timestamp);
  return type0_bytes + extended_bytes(header);
}

size_t write_type3(uint8_t* wire, const WireHeader& header) {
  wire[0] = static_cast<uint8_t>(0xC0 | header.chunk_stream_id);
  // Repeated on every continuation: with the field omitted librtmp 2.4 and FFmpeg lose sync at
  // once.
  if (header.timestamp >= timestamp_extended) store_u32(wire + 1, header.timestamp);
  return 1 + extended_bytes(header);
}

}  // namespace

size_t wire_end(const WireHeader& header, uint32_t chunk_bytes, uint32_t payload_end) {
  // Most messages lie in one chunk: no division for them.
  const size_t continuations = payload_end <= chunk_bytes ? 0 : (payload_end - 1) / chunk_bytes;
  return type0_bytes + extended_bytes(header) + payload_end +
         continuations * (1 + extended_bytes(header));
}

size_t wire_bytes(const WireHeader& header, uint32_t chunk_bytes) {
  return wire_end(header, chunk_bytes, header.message_bytes);
}

size_t wire_write(uint8_t* wire, const WireHeader& header, uint32_t chunk_bytes, uint32_t offset,
                  Bytes piece) {
  PENSTOCK_ASSERT(header.chunk_stream_id >= 2 && header.chunk_stream_id <= 63);
  PENSTOCK_ASSERT(offset + piece.size() <= header.message_bytes);
  size_t at = wire_end(header, chunk_bytes, offset);
  if (offset == 0) at = write_type0(wire, header);
  uint32_t into_chunk = offset < chunk_bytes ? offset : offset % chunk_bytes;
  while (!piece.empty()) {
    if (into_chunk == 0 && offset > 0) at += write_type3(wire + at, header);
    const size_t count = std::min<size_t>(piece.size(), chunk_bytes - into_chunk);
    copy_bytes(wire + at, piece.first(count));
    at += count;
    offset += static_cast<uint32_t>(count);
    piece = piece.subspan(count);
    into_chunk = 0;
  }
  return at;
}

}  // namespace penstock::rtmp

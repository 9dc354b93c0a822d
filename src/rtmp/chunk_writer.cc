#include "penstock/rtmp/chunk_writer.h"

#include <vector>

#include "penstock/base/assert.h"

namespace penstock::rtmp {

void ChunkWriter::write(Outbox& outbox, const WireHeader& header, Bytes payload) const {
  PENSTOCK_ASSERT(header.message_bytes == payload.size());
  std::vector<uint8_t> wire(wire_bytes(header, chunk_bytes_));
  wire_write(wire.data(), header, chunk_bytes_, 0, payload);
  outbox.append(wire);
}

void ChunkWriter::write(Outbox& outbox, const ControlMessage& message) const {
  write(outbox,
        {.chunk_stream_id = control_chunk_stream_id,
         .message_type = message.type,
         .message_bytes = message.bytes},
        message.body());
}

void ChunkWriter::change_chunk_size(Outbox& outbox, uint32_t bytes) {
  PENSTOCK_ASSERT(bytes >= 1 && bytes <= chunk_bytes_max);
  write(outbox, set_chunk_size(bytes));
  chunk_bytes_ = bytes;
}

}  // namespace penstock::rtmp

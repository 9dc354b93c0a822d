#include "penstock/rtmp/chunk_writer.h"

#include "penstock/base/assert.h"

namespace penstock::rtmp {

void ChunkWriter::write(Outbox& outbox, const WireHeader& header, Bytes payload) const {
  PENSTOCK_ASSERT(header.message_bytes == payload.size());
  wire_write(outbox.extend(wire_bytes(header, chunk_bytes_)), header, chunk_bytes_, 0, payload);
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

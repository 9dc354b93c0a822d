#pragma once

#include <cstdint>

#include "penstock/base/bytes.h"
#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/message.h"
#include "penstock/rtmp/outbox.h"
#include "penstock/rtmp/wire.h"

namespace penstock::rtmp {

/// Puts whole messages of our own into chunks: commands, statuses and control. Every message starts
/// with a type 0 header, so the chunk size is all there is to remember (and what a subscriber gets
/// as shared bytes fits in between).
class ChunkWriter {
 public:
  [[nodiscard]] uint32_t chunk_bytes() const { return chunk_bytes_; }

  void write(Outbox& outbox, const WireHeader& header, Bytes payload) const;
  void write(Outbox& outbox, const ControlMessage& message) const;
  /// Tells the peer, and uses it from the next message on. 1..chunk_bytes_max.
  void change_chunk_size(Outbox& outbox, uint32_t bytes);

 private:
  uint32_t chunk_bytes_ = chunk_bytes_default;
};

}  // namespace penstock::rtmp

#pragma once

#include <map>
#include <span>
#include <stdexcept>
#include <string>

#include "penstock/rtmp/chunk_reader.h"
#include "tests/unit/rtmp/naive_chunk_reader.h"

namespace penstock::test {

/// A broken promise of the chunk reader.
inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

/// Feeds runs to a ChunkReader, applies Set Chunk Size and Abort as a session does, puts messages
/// together by slot, and checks on the way what every piece promises.
class ChunkCollector {
 public:
  ChunkCollector(uint32_t message_bytes_max, uint32_t partial_bytes_max) {
    reader.set_limits(message_bytes_max, partial_bytes_max);
  }

  /// False after a fault.
  bool feed(Bytes run) {
    reader.feed(run);
    for (;;) {
      const auto piece = reader.next();
      if (!piece) return fail(piece.error());
      if (!*piece) return true;
      if (!take(**piece, run)) return false;
    }
  }

  rtmp::ChunkReader reader;
  Decoded decoded;
  size_t copied_bytes = 0;  // of payload that did not lie in the input

 private:
  bool fail(Fault fault) {
    decoded.fault = fault;
    return false;
  }

  bool take(const rtmp::Piece& piece, Bytes run) {
    require(piece.slot < partial_messages_max, "slot in range");
    require(piece.message_bytes == 0 || !piece.bytes.empty(),
            "only a message without payload has an empty piece");
    const bool inside =
        piece.bytes.empty() || (piece.bytes.data() >= run.data() &&
                                piece.bytes.data() + piece.bytes.size() <= run.data() + run.size());
    if (!inside) copied_bytes += piece.bytes.size();
    require(inside || piece.bytes.size() <= 4, "payload lies in the input");
    if (piece.offset == 0) {
      require(piece.replaces == unfinished.contains(piece.slot),
              "a slot is given to one message at a time");
      unfinished[piece.slot] = {};
    }
    require(unfinished.contains(piece.slot), "the first piece comes first");
    std::vector<uint8_t>& payload = unfinished[piece.slot];
    require(piece.offset == payload.size(), "pieces come in order");
    payload.insert(payload.end(), piece.bytes.begin(), piece.bytes.end());
    require(payload.size() <= piece.message_bytes, "no more than the message");
    require(piece.completes() == (payload.size() == piece.message_bytes), "completion is known");
    if (!piece.completes()) return true;
    decoded.messages.push_back({piece.chunk_stream_id, piece.timestamp, piece.message_type,
                                piece.message_stream_id, payload});
    unfinished.erase(piece.slot);
    return control(decoded.messages.back());
  }

  bool control(const WholeMessage& message) {
    if (message.payload.size() < 4) return true;
    const uint32_t value = load_u32(message.payload.data());
    if (message.type == 1) {
      if (const auto set = reader.set_chunk_size(value); !set) return fail(set.error());
    }
    if (message.type == 2) {
      if (const auto slot = reader.abort(value)) {
        require(unfinished.erase(*slot) == 1, "an aborted slot was in use");
      }
    }
    return true;
  }

  std::map<uint8_t, std::vector<uint8_t>> unfinished;
};

}  // namespace penstock::test

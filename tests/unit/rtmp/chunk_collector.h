#pragma once

#include <map>
#include <span>
#include <stdexcept>
#include <string>

#include "penstock/base/prng.h"
#include "penstock/rtmp/chunk_reader.h"
#include "tests/unit/rtmp/naive_chunk_reader.h"

namespace penstock::test {

/// A broken promise of the chunk reader.
inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

/// Feeds runs to a ChunkReader, applies Set Chunk Size and Abort as a session does, puts messages
/// together by slot, and checks on the way what every piece promises. With `rests`, what follows a
/// piece is taken or skipped in one go, as far as the reader does that, into rooms of any size.
class ChunkCollector {
 public:
  ChunkCollector(uint32_t message_bytes_max, uint32_t partial_bytes_max, Prng* rests = nullptr)
      : rests_(rests) {
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
  size_t rest_bytes = 0;    // of payload that did not come as pieces

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
    if (rests_ != nullptr) take_rest(piece.slot, piece.message_bytes, payload);
    require(reader.unfinished(piece.slot) == (payload.size() < piece.message_bytes),
            "the reader knows what is unfinished");
    if (payload.size() < piece.message_bytes) return true;
    decoded.messages.push_back({piece.chunk_stream_id, piece.timestamp, piece.message_type,
                                piece.message_stream_id, payload});
    unfinished.erase(piece.slot);
    return control(decoded.messages.back());
  }

  void take_rest(uint8_t slot, uint32_t message_bytes, std::vector<uint8_t>& payload) {
    for (uint8_t other = 0; other < partial_messages_max; ++other) {
      require(other == slot || reader.skip_rest(other) == 0, "no other message has a rest here");
    }
    for (bool all = false; !all;) {
      all = rests_->chance(500);
      // A room of its own, so that the memory checker sees a byte too many. Skipping has none.
      std::vector<uint8_t> room(all ? message_bytes : rests_->below(200));
      rtmp::ChunkReader skips(reader);
      const size_t taken = reader.take_rest(slot, room);
      require(taken <= room.size(), "no more than there is room for");
      if (all) {
        require(skips.skip_rest(slot) == taken, "skipping goes as far as taking");
        // Both have come to the same place: go on with either.
        if (rests_->chance(500)) reader = std::move(skips);
      }
      payload.insert(payload.end(), room.begin(), room.begin() + static_cast<ptrdiff_t>(taken));
      rest_bytes += taken;
    }
    require(payload.size() <= message_bytes, "no more than the message");
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

  Prng* rests_;
  std::map<uint8_t, std::vector<uint8_t>> unfinished;
};

}  // namespace penstock::test

#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "bench/load/stamp.h"
#include "penstock/base/bytes.h"
#include "penstock/rtmp/chunk_reader.h"

namespace penstock::load {

/// The first bytes of each message, for whoever needs no more of it. They are copied only where the
/// input was cut within them.
class MessageHead {
 public:
  // The stamp of a video message ends at 60; a control message has 10 bytes at most.
  static constexpr size_t bytes_max = 64;
  static_assert(bytes_max >= stamp_at_video + stamp_bytes);

  /// Once for each message, as soon as bytes_max of it (or all) are there: these bytes, valid until
  /// the next call. One message at a time: a chunk is never interrupted, and a head lies in one.
  std::optional<Bytes> feed(const rtmp::Piece& piece);

 private:
  std::array<uint8_t, bytes_max> held_;
  uint8_t held_bytes_ = 0;
};

/// What a player concludes from one audio or video message.
struct Arrival {
  bool gap = false;         // something is missing before it, or it is out of its order
  uint32_t missing = 0;     // how many are missing, where that can be told
  uint64_t sent_at_ns = 0;  // 0: not stamped
};

/// Watches one player's messages for gaps: by the stamps' sequence, or in foreign media by the
/// timestamps.
class Continuity {
 public:
  /// `step_ms_max`: the largest distance of two timestamps of one kind; 0 when it is not known.
  /// Then a jump counts from step_ms_foreign on.
  explicit Continuity(uint32_t step_ms_max = 0) : step_ms_max_(step_ms_max) {}

  /// `head`: the first bytes of an audio or video body, as MessageHead has them.
  Arrival take(uint8_t message_type, uint32_t timestamp_ms, Bytes head);

  // Slide shows aside, no encoder leaves a track alone for longer.
  static constexpr uint32_t step_ms_foreign = 1000;

 private:
  struct Track {
    uint32_t sequence = 0;  // expected next
    uint32_t timestamp_ms = 0;
    uint16_t incarnation = 0;
    bool stamped = false;
    bool timed = false;
  };

  Arrival by_timestamp(Track& track, uint32_t timestamp_ms) const;

  std::array<Track, 2> tracks_;
  uint32_t step_ms_max_;
};

}  // namespace penstock::load

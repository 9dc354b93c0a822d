#pragma once

#include <cstdint>

#include "bench/load/continuity.h"
#include "bench/load/link.h"
#include "bench/load/tally.h"

namespace penstock::load {

/// One player: reads what comes, looks at the first bytes of each message, and keeps nothing.
class Player {
 public:
  explicit Player(uint32_t step_ms_max) : step_ms_max_(step_ms_max), continuity_(step_ms_max) {}

  Link link;
  bool held = false;         // live since the measurement window began
  uint64_t gaps = 0;         // within the window
  uint64_t messages = 0;     // within the window
  bool stalled = false;      // at the end of the window; see stall.h
  Instant last_received_at;  // media
  Instant may_read_at;       // a slow player's: not before

  void begin_window() {
    gaps = messages = 0;
    stalled = false;
    held = link.state() == LinkState::live;
  }
  /// It was there to the end of the window and received what was sent.
  [[nodiscard]] bool fine() const { return held && !stalled && messages > 0; }
  void begin(Tally& tally);
  /// Takes what came; an error ends the connection.
  std::optional<std::string> take(const Link::Setup& setup, Bytes input, Instant now, Tally& tally);

 private:
  void take_head(const rtmp::Piece& piece, Bytes head, Instant now, Tally& tally);

  uint32_t step_ms_max_;
  Continuity continuity_;
  MessageHead head_;
};

}  // namespace penstock::load

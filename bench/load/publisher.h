#pragma once

#include <array>
#include <cstdint>

#include "bench/load/link.h"
#include "bench/load/media_loop.h"
#include "bench/load/tally.h"

namespace penstock::load {

/// One encoder: sends the messages of the loop when they are due, one write each. Only the first
/// bytes of a message, where its stamp is, are its own; the rest is the shared image. It never
/// skips: what cannot be written on time is written late, which shows as schedule lag.
class Publisher {
 public:
  struct Setup {
    Link::Setup link;
    const MediaLoop& loop;
    bool blast = false;   // whole turns of the loop, as fast as they are taken; no stamps
    bool silent = false;  // publishes and sends nothing
  };

  Link link;
  bool held = false;       // live since the measurement window began
  bool scheduled = false;  // in the schedule, once
  bool ever_live = false;  // the server has accepted it at least once
  bool failed = false;     // it could not be started at least once
  Instant last_sent_at;    // handed over, or taken by the kernel

  /// The server has accepted: from now on media flows.
  void begin(const Setup& setup, Instant now, Tally& tally);
  /// When the next message is due; never() while there is none to come by time: not live, blasting,
  /// or the message before is not out yet.
  [[nodiscard]] Instant due_at(const Setup& setup) const;
  /// Sends one message, which must be due.
  void send_due(const Setup& setup, Instant now, Tally& tally);
  void on_sent(const Setup& setup, uint32_t bytes, Tally& tally);

 private:
  // Type 0 header, and the payload up to the end of a video message's stamp.
  static constexpr size_t head_bytes_max = 12 + stamp_at_video + stamp_bytes;

  void send_preamble(const Setup& setup);
  void send_turn(const Setup& setup);
  size_t write_head(const LoopMessage& message, const uint8_t* wire, size_t copied);

  Instant turn_began_;  // of the loop, as it is due
  uint32_t message_ = 0;
  uint16_t incarnation_ = 0;
  uint8_t begun_ = 0;  // chunk streams whose first message is out, one bit each
  bool turning_ = false;
  std::array<uint32_t, 2> sequence_{};
  std::array<uint8_t, head_bytes_max> head_;
};

}  // namespace penstock::load

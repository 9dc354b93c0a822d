#pragma once

#include <algorithm>
#include <cstdint>

#include "penstock/base/time.h"

namespace penstock::engine {

/// What an engine does when a turn brought nothing. Packets come in groups: right after some, the
/// next are awaited at full speed; then more and more slowly, so that an idle machine is idle.
class Idle {
 public:
  enum class Step : uint8_t { look, pause, sleep };
  struct Choice {
    Step step = Step::look;
    uint64_t sleep_ns = 0;
  };

  void busy(Instant now) {
    busy_at_ = now;
    sleep_ns_ = sleep_ns_min;
  }

  /// `interrupts`: a packet ends a sleep. Else sleeps are short, because nothing but their end
  /// does.
  [[nodiscard]] Choice choose(Instant now, Instant until, bool interrupts) {
    const uint64_t left_ns = until.since(now);
    const uint64_t quiet_ns = now.since(busy_at_);
    if (quiet_ns < look_ns || left_ns < pause_ns) return {Step::look, 0};
    if (quiet_ns < look_ns + pause_ns) return {Step::pause, 0};
    if (interrupts) return {Step::sleep, left_ns};
    const uint64_t sleep_ns = std::min(sleep_ns_, left_ns);
    sleep_ns_ = std::min(sleep_ns_ * 2, sleep_ns_max);
    return {Step::sleep, sleep_ns};
  }

 private:
  // What a round trip within a rack takes: the answer to what just went out is seen at once.
  static constexpr uint64_t look_ns = 20 * ns_per_us;
  static constexpr uint64_t pause_ns = 80 * ns_per_us;
  // A timer and a wake take about as long.
  static constexpr uint64_t sleep_ns_min = 50 * ns_per_us;
  // What a packet may wait at most on an idle machine; a thousand wakes a second are 1 % of a core.
  static constexpr uint64_t sleep_ns_max = 1 * ns_per_ms;

  Instant busy_at_;
  uint64_t sleep_ns_ = sleep_ns_min;
};

}  // namespace penstock::engine

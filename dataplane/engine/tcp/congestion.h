#pragma once

#include <cstdint>
#include <string_view>

#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// What a congestion control knows of one connection. Windows are bytes.
struct CongestionState {
  // RFC 5681: nothing below two segments for the threshold; 2^30 is the largest window of RFC 7323.
  static constexpr uint32_t window_max = 1u << 30;

  uint32_t window = 0;
  uint32_t threshold = window_max;
  uint32_t segment_bytes = 1460;
  uint32_t acked_bytes = 0;  // that the window has not grown for yet
  // CUBIC (RFC 9438); segments and seconds.
  float cubic_window_max = 0;
  float cubic_k_s = 0;
  float cubic_origin = 0;
  float cubic_reno_window = 0;
  float cubic_before = 0;    // the window when it was last reduced
  float cubic_fraction = 0;  // of a byte that the window has not grown by yet
  Instant cubic_epoch;  // {} : the next ACK begins one
  // For a loss that was none.
  uint32_t before_window = 0;
  uint32_t before_threshold = 0;
  float before_cubic_window_max = 0;

  [[nodiscard]] bool slow_start() const { return window < threshold; }
};

/// What was acknowledged, when.
struct CongestionAck {
  uint32_t bytes = 0;
  uint64_t smoothed_rtt_ns = 0;
  Instant now;
};

/// One way to react. A row of functions and no class: a connection keeps the state and nothing of
/// it is polymorphic.
struct CongestionControl {
  std::string_view name;
  /// Bytes were acknowledged outside of recovery, and the window was what held the sender back.
  void (*acknowledged)(CongestionState&, const CongestionAck&);
  /// Loss or ECE, once per window: sets the threshold; the window follows it by recovery.
  void (*reduce)(CongestionState&, bool by_ecn);
  /// Nothing was sent for a while: what was measured does not count any more.
  void (*rested)(CongestionState&);
};

extern const CongestionControl new_reno;
extern const CongestionControl cubic;

/// By its name; nothing when there is none.
[[nodiscard]] const CongestionControl* find_congestion_control(std::string_view name);

/// RFC 6928: 10 segments, at most 14600 bytes but at least two segments.
[[nodiscard]] uint32_t initial_congestion_window(uint32_t segment_bytes);
void start_congestion(CongestionState& state, uint32_t segment_bytes);
/// Remembers what undo_congestion() brings back.
void remember_congestion(CongestionState& state);
void undo_congestion(CongestionState& state);
/// What both controls do below the threshold. Returns the bytes that are left for what comes above.
[[nodiscard]] uint32_t grow_in_slow_start(CongestionState& state, uint32_t bytes);
void grow_window(CongestionState& state, uint32_t bytes);

}  // namespace penstock::engine::tcp

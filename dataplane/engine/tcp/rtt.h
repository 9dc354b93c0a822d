#pragma once

#include <algorithm>
#include <cstdint>

#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// Round trip times and the timeout that follows from them (RFC 6298), in nanoseconds. 0: not
/// known.
class RttEstimator {
 public:
  // RFC 6298 wants 1 s at least and every stack in use takes 200 ms: delayed ACKs are 40 ms here
  // and at most 200 ms elsewhere. The most is what RFC 6298 (2.5) allows as the least upper bound.
  static constexpr uint64_t timeout_min_ns = 200 * ns_per_ms;
  static constexpr uint64_t timeout_max_ns = 60 * ns_per_s;
  static constexpr uint64_t timeout_first_ns = ns_per_s;

  void sample(uint64_t rtt_ns) {
    rtt_ns = std::clamp<uint64_t>(rtt_ns, 1, timeout_max_ns);
    latest_ns_ = rtt_ns;
    min_ns_ = min_ns_ == 0 ? rtt_ns : std::min(min_ns_, rtt_ns);
    if (smoothed_ns_ == 0) {
      smoothed_ns_ = rtt_ns;
      variation_ns_ = rtt_ns / 2;
      return;
    }
    const uint64_t difference =
        smoothed_ns_ > rtt_ns ? smoothed_ns_ - rtt_ns : rtt_ns - smoothed_ns_;
    variation_ns_ = variation_ns_ - variation_ns_ / 4 + difference / 4;
    smoothed_ns_ = smoothed_ns_ - smoothed_ns_ / 8 + rtt_ns / 8;
  }

  [[nodiscard]] uint64_t timeout_ns() const {
    if (smoothed_ns_ == 0) return timeout_first_ns;
    // Linux's form of the lower bound: it is of the variation's term, so that a path of 300 ms with
    // no variation waits 500 ms and not 300.
    return std::min(smoothed_ns_ + std::max(4 * variation_ns_, timeout_min_ns), timeout_max_ns);
  }

  [[nodiscard]] uint64_t smoothed_ns() const { return smoothed_ns_; }
  [[nodiscard]] uint64_t latest_ns() const { return latest_ns_; }
  [[nodiscard]] uint64_t min_ns() const { return min_ns_; }
  [[nodiscard]] bool known() const { return smoothed_ns_ != 0; }

 private:
  uint64_t smoothed_ns_ = 0;
  uint64_t variation_ns_ = 0;
  uint64_t latest_ns_ = 0;
  uint64_t min_ns_ = 0;
};

}  // namespace penstock::engine::tcp

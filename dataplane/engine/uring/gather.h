#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/engine/uring/ring.h"
#include "penstock/base/time.h"

namespace penstock::engine {

/// Decides how a poll() waits. With little to do the first completion ends the wait, so that
/// nothing is delayed. Under load the kernel is asked for many at once: waking per message is what
/// costs (at 200 publishers gathering for 5 ms takes 0.6 of the CPU time of not gathering, at 1000
/// it takes 0.8).
class Gather {
 public:
  void set_max(uint64_t ns) { max_ns_ = ns; }

  void count(uint32_t completions, Instant now) {
    counted_ += completions;
    const uint64_t window_ns = now.since(window_start_);
    if (window_ns < window_ns_min) return;
    per_second_ = counted_ * ns_per_s / window_ns;
    counted_ = 0;
    window_start_ = now;
  }

  [[nodiscard]] Ring::Wait choose(uint64_t timeout_ns, size_t events_max, bool has_min_wait) const {
    const uint64_t gather_ns = std::min(max_ns_, timeout_ns);
    if (gather_ns < gather_ns_min || per_second_ * gather_ns < worthwhile * ns_per_s) {
      return {.completions = 1, .timeout_ns = timeout_ns};
    }
    const auto many = static_cast<uint32_t>(std::clamp<size_t>(events_max, 1, completions_max));
    // Without min_wait the whole wait is the gathering one; poll() waits again when it brought
    // nothing.
    if (!has_min_wait) return {.completions = many, .timeout_ns = gather_ns};
    return {.completions = many, .timeout_ns = timeout_ns, .min_wait_ns = gather_ns};
  }

 private:
  // The rate is taken over at least this long, so that one burst is not a load.
  static constexpr uint64_t window_ns_min = 10 * ns_per_ms;
  // Shorter waits are below what the timer can do (slack 50 us).
  static constexpr uint64_t gather_ns_min = 50 * ns_per_us;
  // Fewer completions per gathering than this do not pay for the delay.
  static constexpr uint64_t worthwhile = 4;
  // More at once than this lengthens a tick and saves nothing: the wake is spread over 256 already.
  static constexpr size_t completions_max = 256;

  uint64_t max_ns_ = 0;
  uint64_t per_second_ = 0;
  uint64_t counted_ = 0;
  Instant window_start_;
};

}  // namespace penstock::engine

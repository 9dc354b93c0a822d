#pragma once

#include <algorithm>
#include <cstdint>

#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// So many per second, and at most so many at once.
class RateLimit {
 public:
  constexpr RateLimit(uint32_t per_second, uint32_t at_once)
      : interval_ns_(ns_per_s / per_second), burst_ns_(interval_ns_ * at_once) {}

  [[nodiscard]] bool allow(Instant now) {
    // Each takes its interval of time, and those may lie ahead by the burst.
    const uint64_t from = std::max(spent_until_ns_, now.ns);
    if (from + interval_ns_ > now.ns + burst_ns_) return false;
    spent_until_ns_ = from + interval_ns_;
    return true;
  }

 private:
  uint64_t interval_ns_;
  uint64_t burst_ns_;
  uint64_t spent_until_ns_ = 0;
};

}  // namespace penstock::engine::tcp

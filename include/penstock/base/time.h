#pragma once

#include <compare>
#include <cstdint>

namespace penstock {

constexpr uint64_t ns_per_us = 1'000;
constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t ns_per_s = 1'000'000'000;

/// A point on the monotonic clock, in nanoseconds. Only the owner of a loop reads a clock;
/// everybody else is told.
struct Instant {
  uint64_t ns = 0;

  constexpr auto operator<=>(const Instant&) const = default;

  [[nodiscard]] static constexpr Instant never() { return {UINT64_MAX}; }
  [[nodiscard]] constexpr Instant after_ns(uint64_t delay) const {
    return {ns > UINT64_MAX - delay ? UINT64_MAX : ns + delay};
  }
  [[nodiscard]] constexpr Instant after_ms(uint64_t delay) const {
    return after_ns(delay * ns_per_ms);
  }
  /// Nanoseconds since `earlier`; 0 when it is not earlier, because clocks of two cores may differ
  /// by a little.
  [[nodiscard]] constexpr uint64_t since(Instant earlier) const {
    return ns > earlier.ns ? ns - earlier.ns : 0;
  }
};

}  // namespace penstock

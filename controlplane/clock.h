#pragma once

#include <cstdint>
#include <string>

namespace penstock::controlplane {

[[nodiscard]] uint64_t monotonic_ns();
[[nodiscard]] uint64_t unix_ms();

/// "2026-11-23T04:05:06.789Z". Takes any number: the time may come from the shared region.
[[nodiscard]] std::string rfc3339(uint64_t unix_time_ms);

/// Whole seconds from one to the other; 0 when they are the wrong way round.
[[nodiscard]] constexpr uint64_t seconds_between(uint64_t from_ms, uint64_t to_ms) {
  return to_ms > from_ms ? (to_ms - from_ms) / 1000 : 0;
}

}  // namespace penstock::controlplane

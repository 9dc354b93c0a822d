#include "controlplane/clock.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <ctime>

#include "penstock/base/time.h"

namespace penstock::controlplane {

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * ns_per_s + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t unix_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / ns_per_ms;
}

std::string rfc3339(uint64_t unix_time_ms) {
  constexpr uint64_t end_of_9999_ms = 253'402'300'799'999;  // RFC 3339 has four digits for the year
  const uint64_t shown_ms = std::min(unix_time_ms, end_of_9999_ms);
  const auto seconds = static_cast<time_t>(shown_ms / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     shown_ms % 1000);
}

}  // namespace penstock::controlplane

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "bench/load/histogram.h"

namespace penstock::load {

/// What one run counts. The first part is of the measurement window; the rest of the whole run.
struct Tally {
  uint64_t bytes_sent = 0;      // by publishers, as the kernel took them
  uint64_t bytes_received = 0;  // by players
  uint64_t messages_sent = 0;
  uint64_t messages_received = 0;
  uint64_t gaps = 0;
  uint64_t messages_missing = 0;
  Histogram schedule_lag;
  Histogram latency;
  bool measuring = false;

  uint64_t connections_opened = 0;  // publish or play was accepted
  uint64_t connections_failed = 0;
  uint64_t closed_by_server = 0;
  std::map<std::string, uint64_t, std::less<>> errors;

  void begin_window() {
    bytes_sent = bytes_received = messages_sent = messages_received = gaps = messages_missing = 0;
    schedule_lag.clear();
    latency.clear();
    measuring = true;
  }
  void count_error(std::string_view kind) {
    const auto found = errors.find(kind);
    if (found != errors.end()) {
      ++found->second;
    } else {
      errors.emplace(kind, 1);
    }
  }
};

}  // namespace penstock::load

#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penstock::load {

/// What processes have used so far, as /proc tells it.
struct ServerUsage {
  uint64_t cpu_ns = 0;          // of all threads that still live
  uint64_t resident_bytes = 0;  // anonymous and shared memory, not files
  std::vector<uint32_t> pids;   // that were found
};

/// Of `pids` and all their descendants.
[[nodiscard]] ServerUsage read_server_usage(std::span<const uint32_t> pids);

}  // namespace penstock::load

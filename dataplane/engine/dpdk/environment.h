#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::engine {

struct EnvironmentOptions {
  bool hugepages = true;
  uint32_t memory_mb = 256;
  std::string file_prefix;
  std::vector<std::string> pci_devices;  // no other is touched
};

/// Starts DPDK's environment. That is possible once in a process: later calls find it running, with
/// what the first one said. Threads of the caller stay where they are.
std::expected<void, std::string> start_environment(const EnvironmentOptions&);

/// What DPDK has written to its log since this was last called, the last line of it: the cause of
/// what failed just now, as a rule.
std::string take_dpdk_complaint();

/// "cause (complaint)": `cause` with what DPDK itself said of it, if it said anything.
std::string with_complaint(std::string cause);

/// Makes the calling thread one of DPDK's, until it ends: packets are then taken from the memory's
/// near end.
void join_dpdk();

}  // namespace penstock::engine

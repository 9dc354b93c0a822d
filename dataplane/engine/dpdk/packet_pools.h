#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

struct rte_mempool;

namespace penstock::engine {

struct PoolPlan {
  uint32_t memory_mb = 0;  // of all workers together
  uint32_t workers = 1;
  uint16_t mtu = 1500;
  int numa_node = 0;
  uint16_t receive_descriptors = 0;
  uint16_t send_descriptors = 0;
};

/// How many of each kind one worker's memory is.
struct PoolSizes {
  uint32_t packets = 0;
  uint32_t headers = 0;
  uint32_t slices = 0;
  uint32_t in_flight_max = 0;  // packets on their way out; a power of two
  // Of whole packets, what each thread that frees them keeps for itself, as DPDK is told it; and
  // what all of them then have at most.
  uint32_t cache = 0;
  uint32_t cached_max = 0;
};

/// Fails with the `dpdk.memory_mb` that would do.
[[nodiscard]] std::expected<PoolSizes, std::string> pool_sizes(const PoolPlan& plan);

/// Packet memory of one worker, on its device's NUMA node. Packets may be freed by any thread.
class PacketPools {
 public:
  // Headers, and packets so small that copying them is cheaper than pointing at them. With DPDK's
  // headroom of 128, which some drivers write their own headers into.
  static constexpr uint16_t small_bytes_max = 256;

  /// `name` must be unique in the process.
  static std::expected<std::unique_ptr<PacketPools>, std::string> make(const std::string& name,
                                                                       const PoolPlan& plan);
  PacketPools() = default;
  PacketPools(const PacketPools&) = delete;
  PacketPools& operator=(const PacketPools&) = delete;
  ~PacketPools();

  rte_mempool* packets = nullptr;  // whole ones: received, or copied for sending
  rte_mempool* headers = nullptr;
  rte_mempool* slices = nullptr;  // without memory of their own: they point at the caller's
  PoolSizes sizes;
};

}  // namespace penstock::engine

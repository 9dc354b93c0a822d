#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

struct rte_mempool;

namespace penstock::engine {

struct PoolPlan {
  uint64_t bytes = 0;  // of one worker, all of it
  uint32_t workers = 1;
  uint16_t mtu = 1500;
  int numa_node = 0;
  uint16_t receive_descriptors = 0;
  uint16_t send_descriptors = 0;
};

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
  uint32_t packet_count = 0;
  uint32_t cached_max = 0;     // of these, what the threads that free them keep for themselves
  uint32_t in_flight_max = 0;  // packets on their way out; a power of two
};

}  // namespace penstock::engine

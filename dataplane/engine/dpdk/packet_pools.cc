#include "dataplane/engine/dpdk/packet_pools.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include <algorithm>
#include <bit>

#include "dataplane/engine/dpdk/environment.h"
#include "dataplane/engine/dpdk/slice_use.h"

namespace penstock::engine {
namespace {

// What a pool keeps beside each packet: its header, rounding, and the ring's slot.
constexpr uint64_t packet_overhead_bytes = sizeof(rte_mbuf) + 64 + 64 + 16;
// DPDK fragments its memory, and drivers take some.
constexpr uint64_t usable_percent = 80;
// Packets that a core keeps for itself, so that the pool's ring is touched once for many.
constexpr uint32_t cached_packets = 256;
// DPDK lets a core keep half as many again before it gives them back.
constexpr uint32_t cached_packets_max = cached_packets + cached_packets / 2;
// A header has one slice, or two where frames meet; four are the most.
constexpr uint32_t slices_per_header = 2;

/// As rte_pktmbuf_pool_create(), but without hugepages packets may cross pages: else each of them
/// would take a page of 4 KiB for its 2.4.
std::expected<rte_mempool*, std::string> make_pool(const std::string& name, uint32_t count,
                                                   uint16_t private_bytes, size_t room_bytes,
                                                   int numa_node) {
  const auto element_bytes = static_cast<unsigned>(sizeof(rte_mbuf) + private_bytes + room_bytes);
  const unsigned flags = rte_eal_has_hugepages() != 0 ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
  rte_pktmbuf_pool_private room{};
  room.mbuf_data_room_size = static_cast<uint16_t>(room_bytes);
  room.mbuf_priv_size = private_bytes;
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), count, element_bytes, cached_packets,
                                               sizeof(room), numa_node, flags);
  int error = pool == nullptr ? rte_errno : 0;
  if (pool != nullptr) {
    error = -rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
    if (error == 0) {
      rte_pktmbuf_pool_init(pool, &room);
      const int populated = rte_mempool_populate_default(pool);
      if (populated < 0) error = -populated;
    }
  }
  if (error == 0) {
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
    return pool;
  }
  rte_mempool_free(pool);
  return std::unexpected(with_complaint(
      std::string("packet memory: ") + rte_strerror(error) +
      "; lower dpdk.memory_mb, or reserve more hugepages than that (sysctl vm.nr_hugepages)"));
}

}  // namespace

std::expected<std::unique_ptr<PacketPools>, std::string> PacketPools::make(const std::string& name,
                                                                           const PoolPlan& plan) {
  // Ethernet with a tag, and what a device may write behind.
  const size_t packet_bytes =
      std::max<size_t>(2048, (size_t{plan.mtu} + 14 + 4 + 4 + 63) / 64 * 64);
  const size_t room_bytes = RTE_PKTMBUF_HEADROOM + packet_bytes;
  const size_t header_room = RTE_PKTMBUF_HEADROOM + small_bytes_max;
  const uint64_t usable = plan.bytes * usable_percent / 100;

  auto pools = std::make_unique<PacketPools>();
  // An eighth is for what is on its way out, at the size of headers with their slices.
  const uint64_t sending_bytes =
      header_room + sizeof(SliceUse) + (1 + slices_per_header) * packet_overhead_bytes;
  const uint64_t in_flight = std::clamp<uint64_t>(usable / 8 / sending_bytes, 512, 16384);
  pools->in_flight_max = std::bit_floor(static_cast<uint32_t>(in_flight));
  const uint32_t header_count =
      pools->in_flight_max + plan.send_descriptors + 2 * cached_packets_max;
  const uint64_t left = usable - std::min(usable, header_count * sending_bytes);
  pools->packet_count = static_cast<uint32_t>(
      std::min<uint64_t>(left / (room_bytes + packet_overhead_bytes), 4u << 20));
  // Packets cross to other workers, and are freed there: each has a cache of this pool, and so has
  // the thread that started DPDK. Headers and slices stay with the two that have those.
  pools->cached_max = (plan.workers + 1) * cached_packets_max;
  // The device's queue, as many again on their way through the stack, and what caches hold.
  const uint32_t needed = 2 * plan.receive_descriptors + plan.send_descriptors + pools->cached_max;
  if (pools->packet_count < needed) {
    const uint64_t bytes =
        (needed * (room_bytes + packet_overhead_bytes) + header_count * sending_bytes);
    return std::unexpected("dpdk.memory_mb is too small: each worker needs at least " +
                           std::to_string((bytes * 100 / usable_percent >> 20) + 1) + " MiB of it");
  }
  const auto make = [&](rte_mempool*& pool, const char* what, uint32_t count, size_t private_bytes,
                        size_t room) -> std::expected<void, std::string> {
    auto made =
        make_pool(name + what, count, static_cast<uint16_t>(private_bytes), room, plan.numa_node);
    if (!made) return std::unexpected(made.error());
    pool = *made;
    return {};
  };
  auto made = make(pools->packets, "_packets", pools->packet_count, 0, room_bytes);
  if (made) made = make(pools->headers, "_headers", header_count, 0, header_room);
  if (made) {
    made = make(pools->slices, "_slices", header_count * slices_per_header, sizeof(SliceUse), 0);
  }
  if (!made) return std::unexpected(made.error());
  return pools;
}

PacketPools::~PacketPools() {
  rte_mempool_free(packets);
  rte_mempool_free(headers);
  rte_mempool_free(slices);
}

}  // namespace penstock::engine

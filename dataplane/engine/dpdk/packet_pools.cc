#include "dataplane/engine/dpdk/packet_pools.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "dataplane/engine/dpdk/environment.h"
#include "dataplane/engine/dpdk/slice_use.h"

namespace penstock::engine {
namespace {

// What a pool keeps beside each packet: its header, rounding, and the ring's slot.
constexpr uint64_t packet_overhead_bytes = sizeof(rte_mbuf) + 64 + 64 + 16;
// DPDK fragments its memory, and drivers take some.
constexpr uint64_t usable_percent = 80;
// A pool begins with the caches of all threads that DPDK could have: 1 MB, three times per worker.
// Where a worker has little, that is more than the fifth above.
constexpr uint64_t fixed_bytes =
    3 * (sizeof(rte_mempool) + RTE_MAX_LCORE * sizeof(rte_mempool_cache));
constexpr uint64_t usable_beside_fixed_percent = 90;
// What a thread keeps of a pool for itself, so that the pool's ring is touched once for many; DPDK
// takes up to 512.
constexpr uint32_t cache_max = 256;
// A header has one slice, or two where frames meet; four are the most.
constexpr uint32_t slices_per_header = 2;

/// DPDK lets a thread keep half as many again before it gives them back.
constexpr uint32_t held_by_cache(uint32_t cache) { return cache + cache / 2; }

/// Of a whole packet: Ethernet with two tags, and what a device may write behind.
size_t packet_room(uint16_t mtu) {
  return RTE_PKTMBUF_HEADROOM + std::max<size_t>(2048, (size_t{mtu} + 14 + 4 + 4 + 63) / 64 * 64);
}

constexpr size_t header_room = RTE_PKTMBUF_HEADROOM + PacketPools::small_bytes_max;

/// Nothing when they do not fit.
std::optional<PoolSizes> sizes_within(uint32_t memory_mb, const PoolPlan& plan) {
  const uint64_t bytes = (uint64_t{memory_mb} << 20) / plan.workers;
  const uint64_t beside_fixed = bytes - std::min(bytes, fixed_bytes);
  const uint64_t usable =
      std::min(bytes * usable_percent, beside_fixed * usable_beside_fixed_percent) / 100;
  PoolSizes sizes;
  // An eighth is for what is on its way out, at the size of headers with their slices.
  constexpr uint64_t sending_bytes =
      header_room + sizeof(SliceUse) + (1 + slices_per_header) * packet_overhead_bytes;
  const uint64_t in_flight = std::clamp<uint64_t>(usable / 8 / sending_bytes, 512, 16384);
  sizes.in_flight_max = std::bit_floor(static_cast<uint32_t>(in_flight));
  // Headers and slices stay with the two threads that have those: the worker's, and the one that
  // stops the device.
  sizes.headers = sizes.in_flight_max + plan.send_descriptors + 2 * held_by_cache(cache_max);
  sizes.slices = sizes.headers * slices_per_header;
  const uint64_t left = usable - std::min(usable, sizes.headers * sending_bytes);
  sizes.packets = static_cast<uint32_t>(
      std::min<uint64_t>(left / (packet_room(plan.mtu) + packet_overhead_bytes), 4u << 20));
  // The device's queue, and as many again on their way through the stack.
  const uint32_t needed = 2u * plan.receive_descriptors + plan.send_descriptors;
  if (sizes.packets < needed) return std::nullopt;
  // Packets cross to other workers, and are freed there: each has a cache of this pool, and so has
  // the thread that started DPDK. Together they get no more than half of what is left, so that it
  // is never they that keep a host of many workers from starting. 61 workers in 1024 MiB have 4
  // each, 24 have 128, 16 and fewer all 256.
  const uint32_t threads = plan.workers + 1;
  const uint32_t share = (sizes.packets - needed) / 2 / threads;
  sizes.cache = std::min(cache_max, share * 2 / 3);
  sizes.cached_max = threads * held_by_cache(sizes.cache);
  return sizes;
}

/// As rte_pktmbuf_pool_create(), but without hugepages packets may cross pages: else each of them
/// would take a page of 4 KiB for its 2.4.
std::expected<rte_mempool*, std::string> make_pool(const std::string& name, uint32_t count,
                                                   uint32_t cache, uint16_t private_bytes,
                                                   size_t room_bytes, int numa_node) {
  const auto element_bytes = static_cast<unsigned>(sizeof(rte_mbuf) + private_bytes + room_bytes);
  const unsigned flags = rte_eal_has_hugepages() != 0 ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
  rte_pktmbuf_pool_private room{};
  room.mbuf_data_room_size = static_cast<uint16_t>(room_bytes);
  room.mbuf_priv_size = private_bytes;
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), count, element_bytes, cache,
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

std::expected<PoolSizes, std::string> pool_sizes(const PoolPlan& plan) {
  if (const auto sizes = sizes_within(plan.memory_mb, plan)) return *sizes;
  uint32_t enough = plan.memory_mb + 1;
  while (!sizes_within(enough, plan)) ++enough;
  return std::unexpected("dpdk.memory_mb is too small: " + std::to_string(plan.workers) +
                         " worker(s) on this device need at least " + std::to_string(enough));
}

std::expected<std::unique_ptr<PacketPools>, std::string> PacketPools::make(const std::string& name,
                                                                           const PoolPlan& plan) {
  const auto sizes = pool_sizes(plan);
  if (!sizes) return std::unexpected(sizes.error());
  auto pools = std::make_unique<PacketPools>();
  pools->sizes = *sizes;
  const auto make = [&](rte_mempool*& pool, const char* what, uint32_t count, uint32_t cache,
                        size_t private_bytes, size_t room) -> std::expected<void, std::string> {
    auto made = make_pool(name + what, count, cache, static_cast<uint16_t>(private_bytes), room,
                          plan.numa_node);
    if (!made) return std::unexpected(made.error());
    pool = *made;
    return {};
  };
  auto made =
      make(pools->packets, "_packets", sizes->packets, sizes->cache, 0, packet_room(plan.mtu));
  if (made) made = make(pools->headers, "_headers", sizes->headers, cache_max, 0, header_room);
  if (made) {
    made = make(pools->slices, "_slices", sizes->slices, cache_max, sizeof(SliceUse), 0);
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

#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/engine/dpdk/engine_counters.h"
#include "dataplane/engine/dpdk/packet_pools.h"
#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"
#include "penstock/base/time.h"

struct rte_mbuf;

namespace penstock::engine {

/// How a queue of a device takes packets.
struct SendQueueFacts {
  uint16_t port = 0;
  uint16_t queue = 0;
  // Packets may lie in several places: the caller's bytes are pointed at, not copied.
  bool takes_slices = false;
  // The device reads memory by itself, and only what it was shown (offer_memory()).
  bool needs_offered_memory = false;
  bool fills_checksums = false;
};

/// Makes the packets of a stack those of a device, sends them in bursts, and knows when the bytes
/// in them are no longer looked at. Belongs to the engine's thread, as the queue does.
class Transmitter {
 public:
  static constexpr size_t burst_packets = 32;

  Transmitter(const SendQueueFacts& facts, const PacketPools& pools, EngineCounters& counters);
  Transmitter(const Transmitter&) = delete;
  Transmitter& operator=(const Transmitter&) = delete;
  /// Packets that the device has not taken are given up.
  ~Transmitter();

  void offer_memory(Bytes memory) { offered_.push_back(memory); }

  /// So many packets have room now; 0 while the device takes none.
  [[nodiscard]] size_t room() const;
  /// A packet of the stack, in the order in which they came out of it.
  void add(const tcp::PacketOut& packet);
  /// A whole packet of somebody else's; dropped when there is no room.
  void add_whole(rte_mbuf* packet);
  /// Gives the device what it takes.
  void flush();
  /// Asks for what the device is done with. For when nothing else is to do: devices do it by
  /// themselves while they send.
  void reclaim(Instant now);

  /// The caller's bytes go: what waits and points at them is dropped.
  void forget_slices();

  /// The stack's packets that are through, in all and in order.
  [[nodiscard]] uint64_t transmitted();
  [[nodiscard]] bool waits() const { return waiting_count_ > 0; }
  [[nodiscard]] bool in_flight() const { return done_ != added_; }

  void slice_done(uint64_t packet) { --pending_[packet & mask_]; }

 private:
  [[nodiscard]] rte_mbuf* build(const tcp::PacketOut& packet);
  [[nodiscard]] bool append_slices(const tcp::PacketOut& packet, rte_mbuf* head);
  [[nodiscard]] rte_mbuf* reference(Bytes slice);
  [[nodiscard]] bool may_point_at(Bytes slice) const;
  void push(rte_mbuf* packet);

  // What waits for the device: two bursts, so that one can be made while another waits.
  static constexpr size_t waiting_max = 4 * burst_packets;
  // A device that gives nothing back for so long without more to send keeps its senders waiting.
  static constexpr uint64_t hoarding_ns = 20 * ns_per_ms;

  SendQueueFacts facts_;
  const PacketPools& pools_;
  EngineCounters& counters_;
  std::vector<Bytes> offered_;
  std::array<rte_mbuf*, waiting_max> waiting_{};
  size_t waiting_count_ = 0;
  // Of each packet on its way: slices that the device may look at. A packet is through when it and
  // all before it have none.
  std::vector<uint8_t> pending_;
  uint64_t mask_ = 0;
  uint64_t added_ = 0;
  uint64_t done_ = 0;
  uint64_t done_seen_ = 0;  // by reclaim(), at moved_at_
  Instant moved_at_;
};

}  // namespace penstock::engine

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/neighbours.h"
#include "dataplane/engine/tcp/ring.h"
#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// Packets that no connection sends: SYN-ACKs, resets, ARP, NDP, pings. Whole packets, in order,
/// bounded: under a flood the device is behind, and what does not fit is worth nothing later.
class Replies {
 public:
  // Four input bursts of 256 packets that all want an answer.
  static constexpr uint32_t ready_max = 1024;
  // For neighbours that are being asked for. RFC 4861 (7.2.2) wants room for one each.
  static constexpr uint32_t waiting_max = 64;
  static constexpr uint32_t waiting_max_each = 3;
  // Payload of pings, until it has left the device.
  static constexpr uint32_t blocks = 32;

  Replies(uint32_t block_bytes, StackCounters& counters);

  /// A packet to fill in that may go at once; null when there is no room.
  [[nodiscard]] PacketOut* add();
  /// The same for one whose neighbour is asked for: its Ethernet destination is filled in later.
  [[nodiscard]] PacketOut* add_waiting(NeighbourRef neighbour);
  /// Neighbours have changed: what waited for them goes, or is dropped.
  void settle(Neighbours& neighbours, Instant now);

  /// A copy of `data` that stays until the packet that points to it has left the device; empty when
  /// there is no room. It must be the packet that add() or add_waiting() returns next.
  [[nodiscard]] Bytes keep(Bytes data, uint64_t packets_transmitted);

  /// No such packet will come after all.
  void forget_kept();

  [[nodiscard]] bool empty() const { return ready_.empty(); }
  /// The next one, which will be packet number `number`. Only while it is not empty.
  void take(PacketOut& packet, uint64_t number);

  [[nodiscard]] size_t memory_bytes() const;

 private:
  static constexpr uint64_t unsent = UINT64_MAX;
  struct Reply {
    PacketOut packet;
    uint32_t block = blocks;  // none
  };
  struct Waiting {
    Reply reply;
    NeighbourRef neighbour;
  };

  void give_back(uint32_t block);

  uint32_t block_bytes_;
  StackCounters& counters_;
  Ring<Reply> ready_;
  std::vector<Waiting> waiting_;
  std::unique_ptr<uint8_t[]> memory_;
  // Of each block: the packet that it went with, 0 when it is free.
  uint64_t block_packets_[blocks] = {};
  uint32_t next_block_ = blocks;
};

}  // namespace penstock::engine::tcp

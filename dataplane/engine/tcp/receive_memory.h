#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

constexpr uint32_t no_index = UINT32_MAX;

/// Tokens on their way back to the caller.
class ReleasedTokens {
 public:
  explicit ReleasedTokens(uint32_t expected) { tokens_.reserve(expected); }
  void push(PacketToken token) { tokens_.push_back(token); }
  [[nodiscard]] std::span<PacketToken> take(std::span<PacketToken> room);
  [[nodiscard]] size_t size() const { return tokens_.size() - taken_; }

 private:
  // Never more than the caller has lent; reserved for as many as it says it lends.
  std::vector<PacketToken> tokens_;
  size_t taken_ = 0;
};

/// A run of received bytes that waits: in the packet it came in, or in a block of ours.
struct HeldBytes {
  const uint8_t* data = nullptr;
  PacketToken token;
  uint32_t sequence = 0;
  uint32_t bytes = 0;
  uint32_t next = no_index;   // of the same run
  uint32_t block = no_index;  // none: the packet is held
  // Of the first of a run (ReceiveQueue):
  uint32_t run_last = no_index;
  uint32_t run_next = no_index;

  [[nodiscard]] uint32_t end() const { return sequence + bytes; }
};

/// What all connections of a stack hold of received bytes. Packets are held as they came as long as
/// there are enough of them; when they run low, or for little payload, bytes are copied to blocks,
/// so that a peer that sends with holes cannot take the device's packets from the others.
class ReceiveMemory {
 public:
  static constexpr uint32_t block_bytes = 2048;
  // Below it a packet of 2 KiB is held for less than an eighth of its memory: copying costs 10 ns.
  static constexpr uint32_t small_bytes = 256;

  /// `passing_max`: packets that are given to the caller in the turn in which they came, beyond
  /// those that are held for longer.
  ReceiveMemory(uint32_t packets_max, uint32_t blocks, uint32_t passing_max);

  /// The packet itself is held, at most packets_max of them; `passing`: it is not for long.
  [[nodiscard]] uint32_t hold(Bytes bytes, PacketToken token, bool passing);
  /// A copy is held, of all of `bytes` or nothing; `bytes` are at most block_bytes long.
  [[nodiscard]] uint32_t copy(Bytes bytes);
  /// Appends to a block with room; false when there is none.
  [[nodiscard]] bool extend(uint32_t index, Bytes bytes);

  /// Not looked at any more.
  void drop(uint32_t index);
  /// Given to the caller: looked at until the turn ends.
  void deliver(uint32_t index);
  /// The turn has ended: what deliver() gave is not looked at any more. At the start of a turn.
  void recycle();

  [[nodiscard]] HeldBytes& at(uint32_t index) { return held_[index]; }
  [[nodiscard]] const HeldBytes& at(uint32_t index) const { return held_[index]; }
  /// Three quarters of the packets are held: copy instead.
  [[nodiscard]] bool low() const { return packets_ >= packets_max_ - packets_max_ / 4; }
  /// Half of everything is in use: windows do not grow.
  [[nodiscard]] bool pressed() const {
    return packets_ >= packets_max_ / 2 && blocks_used_ >= blocks_ / 2;
  }
  [[nodiscard]] uint32_t packets_held() const { return packets_; }
  [[nodiscard]] uint32_t blocks_used() const { return blocks_used_; }
  [[nodiscard]] ReleasedTokens& released() { return released_; }
  [[nodiscard]] size_t memory_bytes() const;

 private:
  [[nodiscard]] uint32_t take();
  void give_back(uint32_t index);

  uint32_t packets_max_;
  uint32_t blocks_;
  uint32_t passing_max_;
  uint32_t packets_ = 0;
  uint32_t blocks_used_ = 0;
  uint32_t free_ = no_index;
  uint32_t delivered_ = no_index;
  std::vector<HeldBytes> held_;
  std::unique_ptr<uint8_t[]> block_memory_;
  std::vector<uint32_t> free_blocks_;
  ReleasedTokens released_;
};

}  // namespace penstock::engine::tcp

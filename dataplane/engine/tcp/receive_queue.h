#pragma once

#include <array>
#include <cstdint>

#include "dataplane/engine/tcp/receive_memory.h"
#include "dataplane/engine/tcp/segment.h"
#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// What became of a packet's bytes.
enum class Hold : uint8_t {
  packet,     // the packet is held
  copied,     // or it was there already; the packet is not needed
  duplicate,  // all of it was there already
  refused     // no memory, or beyond a bound
};

/// Received bytes of one connection that its caller has not got yet: those in order, and behind the
/// first hole the others, as runs without holes, sorted.
class ReceiveQueue {
 public:
  // A window of 6 MB at 5 % random loss has 200 holes in it. Runs are searched one by one.
  static constexpr uint32_t runs_max = 256;
  // Of its members, without the ranges for SACK.
  static constexpr size_t hot_bytes = 28;

  /// Bytes at `next`, the first that is missing. Moves `next` behind them and behind what is in
  /// order now.
  Hold append(ReceiveMemory& memory, uint32_t& next, Bytes bytes, PacketToken token, bool passing);
  /// Bytes behind a hole, at most `room_bytes` of memory for all such.
  Hold insert(ReceiveMemory& memory, uint32_t sequence, Bytes bytes, PacketToken token,
              uint32_t room_bytes);
  /// The oldest bytes in order; empty when there are none. They are good until the turn ends.
  [[nodiscard]] Bytes take(ReceiveMemory& memory);
  /// Forgets what lies behind the first hole.
  void drop_beyond(ReceiveMemory& memory);
  void clear(ReceiveMemory& memory);

  [[nodiscard]] uint32_t ordered_bytes() const { return ordered_bytes_; }
  [[nodiscard]] bool has_holes() const { return first_run_ != no_index; }
  [[nodiscard]] uint32_t beyond_bytes() const { return beyond_bytes_; }
  /// Ranges for SACK, the one that changed last first (RFC 2018: 4).
  uint8_t sacks(std::span<SequenceRange> room) const;
  [[nodiscard]] uint8_t sack_count() const { return recent_count_; }

 private:
  [[nodiscard]] uint32_t store(ReceiveMemory& memory, Bytes bytes, PacketToken token, bool passing,
                               Hold& hold);
  void join_next(ReceiveMemory& memory, uint32_t run);
  void drop_run(ReceiveMemory& memory, uint32_t before_run, uint32_t run);
  void remember(SequenceRange range);
  void forget_below(uint32_t sequence);

  uint32_t ordered_head_ = no_index;
  uint32_t ordered_tail_ = no_index;
  uint32_t ordered_bytes_ = 0;
  uint32_t first_run_ = no_index;
  uint32_t beyond_bytes_ = 0;   // payload behind holes
  uint32_t beyond_memory_ = 0;  // what it takes, with what is lost in packets and blocks
  uint16_t runs_ = 0;
  uint8_t recent_count_ = 0;
  std::array<SequenceRange, TcpOptions::sack_ranges_max> recent_;
};

}  // namespace penstock::engine::tcp

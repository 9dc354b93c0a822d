#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// Deadlines of things that have a number below `count`, with a resolution of 1 ms: never early, at
/// most 1 ms late. O(1) in and out. Three levels: 256 slots of 1 ms, 256 of 256 ms, 64 of 65.5 s
/// (70 minutes; what is further away passes by once more). A deadline that only moves away need not
/// be moved: its owner finds when it fires that it is not due, and adds it again.
///
/// The links lie together, 16 bytes each, and not in the things themselves: with 100,000
/// connections each neighbour in a list would be a line from main memory, and here all of them fit
/// into a cache.
class DeadlineWheel {
 public:
  static constexpr uint32_t none = UINT32_MAX;

  explicit DeadlineWheel(uint32_t count);

  [[gnu::always_inline]] void prefetch(uint32_t thing) const { __builtin_prefetch(&links_[thing]); }
  [[nodiscard]] bool waits(uint32_t thing) const { return links_[thing].slot != 0; }
  /// The thing must not wait. One that is due already fires with the next millisecond, so that an
  /// owner that always wants to be woken cannot hold the loop.
  void add(uint32_t thing, Instant deadline, Instant now);
  void remove(uint32_t thing);
  /// As add(), but keeps an earlier deadline that the thing waits for.
  void add_or_keep(uint32_t thing, Instant deadline, Instant now) {
    if (waits(thing)) {
      if (links_[thing].slot <= slot_of(deadline)) return;
      remove(thing);
    }
    add(thing, deadline, now);
  }
  /// Not later than the next deadline; never() when nothing waits. May be too early, after which
  /// take_due() finds nothing.
  [[nodiscard]] Instant next() const;
  /// One that is due, out of the wheel; `none` when there is none.
  [[nodiscard]] uint32_t take_due(Instant now);
  [[nodiscard]] size_t memory_bytes() const { return links_.size() * sizeof(Link); }

 private:
  static constexpr uint32_t near_slots = 256;
  static constexpr uint32_t far_slots = 64;
  // Lists are rings with a head of their own, which are links behind those of the things.
  static constexpr uint32_t ones = 0;
  static constexpr uint32_t blocks = ones + near_slots;
  static constexpr uint32_t far = blocks + near_slots;
  static constexpr uint32_t due = far + far_slots;
  static constexpr uint32_t heads = due + 1;

  struct Link {
    uint32_t next = 0;
    uint32_t previous = 0;
    uint64_t slot = 0;  // absolute, in ms; 0: does not wait
  };

  static uint64_t slot_of(Instant deadline) {
    return deadline.ns / ns_per_ms + (deadline.ns % ns_per_ms != 0 ? 1 : 0);
  }
  void put(uint32_t list, uint32_t thing);
  void place(uint32_t thing);
  void replace_all(uint32_t list);
  void move_to_due(uint32_t list);
  [[nodiscard]] bool empty(uint32_t list) const {
    return links_[count_ + list].next == count_ + list;
  }
  /// The first occupied slot of the present 256 ms from `from` on; past the end when none.
  [[nodiscard]] uint64_t next_in_block(uint64_t from) const;

  uint32_t count_;
  uint32_t size_ = 0;
  uint64_t current_ = 0;  // ms: everything up to and with it has fired
  std::vector<Link> links_;
  // A set bit may be an empty list by now.
  std::array<uint64_t, near_slots / 64> ones_occupied_{};
  std::array<uint64_t, near_slots / 64> blocks_occupied_{};
  std::array<uint64_t, far_slots / 64> far_occupied_{};
};

}  // namespace penstock::engine::tcp

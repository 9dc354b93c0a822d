#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// What a thing that waits for a time holds in itself. The first member of its owner, which is
/// found again by a cast.
struct DeadlineHook {
  DeadlineHook* next = nullptr;
  DeadlineHook** at = nullptr;  // what points to this one; null: not in a wheel
  uint64_t slot = 0;            // absolute, in ms

  [[nodiscard]] bool waits() const { return at != nullptr; }
};

/// Deadlines with a resolution of 1 ms: never early, at most 1 ms late. O(1) in and out, no memory
/// of its own beyond the slots. Three levels: 256 slots of 1 ms, 256 of 256 ms, 64 of 65.5 s (70
/// minutes; what is further away passes by once more). A deadline that only moves away need not be
/// moved: its owner finds when it fires that it is not due, and adds it again.
class DeadlineWheel {
 public:
  /// The hook must not wait. One that is due already fires with the next millisecond, so that an
  /// owner that always wants to be woken cannot hold the loop.
  void add(DeadlineHook& hook, Instant deadline, Instant now);
  void remove(DeadlineHook& hook);
  /// As add(), but keeps an earlier deadline that the hook waits for.
  void add_or_keep(DeadlineHook& hook, Instant deadline, Instant now) {
    if (hook.waits()) {
      if (hook.slot <= slot_of(deadline)) return;
      remove(hook);
    }
    add(hook, deadline, now);
  }
  /// Not later than the next deadline; never() when nothing waits. May be too early, after which
  /// take_due() finds nothing.
  [[nodiscard]] Instant next() const;
  /// One hook that is due, out of the wheel; null when there is none.
  [[nodiscard]] DeadlineHook* take_due(Instant now);

 private:
  static constexpr uint64_t near_slots = 256;
  static constexpr uint64_t far_slots = 64;
  template <size_t Slots>
  struct Level {
    std::array<DeadlineHook*, Slots> heads{};
    std::array<uint64_t, Slots / 64> occupied{};  // a set bit may be an empty slot by now
  };

  static uint64_t slot_of(Instant deadline) {
    return deadline.ns / ns_per_ms + (deadline.ns % ns_per_ms != 0 ? 1 : 0);
  }
  static void link(DeadlineHook*& head, DeadlineHook& hook);
  template <size_t Slots>
  static void put(Level<Slots>& level, uint64_t index, DeadlineHook& hook);
  template <size_t Slots>
  static DeadlineHook* take_all(Level<Slots>& level, uint64_t index);
  void place(DeadlineHook& hook);
  void replace_all(DeadlineHook* chain);
  /// The first occupied slot of the present 256 ms from `from` on; past the end when none.
  [[nodiscard]] uint64_t next_in_block(uint64_t from) const;

  uint64_t current_ = 0;  // ms: everything up to and with it has fired
  uint32_t size_ = 0;
  DeadlineHook* due_ = nullptr;
  Level<near_slots> ones_;
  Level<near_slots> blocks_;
  Level<far_slots> far_;
};

}  // namespace penstock::engine::tcp

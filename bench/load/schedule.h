#pragma once

#include <cstdint>
#include <vector>

#include "penstock/base/time.h"

namespace penstock::load {

/// When each of many entries (publishers, by number) is due next: a wheel of slots, so that putting
/// an entry in and taking it out cost the same however many there are. An entry is in the wheel
/// once at most and is never taken early; it comes up to one slot late.
class Schedule {
 public:
  static constexpr uint64_t slot_ns = 500 * ns_per_us;

  Schedule(uint32_t entries, Instant now)
      : slots_(slot_count, none), next_(entries, none), at_(slot_of(now)) {}

  void put(uint32_t entry, Instant due);
  /// The next entry that is due, or `none`. Entries that are put while this is called until it
  /// gives none come with a later tick at the earliest where they are due.
  uint32_t take_due(Instant now);
  /// When to come again: the begin of the first slot that is not empty, as far as the wheel
  /// reaches.
  [[nodiscard]] Instant wake_at() const;

  static constexpr uint32_t none = UINT32_MAX;

 private:
  // 4096 * 0.5 ms is 2 s: who is due later comes by and finds that out (the caller puts it again).
  static constexpr uint64_t slot_count = 4096;

  [[nodiscard]] static uint64_t slot_of(Instant when) { return (when.ns + slot_ns - 1) / slot_ns; }

  std::vector<uint32_t> slots_;  // the first entry of each
  std::vector<uint32_t> next_;   // behind each entry in its slot
  uint64_t at_;                  // the slot that is taken next; all before it are empty
  uint32_t count_ = 0;
};

}  // namespace penstock::load

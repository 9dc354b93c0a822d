#include "bench/load/schedule.h"

#include <algorithm>

namespace penstock::load {

void Schedule::put(uint32_t entry, Instant due) {
  const uint64_t slot = std::clamp(slot_of(due), at_, at_ + slot_count - 1);
  uint32_t& first = slots_[slot % slot_count];
  next_[entry] = first;
  first = entry;
  ++count_;
}

uint32_t Schedule::take_due(Instant now) {
  const uint64_t last = now.ns / slot_ns;
  while (at_ <= last) {
    if (count_ == 0) {
      at_ = last + 1;
      break;
    }
    uint32_t& first = slots_[at_ % slot_count];
    if (first != none) {
      const uint32_t entry = first;
      first = next_[entry];
      --count_;
      return entry;
    }
    ++at_;
  }
  return none;
}

Instant Schedule::wake_at() const {
  if (count_ == 0) return Instant::never();
  for (uint64_t slot = at_; slot < at_ + slot_count; ++slot) {
    if (slots_[slot % slot_count] != none) return {slot * slot_ns};
  }
  return Instant::never();
}

}  // namespace penstock::load

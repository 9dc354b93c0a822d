#include "dataplane/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace penstock::dataplane {

uint64_t TimerWheel::add(engine::ConnectionId id, Instant deadline) {
  // Rounded up, so that nothing fires early.
  const uint64_t wanted = deadline.ns / slot_ns + 1;
  const uint64_t slot = std::clamp(wanted, current_, current_ + slot_count - 1);
  const uint64_t index = slot % slot_count;
  slots_[index].push_back({id, slot});
  occupied_[index / 64] |= uint64_t{1} << (index % 64);
  return slot;
}

Instant TimerWheel::next() const {
  const uint64_t first = current_ % slot_count;
  for (uint64_t step = 0; step <= occupied_.size(); ++step) {
    const uint64_t word = (first / 64 + step) % occupied_.size();
    uint64_t bits = occupied_[word];
    // The first word is looked at twice: from `first` on now, below it after a whole round.
    if (step == 0) bits &= ~uint64_t{0} << (first % 64);
    if (bits == 0) continue;
    const uint64_t index = word * 64 + static_cast<uint64_t>(std::countr_zero(bits));
    const uint64_t ahead = (index + slot_count - first) % slot_count;
    return {(current_ + ahead) * slot_ns};
  }
  return Instant::never();
}

void TimerWheel::expire(Instant now, std::vector<Entry>& due) {
  const uint64_t end = now.ns / slot_ns + 1;
  // After a clock jump one round covers every slot.
  if (end > current_ + slot_count) current_ = end - slot_count;
  for (; current_ < end; ++current_) {
    const uint64_t index = current_ % slot_count;
    if (slots_[index].empty()) continue;
    due.insert(due.end(), slots_[index].begin(), slots_[index].end());
    slots_[index].clear();
    occupied_[index / 64] &= ~(uint64_t{1} << (index % 64));
  }
}

}  // namespace penstock::dataplane

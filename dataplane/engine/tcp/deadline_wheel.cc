#include "dataplane/engine/tcp/deadline_wheel.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "penstock/base/assert.h"

namespace penstock::engine::tcp {
namespace {

// Bits of a slot number below those that choose a slot of the second and third level.
constexpr uint64_t block_bits = 8;
constexpr uint64_t far_bits = 16;

/// How many steps from `from` (with it) to the next set bit, around; `count` when none is set.
template <size_t Words>
uint64_t steps_to_occupied(const std::array<uint64_t, Words>& bits, uint64_t from) {
  constexpr uint64_t count = Words * 64;
  for (uint64_t step = 0; step < count;) {
    const uint64_t index = (from + step) % count;
    const uint64_t word = bits[index / 64] >> (index % 64);
    if (word != 0) return std::min(step + static_cast<uint64_t>(std::countr_zero(word)), count);
    step += 64 - index % 64;
  }
  return count;
}

}  // namespace

void DeadlineWheel::link(DeadlineHook*& head, DeadlineHook& hook) {
  hook.next = head;
  hook.at = &head;
  if (head != nullptr) head->at = &hook.next;
  head = &hook;
}

template <size_t Slots>
void DeadlineWheel::put(Level<Slots>& level, uint64_t index, DeadlineHook& hook) {
  link(level.heads[index], hook);
  level.occupied[index / 64] |= uint64_t{1} << (index % 64);
}

template <size_t Slots>
DeadlineHook* DeadlineWheel::take_all(Level<Slots>& level, uint64_t index) {
  level.occupied[index / 64] &= ~(uint64_t{1} << (index % 64));
  return std::exchange(level.heads[index], nullptr);
}

void DeadlineWheel::place(DeadlineHook& hook) {
  const uint64_t slot = hook.slot;
  if (slot >> block_bits == current_ >> block_bits) {
    put(ones_, slot % near_slots, hook);
  } else if (slot >> far_bits == current_ >> far_bits) {
    put(blocks_, (slot >> block_bits) % near_slots, hook);
  } else {
    const uint64_t reach = (current_ >> far_bits) + far_slots - 1;
    put(far_, std::min(slot >> far_bits, reach) % far_slots, hook);
  }
}

void DeadlineWheel::add(DeadlineHook& hook, Instant deadline, Instant now) {
  PENSTOCK_ASSERT(!hook.waits());
  // An empty wheel has nothing to pass by on its way to the present.
  if (size_ == 0) current_ = std::max(current_, now.ns / ns_per_ms);
  hook.slot = std::max(slot_of(deadline), current_ + 1);
  place(hook);
  ++size_;
}

void DeadlineWheel::remove(DeadlineHook& hook) {
  PENSTOCK_ASSERT(hook.waits());
  *hook.at = hook.next;
  if (hook.next != nullptr) hook.next->at = hook.at;
  hook.next = nullptr;
  hook.at = nullptr;
  --size_;
}

void DeadlineWheel::replace_all(DeadlineHook* chain) {
  while (chain != nullptr) {
    DeadlineHook* hook = chain;
    chain = chain->next;
    place(*hook);
  }
}

uint64_t DeadlineWheel::next_in_block(uint64_t from) const {
  const uint64_t end = (current_ | (near_slots - 1)) + 1;
  if (from >= end) return end;
  return std::min(from + steps_to_occupied(ones_.occupied, from % near_slots), end);
}

Instant DeadlineWheel::next() const {
  if (size_ == 0) return Instant::never();
  if (due_ != nullptr) return {current_ * ns_per_ms};
  const uint64_t end = (current_ | (near_slots - 1)) + 1;
  const uint64_t one = next_in_block(current_ + 1);
  if (one < end) return {one * ns_per_ms};
  const uint64_t block = current_ >> block_bits;
  const uint64_t blocks_end = (block | (near_slots - 1)) + 1;
  const uint64_t in = steps_to_occupied(blocks_.occupied, (block + 1) % near_slots) + block + 1;
  if (block + 1 < blocks_end && in < blocks_end) return {(in << block_bits) * ns_per_ms};
  const uint64_t far = current_ >> far_bits;
  const uint64_t far_in = steps_to_occupied(far_.occupied, (far + 1) % far_slots);
  return {((far + 1 + far_in % far_slots) << far_bits) * ns_per_ms};
}

DeadlineHook* DeadlineWheel::take_due(Instant now) {
  const uint64_t end = now.ns / ns_per_ms;
  while (due_ == nullptr) {
    if (size_ == 0) current_ = std::max(current_, end);
    if (current_ >= end) return nullptr;
    const uint64_t next = next_in_block(current_ + 1);
    if (next > end) {
      current_ = end;
      return nullptr;
    }
    current_ = next;
    if (current_ % (uint64_t{1} << far_bits) == 0) {
      replace_all(take_all(far_, (current_ >> far_bits) % far_slots));
    }
    if (current_ % near_slots == 0) {
      replace_all(take_all(blocks_, (current_ >> block_bits) % near_slots));
    }
    due_ = take_all(ones_, current_ % near_slots);
    if (due_ != nullptr) due_->at = &due_;
  }
  DeadlineHook* hook = due_;
  remove(*hook);
  return hook;
}

}  // namespace penstock::engine::tcp

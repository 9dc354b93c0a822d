#include "dataplane/engine/tcp/deadline_wheel.h"

#include <algorithm>
#include <bit>

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

template <size_t Words>
void set_bit(std::array<uint64_t, Words>& bits, uint64_t index) {
  bits[index / 64] |= uint64_t{1} << (index % 64);
}

template <size_t Words>
void clear_bit(std::array<uint64_t, Words>& bits, uint64_t index) {
  bits[index / 64] &= ~(uint64_t{1} << (index % 64));
}

}  // namespace

DeadlineWheel::DeadlineWheel(uint32_t count) : count_(count), links_(size_t{count} + heads) {
  for (uint32_t list = 0; list < heads; ++list) {
    links_[count_ + list].next = links_[count_ + list].previous = count_ + list;
  }
}

void DeadlineWheel::put(uint32_t list, uint32_t thing) {
  const uint32_t head = count_ + list;
  const uint32_t first = links_[head].next;
  links_[thing].next = first;
  links_[thing].previous = head;
  links_[first].previous = thing;
  links_[head].next = thing;
}

void DeadlineWheel::place(uint32_t thing) {
  const uint64_t slot = links_[thing].slot;
  if (slot >> block_bits == current_ >> block_bits) {
    const uint64_t index = slot % near_slots;
    put(ones + static_cast<uint32_t>(index), thing);
    set_bit(ones_occupied_, index);
  } else if (slot >> far_bits == current_ >> far_bits) {
    const uint64_t index = (slot >> block_bits) % near_slots;
    put(blocks + static_cast<uint32_t>(index), thing);
    set_bit(blocks_occupied_, index);
  } else {
    const uint64_t reach = (current_ >> far_bits) + far_slots - 1;
    const uint64_t index = std::min(slot >> far_bits, reach) % far_slots;
    put(far + static_cast<uint32_t>(index), thing);
    set_bit(far_occupied_, index);
  }
}

void DeadlineWheel::add(uint32_t thing, Instant deadline, Instant now) {
  PENSTOCK_ASSERT(thing < count_ && !waits(thing));
  // An empty wheel has nothing to pass by on its way to the present.
  if (size_ == 0) current_ = std::max(current_, now.ns / ns_per_ms);
  links_[thing].slot = std::max(slot_of(deadline), current_ + 1);
  place(thing);
  ++size_;
}

void DeadlineWheel::remove(uint32_t thing) {
  PENSTOCK_ASSERT(thing < count_ && waits(thing));
  Link& link = links_[thing];
  links_[link.previous].next = link.next;
  links_[link.next].previous = link.previous;
  link.slot = 0;
  --size_;
}

/// All of a list go where they belong by now.
void DeadlineWheel::replace_all(uint32_t list) {
  const uint32_t head = count_ + list;
  uint32_t thing = links_[head].next;
  links_[head].next = links_[head].previous = head;
  while (thing != head) {
    const uint32_t next = links_[thing].next;
    place(thing);
    thing = next;
  }
}

/// `due` is empty.
void DeadlineWheel::move_to_due(uint32_t list) {
  if (empty(list)) return;
  Link& from = links_[count_ + list];
  Link& to = links_[count_ + due];
  to.next = from.next;
  to.previous = from.previous;
  links_[to.next].previous = links_[to.previous].next = count_ + due;
  from.next = from.previous = count_ + list;
}

uint64_t DeadlineWheel::next_in_block(uint64_t from) const {
  const uint64_t end = (current_ | (near_slots - 1)) + 1;
  if (from >= end) return end;
  return std::min(from + steps_to_occupied(ones_occupied_, from % near_slots), end);
}

Instant DeadlineWheel::next() const {
  if (size_ == 0) return Instant::never();
  if (!empty(due)) return {current_ * ns_per_ms};
  const uint64_t end = (current_ | (near_slots - 1)) + 1;
  const uint64_t one = next_in_block(current_ + 1);
  if (one < end) return {one * ns_per_ms};
  const uint64_t block = current_ >> block_bits;
  const uint64_t blocks_end = (block | (near_slots - 1)) + 1;
  const uint64_t in = steps_to_occupied(blocks_occupied_, (block + 1) % near_slots) + block + 1;
  if (block + 1 < blocks_end && in < blocks_end) return {(in << block_bits) * ns_per_ms};
  const uint64_t next_far = (current_ >> far_bits) + 1;
  const uint64_t far_in = steps_to_occupied(far_occupied_, next_far % far_slots);
  return {((next_far + far_in % far_slots) << far_bits) * ns_per_ms};
}

uint32_t DeadlineWheel::take_due(Instant now) {
  const uint64_t end = now.ns / ns_per_ms;
  while (empty(due)) {
    if (size_ == 0) current_ = std::max(current_, end);
    if (current_ >= end) return none;
    const uint64_t next = next_in_block(current_ + 1);
    if (next > end) {
      current_ = end;
      return none;
    }
    current_ = next;
    if (current_ % (uint64_t{1} << far_bits) == 0) {
      const uint64_t index = (current_ >> far_bits) % far_slots;
      clear_bit(far_occupied_, index);
      replace_all(far + static_cast<uint32_t>(index));
    }
    if (current_ % near_slots == 0) {
      const uint64_t index = (current_ >> block_bits) % near_slots;
      clear_bit(blocks_occupied_, index);
      replace_all(blocks + static_cast<uint32_t>(index));
    }
    const uint64_t index = current_ % near_slots;
    clear_bit(ones_occupied_, index);
    move_to_due(ones + static_cast<uint32_t>(index));
  }
  const uint32_t thing = links_[count_ + due].next;
  remove(thing);
  return thing;
}

}  // namespace penstock::engine::tcp

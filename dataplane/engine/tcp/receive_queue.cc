#include "dataplane/engine/tcp/receive_queue.h"

#include <algorithm>

#include "dataplane/engine/tcp/sequence.h"

namespace penstock::engine::tcp {
namespace {

// What a held packet costs its device: the payload is at most 1500 bytes (9000 on some networks)
// and its mbuf 2 KiB and a bit.
uint32_t memory_of(const HeldBytes& held) {
  return std::max(held.bytes, ReceiveMemory::block_bytes);
}

}  // namespace

uint32_t ReceiveQueue::store(ReceiveMemory& memory, Bytes bytes, PacketToken token, bool passing,
                             Hold& hold) {
  const bool copy = !passing && (memory.low() || bytes.size() <= ReceiveMemory::small_bytes);
  uint32_t index = copy ? memory.copy(bytes) : no_index;
  if (index != no_index) {
    hold = Hold::copied;
    return index;
  }
  index = memory.hold(bytes, token, passing);
  hold = index == no_index ? Hold::refused : Hold::packet;
  return index;
}

Hold ReceiveQueue::append(ReceiveMemory& memory, uint32_t& next, Bytes bytes, PacketToken token,
                          bool passing) {
  const uint32_t end = next + static_cast<uint32_t>(bytes.size());
  uint32_t run = first_run_;
  while (run != no_index && at_or_before(memory.at(memory.at(run).run_last).end(), end)) {
    drop_run(memory, no_index, run);
    run = first_run_;
  }
  if (run != no_index && before(memory.at(run).sequence, end)) {
    bytes = bytes.first(memory.at(run).sequence - next);
  }

  Hold hold = Hold::copied;
  const bool small = !passing && bytes.size() <= ReceiveMemory::small_bytes;
  if (!bytes.empty() &&
      !(small && ordered_tail_ != no_index && memory.extend(ordered_tail_, bytes))) {
    const uint32_t index = store(memory, bytes, token, passing, hold);
    if (index == no_index) {
      recent_count_ = 0;  // what was dropped above must not be reported
      return hold;
    }
    memory.at(index).sequence = next;
    (ordered_head_ == no_index ? ordered_head_ : memory.at(ordered_tail_).next) = index;
    ordered_tail_ = index;
  }
  next += static_cast<uint32_t>(bytes.size());
  ordered_bytes_ += static_cast<uint32_t>(bytes.size());
  if (first_run_ == no_index && recent_count_ == 0) return hold;  // there were no holes

  run = first_run_;
  if (run != no_index && memory.at(run).sequence == next) {
    (ordered_head_ == no_index ? ordered_head_ : memory.at(ordered_tail_).next) = run;
    const uint32_t last = memory.at(run).run_last;
    for (uint32_t index = run;; index = memory.at(index).next) {
      const HeldBytes& held = memory.at(index);
      beyond_bytes_ -= held.bytes;
      beyond_memory_ -= memory_of(held);
      ordered_bytes_ += held.bytes;
      if (index == last) break;
    }
    next = memory.at(last).end();
    ordered_tail_ = last;
    first_run_ = memory.at(run).run_next;
    --runs_;
  }
  forget_below(next);
  return hold;
}

Hold ReceiveQueue::insert(ReceiveMemory& memory, uint32_t sequence, Bytes bytes, PacketToken token,
                          uint32_t room_bytes) {
  uint32_t end = sequence + static_cast<uint32_t>(bytes.size());
  uint32_t before_run = no_index;
  uint32_t run = first_run_;
  while (run != no_index && before(memory.at(memory.at(run).run_last).end(), sequence)) {
    before_run = run;
    run = memory.at(run).run_next;
  }
  // `run` is the first that ends at or behind the new bytes' beginning.
  uint32_t extends = no_index;
  if (run != no_index && at_or_before(memory.at(run).sequence, sequence)) {
    const uint32_t run_end = memory.at(memory.at(run).run_last).end();
    if (at_or_before(end, run_end)) {
      remember({memory.at(run).sequence, run_end});
      return Hold::duplicate;
    }
    bytes = bytes.subspan(run_end - sequence);
    sequence = run_end;
    extends = run;
    before_run = run;
    run = memory.at(run).run_next;
  }
  if (beyond_memory_ + ReceiveMemory::block_bytes > room_bytes) return Hold::refused;
  if (extends == no_index && runs_ == runs_max) return Hold::refused;
  while (run != no_index && before(memory.at(run).sequence, end)) {
    if (before(end, memory.at(memory.at(run).run_last).end())) {
      end = memory.at(run).sequence;
      bytes = bytes.first(end - sequence);
      break;
    }
    const uint32_t next = memory.at(run).run_next;
    drop_run(memory, before_run, run);
    run = next;
  }

  Hold hold = Hold::copied;
  const bool small = memory.low() || bytes.size() <= ReceiveMemory::small_bytes;
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  if (extends != no_index && small && memory.extend(memory.at(extends).run_last, bytes)) {
    beyond_bytes_ += size;
  } else {
    const uint32_t index = store(memory, bytes, token, false, hold);
    if (index == no_index) {
      recent_count_ = 0;
      return hold;
    }
    HeldBytes& held = memory.at(index);
    held.sequence = sequence;
    beyond_bytes_ += size;
    beyond_memory_ += memory_of(held);
    if (extends != no_index) {
      HeldBytes& head = memory.at(extends);
      memory.at(head.run_last).next = index;
      head.run_last = index;
    } else {
      held.run_last = index;
      held.run_next = run;
      (before_run == no_index ? first_run_ : memory.at(before_run).run_next) = index;
      ++runs_;
      extends = index;
    }
  }
  join_next(memory, extends);
  remember({memory.at(extends).sequence, memory.at(memory.at(extends).run_last).end()});
  return hold;
}

/// The next run begins where this one ends: they are one now.
void ReceiveQueue::join_next(ReceiveMemory& memory, uint32_t run) {
  HeldBytes& head = memory.at(run);
  const uint32_t next = head.run_next;
  if (next == no_index || memory.at(next).sequence != memory.at(head.run_last).end()) return;
  memory.at(head.run_last).next = next;
  head.run_last = memory.at(next).run_last;
  head.run_next = memory.at(next).run_next;
  --runs_;
}

void ReceiveQueue::drop_run(ReceiveMemory& memory, uint32_t before_run, uint32_t run) {
  (before_run == no_index ? first_run_ : memory.at(before_run).run_next) = memory.at(run).run_next;
  --runs_;
  const uint32_t last = memory.at(run).run_last;
  for (uint32_t index = run;;) {
    const HeldBytes held = memory.at(index);
    beyond_bytes_ -= held.bytes;
    beyond_memory_ -= memory_of(held);
    memory.drop(index);
    if (index == last) break;
    index = held.next;
  }
}

Bytes ReceiveQueue::take(ReceiveMemory& memory) {
  if (ordered_head_ == no_index) return {};
  const uint32_t index = ordered_head_;
  const HeldBytes& held = memory.at(index);
  const Bytes bytes{held.data, held.bytes};
  ordered_head_ = index == ordered_tail_ ? no_index : held.next;
  if (ordered_head_ == no_index) ordered_tail_ = no_index;
  ordered_bytes_ -= held.bytes;
  memory.deliver(index);
  return bytes;
}

void ReceiveQueue::drop_beyond(ReceiveMemory& memory) {
  while (first_run_ != no_index) drop_run(memory, no_index, first_run_);
  recent_count_ = 0;
}

void ReceiveQueue::clear(ReceiveMemory& memory) {
  while (ordered_head_ != no_index) {
    const uint32_t index = ordered_head_;
    ordered_head_ = index == ordered_tail_ ? no_index : memory.at(index).next;
    memory.drop(index);
  }
  drop_beyond(memory);
  *this = {};
}

void ReceiveQueue::remember(SequenceRange range) {
  // Older ranges that are part of the new one go; the new one comes first.
  std::array<SequenceRange, TcpOptions::sack_ranges_max> kept;
  size_t count = 0;
  kept[count++] = range;
  for (size_t i = 0; i < recent_count_ && count < kept.size(); ++i) {
    const bool inside =
        at_or_after(recent_[i].begin, range.begin) && at_or_before(recent_[i].end, range.end);
    if (!inside) kept[count++] = recent_[i];
  }
  recent_ = kept;
  recent_count_ = static_cast<uint8_t>(count);
}

void ReceiveQueue::forget_below(uint32_t sequence) {
  size_t count = 0;
  for (size_t i = 0; i < recent_count_; ++i) {
    if (after(recent_[i].end, sequence)) recent_[count++] = recent_[i];
  }
  recent_count_ = static_cast<uint8_t>(count);
}

uint8_t ReceiveQueue::sacks(std::span<SequenceRange> room) const {
  const size_t count = std::min<size_t>(room.size(), recent_count_);
  std::copy_n(recent_.begin(), count, room.begin());
  return static_cast<uint8_t>(count);
}

}  // namespace penstock::engine::tcp

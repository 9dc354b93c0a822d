#include "dataplane/engine/tcp/neighbours.h"

#include <algorithm>
#include <bit>

namespace penstock::engine::tcp {

Neighbours::Neighbours(uint32_t count_max, const Secret& secret, StackCounters& counters)
    : count_(std::clamp(count_max, 1u, entries_max)),
      mask_(std::bit_ceil(count_ * 2) - 1),
      secret_(secret),
      counters_(counters),
      entries_(count_),
      slots_(size_t{mask_} + 1),
      wheel_(count_) {
  queries_.reserve(count_);
}

uint32_t Neighbours::hash_of(const IpAddress& address) const {
  const Bytes bytes{address.bytes.data(), address.ipv6 ? size_t{16} : size_t{4}};
  return static_cast<uint32_t>(siphash(secret_, bytes));
}

Neighbours::Entry* Neighbours::find(const IpAddress& address) {
  for (uint32_t at = hash_of(address) & mask_; slots_[at] != 0; at = (at + 1) & mask_) {
    Entry& entry = entries_[slots_[at] - 1];
    if (entry.address == address) return &entry;
  }
  return nullptr;
}

void Neighbours::forget(Entry& entry) {
  if (wheel_.waits(index_of(entry))) wheel_.remove(index_of(entry));
  uint32_t hole = hash_of(entry.address) & mask_;
  const auto index = static_cast<uint16_t>(&entry - entries_.data());
  while (slots_[hole] != index + 1) hole = (hole + 1) & mask_;
  // What comes after in the same run moves up, where its own place allows it: no tombstones.
  for (uint32_t at = (hole + 1) & mask_; slots_[at] != 0; at = (at + 1) & mask_) {
    const uint32_t home = hash_of(entries_[slots_[at] - 1].address) & mask_;
    if (((at - home) & mask_) < ((at - hole) & mask_)) continue;
    slots_[hole] = slots_[at];
    hole = at;
  }
  slots_[hole] = 0;
  entry.state = State::free;
  ++entry.generation;
}

/// A free entry, or one that was not used for some time. A look at 16 of them is enough to find one
/// if there are many, and bounds what a flood of addresses costs.
Neighbours::Entry* Neighbours::idle_entry(Instant now, bool for_use) {
  const auto now_s = static_cast<uint32_t>(now.ns / ns_per_s);
  Entry* oldest = nullptr;
  const uint32_t looks = std::min(count_, for_use ? 256u : 16u);
  for (uint32_t i = 0; i < looks; ++i, scan_ = (scan_ + 1) % count_) {
    Entry& entry = entries_[scan_];
    if (entry.state == State::free) return &entry;
    const bool in_use = entry.state == State::incomplete || now_s - entry.used_s < 60;
    if (!in_use && (oldest == nullptr || entry.used_s < oldest->used_s)) oldest = &entry;
  }
  if (oldest != nullptr) forget(*oldest);
  return oldest;
}

Neighbours::Entry* Neighbours::make(const IpAddress& address, Instant now, bool for_use) {
  Entry* entry = idle_entry(now, for_use);
  if (entry == nullptr) {
    ++counters_.neighbours_full;
    return nullptr;
  }
  entry->address = address;
  entry->state = State::fresh;
  entry->queries = 0;
  entry->doubted = false;
  entry->used_s = for_use ? static_cast<uint32_t>(now.ns / ns_per_s) : 0;
  uint32_t at = hash_of(address) & mask_;
  while (slots_[at] != 0) at = (at + 1) & mask_;
  slots_[at] = static_cast<uint16_t>(entry - entries_.data() + 1);
  return entry;
}

NeighbourRef Neighbours::entry_of(const IpAddress& address, Instant now) {
  Entry* entry = find(address);
  if (entry == nullptr) entry = make(address, now, true);
  if (entry == nullptr) return {};
  return {static_cast<uint16_t>(entry - entries_.data()), entry->generation};
}

void Neighbours::set_timer(Entry& entry, uint64_t delay, Instant now) {
  if (wheel_.waits(index_of(entry))) wheel_.remove(index_of(entry));
  wheel_.add(index_of(entry), now.after_ns(delay), now);
}

void Neighbours::ask(Entry& entry, uint64_t retry_ns, Instant now) {
  ++entry.queries;
  if (!entry.query_waits) {
    entry.query_waits = true;
    queries_.push_back(static_cast<uint16_t>(&entry - entries_.data()));
  }
  set_timer(entry, retry_ns, now);
}

const MacAddress* Neighbours::use(NeighbourRef ref, Instant now) {
  if (!valid(ref)) return nullptr;
  Entry& entry = entries_[ref.index];
  entry.used_s = static_cast<uint32_t>(now.ns / ns_per_s);
  switch (entry.state) {
    case State::fresh:
      entry.state = State::incomplete;
      entry.queries = 0;
      ask(entry, retransmit_ns, now);
      return nullptr;
    case State::stale:
      entry.state = State::delay;
      set_timer(entry, delay_ns, now);
      return &entry.mac;
    case State::reachable:
    case State::delay:
    case State::probe:
      return &entry.mac;
    default:
      return nullptr;
  }
}

void Neighbours::confirm_entry(Entry& entry, Instant now) {
  // Under doubt only an answer counts: whoever took the address over gets our packets, too.
  if (entry.doubted) return;
  if (entry.state == State::reachable) {
    // The timer only moves away: it is moved when it fires.
    entry.queries = 1;
    return;
  }
  entry.state = State::reachable;
  entry.queries = 0;
  set_timer(entry, reachable_ns, now);
}

void Neighbours::become_known(Entry& entry, const MacAddress& mac, State state, Instant now) {
  if (entry.state < State::reachable) {
    ++counters_.neighbours_learnt;
    changed_ = true;
  } else if (entry.mac != mac) {
    ++counters_.neighbours_changed;
    changed_ = true;
  }
  entry.mac = mac;
  entry.state = state;
  entry.doubted = false;
  entry.queries = 0;
  if (state == State::reachable) {
    set_timer(entry, reachable_ns, now);
  } else if (wheel_.waits(index_of(entry))) {
    wheel_.remove(index_of(entry));
  }
}

void Neighbours::heard(const NeighbourNews& news, bool asks_us, Instant now) {
  // A group address can be nobody's own: packets to it would go to everybody.
  if ((news.mac.bytes[0] & 1) != 0 || news.mac == MacAddress{}) return;
  Entry* entry = find(news.address);
  if (entry == nullptr) {
    if (!asks_us) return;
    entry = make(news.address, now, false);
    if (entry == nullptr) return;
    become_known(*entry, news.mac, State::stale, now);
    return;
  }
  const bool known = entry->state >= State::reachable;
  const bool same = known && entry->mac == news.mac;
  if (entry->state == State::incomplete || (entry->state == State::probe && same)) {
    if (news.answer) {
      become_known(*entry, news.mac, State::reachable, now);
    } else if (!known) {
      become_known(*entry, news.mac, State::stale, now);
    }
  } else if (!known || (entry->state == State::stale && !same)) {
    // Nothing is sent by it at present, and it will be probed when there is.
    become_known(*entry, news.mac, State::stale, now);
  } else if (!same && !entry->doubted) {
    ++counters_.neighbours_doubted;
    entry->doubted = true;
    entry->state = State::probe;
    entry->queries = 0;
    ask(*entry, doubt_ns, now);
  }
}

std::optional<Neighbours::Query> Neighbours::next_query() {
  while (!queries_.empty()) {
    Entry& entry = entries_[queries_.back()];
    queries_.pop_back();
    entry.query_waits = false;
    if (entry.state == State::incomplete) return Query{entry.address, std::nullopt};
    if (entry.state == State::probe) return Query{entry.address, entry.mac};
  }
  return std::nullopt;
}

void Neighbours::expire_entry(Entry& entry, Instant now) {
  switch (entry.state) {
    case State::reachable:
      // Confirmed since the timer was set: once more.
      if (entry.queries != 0) {
        entry.queries = 0;
        set_timer(entry, reachable_ns, now);
      } else {
        entry.state = State::stale;
      }
      break;
    case State::delay:
      entry.state = State::probe;
      entry.queries = 0;
      ask(entry, retransmit_ns, now);
      break;
    case State::probe:
      if (entry.queries < queries_max) {
        ask(entry, entry.doubted ? doubt_ns : retransmit_ns, now);
        break;
      }
      // The one that we knew is gone. Who claims the address now will answer.
      entry.state = State::incomplete;
      entry.doubted = false;
      entry.queries = 0;
      ask(entry, retransmit_ns, now);
      break;
    case State::incomplete:
      if (entry.queries < queries_max) {
        ask(entry, retransmit_ns, now);
        break;
      }
      entry.state = State::failed;
      ++counters_.neighbours_unreachable;
      changed_ = true;
      set_timer(entry, failed_ns, now);
      break;
    case State::failed:
      // Who still waits asks again.
      entry.state = State::fresh;
      changed_ = true;
      break;
    default:
      break;
  }
}

void Neighbours::expire(Instant now) {
  for (uint32_t due; (due = wheel_.take_due(now)) != DeadlineWheel::none;) {
    expire_entry(entries_[due], now);
  }
}

size_t Neighbours::memory_bytes() const {
  return entries_.size() * sizeof(Entry) + slots_.size() * sizeof(uint16_t) +
         queries_.capacity() * sizeof(uint16_t) + wheel_.memory_bytes();
}

}  // namespace penstock::engine::tcp

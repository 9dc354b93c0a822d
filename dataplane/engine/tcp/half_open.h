#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/engine/tcp/deadline_wheel.h"
#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/syn_cookies.h"
#include "penstock/base/assert.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// A SYN that was answered: SYN-RECEIVED of passive opens, in 64 bytes and not in the 700 of a
/// connection, because whoever sends a SYN has shown nothing yet.
struct HalfOpen {
  FlowKey flow;
  uint32_t own_first = 0;
  uint32_t peer_first = 0;
  uint32_t timestamp_recent = 0;
  uint32_t timestamp_offset = 0;
  Instant sent_at;  // the first SYN-ACK
  uint16_t peer_window = 0;
  uint16_t path_mtu = 0;
  SynOptions options;  // as agreed on
  uint8_t retransmissions = 0;
  bool used = false;
};

static_assert(sizeof(HalfOpen) <= 64);

/// A bounded number of them. They are found through the table of flows.
class HalfOpenTable {
 public:
  // SYN-ACKs after 0, 1, 3, 7 and 15 s; the last waits for 16 s. RFC 9293 (3.8.3) wants 3 minutes
  // of whoever opens; a listener may give up sooner, and a slot for 31 s bounds what a flood holds.
  static constexpr uint8_t retransmissions_max = 4;

  explicit HalfOpenTable(uint32_t count_max)
      : entries_(count_max == 0 ? 1 : count_max), wheel_(static_cast<uint32_t>(entries_.size())) {
    free_.reserve(entries_.size());
    for (uint32_t i = 0; i < entries_.size(); ++i) {
      free_.push_back(static_cast<uint32_t>(entries_.size()) - 1 - i);
    }
  }

  [[nodiscard]] bool full() const { return free_.empty(); }
  [[nodiscard]] uint32_t size() const {
    return static_cast<uint32_t>(entries_.size() - free_.size());
  }
  [[nodiscard]] uint32_t take(Instant now) {
    const uint32_t index = free_.back();
    free_.pop_back();
    entries_[index] = HalfOpen{};
    entries_[index].used = true;
    entries_[index].sent_at = now;
    wheel_.add(index, now.after_ns(ns_per_s), now);
    return index;
  }
  void give_back(uint32_t index) {
    HalfOpen& entry = entries_[index];
    PENSTOCK_ASSERT(entry.used);
    if (wheel_.waits(index)) wheel_.remove(index);
    entry.used = false;
    free_.push_back(index);
  }
  [[nodiscard]] HalfOpen& operator[](uint32_t index) { return entries_[index]; }
  [[nodiscard]] uint32_t index_of(const HalfOpen& entry) const {
    return static_cast<uint32_t>(&entry - entries_.data());
  }

  /// One whose time has come: its SYN-ACK is to go out again, or, with `retransmissions` beyond the
  /// most, it is to be given up. Null when there is none.
  [[nodiscard]] HalfOpen* take_due(Instant now) {
    const uint32_t index = wheel_.take_due(now);
    if (index == DeadlineWheel::none) return nullptr;
    HalfOpen* entry = &entries_[index];
    ++entry->retransmissions;
    if (entry->retransmissions <= retransmissions_max) {
      wheel_.add(index, now.after_ns(ns_per_s << entry->retransmissions), now);
    }
    return entry;
  }
  [[nodiscard]] Instant deadline() const { return wheel_.next(); }
  [[nodiscard]] size_t memory_bytes() const {
    return entries_.size() * (sizeof(HalfOpen) + sizeof(uint32_t)) + wheel_.memory_bytes();
  }

 private:
  std::vector<HalfOpen> entries_;
  std::vector<uint32_t> free_;
  DeadlineWheel wheel_;
};

}  // namespace penstock::engine::tcp

#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/engine/tcp/connection.h"
#include "dataplane/engine/tcp/flow_key.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// What is left of a connection that we ended first.
struct TimeWait {
  FlowKey flow;
  TimeWaitState state;
  Instant until;
  uint32_t older = UINT32_MAX;
  uint32_t newer = UINT32_MAX;
};

static_assert(sizeof(TimeWait) <= 64);

/// A bounded number of them, in the order in which they end; the oldest makes room for a new one.
/// They are found through the table of flows.
class TimeWaits {
 public:
  // Twice a maximum segment lifetime of 30 s, as Linux has it. RFC 9293 says 2 minutes for one, of
  // a network that nobody has seen.
  static constexpr uint64_t stay_ns = 60 * ns_per_s;
  static constexpr uint32_t none = UINT32_MAX;

  explicit TimeWaits(uint32_t count_max) : entries_(count_max == 0 ? 1 : count_max) {
    free_.reserve(entries_.size());
    for (uint32_t i = 0; i < entries_.size(); ++i) {
      free_.push_back(static_cast<uint32_t>(entries_.size()) - 1 - i);
    }
  }

  [[nodiscard]] bool full() const { return free_.empty(); }
  [[nodiscard]] uint32_t oldest() const { return oldest_; }
  [[nodiscard]] uint32_t size() const {
    return static_cast<uint32_t>(entries_.size() - free_.size());
  }
  /// Only while it is not full.
  [[nodiscard]] uint32_t add(const FlowKey& flow, const TimeWaitState& state, Instant now) {
    const uint32_t index = free_.back();
    free_.pop_back();
    entries_[index].flow = flow;
    entries_[index].state = state;
    append(index, now);
    return index;
  }
  void remove(uint32_t index) {
    unlink(index);
    free_.push_back(index);
  }
  /// The peer sent its FIN again (RFC 9293: 3.10.7.4).
  void restart(uint32_t index, Instant now) {
    unlink(index);
    append(index, now);
  }
  [[nodiscard]] TimeWait& operator[](uint32_t index) { return entries_[index]; }
  [[nodiscard]] Instant deadline() const {
    return oldest_ == none ? Instant::never() : entries_[oldest_].until;
  }
  [[nodiscard]] size_t memory_bytes() const {
    return entries_.size() * (sizeof(TimeWait) + sizeof(uint32_t));
  }

 private:
  void append(uint32_t index, Instant now) {
    TimeWait& entry = entries_[index];
    entry.until = now.after_ns(stay_ns);
    entry.older = newest_;
    entry.newer = none;
    (newest_ == none ? oldest_ : entries_[newest_].newer) = index;
    newest_ = index;
  }
  void unlink(uint32_t index) {
    const TimeWait& entry = entries_[index];
    (entry.older == none ? oldest_ : entries_[entry.older].newer) = entry.newer;
    (entry.newer == none ? newest_ : entries_[entry.newer].older) = entry.older;
  }

  std::vector<TimeWait> entries_;
  std::vector<uint32_t> free_;
  uint32_t oldest_ = none;
  uint32_t newest_ = none;
};

enum class TimeWaitVerdict : uint8_t {
  ignore,
  acknowledge,          // says what we expect
  acknowledge_restart,  // a FIN came again: the same, and the stay begins anew
  reuse                 // a new connection of the same flow may begin
};

/// RFC 9293 (3.10.7.4 and MAY-2), RFC 6191, RFC 1337 (resets do not end it).
[[nodiscard]] inline TimeWaitVerdict judge_in_time_wait(const TimeWaitState& state,
                                                        const SegmentIn& segment) {
  if (segment.has(flag::rst)) return TimeWaitVerdict::ignore;
  const bool both_stamped = state.timestamps && segment.options.has_timestamps;
  if (segment.has(flag::syn) && !segment.has(flag::ack)) {
    const bool newer_sequence = after(segment.sequence, state.receive_next);
    if (!both_stamped) {
      return newer_sequence || (!state.timestamps && segment.options.has_timestamps)
                 ? TimeWaitVerdict::reuse
                 : TimeWaitVerdict::acknowledge;
    }
    const uint32_t stamp = segment.options.timestamp;
    const bool newer =
        after(stamp, state.timestamp_recent) || (stamp == state.timestamp_recent && newer_sequence);
    return newer ? TimeWaitVerdict::reuse : TimeWaitVerdict::acknowledge;
  }
  // PAWS: an old duplicate, of which the peer learns nothing but where we are.
  if (both_stamped && before(segment.options.timestamp, state.timestamp_recent)) {
    return TimeWaitVerdict::acknowledge;
  }
  const uint32_t end = segment.sequence + segment.sequence_bytes();
  if (segment.has(flag::fin) && end == state.receive_next) {
    return TimeWaitVerdict::acknowledge_restart;
  }
  const bool empty_where_expected =
      segment.sequence_bytes() == 0 && segment.sequence == state.receive_next;
  return empty_where_expected ? TimeWaitVerdict::ignore : TimeWaitVerdict::acknowledge;
}

}  // namespace penstock::engine::tcp

#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "dataplane/engine/engine.h"
#include "penstock/base/time.h"

namespace penstock::transport {

/// Key exchanges cost a core a millisecond each: so many per second are begun, one after the other,
/// and who comes in between waits in line, so that a storm of handshakes does not stall media. When
/// more than a second's worth waits the newest is first: peers give up after some seconds, and in
/// their order everybody would be served just before that.
class Ration {
 public:
  explicit Ration(size_t places) : places_(places) {}

  void set_rate(uint64_t per_second) { per_second_ = std::max<uint64_t>(per_second, 1); }

  /// Joins the line; its turn comes from next().
  void wait(engine::ConnectionId id) {
    if (waiting_.size() >= places_) waiting_.pop_front();
    waiting_.push_back(id);
  }
  /// When next() gives something at the earliest; never() while nobody waits.
  [[nodiscard]] Instant due() const { return waiting_.empty() ? Instant::never() : next_at_; }

  /// Takes one from the line, when it is time. Whoever has left meanwhile costs nothing.
  bool next(Instant now, engine::ConnectionId& id) {
    if (waiting_.empty() || now < next_at_) return false;
    if (waiting_.size() > per_second_) {
      id = waiting_.back();
      waiting_.pop_back();
    } else {
      id = waiting_.front();
      waiting_.pop_front();
    }
    return true;
  }
  /// The one that next() gave exchanges keys.
  void charge(Instant now) {
    const uint64_t interval_ns = ns_per_s / per_second_;
    // What was not used while nobody came adds up to a burst of this many at most.
    const Instant earliest{now.ns - std::min(now.ns, burst * interval_ns)};
    next_at_ = std::max(next_at_, earliest).after_ns(interval_ns);
  }

 private:
  static constexpr uint64_t burst = 4;

  uint64_t per_second_ = 1;
  Instant next_at_;
  // Those who left are in here until their turn, so the oldest may have to make room.
  const size_t places_;
  std::deque<engine::ConnectionId> waiting_;
};

}  // namespace penstock::transport

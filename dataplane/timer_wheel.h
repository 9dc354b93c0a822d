#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/engine/engine.h"
#include "penstock/base/time.h"

namespace penstock::dataplane {

/// Wakes connections at about the time they asked for: never early, up to one slot late. Setting a
/// deadline later costs nothing (the owner of the entry finds on firing that it is not due and sets
/// it again), which is what every message of a publisher does; there is no removal, because an
/// entry whose generation has passed is skipped.
class TimerWheel {
 public:
  struct Entry {
    engine::ConnectionId id;
    uint64_t slot = 0;  // absolute: tells an entry that was superseded
  };

  // 16 ms is below every deadline that an operator may set (100 ms) by enough; 1024 slots look 16 s
  // ahead, and what is further away passes by once each round.
  static constexpr uint64_t slot_ns = 16 * ns_per_ms;
  static constexpr uint64_t slot_count = 1024;

  explicit TimerWheel(Instant now) : current_(now.ns / slot_ns) {}

  /// The absolute slot of the entry that is made.
  uint64_t add(engine::ConnectionId id, Instant deadline);
  /// When the next entry may be due; never() when there is none.
  [[nodiscard]] Instant next() const;
  /// Appends what has come due until now.
  void expire(Instant now, std::vector<Entry>& due);

 private:
  uint64_t current_;  // absolute number of the first slot not yet expired
  std::array<std::vector<Entry>, slot_count> slots_;
  std::array<uint64_t, slot_count / 64> occupied_{};
};

}  // namespace penstock::dataplane

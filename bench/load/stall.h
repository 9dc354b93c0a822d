#pragma once

#include <cstdint>

#include "bench/load/histogram.h"
#include "penstock/base/time.h"

namespace penstock::load {

/// What the two ends of one stream know of it when the window ends.
struct Flow {
  Instant live_since;        // both ends
  Instant last_received_at;  // by the player
  Instant may_read_at;       // a slow player's: it is not to receive before
  Instant last_sent_at;      // by the publisher
  bool blocked = false;      // the publisher has bytes that the server does not take
};

/// A player that has received nothing for longer, though its publisher has sent, is stalled: 1 s,
/// or half of a short window, but at least twice the longest time that the media itself is silent
/// for.
[[nodiscard]] uint64_t stall_limit_ns(uint64_t window_ns, uint32_t step_ms_max);

/// Since when the player has waited for what was sent to it; never() when it is not stalled.
[[nodiscard]] Instant stalled_since(const Flow& flow, Instant now, uint64_t limit_ns);

/// Counts every message that was sent since and has not come with the age that it has by now, so
/// that a server which no longer forwards has the latency it has. `interval_ns`: between two
/// messages of the stream on the mean.
void age_missing(Histogram& latency, const Flow& flow, Instant since, Instant now,
                 uint64_t interval_ns);

}  // namespace penstock::load

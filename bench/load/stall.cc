#include "bench/load/stall.h"

#include <algorithm>

namespace penstock::load {

uint64_t stall_limit_ns(uint64_t window_ns, uint32_t step_ms_max) {
  return std::max(std::min(ns_per_s, window_ns / 2), 2 * step_ms_max * ns_per_ms);
}

Instant stalled_since(const Flow& flow, Instant now, uint64_t limit_ns) {
  const Instant since = std::max({flow.live_since, flow.last_received_at, flow.may_read_at});
  if (since >= now || now.since(since) <= limit_ns) return Instant::never();
  return flow.blocked || flow.last_sent_at > since ? since : Instant::never();
}

void age_missing(Histogram& latency, const Flow& flow, Instant since, Instant now,
                 uint64_t interval_ns) {
  Instant sent_at = since;
  do {
    latency.count(now.since(sent_at));
    sent_at = sent_at.after_ns(std::max<uint64_t>(interval_ns, 1));
  } while (sent_at <= std::min(flow.last_sent_at, now));
}

}  // namespace penstock::load

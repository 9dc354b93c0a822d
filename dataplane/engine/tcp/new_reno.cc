#include <algorithm>

#include "dataplane/engine/tcp/congestion.h"

namespace penstock::engine::tcp {
namespace {

/// One segment per window (RFC 5681: 3.1), by bytes (RFC 3465).
void acknowledged(CongestionState& state, const CongestionAck& ack) {
  state.acked_bytes += grow_in_slow_start(state, ack.bytes);
  if (state.acked_bytes < state.window) return;
  state.acked_bytes -= state.window;
  grow_window(state, state.segment_bytes);
}

void reduce(CongestionState& state, bool by_ecn) {
  // RFC 8511: a mark comes from a short queue, so less is given up than for a loss.
  const uint32_t kept = by_ecn ? state.window / 10 * 8 : state.window / 2;
  state.threshold = std::max(kept, 2 * state.segment_bytes);
  state.acked_bytes = 0;
}

void rested(CongestionState& state) { state.acked_bytes = 0; }

}  // namespace

const CongestionControl new_reno = {"reno", acknowledged, reduce, rested};

}  // namespace penstock::engine::tcp

#include "dataplane/engine/tcp/congestion.h"

#include <algorithm>

namespace penstock::engine::tcp {

const CongestionControl* find_congestion_control(std::string_view name) {
  for (const CongestionControl* control : {&cubic, &new_reno}) {
    if (control->name == name) return control;
  }
  return nullptr;
}

uint32_t initial_congestion_window(uint32_t segment_bytes) {
  return std::min(10 * segment_bytes, std::max(2 * segment_bytes, uint32_t{14600}));
}

void start_congestion(CongestionState& state, uint32_t segment_bytes) {
  state = {};
  state.segment_bytes = segment_bytes;
  state.window = initial_congestion_window(segment_bytes);
}

void remember_congestion(CongestionState& state) {
  state.before_window = state.window;
  state.before_threshold = state.threshold;
  state.before_cubic_window_max = state.cubic_window_max;
}

void undo_congestion(CongestionState& state) {
  state.window = std::max(state.window, state.before_window);
  state.threshold = std::max(state.threshold, state.before_threshold);
  state.cubic_window_max = state.before_cubic_window_max;
  state.cubic_epoch = {};
}

void grow_window(CongestionState& state, uint32_t bytes) {
  state.window = std::min(state.window + bytes, CongestionState::window_max);
}

uint32_t grow_in_slow_start(CongestionState& state, uint32_t bytes) {
  if (!state.slow_start()) return bytes;
  // By what was acknowledged, however much that is, so that the window doubles in a round trip.
  // RFC 5681 and 3465 take one or two segments per ACK, for peers that acknowledge every second
  // one; where an ACK stands for a whole batch, even eight (RFC 9406: 4.2) made a window of 300 KB
  // take 25 round trips.
  const uint32_t grown = std::min(bytes, state.threshold - state.window);
  grow_window(state, grown);
  return state.slow_start() ? 0 : bytes - grown;
}

}  // namespace penstock::engine::tcp

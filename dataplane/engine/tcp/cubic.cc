#include <algorithm>
#include <cmath>

#include "dataplane/engine/tcp/congestion.h"

// RFC 9438. Windows are segments and times seconds in here, as in the RFC.
namespace penstock::engine::tcp {
namespace {

constexpr float aggressiveness = 0.4f;  // C
constexpr float kept_after_loss = 0.7f;
constexpr float kept_after_ecn = 0.85f;  // RFC 8511
// With it, a window that grows by alpha per round trip and keeps 0.7 gets what Reno gets (4.3).
constexpr float reno_alpha = 3.0f * (1.0f - kept_after_loss) / (1.0f + kept_after_loss);

float segments(const CongestionState& state, uint32_t bytes) {
  return static_cast<float>(bytes) / static_cast<float>(state.segment_bytes);
}

float seconds(uint64_t ns) { return static_cast<float>(ns) * 1e-9f; }

void begin_epoch(CongestionState& state, float window, Instant now) {
  state.cubic_epoch = now;
  state.cubic_reno_window = window;
  if (window < state.cubic_window_max) {
    state.cubic_k_s = std::cbrt((state.cubic_window_max - window) / aggressiveness);
    state.cubic_origin = state.cubic_window_max;
  } else {
    state.cubic_k_s = 0;
    state.cubic_origin = window;
  }
}

void acknowledged(CongestionState& state, const CongestionAck& ack) {
  const uint32_t bytes = grow_in_slow_start(state, ack.bytes);
  if (bytes == 0) return;
  const float window = segments(state, state.window);
  const float acked = segments(state, bytes);
  if (state.cubic_epoch == Instant{}) begin_epoch(state, window, ack.now);

  const float elapsed_s = seconds(ack.now.since(state.cubic_epoch));
  const auto curve = [&](float at_s) {
    const float from_origin_s = at_s - state.cubic_k_s;
    return aggressiveness * from_origin_s * from_origin_s * from_origin_s + state.cubic_origin;
  };
  const float alpha = state.cubic_reno_window >= state.cubic_before ? 1.0f : reno_alpha;
  state.cubic_reno_window += alpha * acked / window;

  float grown = 0;  // segments
  if (curve(elapsed_s) < state.cubic_reno_window) {
    grown = std::max(0.0f, state.cubic_reno_window - window);
  } else {
    const float target =
        std::clamp(curve(elapsed_s + seconds(ack.smoothed_rtt_ns)), window, 1.5f * window);
    grown = (target - window) / window * acked;
  }
  // Never more than a slow start would: an ACK for much after a pause must not jump (4.4).
  state.cubic_fraction += std::min(grown, acked) * static_cast<float>(state.segment_bytes);
  const auto whole = static_cast<uint32_t>(state.cubic_fraction);
  state.cubic_fraction -= static_cast<float>(whole);
  grow_window(state, whole);
}

void reduce(CongestionState& state, bool by_ecn) {
  const float window = segments(state, state.window);
  // Fast convergence (4.7): who did not get back to where it was leaves room for others.
  state.cubic_window_max =
      window < state.cubic_window_max ? window * (1.0f + kept_after_loss) / 2.0f : window;
  state.cubic_before = window;
  state.cubic_epoch = {};
  const float kept = static_cast<float>(state.window) * (by_ecn ? kept_after_ecn : kept_after_loss);
  state.threshold = std::max(static_cast<uint32_t>(kept), 2 * state.segment_bytes);
}

/// Time in which nothing was to send must not count as time in which the window could have grown.
void rested(CongestionState& state) { state.cubic_epoch = {}; }

}  // namespace

const CongestionControl cubic = {"cubic", acknowledged, reduce, rested};

}  // namespace penstock::engine::tcp

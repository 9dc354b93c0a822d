#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::control {

// X(name, key, unit, min, max, default, live, help). One line is everything: the configuration key,
// the range that is checked in both processes, the CLI's `tune` and the slot in the shared region.
// Append only: the position is the number. live = false: sized at start, takes a restart of
// penstockd.
//
// A TLS handshake with an RSA key of 2048 bit takes 0.4 ms of the worker (bench/micro/tls_bench):
// 200 a second are a twelfth of a core, and 1000 encoders that come back at once are in after 5 s.
#define PENSTOCK_TUNABLES(X)                                                                       \
  X(connections_max, "limits.connections_max", "connections", 1, 1'000'000, 16'384, false,         \
    "connections over all workers; more are refused at accept")                                    \
  X(streams_max, "limits.streams_max", "streams", 1, 1'000'000, 16'384, false,                     \
    "published names at once, on each worker")                                                     \
  X(frame_memory_bytes, "limits.frame_memory_bytes", "bytes", 16'777'216, 1'099'511'627'776,       \
    2'147'483'648, false,                                                                          \
    "memory for relayed frames, GOP caches and queues over all workers; touched only when used")   \
  X(message_bytes_max, "limits.message_bytes_max", "bytes", 4'096, 16'777'215, 8'388'608, true,    \
    "largest RTMP message a peer may send")                                                        \
  X(subscriber_queue_bytes, "limits.subscriber_queue_bytes", "bytes", 65'536, 268'435'456,         \
    16'777'216, true, "how far a subscriber may lag before it is skipped to the next keyframe")    \
  X(gop_bytes, "limits.gop_bytes", "bytes", 0, 268'435'456, 8'388'608, true,                       \
    "memory a stream may hold for fast start of new subscribers; 0 switches it off")               \
  X(handshake_ms, "liveness.handshake_ms", "ms", 100, 600'000, 5'000, true,                        \
    "time for the whole handshake")                                                                \
  X(connect_to_publish_ms, "liveness.connect_to_publish_ms", "ms", 100, 600'000, 10'000, true,     \
    "time from the handshake to publish or play")                                                  \
  X(first_media_ms, "liveness.first_media_ms", "ms", 100, 600'000, 15'000, true,                   \
    "time from publish to the first audio or video")                                               \
  X(silent_publisher_ms, "liveness.silent_publisher_ms", "ms", 100, 600'000, 8'000, true,          \
    "a publisher that sends nothing for so long is dropped")                                       \
  X(write_stalled_ms, "liveness.write_stalled_ms", "ms", 1'000, 600'000, 30'000, true,             \
    "a peer that takes no byte for so long while we have some for it is dropped")                  \
  X(verdict_ms, "admission.verdict_ms", "ms", 1, 60'000, 500, true,                                \
    "how long the data plane waits for the control plane's verdict before its own copy of the "    \
    "policy decides")                                                                              \
  X(gather_ms, "dataplane.gather_ms", "ms", 0, 5'000, 150, true,                                   \
    "how long input of a stream that nobody watches may be gathered, to save wakes; 0 switches "   \
    "it off")                                                                                      \
  X(wait_us_max, "dataplane.wait_us_max", "us", 0, 20'000, 1'000, true,                            \
    "under load, how long a worker may gather completions before it handles them; 0 switches it "  \
    "off")                                                                                         \
  X(coalesce_ms, "dataplane.coalesce_ms", "ms", 0, 200, 50, true,                                  \
    "under load, how long sound may wait to go out with the next picture, and small pictures to "  \
    "go out in pairs, which saves sends; 0 switches it off")                                       \
  X(coalesce_from, "dataplane.coalesce_from", "frames/s", 0, 1'000'000'000, 10'000, true,          \
    "messages in and frames out of a worker per second above which sound may wait; at twice as "   \
    "many it may wait for all of coalesce_ms, at three times as many every second picture may")    \
  X(tls_handshakes_per_second, "tls.handshakes_per_second", "per second", 1, 100'000, 200, true,   \
    "TLS handshakes that each worker takes; what is above waits, so that media does not")          \
  X(rtmpt_idle_ms, "rtmpt.idle_ms", "ms", 1'000, 600'000, 45'000, true,                            \
    "an RTMPT session without a request for so long is ended")                                     \
  X(rtmpt_sessions_max, "rtmpt.sessions_max", "sessions", 1, 1'000'000, 4'096, false,              \
    "RTMPT sessions at once, on each worker; more are refused")                                    \
  X(rtmpt_sessions_per_address, "rtmpt.sessions_per_address", "sessions", 1, 1'000'000, 256, true, \
    "RTMPT sessions at once of one address (of one /64 of IPv6), on each worker")                  \
  X(rtmpe_handshakes_per_second, "rtmpe.handshakes_per_second", "per second", 1, 100'000, 100,     \
    true, "RTMPE key agreements that each worker takes; what is above waits")

enum class Tunable : uint8_t {
#define PENSTOCK_TUNABLE_NAME(name, key, unit, min, max, value, live, help) name,
  PENSTOCK_TUNABLES(PENSTOCK_TUNABLE_NAME)
#undef PENSTOCK_TUNABLE_NAME
      count_
};

constexpr size_t tunable_count = static_cast<size_t>(Tunable::count_);

struct TunableInfo {
  std::string_view name;
  std::string_view key;
  std::string_view unit;
  uint64_t min;
  uint64_t max;
  uint64_t fallback;
  bool live;
  std::string_view help;

  [[nodiscard]] constexpr bool accepts(uint64_t value) const {
    return value >= min && value <= max;
  }
};

constexpr std::array<TunableInfo, tunable_count> tunable_table = {{
#define PENSTOCK_TUNABLE_INFO(name, key, unit, min, max, value, live, help) \
  {#name, key, unit, min, max, value, live, help},
    PENSTOCK_TUNABLES(PENSTOCK_TUNABLE_INFO)
#undef PENSTOCK_TUNABLE_INFO
}};

[[nodiscard]] constexpr const TunableInfo& tunable_info(Tunable tunable) {
  return tunable_table[static_cast<size_t>(tunable)];
}

/// By full key ("limits.gop_bytes") or bare name ("gop_bytes").
[[nodiscard]] constexpr std::optional<Tunable> find_tunable(std::string_view text) {
  for (size_t i = 0; i < tunable_count; ++i) {
    if (tunable_table[i].key == text || tunable_table[i].name == text)
      return static_cast<Tunable>(i);
  }
  return std::nullopt;
}

using TunableValues = std::array<uint64_t, tunable_count>;

[[nodiscard]] constexpr TunableValues tunable_defaults() {
  TunableValues values{};
  for (size_t i = 0; i < tunable_count; ++i) values[i] = tunable_table[i].fallback;
  return values;
}

[[nodiscard]] constexpr uint64_t value_of(const TunableValues& values, Tunable tunable) {
  return values[static_cast<size_t>(tunable)];
}

}  // namespace penstock::control

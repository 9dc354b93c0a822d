#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "penstock/base/spsc_ring.h"
#include "penstock/control/layout.h"

// Workers write records; a thread off the hot path makes lines of them. A record never holds a
// query, a key or a token.
namespace penstock::dataplane {

// X(event, level, text)
#define PENSTOCK_LOG_EVENTS(X)                                                                 \
  X(worker_started, info, "worker started")                                                    \
  X(worker_stopped, info, "worker stopped")                                                    \
  X(config_applied, info, "configuration applied")                                             \
  X(config_refused, error, "configuration refused")                                            \
  X(draining, warning, "draining: no new connections")                                         \
  X(connection_opened, debug, "connection opened")                                             \
  X(connection_closed, debug, "connection closed")                                             \
  X(connection_refused, warning, "connection refused")                                         \
  X(publish_started, info, "publish started")                                                  \
  X(publish_refused, warning, "publish refused")                                               \
  X(publish_ended, info, "publish ended")                                                      \
  X(play_started, info, "play started")                                                        \
  X(play_refused, warning, "play refused")                                                     \
  X(play_ended, info, "play ended")                                                            \
  X(peer_dropped, warning, "peer dropped")                                                     \
  X(fault_tolerated, debug, "fault tolerated")                                                 \
  X(subscriber_skipped, info, "slow subscriber skipped to the next keyframe")                  \
  X(memory_short, error, "frame memory used up")                                               \
  X(leases_short, warning, "another worker is behind: frames dropped until the next keyframe") \
  X(command_refused, warning, "command refused")                                               \
  X(traced, trace, "message")

enum class LogEvent : uint8_t {
#define PENSTOCK_LOG_EVENT(name, level, text) name,
  PENSTOCK_LOG_EVENTS(PENSTOCK_LOG_EVENT)
#undef PENSTOCK_LOG_EVENT
};

struct LogEventInfo {
  std::string_view name;
  control::LogLevel level;
  std::string_view text;
};

[[nodiscard]] constexpr LogEventInfo log_event_info(LogEvent event) {
  constexpr LogEventInfo table[] = {
#define PENSTOCK_LOG_EVENT_INFO(name, level, text) {#name, control::LogLevel::level, text},
      PENSTOCK_LOG_EVENTS(PENSTOCK_LOG_EVENT_INFO)
#undef PENSTOCK_LOG_EVENT_INFO
  };
  return table[static_cast<size_t>(event)];
}

struct LogRecord {
  uint64_t unix_ms = 0;
  uint64_t connection_id = 0;
  uint64_t number = 0;  // bytes, a count, a duration in ms: the detail says what
  LogEvent event{};
  control::LogLevel level{};
  uint32_t worker = 0;
  control::AddressText peer;
  control::NameText name;
  control::ReasonText detail;
};

// 4096 records of about 470 B: 1.9 MB per worker. A storm of 4096 events between two looks (20 ms)
// is 200,000 a second.
using LogRing = SpscRing<LogRecord, 4096>;

}  // namespace penstock::dataplane

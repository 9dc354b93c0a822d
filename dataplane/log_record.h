#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "penstock/base/spsc_ring.h"
#include "penstock/control/layout.h"

// Workers write records; a thread off the hot path makes lines of them. A record never holds a
// query, a key or a token.
namespace penstock::dataplane {

// X(event, level, text, what its number is)
#define PENSTOCK_LOG_EVENTS(X)                                                                  \
  X(worker_started, info, "worker started", "number")                                           \
  X(worker_stopped, info, "worker stopped", "number")                                           \
  X(config_applied, info, "configuration applied", "epoch")                                     \
  X(config_refused, error, "configuration refused", "epoch")                                    \
  X(draining, warning, "draining: no new connections", "number")                                \
  X(connection_opened, debug, "connection opened", "number")                                    \
  X(connection_closed, debug, "connection closed", "bytes_received")                            \
  X(connection_refused, warning, "connection refused", "limit")                                 \
  X(publish_started, info, "publish started", "number")                                         \
  X(publish_refused, warning, "publish refused", "number")                                      \
  X(publish_ended, info, "publish ended", "bytes_received")                                     \
  X(play_started, info, "play started", "number")                                               \
  X(play_refused, warning, "play refused", "number")                                            \
  X(play_ended, info, "play ended", "bytes_sent")                                               \
  X(peer_dropped, warning, "peer dropped", "number")                                            \
  X(fault_tolerated, debug, "fault tolerated", "number")                                        \
  X(subscriber_skipped, info, "slow subscriber skipped to the next keyframe", "frames_dropped") \
  X(memory_short, error, "frame memory used up", "number")                                      \
  X(leases_short, warning, "another worker is behind: frames dropped until the next keyframe",  \
    "to_worker")                                                                                \
  X(command_refused, warning, "command refused", "kind")                                        \
  X(traced, trace, "message", "bytes")                                                          \
  X(verdict_late, warning,                                                                      \
    "control plane gave no verdict in time: decided by the policy last applied", "number")      \
  X(logged_in, info, "publisher logged in", "number")

enum class LogEvent : uint8_t {
#define PENSTOCK_LOG_EVENT(name, level, text, number) name,
  PENSTOCK_LOG_EVENTS(PENSTOCK_LOG_EVENT)
#undef PENSTOCK_LOG_EVENT
      count_
};

constexpr size_t log_event_count = static_cast<size_t>(LogEvent::count_);

struct LogEventInfo {
  std::string_view name;
  control::LogLevel level;
  std::string_view text;
  std::string_view number;
};

[[nodiscard]] constexpr LogEventInfo log_event_info(LogEvent event) {
  constexpr LogEventInfo table[] = {
#define PENSTOCK_LOG_EVENT_INFO(name, level, text, number) \
  {#name, control::LogLevel::level, text, number},
      PENSTOCK_LOG_EVENTS(PENSTOCK_LOG_EVENT_INFO)
#undef PENSTOCK_LOG_EVENT_INFO
  };
  return table[static_cast<size_t>(event)];
}

struct LogRecord {
  uint64_t unix_ms = 0;
  uint64_t connection_id = 0;
  uint64_t number = 0;      // what it counts is in LogEventInfo
  uint32_t suppressed = 0;  // so many of this event and detail were left out since its last line
  LogEvent event{};
  control::LogLevel level{};
  uint32_t worker = 0;
  control::AddressText peer;
  control::NameText name;
  control::ReasonText detail;
};

// 4096 records of about 470 B: 1.9 MB per worker. A storm of 4096 events between two looks (20 ms)
// is 200,000 a second.
// Of one event for one reason, on one worker. Peers that nobody has admitted can cause some of them
// at will (6300 in 4 s were seen): what is above is counted, and said once.
constexpr uint32_t log_records_per_second_max = 50;

using LogRing = SpscRing<LogRecord, 4096>;

}  // namespace penstock::dataplane

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace penstock::control {

// X(name, gauge, help). Each worker writes its own set, the control plane sums. A counter only
// grows; a gauge is the present value. Append only: the position is the slot in the shared region.
// Faults have a set of their own (base/fault.h).
#define PENSTOCK_COUNTERS(X)                                                                  \
  X(connections, true, "connections open now")                                                \
  X(publishers, true, "streams published now")                                                \
  X(subscribers, true, "subscribers now")                                                     \
  X(frame_bytes, true, "frame memory in use now")                                             \
  X(leases_out, true, "frames held by other workers now")                                     \
  X(connections_accepted, false, "connections accepted")                                      \
  X(connections_refused, false, "connections refused because of connections_max or drain")    \
  X(connections_closed, false, "connections ended")                                           \
  X(handshakes_simple, false, "handshakes without digest")                                    \
  X(handshakes_digest, false, "handshakes with digest")                                       \
  X(publishes_allowed, false, "publish requests allowed")                                     \
  X(publishes_refused, false, "publish requests refused by policy")                           \
  X(publishes_name_taken, false, "publish requests refused because the name is live")         \
  X(plays_allowed, false, "play requests allowed")                                            \
  X(plays_refused, false, "play requests refused by policy")                                  \
  X(verdicts_late, false, "verdicts that the control plane did not give in time")             \
  X(bytes_received, false, "bytes received from peers")                                       \
  X(bytes_sent, false, "bytes sent to peers")                                                 \
  X(messages_audio, false, "audio messages received")                                         \
  X(messages_video, false, "video messages received")                                         \
  X(messages_data, false, "data messages received")                                           \
  X(frames_made, false, "frames serialised")                                                  \
  X(frames_unwatched, false, "media messages that nobody wanted and that were not copied")    \
  X(frames_queued, false, "frames queued to subscribers")                                     \
  X(frames_skipped, false,                                                                    \
    "frames not queued to a subscriber that lagged or waited for a keyframe")                 \
  X(subscribers_skipped, false, "times a slow subscriber was skipped to the next keyframe")   \
  X(frames_no_memory, false, "media messages dropped because frame memory was used up")       \
  X(leases_sent, false, "frames leased to other workers")                                     \
  X(leases_dropped, false, "frames not leased because a ring was full")                       \
  X(sends, false, "sends handed to the engine")                                               \
  X(ticks, false, "turns of the worker's loop")                                               \
  X(mail_deferred, false, "messages between workers that had to wait for room")               \
  X(reports_dropped, false, "reports to the control plane dropped because its ring was full") \
  X(commands_applied, false, "commands of the control plane applied")                         \
  X(commands_refused, false, "commands of the control plane refused as malformed or stale")   \
  X(log_records_dropped, false, "log records dropped because the ring was full")              \
  X(reconnects_asked, false, "peers asked to reconnect elsewhere because of a drain")         \
  X(logins, false, "publisher logins accepted")                                               \
  X(carriers, true, "HTTP connections that carry RTMPT, among the connections")

enum class Counter : uint8_t {
#define PENSTOCK_COUNTER_NAME(name, gauge, help) name,
  PENSTOCK_COUNTERS(PENSTOCK_COUNTER_NAME)
#undef PENSTOCK_COUNTER_NAME
      count_
};

constexpr size_t counter_count = static_cast<size_t>(Counter::count_);

struct CounterInfo {
  std::string_view name;
  bool gauge;
  std::string_view help;
};

constexpr std::array<CounterInfo, counter_count> counter_table = {{
#define PENSTOCK_COUNTER_INFO(name, gauge, help) {#name, gauge, help},
    PENSTOCK_COUNTERS(PENSTOCK_COUNTER_INFO)
#undef PENSTOCK_COUNTER_INFO
}};

}  // namespace penstock::control

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock::engine {

// X(name, help). Append only; the order is that of reports. Counters only grow, and each has one
// writer: the engine that it belongs to.
#define PENSTOCK_DPDK_COUNTERS(X)                                                            \
  X(packets_received, "packets taken from the device's queue")                               \
  X(bytes_received, "bytes of these")                                                        \
  X(packets_sent, "packets that the device took")                                            \
  X(bytes_sent, "bytes of these")                                                            \
  X(slices_by_reference, "runs of bytes that the device takes from where they lie")          \
  X(slices_copied, "runs of bytes that were copied for the device")                          \
  X(packets_redirected, "packets of another worker's connections, handed to it")             \
  X(packets_adopted, "packets that other workers handed to this one")                        \
  X(redirections_full, "such packets dropped: the ring to the other worker was full")        \
  X(received_in_segments, "packets dropped because the device delivered them in pieces")     \
  X(no_memory_to_send, "packets not sent because no packet memory was left")                 \
  X(refused_to_send, "packets that the device found malformed")                              \
  X(device_full, "turns in which the device took less than there was to send")               \
  X(exceptions_sent, "packets handed to the kernel by the exception path")                   \
  X(exceptions_limited, "such packets dropped because of their rate limit, or a full ring")  \
  X(exceptions_received, "packets of the kernel's sent through the device")                  \
  X(hash_mismatches, "packets whose queue the device chose in another way than it was told") \
  X(turns, "times the device's queue was looked at")                                         \
  X(turns_empty, "turns that brought nothing")                                               \
  X(sleeps, "times the worker slept because nothing came")                                   \
  X(slept_ns, "nanoseconds of that")

struct EngineCounters {
#define PENSTOCK_DPDK_COUNTER_MEMBER(name, help) uint64_t name = 0;
  PENSTOCK_DPDK_COUNTERS(PENSTOCK_DPDK_COUNTER_MEMBER)
#undef PENSTOCK_DPDK_COUNTER_MEMBER
};

struct EngineCounterInfo {
  std::string_view name;
  uint64_t EngineCounters::*value;
  std::string_view help;
};

#define PENSTOCK_DPDK_COUNTER_ONE(name, help) +1
constexpr size_t engine_counter_count = 0 PENSTOCK_DPDK_COUNTERS(PENSTOCK_DPDK_COUNTER_ONE);
#undef PENSTOCK_DPDK_COUNTER_ONE

constexpr std::array<EngineCounterInfo, engine_counter_count> engine_counter_table = {{
#define PENSTOCK_DPDK_COUNTER_INFO(name, help) {#name, &EngineCounters::name, help},
    PENSTOCK_DPDK_COUNTERS(PENSTOCK_DPDK_COUNTER_INFO)
#undef PENSTOCK_DPDK_COUNTER_INFO
}};

}  // namespace penstock::engine

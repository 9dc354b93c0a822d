#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/engine/engine.h"

namespace penstock::engine {

/// What an UringEngine is made of. All memory that follows from it is taken in make_uring_engine().
struct UringOptions {
  /// Opened with SO_REUSEPORT, so that the engine of every worker opens the same ones and the
  /// kernel deals connections out. Port 0 takes a free one; see UringEngine::listeners().
  std::vector<Endpoint> listeners;
  uint32_t connections_max = 1024;
  /// Receive memory: receive_slabs * receive_slab_bytes, shared by all connections. With
  /// incremental buffers a slab is filled by many receives, so few and large ones are best
  /// (measured: README.md). A power of two, at most 32768.
  uint32_t receive_slabs = 64;
  uint32_t receive_slab_bytes = 256 * 1024;
  /// Under load, how long poll() may gather completions; 0: never. Live:
  /// UringEngine::set_gather_max().
  uint64_t wait_us_max = 1000;
  /// A peer that acknowledges nothing for so long is gone. Above the liveness timers of the worker,
  /// so that those decide.
  uint32_t peer_silent_ms_max = 60'000;
  /// As the kernel names it (cubic, bbr); empty: the host's default.
  std::string congestion_control;
  /// close() of a connection that connect() made resets it, so that none of its ports stays in
  /// TIME_WAIT: who makes thousands a second would run out of them.
  bool reset_connecting = false;
  /// ACKs of a connection that has sent a lot may be delayed. Off: as the kernel does it. A peer
  /// with Nagle's algorithm waits for them, so who measures the latency of others wants it off.
  bool lazy_acks = true;
  /// Off: one receive per slab, as kernels before 6.12 do. For comparison.
  bool incremental_slabs = true;
};

/// What happened beneath the seam since start; read by the owner thread.
struct UringCounters {
  uint64_t enters = 0;              // io_uring_enter calls
  uint64_t gathered = 0;            // of these, waits that gathered
  uint64_t refused = 0;             // accepted beyond connections_max and reset at once
  uint64_t accept_pauses = 0;       // no descriptor or memory left: accepting paused
  uint64_t receive_memory_dry = 0;  // a receive found no slab and was armed again later
  uint64_t send_blocks_grown = 0;   // send queues needed more memory than planned
};

/// Engine over one io_uring. Made on any thread; the thread that calls poll() first owns it from
/// then on, wake() aside.
class UringEngine : public Engine {
 public:
  /// The listeners as bound, ports filled in; same order as UringOptions::listeners.
  [[nodiscard]] virtual std::span<const Endpoint> listeners() const = 0;
  [[nodiscard]] virtual const UringCounters& counters() const = 0;
  /// Memory taken at start, for the sum that is printed.
  [[nodiscard]] virtual uint64_t memory_bytes() const = 0;
};

/// Fails with the cause and, where there is one, the command that fixes it: one line for the
/// operator.
std::expected<std::unique_ptr<UringEngine>, std::string> make_uring_engine(const UringOptions&);

/// Empty when nobody listens at `endpoint`, else a line for the operator. SO_REUSEPORT would let a
/// second penstockd of the same user bind without a word and take half of the connections, so main
/// asks once before it makes the engines.
std::optional<std::string> endpoint_in_use(const Endpoint&);

}  // namespace penstock::engine

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/time.h"

namespace penstock::engine {

/// Names a connection of one engine. The index is reused, the generation makes a late event miss.
struct ConnectionId {
  uint32_t index = 0;
  uint32_t generation = 0;
  constexpr bool operator==(const ConnectionId&) const = default;
};

/// An IP address and port as the peer or a listener has them.
struct Endpoint {
  uint8_t address[16] = {};  // IPv4 in the first four bytes
  uint16_t port = 0;
  bool ipv6 = false;
  constexpr bool operator==(const Endpoint&) const = default;
};

enum class EngineEventKind : uint8_t {
  accepted,   // a new connection; reading is on
  connected,  // what connect() began stands; reading is on
  received,   // bytes, valid until the next poll()
  ended,      // the peer will send no more (FIN); sending is still possible
  sent,       // sent_bytes more of what was given to send() are no longer needed
  closed,     // exactly one ends every connection; the id is dead afterwards
  // Only where layers lie between the engine and its caller (dataplane/transport):
  identified,  // before the first `received`: what carries the peer, and who it is
  failed,      // a layer gave up, for `fault`: nothing more is received, what is sent goes nowhere
  dropped,     // a peer that is no connection (any more) is sent away, for `fault`
};

/// What carries a peer's RTMP.
enum class Transport : uint8_t { rtmp, rtmps, rtmpt, rtmpts, rtmpe, rtmpte };

/// As in URLs.
[[nodiscard]] constexpr std::string_view transport_name(Transport transport) {
  constexpr std::string_view names[] = {"rtmp", "rtmps", "rtmpt", "rtmpts", "rtmpe", "rtmpte"};
  return names[static_cast<size_t>(transport)];
}

enum class CloseReason : uint8_t {
  ours,
  reset,
  timeout,
  refused,    // connect(): nobody listens there
  no_address  // connect(): this host has no local port left, or no way there
};

struct EngineEvent {
  EngineEventKind kind{};
  CloseReason reason{};
  ConnectionId id;
  uint32_t sent_bytes = 0;
  Bytes bytes;            // received; of failed: what exactly, as text, if that is known
  Endpoint peer;          // of accepted, connected, identified and dropped
  uint16_t listener = 0;  // accepted: which of the engine's listeners
  Transport transport = Transport::rtmp;  // accepted and identified
  bool handshake_done = false;  // identified: the layer had the RTMP handshake; chunks follow
  Fault fault = Fault::count_;  // failed and dropped
};

/// What happens to bytes above a low-water mark when it is reached.
enum class Rest : uint8_t {
  comes_too,  // all that is there is reported
  may_wait,   // some may stay until the mark is reached once more: emptying a socket costs an ACK
};

/// What its caller cannot see in events.
struct EngineCounts {
  uint64_t refused = 0;  // peers sent away because no place was left
  uint32_t unseen = 0;   // connections that are held and have no id of the caller's
};

/// The seam between a worker and whatever moves its bytes. It reports in batches and never calls
/// back; one engine belongs to one worker and is touched by no other thread (but for wake()). Bytes
/// given to send() stay the caller's, and stay put, until `sent` events have covered them or
/// `closed` has come. Calls with an id whose `closed` was reported do nothing.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Moves bytes, waits until there is something to report or `wake_at` has come or wake() was
  /// called, and fills `events` from the front. `wake_at` in the past means: do not wait. Events
  /// that do not fit come with the next call. Slots are filled in the order in which things
  /// happened on each connection.
  virtual std::span<EngineEvent> poll(std::span<EngineEvent> events, Instant wake_at) = 0;

  /// Begins a connection to `peer`; `connected` follows, or `closed` with the reason. What is given
  /// to send() before that goes out as soon as it stands. Nothing when no place or descriptor is
  /// left.
  virtual std::optional<ConnectionId> connect(const Endpoint& peer) = 0;
  /// Queues bytes, in order. At most send_slices_max slices per call; a second call before the
  /// first is covered by `sent` is allowed and keeps order, but the worker gathers instead: fewer
  /// and larger sends are what pays.
  virtual void send(ConnectionId, std::span<const Bytes> slices) = 0;
  /// Receive credit: how back-pressure reaches a peer. While off, the kernel's window closes and no
  /// `received` comes, but for what was already on its way.
  virtual void set_reading(ConnectionId, bool on) = 0;
  /// Gather at least this many bytes before reporting (a hint, 1 = at once). The caller lowers it
  /// again to get what is below the mark; lowering reports what is there. `rest`: what of that
  /// which lies above the mark.
  virtual void set_low_water(ConnectionId, uint32_t bytes, Rest rest) = 0;
  /// No more send() will come: after what is queued has gone out, the peer sees an orderly end
  /// (FIN). Reading goes on. When the peer has ended too, `closed` follows by itself.
  virtual void finish(ConnectionId) = 0;
  /// Ends it now; queued bytes are lost. `closed` follows from a later poll().
  virtual void close(ConnectionId) = 0;
  /// Off: closes the listeners, so that peers are refused by the host and go elsewhere (drain). On:
  /// opens them again; false when that failed, and the engine keeps trying on later polls.
  virtual bool set_accepting(bool on) = 0;
  /// Under load, poll() may wait up to so long for more completions before it returns; 0: never. A
  /// hint.
  virtual void set_gather_max(uint64_t ns) = 0;
  [[nodiscard]] virtual EngineCounts counts() const { return {}; }
  /// The one method that any thread may call: makes a waiting or the next poll() return at once.
  virtual void wake() = 0;

  static constexpr size_t send_slices_max = 16;
};

}  // namespace penstock::engine

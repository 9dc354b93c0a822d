#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dataplane/engine/address_key.h"
#include "dataplane/engine/engine.h"
#include "dataplane/transport/deadlines.h"
#include "dataplane/transport/tunnel_mesh.h"
#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/time.h"
#include "penstock/tunnel/http_request.h"
#include "penstock/tunnel/tunnel_name.h"
#include "penstock/tunnel/tunnel_session.h"

namespace penstock::transport {

/// What happens to a tunnel, in the words of engine::EngineEvent. Exactly one `closed` ends each
/// that was `opened`.
struct TunnelEvent {
  enum class Kind : uint8_t { opened, received, ended, sent, closed };
  Kind kind{};
  TunnelId id;
  Bytes bytes;                  // received
  uint32_t sent_bytes = 0;      // sent
  engine::Endpoint peer;        // opened: of the carrier that asked
  Fault fault = Fault::count_;  // closed; count_: none
  bool secure = false;          // opened: within TLS
};

/// What a carrier is told next; everything in order.
struct CarrierAnswer {
  engine::ConnectionId carrier;
  std::vector<uint8_t> bytes;
  /// It ends once the bytes have gone out; without any it is to be closed at once.
  bool close_after = false;
  /// Counted, and where it is fatal the carrier's end; count_: none.
  Fault fault = Fault::count_;
  /// It is to be read from no more, or again. Without anything else.
  std::optional<bool> reading = std::nullopt;
};

struct TunnelSettings {
  uint64_t idle_ms = 45'000;           // without a request for so long a tunnel ends
  uint64_t handshake_ms = 5'000;       // within which a carrier has to have served a tunnel
  uint32_t tunnels_per_address = 256;  // of this worker; IPv6 by /64
};

/// All RTMPT of one worker: HTTP carriers on one side, tunnels that are used like connections on
/// the other. A tunnel's requests may come on any carrier of any worker. No I/O, no clock.
///
/// A turn of its owner is: carrier_*() for what the engine reported, turn(), take() until there is
/// nothing, then whatever the worker does with its tunnels. Bytes given to carrier_received() must
/// stay put until the next turn(), and bytes of events do. A request is answered in the turn after
/// the one that showed its bytes to the worker, so that what the worker says to them comes along.
class Tunnels {
 public:
  /// `unserved_max`: carriers that have served no tunnel yet; more, and the oldest of them goes.
  Tunnels(TunnelMesh& mesh, WorkerId self, uint32_t tunnels_max, uint32_t unserved_max,
          TunnelSettings settings = {});
  Tunnels(const Tunnels&) = delete;
  Tunnels& operator=(const Tunnels&) = delete;

  void carrier_opened(engine::ConnectionId id, const engine::Endpoint& peer, bool secure,
                      Instant now);
  void carrier_received(engine::ConnectionId id, Bytes bytes, Instant now);
  struct Left {
    size_t answers = 0;
    size_t bytes = 0;
  };
  /// Of the answers that were taken so far all but the last ones, `left`, have gone out.
  void carrier_sent(engine::ConnectionId id, Left left, Instant now);
  void carrier_closed(engine::ConnectionId id, Instant now);

  // What a worker does with a connection. Calls with an id whose `closed` was taken do nothing.
  /// Copied at once.
  void send(TunnelId id, std::span<const Bytes> slices);
  void set_reading(TunnelId id, bool on);
  void finish(TunnelId id);
  void close(TunnelId id);

  /// Of tunnels that are opened, and carriers that come, from now on.
  void set(const TunnelSettings& settings) { settings_ = settings; }

  void turn(Instant now);
  /// In the past: turn() has something to do now.
  [[nodiscard]] Instant deadline() const;
  [[nodiscard]] bool take(TunnelEvent& event);
  [[nodiscard]] bool take(CarrierAnswer& answer);
  /// A bit for each worker whose Tunnels have something to do now: to be woken.
  [[nodiscard]] uint64_t take_rung() { return mesh_.take_pushed(self_); }

  [[nodiscard]] uint32_t tunnel_count() const { return tunnel_count_; }
  [[nodiscard]] size_t carrier_count() const { return carriers_.size(); }

  static constexpr uint64_t carrier_idle_ms = 30'000;
  // After the last answer, until the peer has closed too.
  static constexpr uint64_t linger_ms = 2'000;
  // Requests of one carrier that are looked at before the first of them is answered: the window of
  // a session. What came behind them is kept.
  static constexpr size_t pipelined_max = 8;
  // Who reads no answers while it publishes (librtmp) comes with hundreds of requests after a
  // stall. From here on nothing more is read from it; what is on its way by then, the second
  // number.
  static constexpr size_t later_bytes_max = 256 * 1024;
  static constexpr size_t later_bytes_limit = 20 * 1024 * 1024;
  // Before a tunnel has answered no known peer has more than one request under way.
  static constexpr size_t unserved_later_bytes_limit = 16 * 1024;
  // Answers that have not gone out. librtmp reads none while it publishes: 100 bytes for each of
  // its messages, of which a worker may take megabytes at once. Who has no tunnel has no such
  // excuse.
  static constexpr size_t answer_bytes_max = 1024 * 1024;
  static constexpr size_t unserved_answer_bytes_max = 16 * 1024;
  // Flash keeps up to four connections per session; then those that proxies leave open.
  static constexpr size_t carriers_per_tunnel = 6;
  // The body of what brings no media is a byte or none; some proxies may pad.
  static constexpr uint64_t poll_body_bytes_max = 64;
  // Bodies of which the end has not come: with one of 64 KiB each, 1024 slow publishers. When it is
  // full, who holds most of it goes.
  static constexpr size_t partial_bytes_max = 64 * 1024 * 1024;
  // A worker has one send of 256 KiB on its way; RTMPE makes it no longer.
  static constexpr uint64_t queued_bytes_max = 1024 * 1024;

 private:
  struct Tunnel {
    uint32_t generation = 0;
    bool live = false;   // until its `closed` is queued
    bool muted = false;  // the worker closed it: nothing but `closed` is shown
    bool dirty = false;
    bool secure = false;
    engine::Endpoint peer;
    tunnel::TunnelName name;
    std::optional<tunnel::TunnelSession> session;
    Instant timer_at = Instant::never();
  };

  struct Waiting {
    TunnelRequest* request = nullptr;  // not to be looked into before it is answered
    bool answered = false;
    bool here = false;  // its tunnel is one of ours
  };

  struct Carrier {
    engine::ConnectionId id;
    engine::Endpoint peer;
    bool secure = false;
    bool served = false;   // a tunnel has answered on it
    bool stopped = false;  // nothing more is read
    bool ending = false;   // its last answer is given
    bool orphan = false;   // its connection has gone; what it brought has not been looked at
    tunnel::HttpRequestReader reader;
    std::vector<uint8_t> later;  // input behind those that wait, from later_at on
    size_t later_at = 0;
    bool reading = true;                     // of its connection
    bool resuming = false;                   // is in resuming_
    Bytes run;                               // the body, if it came in one
    std::vector<uint8_t> body;               // if not
    std::deque<Waiting> waiting;             // in their order
    std::vector<TunnelRequest*> given;       // whose tunnels wait to hear of them
    uint64_t answers = 0;                    // made so far
    uint64_t taken = 0;                      // of these
    uint64_t sent = 0;                       // of these
    size_t answer_bytes = 0;                 // of those that are not sent
    size_t untaken_bytes = 0;                // of these, of those that are not taken
    Instant active_at;                       // when it came, or a tunnel last answered on it
    std::list<uint32_t>::iterator unserved;  // its place there, while not served
    Instant timer_at = Instant::never();
  };

  struct Queued {
    TunnelEvent event;
    uint32_t sequence = 0;
    std::vector<uint8_t> owned;
  };
  struct Used {
    TunnelId id;
    uint32_t sequence = 0;
  };

  // tunnel_carriers.cc
  [[nodiscard]] Carrier* find(engine::ConnectionId id);
  void read(Carrier& carrier);
  void keep(Carrier& carrier, Bytes bytes);
  void resume(Carrier& carrier);
  void resume();
  bool forget(Carrier& carrier);
  void abandon_waiting(Carrier& carrier);
  [[nodiscard]] bool take_head(Carrier& carrier);
  [[nodiscard]] bool take_body(Carrier& carrier, Bytes run);
  void forget_body(Carrier& carrier);
  void make_room_for_bodies(Carrier& newest);
  [[nodiscard]] bool take_request(Carrier& carrier);
  [[nodiscard]] TunnelRequest* add_request(Carrier& carrier, WorkerId owner);
  [[nodiscard]] static bool overdone(const Carrier& carrier);
  void refuse(Carrier& carrier, uint16_t status, Fault fault);
  void answered(TunnelRequest* request);
  void flush(Carrier& carrier);
  void give(Carrier& carrier, TunnelRequest* request);
  void abandon(std::span<const Waiting> waiting);
  void tell(TunnelRequest* request, TunnelRequest::Step fate);
  void expire(Carrier& carrier);
  void serve(Carrier& carrier);
  void hang_up(Carrier& carrier, Fault fault);

  // tunnels.cc
  [[nodiscard]] Tunnel* find(TunnelId id);
  [[nodiscard]] Tunnel* find_named(std::string_view name, bool secure);
  void open(const Carrier& carrier, TunnelRequest* request);
  void deliver(TunnelRequest* request);
  void respond(TunnelRequest* request, uint16_t status, Bytes body);
  void heard(TunnelRequest* request);
  void take_mail();
  void take_mail(TunnelRequest* request);
  void settle();
  void expire();
  void mark_dirty(TunnelId id, Tunnel& tunnel);
  void drain(uint32_t index);
  void end(uint32_t index);
  void release(uint32_t index);
  TunnelEvent& report(TunnelEvent::Kind kind, uint32_t index);

  TunnelMesh& mesh_;
  WorkerId self_;
  TunnelSettings settings_;
  Instant now_;
  std::vector<Tunnel> tunnels_;
  std::vector<uint32_t> free_;
  uint32_t tunnel_count_ = 0;
  std::map<engine::AddressKey, uint32_t> by_address_;
  const size_t unserved_max_;
  std::list<uint32_t> unserved_;  // indices of carriers, as they came
  std::unordered_map<uint32_t, std::unique_ptr<Carrier>> carriers_;  // by index of their id
  std::list<std::unique_ptr<Carrier>> orphans_;
  size_t partial_bytes_ = 0;
  Deadlines tunnel_deadlines_;
  Deadlines carrier_deadlines_;
  std::deque<Queued> events_;
  std::deque<CarrierAnswer> answers_;
  std::vector<std::vector<uint8_t>> lent_;      // bodies of events that were taken in this turn
  std::vector<Used> used_;                      // bodies that the worker has been shown
  std::vector<TunnelId> dirty_;                 // the worker did something to them
  std::vector<engine::ConnectionId> resuming_;  // carriers whose kept input may be looked at
};

}  // namespace penstock::transport

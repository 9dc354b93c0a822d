#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/engine/engine.h"
#include "dataplane/transport/outgoing.h"
#include "dataplane/transport/plain_arena.h"
#include "dataplane/transport/ration.h"
#include "dataplane/transport/tunnels.h"
#include "penstock/tunnel/layer.h"

namespace penstock::transport {

/// What peers of a listener are taken to speak; where several things may be spoken the first bytes
/// decide.
struct Accepts {
  bool rtmp = false;
  bool rtmpe = false;     // in a tunnel it is taken wherever there is a cipher for it
  bool http = false;      // rtmpt
  bool tls_rtmp = false;  // rtmps
  bool tls_http = false;  // rtmpts
  [[nodiscard]] bool tls() const { return tls_rtmp || tls_http; }
};

struct TransportOptions {
  std::vector<Accepts> listeners;  // by EngineEvent::listener
  uint32_t connections_max = 0;    // indices of the inner engine
  uint32_t tunnels_max = 0;
  /// The accepting side for a new peer; null when there is none to be had (no certificate).
  std::function<std::unique_ptr<tunnel::Layer>()> make_tls;
  std::function<std::unique_ptr<tunnel::Layer>()> make_rtmpe;
  /// Whether this peer may say in a PROXY header for whom it speaks.
  std::function<bool(const engine::Endpoint&)> may_proxy;
  std::function<Instant()> now;
  TunnelMesh* mesh = nullptr;
  uint32_t id = 0;                       // of the worker
  std::vector<engine::Engine*> engines;  // inner ones of all workers: to wake them, nothing else
};

/// What a worker sees in place of its engine where more than plain RTMP is spoken: TLS, RTMPE and
/// RTMPT end in here, and come out as connections that speak RTMP. Peers that speak plain RTMP pass
/// through as they are, events, bytes and sends.
///
///   socket -> [PROXY header] -> first bytes -> [TLS] -> first bytes -> [HTTP -> tunnel] -> [RTMPE]
///
/// A connection keeps its id but for tunnels: they are connections of their own, with ids from
/// connections_max on, and what carries them is shown to the worker until it is known to speak
/// HTTP.
class TransportEngine final : public engine::Engine {
 public:
  TransportEngine(engine::Engine& inner, TransportOptions options);
  ~TransportEngine() override;

  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent> events,
                                      Instant wake_at) override;
  std::optional<engine::ConnectionId> connect(const engine::Endpoint& peer) override;
  void send(engine::ConnectionId, std::span<const Bytes> slices) override;
  void set_reading(engine::ConnectionId, bool on) override;
  void set_low_water(engine::ConnectionId, uint32_t bytes, engine::Rest rest) override;
  void finish(engine::ConnectionId) override;
  void close(engine::ConnectionId) override;
  bool set_accepting(bool on) override { return inner_.set_accepting(on); }
  void set_gather_max(uint64_t ns) override { inner_.set_gather_max(ns); }
  [[nodiscard]] engine::EngineCounts counts() const override;
  void wake() override { inner_.wake(); }

  /// Handshakes that are begun per second, and how long a tunnel may be without a request. From the
  /// owner's thread.
  struct Rates {
    uint64_t tls_handshakes_per_second = 0;
    uint64_t rtmpe_handshakes_per_second = 0;
    TunnelSettings tunnels;
  };
  void set_rates(const Rates& rates);

  /// Ids run to here.
  [[nodiscard]] uint32_t connections_max() const {
    return options_.connections_max + options_.tunnels_max;
  }

 private:
  enum class Stage : uint8_t {
    sniffing,  // nothing is known yet
    layered,   // a layer lies between
    inner,     // within TLS: its first byte is awaited
    session,   // the worker has it, through its layer if there is one
    carrier,   // speaks HTTP
    failed,
  };

  /// A connection that is not just passed through.
  struct Stack {
    engine::ConnectionId id;
    engine::Endpoint peer;
    Accepts accepts;
    Stage stage = Stage::sniffing;
    bool secure = false;  // in TLS
    bool tunnel = false;  // carried by requests
    // Carries requests, though it may have failed since: the worker has been told that it closed.
    bool carrier = false;
    bool may_proxy = false;
    bool proxied = false;    // its address came in a PROXY header
    bool waiting = false;    // for its turn to exchange keys
    bool postponed = false;  // for room in the arena
    bool ended = false;      // the peer will send no more
    bool ended_told = false;
    bool reading_wanted = true;  // by the worker
    bool finished = false;       // by the worker: nothing more may be sent
    bool close_after = false;    // a carrier's last answer is on its way
    std::unique_ptr<tunnel::Layer> layer;
    std::vector<uint8_t> kept;  // input that was not used yet
    Outgoing outgoing;
  };

  [[nodiscard]] Stack* find(engine::ConnectionId id);
  Stack& add(engine::ConnectionId id, const engine::Endpoint& peer, const Accepts& accepts);
  void forget(engine::ConnectionId id);

  // From the engine up
  void prefetch(std::span<const engine::EngineEvent> events) const;
  bool passes(engine::EngineEvent& event);
  void accepted(const engine::EngineEvent& event);
  bool first_bytes(Stack& stack, Bytes bytes);
  bool steps_aside(Stack& stack);
  void received(Stack& stack, Bytes bytes);
  void sniff(Stack& stack, Bytes bytes);
  bool take_proxy_header(Stack& stack, Bytes& bytes);
  void begin_layer(Stack& stack, std::unique_ptr<tunnel::Layer> layer, Bytes bytes);
  void open(Stack& stack, Bytes bytes);
  void open_now(Stack& stack, Bytes bytes);
  void keep(Stack& stack, Bytes bytes);
  void choose_reading(const Stack& stack);
  bool opened(Stack& stack, Bytes plain);
  void become_session(Stack& stack);
  void become_carrier(Stack& stack);
  void deliver(Stack& stack, Bytes plain);
  void tell_ended(Stack& stack);
  void fail(Stack& stack, Fault fault, std::string_view reason = {});
  void stop_waiting(Stack& stack);
  void sent(Stack& stack, uint32_t sealed_bytes);
  void closed(Stack& stack, const engine::EngineEvent& event);

  // Down to it
  void say(Stack& stack, std::vector<uint8_t> sealed, uint32_t plain_bytes);
  void seal(Stack& stack, std::span<const Bytes> slices);
  void finish(Stack& stack);

  // Turns of what waits
  void go_on();
  void exchange_keys();
  void turn_tunnels();
  void take_tunnel_event(const TunnelEvent& event);
  void take_answer(CarrierAnswer& answer);
  [[nodiscard]] Instant due() const;
  size_t take_later(std::span<engine::EngineEvent> events, size_t from);
  engine::EngineEvent& later(engine::EngineEventKind kind, const Stack& stack);

  [[nodiscard]] Ration& ration_of(const Stack& stack) {
    return stack.secure && !stack.tunnel ? tls_ration_ : rtmpe_ration_;
  }
  [[nodiscard]] bool is_tunnel(engine::ConnectionId id) const {
    return id.index >= options_.connections_max;
  }
  [[nodiscard]] TunnelId tunnel_of(engine::ConnectionId id) const {
    return {id.index - options_.connections_max, id.generation};
  }

  engine::Engine& inner_;
  TransportOptions options_;
  Tunnels tunnels_;
  Ration tls_ration_;
  Ration rtmpe_ration_;
  PlainArena arena_;
  Instant now_;
  std::vector<std::unique_ptr<Stack>> stacks_;  // by index; none for what passes through
  size_t stack_count_ = 0;
  std::deque<engine::EngineEvent> later_;  // in the order in which they are to be reported
  std::vector<engine::ConnectionId> postponed_;
  std::vector<uint8_t> gathered_;           // small slices, sealed together
  std::vector<std::vector<uint8_t>> lent_;  // first bytes that tunnels look at until their turn
};

}  // namespace penstock::transport

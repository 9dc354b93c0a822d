#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <span>
#include <vector>

#include "bench/load/rtmpt_layer.h"
#include "dataplane/engine/engine.h"
#include "dataplane/transport/outgoing.h"
#include "penstock/tunnel/layer.h"

namespace penstock::load {

/// What lies between a link and its socket.
struct Layers {
  std::vector<std::unique_ptr<tunnel::Layer>> all;  // the outermost first; at least one
  RtmptLayer* tunnel = nullptr;                     // of these, the one that polls,
  size_t tunnel_depth = 0;                          // and its place
};

/// Bytes that layers have opened, until the next poll. Takes what the engine below has received and
/// what the layers had kept of a record, so its bound is the engine's receive memory.
class OpenedBytes {
 public:
  [[nodiscard]] MutableBytes room();
  /// The first `bytes` of room() are in use now.
  void take(size_t bytes) { used_ += bytes; }
  void clear() { block_ = used_ = 0; }

 private:
  std::vector<std::unique_ptr<uint8_t[]>> blocks_;
  size_t block_ = 0;  // the one that is being filled
  size_t used_ = 0;   // of it
};

/// An engine whose connections pass their bytes through layers: what the generator drives where the
/// variant is not plain RTMP, which keeps the engine below for itself. The initiating counterpart
/// of transport::TransportEngine: `connected` says that the last layer stands, bytes are counted as
/// the caller gave them, and a layer that gives up is a `failed` event. One thread.
class LayeredEngine final : public engine::Engine {
 public:
  LayeredEngine(engine::Engine& inner, Instant (*now)(), std::function<Layers()> make_layers)
      : inner_(inner), now_(now), make_layers_(std::move(make_layers)) {}

  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent> events,
                                      Instant wake_at) override;
  std::optional<engine::ConnectionId> connect(const engine::Endpoint& peer) override;
  void send(engine::ConnectionId, std::span<const Bytes> slices) override;
  void set_reading(engine::ConnectionId id, bool on) override { inner_.set_reading(id, on); }
  void set_low_water(engine::ConnectionId id, uint32_t bytes, engine::Rest rest) override {
    inner_.set_low_water(id, bytes, rest);
  }
  void finish(engine::ConnectionId) override;
  /// Says goodbye in the words of the layers before the connection is reset, and hears a tunnel's
  /// answer: it would otherwise stay until it times out, and its stream's name with it.
  void close(engine::ConnectionId) override;
  bool set_accepting(bool on) override { return inner_.set_accepting(on); }
  void set_gather_max(uint64_t ns) override { inner_.set_gather_max(ns); }
  void wake() override { inner_.wake(); }

 private:
  struct Stack {
    engine::ConnectionId id;
    engine::Endpoint peer;
    Layers layers;
    size_t standing = 0;   // layers that are established
    bool reached = false;  // the connection below them stands
    bool failed = false;
    bool ended = false;
    bool shut = false;
    Instant close_by = Instant::never();  // never() while it is not being closed
    transport::Outgoing outgoing;
    // What a tunnel was given, by the layer within it and by the caller; and of the latter, what
    // the caller has been told of.
    uint64_t tunnel_own_bytes = 0;
    uint64_t tunnel_caller_bytes = 0;
    uint64_t tunnel_told_bytes = 0;
    Instant due_at = Instant::never();  // its first entry in due_

    [[nodiscard]] bool closing() const { return close_by != Instant::never(); }
    [[nodiscard]] bool stands() const { return standing == layers.all.size(); }
  };
  struct Due {
    Instant at;
    engine::ConnectionId id;
    bool operator>(const Due& other) const { return at > other.at; }
  };

  [[nodiscard]] Stack* find(engine::ConnectionId id);
  engine::EngineEvent& later(engine::EngineEventKind kind, const Stack& stack);

  // From the engine up
  void take(const engine::EngineEvent& event);
  void open(Stack& stack, Bytes input);
  bool open(Stack& stack, size_t depth, Bytes input);
  bool rise(Stack& stack);
  void deliver(Stack& stack, Bytes plain);
  void fail(Stack& stack, Fault fault);
  void end(Stack& stack);
  void sent(Stack& stack, uint32_t sealed_bytes);
  void tell_tunnel_sent(Stack& stack);
  void closed(Stack& stack, const engine::EngineEvent& event);

  // Down to it
  void say(Stack& stack, size_t depth, std::vector<uint8_t> bytes, uint32_t caller_bytes);
  void say_goodbye(Stack& stack);
  void close_when_said(Stack& stack);
  void shut(Stack& stack);

  // By time
  void plan(Stack& stack);
  void expire_due();

  engine::Engine& inner_;
  Instant (*now_)();
  std::function<Layers()> make_layers_;
  OpenedBytes opened_;
  std::vector<std::unique_ptr<Stack>> stacks_;  // by the engine's index
  std::deque<engine::EngineEvent> later_;       // in the order in which they are to be reported
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;  // may hold what is no more
  std::vector<uint8_t> gathered_;                                   // the slices of one send
};

}  // namespace penstock::load

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "dataplane/engine/engine.h"
#include "tests/sim/sim_network.h"

namespace penstock::sim {

/// Who moves the clock of the network on when an engine has nothing to report.
enum class ClockMode : uint8_t {
  engine_advances,  // poll() itself, as if it slept: one engine alone
  caller_advances,  // the scenario: poll() never waits, several engines share the time
};

/// Engine over a SimNetwork. Stricter than a real one where that finds bugs: received bytes are
/// overwritten by the next poll(), and bytes given to send() must still be the same when they
/// leave.
class SimEngine : public engine::Engine {
 public:
  SimEngine(SimNetwork& network, uint32_t connections_max, ClockMode mode)
      : network_(network), mode_(mode), connections_(connections_max) {}

  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent> events,
                                      Instant wake_at) override;
  std::optional<engine::ConnectionId> connect(const engine::Endpoint& peer) override;
  void send(engine::ConnectionId, std::span<const Bytes> slices) override;
  void set_reading(engine::ConnectionId, bool on) override;
  void set_low_water(engine::ConnectionId, uint32_t bytes, engine::Rest rest) override;
  void finish(engine::ConnectionId) override;
  void close(engine::ConnectionId) override;
  bool set_accepting(bool on) override;
  void set_gather_max(uint64_t) override {}
  void wake() override { woken_ = true; }

  /// A connection that waits to be accepted.
  void offer(std::shared_ptr<Link> link) { offered_.push_back(std::move(link)); }
  /// As if the host had no descriptor left: offered connections wait.
  void set_descriptors_dry(bool dry) { descriptors_dry_ = dry; }

  /// Accepted and not reported closed, or still to be accepted.
  [[nodiscard]] size_t connections_open() const;
  /// Bytes that some connection's owner still has to keep.
  [[nodiscard]] size_t bytes_queued() const;

 private:
  struct QueuedSlice {
    Bytes bytes;      // the caller's
    uint64_t digest;  // of what they were at send()
    size_t sent = 0;
  };
  struct Connection {
    uint32_t generation = 1;
    bool in_use = false;
    bool connecting = false;
    bool reading = true;
    bool end_seen = false;
    bool finishing = false;
    bool finished = false;
    bool closing = false;
    engine::CloseReason reason = engine::CloseReason::ours;
    uint32_t low_water_bytes = 1;
    bool rest_may_wait = false;
    bool draining = false;  // the mark was reached or lowered: report until nothing is left
    Instant stalled_until;
    std::shared_ptr<Link> link;
    std::deque<QueuedSlice> queue;
  };

  Connection* find(engine::ConnectionId);
  engine::EngineEvent& report(engine::EngineEventKind, const Connection&);
  [[nodiscard]] bool room() const { return filled_ < events_.size(); }
  void accept_offered();
  Connection* free_place();
  void turn(Connection&);
  void connect_step(Connection&);
  void report_closed(Connection&);
  bool receive(Connection&);
  bool send_some(Connection&);
  void end(Connection&, engine::CloseReason);
  [[nodiscard]] bool can_receive(const Connection&) const;
  [[nodiscard]] Instant next_at() const;

  SimNetwork& network_;
  ClockMode mode_;
  std::vector<Connection> connections_;
  std::deque<std::shared_ptr<Link>> offered_;
  std::deque<std::vector<uint8_t>> shown_;  // what the last poll() showed
  std::span<engine::EngineEvent> events_;
  size_t filled_ = 0;
  bool woken_ = false;
  bool accepting_ = true;
  bool descriptors_dry_ = false;
};

}  // namespace penstock::sim

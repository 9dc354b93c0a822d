#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "tests/conformance/world.h"

namespace penstock::conformance {

/// What an engine has reported of one connection. Recording checks what must hold for every
/// connection at every time.
struct Connection {
  engine::ConnectionId id;
  engine::Endpoint peer;
  std::vector<uint8_t> received;
  size_t receives = 0;
  size_t given = 0;  // bytes to send()
  size_t sent = 0;
  bool connecting = false;  // begun by the engine, `connected` has not come
  bool ended = false;
  int closed = 0;
  engine::CloseReason reason{};
  bool echo = false;
  std::deque<std::vector<uint8_t>> kept;  // bytes that the engine may still look at
};

/// Drives one engine: polls, records, echoes.
class Harness {
 public:
  explicit Harness(std::unique_ptr<World> world, size_t span = 64)
      : world_(std::move(world)), events_(span) {}

  World& world() { return *world_; }
  engine::Engine& engine() { return world_->engine(); }
  std::deque<Connection>& connections() { return connections_; }
  size_t polls() const { return polls_; }

  size_t poll(uint64_t wait_ms);
  /// Polls until `done`, at most `limit_ms`; whether it came.
  bool run_until(const std::function<bool()>& done, uint64_t limit_ms = 60'000);
  void run_for(uint64_t ms);

  /// Connects and waits for `accepted`.
  std::pair<std::unique_ptr<Peer>, Connection*> connect();
  /// Begins a connection; null when the engine refuses.
  Connection* begin(const engine::Endpoint& to);
  /// The other end of what was begun; waits for it.
  std::unique_ptr<Peer> accept();
  /// Sends a copy that lives as long as the connection's record.
  void send(Connection&, Bytes bytes, size_t slices = 1);
  void close(Connection& connection) { engine().close(connection.id); }

  bool echo_all = false;

 private:
  void record(const engine::EngineEvent&);
  std::unique_ptr<World> world_;
  std::vector<engine::EngineEvent> events_;
  std::deque<Connection> connections_;
  std::map<std::pair<uint32_t, uint32_t>, Connection*> by_id_;
  size_t polls_ = 0;
};

/// Bytes in which a lost, doubled or exchanged run shows.
std::vector<uint8_t> pattern(size_t bytes, uint64_t seed);

/// Writes `bytes` and reads what comes, in turns with the engine, until both are done or `limit_ms`
/// are over.
struct Exchange {
  Peer* peer;
  std::vector<uint8_t> to_write;
  size_t written = 0;
  std::vector<uint8_t> got;

  void step();
};

}  // namespace penstock::conformance

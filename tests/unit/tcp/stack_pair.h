#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/stack.h"
#include "tests/unit/tcp/packets.h"

namespace penstock::engine::tcp {

/// One stack with everything that its caller does for it, and a check that each packet lent comes
/// back exactly once.
class Host {
 public:
  explicit Host(const StackOptions& options) : options_(options), stack_(options) {}

  struct Peer {
    ConnectionId id;
    std::string received;
    uint64_t sent_bytes = 0;
    bool connected = false;  // or accepted
    bool ended = false;
    std::optional<EndReason> closed;
    SocketAddress address;
    uint16_t port = 0;
  };

  void arrive(std::vector<uint8_t> bytes) { arrived_.push_back(std::move(bytes)); }
  /// One turn. Packets that go out are appended to `out`. True when anything happened.
  bool turn(Instant now, std::vector<std::vector<uint8_t>>& out);

  /// A connection that the test has begun itself.
  void adopt(ConnectionId id);
  ConnectionId connect(const IpAddress& address, uint16_t port, Instant now);
  /// The text stays put until the end of the test.
  void send(ConnectionId id, std::string text, Instant now);
  /// Closes all whose peers have ended.
  void close_ended(Instant now);
  void close_all(Instant now);
  Peer& peer(ConnectionId id);
  /// The only one, or the last one.
  Peer& last_peer() { return *peers_.back(); }
  Peer& peer_number(size_t index) { return *peers_[index]; }
  [[nodiscard]] size_t peers() const { return peers_.size(); }
  [[nodiscard]] size_t lent() const { return lent_.size(); }
  [[nodiscard]] const StackCounters& counters() const { return stack_.counters(); }

  const StackOptions options_;
  Stack stack_;
  std::vector<std::vector<uint8_t>> exceptions_;
  bool echoes_ = false;  // sends back what it receives

 private:
  void take_events(Instant now, bool& any);

  std::deque<std::vector<uint8_t>> arrived_;
  std::map<uintptr_t, std::vector<uint8_t>> lent_;
  uintptr_t next_token_ = 1;
  uint64_t packets_out_ = 0;
  std::deque<std::string> texts_;
  std::deque<std::unique_ptr<Peer>> peers_;
};

/// Two hosts and a wire between them that the test may look at, and drop from.
class StackPair {
 public:
  StackPair() : StackPair(options_of_host(1), options_of_host(2)) {}
  StackPair(const StackOptions& left, const StackOptions& right) : left_(left), right_(right) {}

  /// Turns until nothing moves, then on to the next deadline, for that long in all.
  void run(uint64_t ns = 100 * ns_per_ms);
  /// False: the packet is lost.
  std::function<bool(bool from_left, const std::vector<uint8_t>&)> passes_;

  Host left_;
  Host right_;
  // A day of uptime: nothing may depend on a clock that begins at 0.
  Instant now_{24 * 3600 * ns_per_s};
  uint64_t delay_ns_ = 100 * ns_per_us;

 private:
  bool turn();
};

}  // namespace penstock::engine::tcp

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "dataplane/engine/engine.h"
#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"
#include "penstock/base/time.h"

namespace penstock::sim {

class SimEngine;

/// How badly the simulated network behaves. Chances are per thousand, of each time that it could
/// happen.
struct NetworkFaults {
  uint32_t short_receive = 0;  // a receive hands over only part of what is there
  uint32_t partial_send = 0;   // a send moves only part of what fits
  uint32_t stall = 0;          // a connection does nothing for up to delay_ns_max
  uint32_t reset = 0;          // per receive or send: the connection is reset
  uint64_t delay_ns_max = 0;   // of a segment on its way
  uint32_t window_bytes_min =
      65536;  // in flight and unread in one direction, chosen per direction between the two
  uint32_t window_bytes_max = 65536;
};

/// One direction of a connection: what is on its way, then what has arrived and is unread. Order is
/// kept; time only grows.
class Pipe {
 public:
  explicit Pipe(uint32_t window_bytes) : window_bytes_(window_bytes) {}

  [[nodiscard]] size_t room() const { return used_ >= window_bytes_ ? 0 : window_bytes_ - used_; }
  void push(Bytes bytes, Instant arrives_at);
  void push_end(Instant arrives_at);
  /// Bytes that have arrived by `now`, and whether nothing will follow them.
  [[nodiscard]] size_t arrived(Instant now) const;
  [[nodiscard]] bool end_arrived(Instant now) const;
  /// Takes up to out.size() of the arrived bytes.
  size_t read(MutableBytes out, Instant now);
  void clear();
  [[nodiscard]] size_t unread() const { return used_; }
  /// When something arrives next after `now`; never() when nothing is on its way.
  [[nodiscard]] Instant next_arrival(Instant now) const;

 private:
  struct Segment {
    Instant arrives_at;
    std::vector<uint8_t> bytes;
    size_t read = 0;
    bool end = false;
  };
  uint32_t window_bytes_;
  size_t used_ = 0;
  Instant last_arrival_;
  std::deque<Segment> segments_;
};

/// A connection between a simulated peer, which test code plays, and an engine.
struct Link {
  Link(uint32_t window_in, uint32_t window_out) : to_engine(window_in), to_peer(window_out) {}

  Pipe to_engine;
  Pipe to_peer;
  engine::Endpoint peer;
  Instant connects_at;
  bool peer_reset = false;    // the peer reset it: the engine's end sees that at reset_at
  bool engine_reset = false;  // the engine's end reset it, or refused it
  Instant reset_at;
  bool peer_finished = false;
  bool peer_gone = false;  // test code has closed its end and looks no more
  bool engine_gone = false;
};

/// The test's end of a connection.
class SimPeer {
 public:
  SimPeer() = default;
  SimPeer(class SimNetwork& network, std::shared_ptr<Link> link)
      : network_(&network), link_(std::move(link)) {}

  [[nodiscard]] bool valid() const { return link_ != nullptr; }
  /// As much as the window takes; returns how much that was.
  size_t write(Bytes bytes);
  size_t read(MutableBytes out);
  [[nodiscard]] size_t readable() const;
  /// The engine's end has sent FIN and all before it was read.
  [[nodiscard]] bool at_end() const;
  [[nodiscard]] bool was_reset() const;
  void finish();
  void reset();
  void close();
  [[nodiscard]] const engine::Endpoint& address() const { return link_->peer; }

 private:
  class SimNetwork* network_ = nullptr;
  std::shared_ptr<Link> link_;
};

/// Time and everything that lies between peers and engines. One thread; the same seed and the same
/// calls give the same run.
class SimNetwork {
 public:
  SimNetwork(uint64_t seed, const NetworkFaults& faults) : prng_(seed), faults_(faults) {}

  [[nodiscard]] Instant now() const { return now_; }
  void advance_to(Instant at) {
    if (at > now_) now_ = at;
  }
  /// A connection that `engine` will accept, or refuse.
  SimPeer connect(SimEngine& engine);

  /// The test's ends of connections that an engine begins to `port`, in the order in which they
  /// came. Nobody listens on other ports.
  void listen(uint16_t port) { listening_port_ = port; }
  /// Not valid() when none has come.
  SimPeer accept();

  // For engines.
  std::shared_ptr<Link> make_link(const engine::Endpoint& peer);
  /// What was begun is there; false when nobody listens.
  bool arrive(const std::shared_ptr<Link>& link);

  [[nodiscard]] Instant arrival() {
    return now_.after_ns(faults_.delay_ns_max == 0 ? 0 : prng_.below(faults_.delay_ns_max));
  }
  Prng& prng() { return prng_; }
  NetworkFaults& faults() { return faults_; }

 private:
  Prng prng_;
  NetworkFaults faults_;
  Instant now_{ns_per_s};
  uint32_t connected_ = 0;
  uint16_t listening_port_ = 0;
  std::deque<std::shared_ptr<Link>> arrived_;
};

}  // namespace penstock::sim

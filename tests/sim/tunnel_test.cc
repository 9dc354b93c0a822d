// RTMPT between peers and two workers, over a proxy that loses connections, asks again, asks twice,
// and sends each request wherever it likes. From one seed: what fails prints it. Whatever happens
// in between, the bytes come out as they went in, both ways, or the tunnel ends for a reason that
// was given; every request is freed, and every tunnel closes once.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/transport/tunnels.h"
#include "penstock/base/prng.h"
#include "penstock/tunnel/rtmpt_initiator.h"

namespace penstock::transport {
namespace {

constexpr uint32_t worker_count = 2;
constexpr uint64_t idle_ms = 10'000;

struct Chances {
  uint32_t loss = 0;            // per thousand, of each carrier in each step
  uint32_t loss_behind_us = 0;  // per thousand, of each answer that went out
  uint32_t twice = 0;           // per thousand, of each request
  uint32_t stalls = 0;          // per thousand, of each worker in each step
  bool several = false;         // peers have up to three requests under way
  bool ends = false;            // peers vanish, workers close
};

/// The byte at `position` of what a peer sends (or is sent).
uint8_t byte_of(uint64_t peer, bool upstream, uint64_t position) {
  return static_cast<uint8_t>((position * 2654435761u >> 7) + peer * 31 + (upstream ? 7 : 0));
}

std::vector<uint8_t> bytes_of(uint64_t peer, bool upstream, uint64_t from, uint64_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint64_t i = 0; i < count; ++i) bytes[i] = byte_of(peer, upstream, from + i);
  return bytes;
}

std::string post(const std::string& target, std::string_view body) {
  return "POST " + target +
         " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

/// What asks: its requests go out through ask(), each until it has one answer.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void step(Prng& prng, Instant now) = 0;
  /// A request to go out now, under the number that its answer or loss comes back with.
  virtual std::optional<std::pair<uint32_t, std::string>> next_request() = 0;
  virtual void answered(uint32_t number, const std::string& http, Instant now) = 0;
  virtual void lost(uint32_t number) = 0;
  [[nodiscard]] virtual bool done() const = 0;

  uint64_t number = 0;
  uint64_t up_total = 0, down_total = 0;
  std::vector<uint8_t> received;
  std::optional<Fault> fault;
  bool vanished = false;
};

/// One request at a time, as FFmpeg and librtmp do it.
class OneAtATime final : public Peer {
 public:
  explicit OneAtATime(Instant now) : initiator_({.post_bytes_max = 5000}, now) {}

  void step(Prng& prng, Instant now) override {
    if (up_ < up_total && prng.chance(500)) {
      const uint64_t count = std::min<uint64_t>(up_total - up_, 1 + prng.below(8000));
      initiator_.send(bytes_of(number, true, up_, count), now);
      up_ += count;
    }
    if (up_ == up_total && received.size() == down_total) initiator_.finish(now);
    if (initiator_.deadline() <= now) initiator_.expire(now);
  }
  std::optional<std::pair<uint32_t, std::string>> next_request() override {
    if (initiator_.outbox().empty()) return std::nullopt;
    const std::vector<uint8_t> bytes = std::exchange(initiator_.outbox(), {});
    return std::pair{0u, std::string(as_text(bytes))};
  }
  void answered(uint32_t, const std::string& http, Instant now) override {
    const auto fed = initiator_.feed(as_bytes(http), received, now);
    if (!fed) fault = fed.error();
  }
  void lost(uint32_t) override { initiator_.carrier_lost(); }
  [[nodiscard]] bool done() const override { return initiator_.closed(); }

 private:
  tunnel::RtmptInitiator initiator_;
  uint64_t up_ = 0;
};

/// Up to three requests under way, as Flash did it; answers are put in order by their numbers.
class SeveralAtATime final : public Peer {
 public:
  void step(Prng& prng, Instant) override {
    if (name_.empty()) {
      if (!opening_) add(0, "/open/1", "x");
      opening_ = true;
      return;
    }
    if (closing_ || open_.size() >= 3 || !prng.chance(700)) return;
    if (up_ < up_total && prng.chance(600)) {
      const uint64_t count = std::min<uint64_t>(up_total - up_, 1 + prng.below(3000));
      const std::vector<uint8_t> body = bytes_of(number, true, up_, count);
      up_ += count;
      add(next_, "/send/" + name_ + "/" + std::to_string(next_), as_text(body));
      ++next_;
    } else if (up_ == up_total && received.size() == down_total) {
      if (!open_.empty()) return;
      closing_ = true;
      add(next_, "/close/" + name_ + "/" + std::to_string(next_), "x");
    } else {
      add(next_, "/idle/" + name_ + "/" + std::to_string(next_), "x");
      ++next_;
    }
  }
  std::optional<std::pair<uint32_t, std::string>> next_request() override {
    if (unasked_.empty()) return std::nullopt;
    const uint32_t sequence = unasked_.front();
    unasked_.pop_front();
    return std::pair{sequence, open_.at(sequence)};
  }
  void answered(uint32_t sequence, const std::string& http, Instant) override {
    const std::string body = http.substr(http.find("\r\n\r\n") + 4);
    open_.erase(sequence);
    if (closing_) {
      done_ = true;
    } else if (!http.starts_with("HTTP/1.1 200")) {
      fault = Fault::tunnel_unknown;
    } else if (name_.empty()) {
      name_ = body.substr(0, body.size() - 1);
    } else {
      answers_[sequence] = body.substr(1);
      for (auto next = answers_.begin(); next != answers_.end() && next->first == in_order_;
           next = answers_.erase(next), ++in_order_) {
        received.insert(received.end(), next->second.begin(), next->second.end());
      }
    }
  }
  void lost(uint32_t sequence) override { unasked_.push_back(sequence); }
  [[nodiscard]] bool done() const override { return done_; }

 private:
  void add(uint32_t sequence, const std::string& target, std::string_view body) {
    open_[sequence] = post(target, body);
    unasked_.push_back(sequence);
  }

  std::string name_;
  bool opening_ = false, closing_ = false, done_ = false;
  uint32_t next_ = 0, in_order_ = 0;
  uint64_t up_ = 0;
  std::map<uint32_t, std::string> open_, answers_;
  std::deque<uint32_t> unasked_;
};

/// What a worker knows of a tunnel. Its first byte says whose it is.
struct Session {
  TunnelId id;
  std::optional<uint64_t> peer;
  uint64_t up = 0, down = 0, sent = 0;
  bool ended = false, reading = true, finished = false;
};

class World {
 public:
  World(uint64_t seed, const Chances& chances) : prng_(seed), chances_(chances) {
    for (WorkerId worker = 0; worker < worker_count; ++worker) {
      tunnels_.push_back(
          std::make_unique<Tunnels>(mesh_, worker, 64, 256, TunnelSettings{.idle_ms = idle_ms}));
    }
    for (uint64_t number = 0; number < 6; ++number) {
      std::unique_ptr<Peer> peer;
      if (chances.several && number % 2 == 1) {
        peer = std::make_unique<SeveralAtATime>();
      } else {
        peer = std::make_unique<OneAtATime>(now_);
      }
      peer->number = number;
      peer->up_total = 1 + prng_.below(60'000);
      peer->down_total = prng_.below(200'000);
      peers_.push_back(std::move(peer));
    }
  }

  void run() {
    const Instant last = now_.after_ms(120'000);
    while (now_ < last && !std::ranges::all_of(peers_, gone)) step();
    for (const auto& peer : peers_) {
      EXPECT_TRUE(gone(peer)) << "peer " << peer->number << " received " << peer->received.size()
                              << " of " << peer->down_total;
      if (chances_.ends || !gone(peer)) continue;
      EXPECT_FALSE(peer->fault) << "peer " << peer->number << ": " << fault_info(*peer->fault).name;
      EXPECT_EQ(up_received_[peer->number], peer->up_total) << "peer " << peer->number;
      EXPECT_EQ(peer->received.size(), peer->down_total) << "peer " << peer->number;
    }
    // What was opened and not answered, or left alone, goes by itself.
    for (const Instant until = now_.after_ms(3 * idle_ms); now_ < until;) step();
    for (auto& carrier : carriers_) lose(*carrier);
    for (int i = 0; i < 50; ++i) step();
    for (WorkerId worker = 0; worker < worker_count; ++worker) {
      EXPECT_EQ(tunnels_[worker]->tunnel_count(), 0u);
      EXPECT_EQ(mesh_.under_way(worker), 0u);
      EXPECT_TRUE(sessions_[worker].empty());
    }
  }

 private:
  struct Exchange {
    Peer* peer = nullptr;
    uint32_t number = 0;
    uint32_t carriers = 0;  // that may still bring its answer
    bool done = false;
  };
  struct Carrier {
    WorkerId worker = 0;
    engine::ConnectionId id;
    bool alive = true, known = false, ending = false, unsent = false, closed_told = false;
    std::string up, down, answer;
    std::shared_ptr<Exchange> exchange;
  };

  static bool gone(const std::unique_ptr<Peer>& peer) {
    return peer->done() || peer->fault || peer->vanished;
  }

  void step() {
    now_ = now_.after_ns(prng_.below(4 * ns_per_ms));
    for (auto& peer : peers_) {
      if (gone(peer)) continue;
      if (chances_.ends && prng_.chance(1)) peer->vanished = true;
      peer->step(prng_, now_);
      while (auto request = peer->next_request()) ask(*peer, request->first, request->second);
    }
    for (WorkerId worker = 0; worker < worker_count; ++worker) {
      if (!prng_.chance(chances_.stalls)) turn(worker);
    }
    for (size_t i = 0; i < carriers_.size(); ++i) {
      bring(*carriers_[i]);
      if (prng_.chance(chances_.loss)) lose(*carriers_[i]);
    }
    std::erase_if(carriers_, [](const auto& carrier) { return carrier->closed_told; });
  }

  // The proxy
  void ask(Peer& peer, uint32_t number, const std::string& request) {
    auto exchange = std::make_shared<Exchange>(Exchange{.peer = &peer, .number = number});
    const int times = prng_.chance(chances_.twice) ? 2 : 1;
    for (int i = 0; i < times; ++i) {
      Carrier& carrier = some_carrier();
      carrier.exchange = exchange;
      carrier.up += request;
      ++exchange->carriers;
    }
  }

  Carrier& some_carrier() {
    for (auto& carrier : carriers_) {
      if (carrier->alive && !carrier->ending && carrier->exchange == nullptr && prng_.chance(500)) {
        return *carrier;
      }
    }
    auto made = std::make_unique<Carrier>();
    made->worker = static_cast<WorkerId>(prng_.below(worker_count));
    made->id = {next_carrier_++, 1};
    carriers_.push_back(std::move(made));
    return *carriers_.back();
  }

  void lose(Carrier& carrier) {
    if (!std::exchange(carrier.alive, false)) return;
    if (auto exchange = std::exchange(carrier.exchange, nullptr)) drop(*exchange);
  }

  void drop(Exchange& exchange) {
    if (--exchange.carriers > 0 || exchange.done) return;
    exchange.done = true;
    exchange.peer->lost(exchange.number);
  }

  /// From the worker to the proxy, a part at a time.
  void bring(Carrier& carrier) {
    if (!carrier.alive) return;
    const size_t count = std::min<size_t>(carrier.down.size(), prng_.below(30'000));
    carrier.answer += carrier.down.substr(0, count);
    carrier.down.erase(0, count);
    const size_t head = carrier.answer.find("\r\n\r\n");
    if (head == std::string::npos) return;
    const size_t length = std::stoul(carrier.answer.substr(carrier.answer.find("-Length: ") + 9));
    if (carrier.answer.size() < head + 4 + length) return;
    const std::string whole = std::exchange(carrier.answer, {});
    auto exchange = std::exchange(carrier.exchange, nullptr);
    ASSERT_TRUE(exchange) << "an answer to nothing: " << whole;
    // A peer that has several requests under way cannot tell that a proxy lost one of the answers.
    if (!chances_.several && prng_.chance(chances_.loss_behind_us)) return drop(*exchange);
    --exchange->carriers;
    if (std::exchange(exchange->done, true) || exchange->peer->vanished) return;
    exchange->peer->answered(exchange->number, whole, now_);
    check(*exchange->peer);
  }

  void check(const Peer& peer) {
    ASSERT_LE(peer.received.size(), peer.down_total);
    for (size_t i = checked_[peer.number]; i < peer.received.size(); ++i) {
      ASSERT_EQ(peer.received[i], byte_of(peer.number, false, i)) << i;
    }
    checked_[peer.number] = peer.received.size();
  }

  // A worker
  void turn(WorkerId worker) {
    Tunnels& mine = *tunnels_[worker];
    inputs_[worker].clear();
    for (auto& carrier : carriers_) {
      if (carrier->worker == worker) feed(mine, *carrier);
    }
    mine.turn(now_);
    TunnelEvent event;
    while (mine.take(event)) take(worker, event);
    CarrierAnswer answer;
    while (mine.take(answer)) {
      for (auto& carrier : carriers_) {
        if (carrier->id != answer.carrier) continue;
        carrier->down += as_text(answer.bytes);
        carrier->unsent = true;
        carrier->ending = carrier->ending || answer.close_after;
        if (answer.bytes.empty() && answer.close_after) lose(*carrier);
      }
    }
    for (Session& session : sessions_[worker]) act(mine, session);
  }

  void feed(Tunnels& mine, Carrier& carrier) {
    if (!std::exchange(carrier.known, true)) mine.carrier_opened(carrier.id, {}, false, now_);
    if (carrier.unsent && carrier.down.empty()) {
      carrier.unsent = false;
      mine.carrier_sent(carrier.id, {}, now_);
    }
    if (!carrier.alive) {
      if (!std::exchange(carrier.closed_told, true)) mine.carrier_closed(carrier.id, now_);
      return;
    }
    if (carrier.up.empty()) return;
    const size_t count = std::min<size_t>(carrier.up.size(), 1 + prng_.below(10'000));
    // A block of its own, and gone with the next turn.
    inputs_[worker_of(mine)].emplace_back(carrier.up.begin(),
                                          carrier.up.begin() + static_cast<ptrdiff_t>(count));
    carrier.up.erase(0, count);
    mine.carrier_received(carrier.id, inputs_[worker_of(mine)].back(), now_);
  }

  [[nodiscard]] WorkerId worker_of(const Tunnels& mine) const {
    return &mine == tunnels_[0].get() ? 0 : 1;
  }

  void take(WorkerId worker, const TunnelEvent& event) {
    std::vector<Session>& sessions = sessions_[worker];
    if (event.kind == TunnelEvent::Kind::opened) {
      sessions.push_back({.id = event.id});
      return;
    }
    const auto session = std::ranges::find(sessions, event.id, &Session::id);
    ASSERT_NE(session, sessions.end());
    switch (event.kind) {
      case TunnelEvent::Kind::opened:
        break;
      case TunnelEvent::Kind::received:
        ASSERT_FALSE(session->ended);
        receive(*session, event.bytes);
        break;
      case TunnelEvent::Kind::ended:
        session->ended = true;
        break;
      case TunnelEvent::Kind::sent:
        session->sent += event.sent_bytes;
        ASSERT_LE(session->sent, session->down);
        break;
      case TunnelEvent::Kind::closed:
        if (session->peer && !chances_.ends) {
          EXPECT_EQ(event.fault, Fault::count_) << fault_info(event.fault).name;
        }
        sessions.erase(session);
        break;
    }
  }

  void receive(Session& session, Bytes bytes) {
    if (!session.peer) {
      for (const auto& peer : peers_) {
        if (byte_of(peer->number, true, 0) == bytes[0]) session.peer = peer->number;
      }
      ASSERT_TRUE(session.peer);
    }
    for (const uint8_t byte : bytes) ASSERT_EQ(byte, byte_of(*session.peer, true, session.up++));
    up_received_[*session.peer] = session.up;
  }

  /// As a worker does: one send under way, at most 256 KiB; now and then it does not read.
  void act(Tunnels& mine, Session& session) {
    if (!session.peer) return;
    if (prng_.chance(20)) {
      session.reading = !session.reading;
      mine.set_reading(session.id, session.reading);
    }
    const uint64_t left = peers_[*session.peer]->down_total - session.down;
    if (left > 0 && session.sent == session.down && !session.finished && prng_.chance(100)) {
      const uint64_t count = std::min<uint64_t>(left, 1 + prng_.below(100'000));
      const std::vector<uint8_t> bytes = bytes_of(*session.peer, false, session.down, count);
      const Bytes halves[] = {Bytes(bytes).first(count / 2), Bytes(bytes).subspan(count / 2)};
      mine.send(session.id, halves);
      session.down += count;
    }
    if (!chances_.ends) return;
    if (prng_.chance(1)) mine.close(session.id);
    if (prng_.chance(1)) {
      mine.finish(session.id);
      session.finished = true;
    }
  }

  Prng prng_;
  Chances chances_;
  Instant now_{1000 * ns_per_s};
  TunnelMesh mesh_{worker_count, 64};
  std::vector<std::unique_ptr<Tunnels>> tunnels_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<Carrier>> carriers_;
  std::deque<std::vector<uint8_t>> inputs_[worker_count];
  std::vector<Session> sessions_[worker_count];
  std::map<uint64_t, uint64_t> up_received_, checked_;
  uint32_t next_carrier_ = 0;
};

void run(const Chances& chances) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World(seed, chances).run();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(TunnelSim, nothing_goes_wrong) { run({}); }
TEST(TunnelSim, several_requests_under_way) { run({.stalls = 200, .several = true}); }
TEST(TunnelSim, connections_are_lost) { run({.loss = 10, .stalls = 100}); }
TEST(TunnelSim, connections_are_lost_with_several_requests_under_way) {
  run({.loss = 5, .twice = 100, .stalls = 100, .several = true});
}
TEST(TunnelSim, answers_are_lost_in_the_proxy) { run({.loss_behind_us = 100, .twice = 50}); }
TEST(TunnelSim, requests_come_twice) { run({.twice = 400, .stalls = 300}); }
TEST(TunnelSim, peers_vanish_and_workers_close) {
  run({.loss = 10,
       .loss_behind_us = 50,
       .twice = 100,
       .stalls = 100,
       .several = true,
       .ends = true});
}

}  // namespace
}  // namespace penstock::transport

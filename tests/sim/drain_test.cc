#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/log_record.h"
#include "dataplane/worker.h"
#include "penstock/rtmp/initiator.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/sim_engine.h"
#include "tests/sim/zeroed_memory.h"

// A worker that is drained: who is asked to go elsewhere, how long it may take for that, and who is
// let go without.
namespace penstock::sim {
namespace {

constexpr uint32_t connections_max = 32;
constexpr uint64_t frame_memory_bytes = 64U << 20;
constexpr uint8_t video = 9;
const std::string reconnect_request = "NetConnection.Connect.ReconnectRequest";

class Peer {
 public:
  Peer(SimNetwork& network, SimEngine& engine, const rtmp::InitiatorSettings& settings)
      : wire_(network.connect(engine)), initiator_(settings, 1), publishes_(settings.publish) {}

  void step(uint32_t timestamp) {
    if (publishes_ && initiator_.started() && !leaves_) {
      const bool key = timestamp % 1000 < 40;
      initiator_.send(video, timestamp,
                      std::vector<uint8_t>{static_cast<uint8_t>(key ? 0x17 : 0x27), 1, 0, 0, 0, 9});
    }
    const std::vector<uint8_t> out = initiator_.outbox().take();
    unsent_.insert(unsent_.end(), out.begin(), out.end());
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(wire_.write(unsent_)));
    std::vector<uint8_t> in(65536);
    while (const size_t bytes = wire_.read(in)) {
      initiator_.feed(Bytes{in}.first(bytes));
      for (auto event = initiator_.next(); event; event = initiator_.next()) {
        if (std::holds_alternative<rtmp::InputUsed>(*event)) break;
        if (std::holds_alternative<rtmp::MessageReceived>(*event)) ++messages;
        if (const auto* status = std::get_if<rtmp::StatusReceived>(&*event)) {
          if (status->code == reconnect_request) ++asked;
          statuses.emplace_back(status->code);
        }
      }
    }
    if (wire_.at_end() || wire_.was_reset()) gone = true;
  }
  void leave() {
    initiator_.finish();
    leaves_ = true;
  }
  [[nodiscard]] bool started() const { return initiator_.started(); }

  int asked = 0;
  int messages = 0;
  bool gone = false;
  std::vector<std::string> statuses;

 private:
  SimPeer wire_;
  rtmp::Initiator initiator_;
  bool publishes_;
  bool leaves_ = false;
  std::vector<uint8_t> unsent_;
};

class Drain : public testing::Test {
 protected:
  Drain() {
    state_.epoch = 1;
    state_.tunables = control::tunable_defaults();
    state_.keys_hash = control::fnv1a({});
    region_.wanted().state.write(state_);
    worker_ = std::make_unique<dataplane::Worker>(
        dataplane::WorkerParts{.engine = &engine_,
                               .engines = {&engine_},
                               .mesh = &mesh_,
                               .region = region_,
                               .log = &log_,
                               .frame_memory = {frame_memory_.get(), frame_memory_bytes},
                               .random_seed = 1,
                               .unix_minus_monotonic_ms = 1'700'000'000'000},
        network_.now());
  }

  Peer& join(const std::string& name, bool publish, bool reconnects) {
    const rtmp::InitiatorSettings settings{.publish = publish,
                                           .app = "live",
                                           .name = name,
                                           .tc_url = "rtmp://sim/live",
                                           .enhanced = reconnects,
                                           .reconnects = reconnects};
    peers_.push_back(std::make_unique<Peer>(network_, engine_, settings));
    run_s(1);
    EXPECT_TRUE(peers_.back()->started());
    return *peers_.back();
  }
  void drain(bool on, std::string_view to = {}) {
    ++state_.epoch;
    state_.draining = on ? 1 : 0;
    state_.drain_to.set(to);
    region_.wanted().state.write(state_);
  }
  void run_s(uint64_t seconds) {
    for (uint64_t ms = 0; ms < seconds * 1000; ms += 20) {
      at_ += 20;
      network_.advance_to(network_.now().after_ms(20));
      for (auto& peer : peers_) peer->step(at_);
      worker_->wait(network_.now());
      worker_->tick(network_.now());
      dataplane::LogRecord records[64];
      while (log_.pop(records) > 0) {
      }
    }
  }

  SimNetwork network_{1, {}};
  control::RegionPlan plan_{1, connections_max, connections_max};
  ZeroedMemory region_memory_ = zeroed_memory(plan_.region_bytes());
  ZeroedMemory frame_memory_ = zeroed_memory(frame_memory_bytes);
  control::Region region_{region_memory_.get(), plan_};
  dataplane::Mesh mesh_{1};
  dataplane::LogRing log_;
  SimEngine engine_{network_, connections_max, ClockMode::caller_advances};
  control::WantedState state_;
  std::unique_ptr<dataplane::Worker> worker_;
  std::vector<std::unique_ptr<Peer>> peers_;
  uint32_t at_ = 0;
};

TEST_F(Drain, publisher_that_can_reconnect_is_asked_and_has_time_for_it) {
  Peer& publisher = join("a", true, true);
  Peer& player = join("a", false, false);
  drain(true);
  run_s(2);
  EXPECT_EQ(publisher.asked, 1);
  EXPECT_FALSE(publisher.gone);
  const int before = player.messages;
  run_s(25);
  EXPECT_FALSE(publisher.gone);
  EXPECT_GE(player.messages, before + 1000) << "what it sends meanwhile is relayed";
  EXPECT_EQ(publisher.asked, 1) << "once";
  run_s(8);
  EXPECT_TRUE(publisher.gone);
  EXPECT_EQ(publisher.statuses.back(), "NetStream.Publish.Denied");
}

TEST_F(Drain, publisher_that_goes_by_itself_is_told_nothing_more) {
  Peer& publisher = join("a", true, true);
  drain(true, "rtmp://other.example");
  run_s(2);
  EXPECT_EQ(publisher.asked, 1);
  publisher.leave();
  run_s(2);
  EXPECT_EQ(publisher.statuses, std::vector<std::string>{reconnect_request});
}

TEST_F(Drain, who_cannot_reconnect_is_closed_at_once) {
  Peer& with = join("a", true, true);
  Peer& without = join("b", true, false);
  drain(true);
  run_s(3);
  EXPECT_EQ(without.asked, 0);
  EXPECT_TRUE(without.gone);
  EXPECT_FALSE(with.gone);
}

TEST_F(Drain, player_is_asked_and_never_closed_while_it_watches) {
  Peer& publisher = join("a", true, true);
  Peer& player = join("a", false, true);
  drain(true);
  run_s(3);
  EXPECT_EQ(player.asked, 1);
  run_s(24);
  EXPECT_FALSE(player.gone);
  run_s(10);
  EXPECT_TRUE(publisher.gone);
  run_s(5);
  EXPECT_TRUE(player.gone) << "nobody publishes what it waits for";
}

TEST_F(Drain, many_are_asked_a_few_at_a_time) {
  for (int i = 0; i < 20; ++i) join(std::to_string(i), true, true);
  drain(true);
  const auto asked = [&] {
    int count = 0;
    for (const auto& peer : peers_) count += peer->asked;
    return count;
  };
  int most = 0;
  for (int before = 0; before < 20;) {
    drain(true);  // repeating it is harmless
    at_ += 20;
    network_.advance_to(network_.now().after_ms(20));
    for (auto& peer : peers_) peer->step(at_);
    worker_->wait(network_.now());
    worker_->tick(network_.now());
    const int now = asked();
    most = std::max(most, now - before);
    before = now;
    ASSERT_LT(at_, 60'000U);
  }
  EXPECT_LE(most, 2) << "in 20 ms";
}

TEST_F(Drain, another_drain_asks_again_and_so_does_another_target) {
  Peer& publisher = join("a", true, true);
  drain(true);
  run_s(2);
  drain(false);
  run_s(2);
  EXPECT_EQ(publisher.asked, 1);
  drain(true);
  run_s(2);
  EXPECT_EQ(publisher.asked, 2);
  run_s(20);
  drain(true, "rtmp://other.example");
  run_s(20);
  EXPECT_EQ(publisher.asked, 3);
  EXPECT_FALSE(publisher.gone) << "its time begins again";
}

}  // namespace
}  // namespace penstock::sim

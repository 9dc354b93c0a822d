#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/log_record.h"
#include "dataplane/worker.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/peers.h"
#include "tests/sim/sim_engine.h"
#include "tests/sim/zeroed_memory.h"

// Worker 0 publishes, worker 1 plays, and some players there are too slow: what they hold of worker
// 0's frames must leave enough to the streams of others.
namespace penstock::sim {
namespace {

using control::Counter;
using control::Tunable;
using dataplane::WorkerId;

constexpr uint32_t connections_max = 32;
constexpr uint64_t frame_memory_bytes = 128U << 20;
constexpr uint64_t step_ms = 5;

class Leases : public testing::Test {
 protected:
  Leases() {
    control::TunableValues values = control::tunable_defaults();
    values[static_cast<size_t>(Tunable::gop_bytes)] = 0;
    // Out of the way: it is the number of frames that must hold slow players back.
    values[static_cast<size_t>(Tunable::subscriber_queue_bytes)] = 256U << 20;
    SimControl(region_, ControlMode::absent, 1).write_state(values);
    for (WorkerId id = 0; id < 2; ++id) {
      engines_.push_back(
          std::make_unique<SimEngine>(network_, connections_max, ClockMode::caller_advances));
    }
    for (WorkerId id = 0; id < 2; ++id) {
      logs_.push_back(std::make_unique<dataplane::LogRing>());
      frame_memory_.push_back(zeroed_memory(frame_memory_bytes));
      const dataplane::WorkerParts parts{
          .id = id,
          .engine = engines_[id].get(),
          .engines = {engines_[0].get(), engines_[1].get()},
          .mesh = &mesh_,
          .region = region_,
          .log = logs_[id].get(),
          .frame_memory = {frame_memory_[id].get(), frame_memory_bytes},
          .random_seed = id + 1,
          .unix_minus_monotonic_ms = 1'700'000'000'000};
      workers_.push_back(std::make_unique<dataplane::Worker>(parts, network_.now()));
    }
  }

  void publish(const std::string& name) {
    publishers_.push_back(std::make_unique<SimPublisher>(
        network_, network_.connect(*engines_[0]),
        rtmp::InitiatorSettings{.app = "live", .name = name, .tc_url = "rtmp://sim/live"},
        publishers_.size() + 1, oracle_, UINT32_MAX, PublisherEnding::orderly));
  }
  SimPlayer& play(const std::string& name, PlayerSpeed speed) {
    players_.push_back(std::make_unique<SimPlayer>(
        network_, network_.connect(*engines_[1]),
        rtmp::InitiatorSettings{
            .publish = false, .app = "live", .name = name, .tc_url = "rtmp://sim/live"},
        players_.size() + 1, oracle_, speed));
    return *players_.back();
  }

  /// Slow players read up to 600 bytes twice a second: enough not to be dropped as stalled.
  void run_s(uint64_t seconds) {
    for (const Instant end = network_.now().after_ms(seconds * 1000); network_.now() < end;) {
      network_.advance_to(network_.now().after_ms(step_ms));
      ++steps_;
      for (auto& publisher : publishers_) publisher->step();
      for (auto& player : players_) {
        const bool reads = player->speed() == PlayerSpeed::fast || player->got().empty();
        if (reads || steps_ % (500 / step_ms) == 0) player->step();
      }
      for (WorkerId id = 0; id < 2; ++id) {
        workers_[id]->wait(network_.now());
        workers_[id]->tick(network_.now());
        leases_out_most_ = std::max(leases_out_most_, workers_[id]->leases_out());
        dataplane::LogRecord records[16];
        while (logs_[id]->pop(records) > 0) {
        }
      }
    }
  }
  [[nodiscard]] uint64_t counted(WorkerId worker, Counter counter) {
    return region_.worker(worker).counters[static_cast<size_t>(counter)].get();
  }
  static void expect_no_gap(const SimPlayer& player, uint32_t messages_min) {
    ASSERT_EQ(player.got().size(), 1U);
    const SimPlayer::Got& got = player.got().begin()->second;
    EXPECT_EQ(got.count, got.last - got.first + 1);
    EXPECT_GT(got.count, messages_min);
  }

  Oracle oracle_;
  SimNetwork network_{1, {}};
  control::RegionPlan plan_{2, connections_max, connections_max};
  ZeroedMemory region_memory_ = zeroed_memory(plan_.region_bytes());
  std::vector<ZeroedMemory> frame_memory_;
  control::Region region_{region_memory_.get(), plan_};
  dataplane::Mesh mesh_{2};
  std::vector<std::unique_ptr<SimEngine>> engines_;
  std::vector<std::unique_ptr<dataplane::LogRing>> logs_;
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  std::vector<std::unique_ptr<SimPublisher>> publishers_;
  std::vector<std::unique_ptr<SimPlayer>> players_;
  uint64_t leases_out_most_ = 0;
  uint64_t steps_ = 0;
};

// 100 messages/s for 240 s are 24,000: without a bound of its own, the slow one would hold all
// 16,384 leases after 164 s.
TEST_F(Leases, one_slow_player_holds_no_more_than_its_share) {
  publish("watched");
  publish("lagged");
  const SimPlayer& fast = play("watched", PlayerSpeed::fast);
  play("lagged", PlayerSpeed::slow);
  run_s(240);
  EXPECT_TRUE(oracle_.failures.empty()) << oracle_.failures[0];
  expect_no_gap(fast, 23'000);
  EXPECT_EQ(counted(0, Counter::leases_dropped), 0U);
  EXPECT_GT(counted(1, Counter::subscribers_skipped), 1U);
  EXPECT_GT(leases_out_most_, mesh_.leases_per_subscriber_max());
  EXPECT_LT(leases_out_most_, mesh_.leases_per_subscriber_max() + 200);
}

// Eight of them reach three quarters of the leases with 1536 frames each, after 16 s, and all of
// them after 21 s.
TEST_F(Leases, many_slow_players_are_asked_to_let_go_before_there_are_none_left) {
  publish("watched");
  const SimPlayer& fast = play("watched", PlayerSpeed::fast);
  for (int i = 0; i < 8; ++i) {
    publish("lagged" + std::to_string(i));
    play("lagged" + std::to_string(i), PlayerSpeed::slow);
  }
  run_s(60);
  EXPECT_TRUE(oracle_.failures.empty()) << oracle_.failures[0];
  expect_no_gap(fast, 5'500);
  EXPECT_EQ(counted(0, Counter::leases_dropped), 0U);
  EXPECT_GT(counted(1, Counter::subscribers_skipped), 1U);
  // One at a time: each that is asked gives back some 1500, and none is asked for nothing.
  EXPECT_LT(counted(1, Counter::subscribers_skipped), 30U);
  EXPECT_LT(leases_out_most_, mesh_.leases_shed_at() + 200);
}

}  // namespace
}  // namespace penstock::sim

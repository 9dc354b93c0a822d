#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/log_record.h"
#include "dataplane/worker.h"
#include "penstock/rtmp/initiator.h"
#include "tests/sim/sim_engine.h"
#include "tests/sim/zeroed_memory.h"

// A worker whose lists of keys and users change: what holds meanwhile, and from when on.
namespace penstock::sim {
namespace {

constexpr uint32_t connections_max = 32;
constexpr uint64_t frame_memory_bytes = 64U << 20;
const std::string bob = "bob\tsalt\tadobe\tllnw\n";

class Admission : public testing::Test {
 protected:
  Admission() {
    state_.tunables = control::tunable_defaults();
    state_.admission = control::AdmissionMode::keys;
    want("live/a\n", "");
    offer("live/a\n", "");
    worker_ = std::make_unique<dataplane::Worker>(
        dataplane::WorkerParts{.engine = &engine_,
                               .engines = {&engine_},
                               .mesh = &mesh_,
                               .region = region_,
                               .log = &log_,
                               .frame_memory = {frame_memory_.get(), frame_memory_bytes},
                               .admission = &feed_,
                               .random_seed = 1},
        network_.now());
  }

  /// What a control plane writes.
  void want(const std::string& keys, const std::string& users) {
    ++state_.epoch;
    state_.keys_bytes = static_cast<uint32_t>(keys.size());
    state_.keys_hash = control::fnv1a(keys);
    state_.users_bytes = static_cast<uint32_t>(users.size());
    state_.users_hash = control::fnv1a(users);
    region_.wanted().state.write(state_);
  }
  /// What main makes of it.
  void offer(const std::string& keys, const std::string& users) {
    control::WantedState of = state_;
    of.keys_bytes = static_cast<uint32_t>(keys.size());
    of.keys_hash = control::fnv1a(keys);
    of.users_bytes = static_cast<uint32_t>(users.size());
    of.users_hash = control::fnv1a(users);
    feed_.offer(std::make_shared<const dataplane::AdmissionLists>(of, keys, users));
  }

  bool may_publish(const std::string& name) {
    SimPeer wire = network_.connect(engine_);
    rtmp::Initiator initiator(
        {.publish = true, .app = "live", .name = name, .tc_url = "rtmp://sim/live"}, 1);
    for (int i = 0; i < 50 && !initiator.started(); ++i) {
      static_cast<void>(wire.write(initiator.outbox().take()));
      turn();
      std::vector<uint8_t> in(65536);
      while (const size_t bytes = wire.read(in)) {
        initiator.feed(Bytes{in}.first(bytes));
        for (auto event = initiator.next(); event; event = initiator.next()) {
          if (std::holds_alternative<rtmp::InputUsed>(*event)) break;
        }
      }
    }
    wire.reset();
    turn();
    return initiator.started();
  }
  void turn() {
    network_.advance_to(network_.now().after_ms(20));
    worker_->wait(network_.now());
    worker_->tick(network_.now());
    dataplane::LogRecord records[64];
    while (log_.pop(records) > 0) {
    }
  }
  [[nodiscard]] uint64_t applied() { return region_.worker(0).applied_epoch.observe(); }

  SimNetwork network_{1, {}};
  control::RegionPlan plan_{1, connections_max, connections_max};
  ZeroedMemory region_memory_ = zeroed_memory(plan_.region_bytes());
  ZeroedMemory frame_memory_ = zeroed_memory(frame_memory_bytes);
  control::Region region_{region_memory_.get(), plan_};
  dataplane::Mesh mesh_{1};
  dataplane::LogRing log_;
  SimEngine engine_{network_, connections_max, ClockMode::caller_advances};
  control::WantedState state_;
  dataplane::AdmissionFeed feed_;
  std::unique_ptr<dataplane::Worker> worker_;
};

TEST_F(Admission,
       a_state_is_applied_when_both_of_its_lists_are_there_and_before_then_nothing_of_it) {
  EXPECT_EQ(applied(), 1U);
  EXPECT_TRUE(may_publish("a"));
  EXPECT_FALSE(may_publish("b"));
  want("live/b\n", bob);
  turn();
  EXPECT_EQ(applied(), 1U);
  offer("live/b\n", "");
  turn();
  EXPECT_EQ(applied(), 1U) << "its users are missing";
  EXPECT_TRUE(may_publish("a"));
  EXPECT_FALSE(may_publish("b")) << "keys of a state that is not applied";
  offer("live/b\n", bob);
  turn();
  EXPECT_EQ(applied(), 2U);
  EXPECT_FALSE(may_publish("a"));
  EXPECT_TRUE(may_publish("b"));
}

TEST_F(Admission, other_changes_wait_for_no_list) {
  state_.tunables[static_cast<size_t>(control::Tunable::gop_bytes)] = 0;
  want("live/a\n", "");
  turn();
  EXPECT_EQ(applied(), 2U);
}

}  // namespace
}  // namespace penstock::sim

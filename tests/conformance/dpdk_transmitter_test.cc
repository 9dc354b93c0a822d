#include <gtest/gtest.h>

#include "dataplane/engine/dpdk/crossings.h"
#include "dataplane/engine/dpdk/environment.h"
#include "dataplane/engine/dpdk/transmitter.h"
#include "penstock/config/dpdk.h"
#include "tests/conformance/dpdk_lab.h"
#include "tests/conformance/world.h"

// What is kept for the device, without one.
namespace penstock::engine {
namespace {

PoolPlan plan_of(uint32_t workers, uint32_t memory_mb) {
  PoolPlan plan;
  plan.memory_mb = memory_mb;
  plan.workers = workers;
  plan.receive_descriptors = plan.send_descriptors = 1024;
  return plan;
}

tcp::PacketOut packet_of(const std::vector<uint8_t>& payload) {
  tcp::PacketOut packet;
  packet.header.fill(7);
  packet.header_bytes = 54;
  packet.payload_bytes = static_cast<uint16_t>(payload.size());
  packet.slice_count = 1;
  packet.slices[0] = payload;
  return packet;
}

class DpdkMemory : public testing::Test {
 protected:
  void SetUp() override {
    // It starts DPDK's environment, which a process can do once only, as all tests have it.
    if (const std::string why = conformance::missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  }
};

TEST_F(DpdkMemory, what_waits_and_points_at_the_callers_bytes_can_be_dropped) {
  auto pools = PacketPools::make("transmitter", plan_of(1, 32));
  ASSERT_TRUE(pools) << pools.error();
  EngineCounters counters;
  // No device is asked before flush().
  Transmitter transmitter({.port = 0, .queue = 0, .takes_slices = true}, **pools, counters);
  auto large = std::make_unique<std::vector<uint8_t>>(1000, uint8_t{1});
  transmitter.add(packet_of(*large));
  EXPECT_EQ(counters.slices_by_reference, 1U);
  EXPECT_EQ(transmitter.transmitted(), 0U);
  transmitter.forget_slices();
  large.reset();
  EXPECT_FALSE(transmitter.waits());
  EXPECT_EQ(transmitter.transmitted(), 1U);
  // What was copied is nobody's.
  transmitter.add(packet_of(std::vector<uint8_t>(100, uint8_t{2})));
  transmitter.forget_slices();
  EXPECT_TRUE(transmitter.waits());
}

/// What the refusal of a plan with next to nothing says.
uint32_t least_memory_mb(uint32_t workers) {
  const auto sizes = pool_sizes(plan_of(workers, 1));
  EXPECT_FALSE(sizes);
  const std::string error = sizes ? "" : sizes.error();
  EXPECT_TRUE(error.starts_with("dpdk.memory_mb is too small: " + std::to_string(workers)))
      << error;
  return static_cast<uint32_t>(std::stoul(error.substr(error.rfind(' '))));
}

TEST_F(DpdkMemory, pools_are_made_where_it_is_scarce) {
  for (const uint32_t workers : {1U, 4U}) {
    const auto scarce = PacketPools::make("scarce", plan_of(workers, least_memory_mb(workers)));
    EXPECT_TRUE(scarce) << scarce.error();
  }
  const auto alone = PacketPools::make("alone", plan_of(1, 24));
  ASSERT_TRUE(alone) << alone.error();
  EXPECT_EQ((*alone)->sizes.cache, 256U);
}

TEST(DpdkMemoryPlan, the_default_does_for_any_number_of_workers) {
  for (uint32_t workers = 1; workers <= Crossings::workers_max; ++workers) {
    const PoolPlan plan = plan_of(workers, config::DpdkConfig{}.memory_mb);
    const auto sizes = pool_sizes(plan);
    ASSERT_TRUE(sizes) << workers << ": " << sizes.error();
    // Whatever caches keep, each device's queues and the stack have theirs.
    const uint32_t needed = 2u * plan.receive_descriptors + plan.send_descriptors;
    EXPECT_GE(sizes->packets, needed + sizes->cached_max) << workers;
    EXPECT_GT(sizes->cache, 0U) << workers;
    if (workers <= 16) {
      EXPECT_EQ(sizes->cache, 256U) << workers;
    }
  }
}

TEST(DpdkMemoryPlan, a_refusal_names_what_would_be_accepted) {
  for (const uint32_t workers : {1U, 2U, 7U, 24U, 32U, 61U}) {
    const uint32_t least = least_memory_mb(workers);
    EXPECT_TRUE(pool_sizes(plan_of(workers, least))) << workers;
    EXPECT_FALSE(pool_sizes(plan_of(workers, least - 1))) << workers;
  }
}

}  // namespace
}  // namespace penstock::engine

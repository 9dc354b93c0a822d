#include <gtest/gtest.h>

#include "dataplane/engine/dpdk/environment.h"
#include "dataplane/engine/dpdk/transmitter.h"
#include "tests/conformance/dpdk_lab.h"
#include "tests/conformance/world.h"

// What is kept for the device, without one.
namespace penstock::engine {
namespace {

PoolPlan plan_of(uint32_t workers, uint64_t mib) {
  PoolPlan plan;
  plan.bytes = mib << 20;
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

TEST_F(DpdkMemory, what_each_worker_keeps_of_packets_is_counted) {
  const auto alone = PacketPools::make("alone", plan_of(1, 20));
  EXPECT_TRUE(alone) << alone.error();
  const auto many = PacketPools::make("many", plan_of(16, 20));
  ASSERT_FALSE(many);
  EXPECT_TRUE(many.error().starts_with("dpdk.memory_mb is too small: each worker needs at least "))
      << many.error();
}

}  // namespace
}  // namespace penstock::engine

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/unit/tcp/two_ends.h"

namespace penstock::engine::tcp {
namespace {

EndOptions sends(uint64_t bytes) {
  EndOptions options;
  options.stack = small_stack();
  options.send_bytes = bytes;
  return options;
}

void expect_whole(TwoEnds& ends) {
  for (End* end : {&ends.active_, &ends.passive_}) {
    const char* name = end == &ends.active_ ? "active" : "passive";
    const End& other = end == &ends.active_ ? ends.passive_ : ends.active_;
    EXPECT_TRUE(end->closed_) << name;
    EXPECT_FALSE(end->wrong_bytes_) << name;
    EXPECT_EQ(end->wrong_segment_, "") << name;
    EXPECT_EQ(end->received_, other.options_.send_bytes) << name;
    EXPECT_EQ(end->reported_sent_, end->options_.send_bytes) << name;
    EXPECT_EQ(end->reason_, EndReason::ours) << name;
    EXPECT_EQ(end->leaks(), "") << name;
  }
}

TEST(ConnectionTest, bytes_go_both_ways_and_both_ends_close) {
  TwoEnds ends(1, sends(100'000), sends(50'000), {}, {});
  EXPECT_TRUE(ends.run(60 * ns_per_s));
  expect_whole(ends);
  EXPECT_EQ(ends.active_.counters_.segments_retransmitted, 0u);
  EXPECT_EQ(ends.passive_.counters_.segments_retransmitted, 0u);
}

/// Everything at random, from one number.
void run_seed(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Prng prng(seed);
  const auto link = [&] {
    LinkOptions options;
    options.delay_ns = 100 * ns_per_us + prng.below(80) * ns_per_ms;
    if (prng.chance(500)) options.jitter_ns = prng.below(30) * ns_per_ms;
    if (prng.chance(600)) options.loss_per_10000 = static_cast<uint32_t>(prng.below(1500));
    if (prng.chance(300)) options.duplicates_per_10000 = static_cast<uint32_t>(prng.below(1000));
    if (prng.chance(300)) {
      options.bytes_per_s = 50'000 + prng.below(2'000'000);
      options.queue_bytes = 5'000 + prng.below(200'000);
      if (prng.chance(300)) options.mark_above_bytes = options.queue_bytes / 3;
    }
    return options;
  };
  const auto end = [&] {
    EndOptions options = sends(prng.below(prng.chance(200) ? 400'000 : 60'000));
    options.write_bytes_max = 1 + options.send_bytes / 200 + prng.below(30'000);
    if (prng.chance(200)) options.pauses_per_1000 = static_cast<uint32_t>(prng.below(200));
    if (prng.chance(200)) options.low_water_max = 1 + static_cast<uint32_t>(prng.below(30'000));
    if (prng.chance(300)) options.device_delay_ns = prng.below(20) * ns_per_ms;
    options.sack = prng.chance(850);
    options.timestamps = prng.chance(850);
    options.scaling = prng.chance(900);
    options.stack.ecn = prng.chance(500);
    options.stack.congestion = prng.chance(700) ? "cubic" : "reno";
    if (prng.chance(200))
      options.stack.held_packets_max = 8 + static_cast<uint32_t>(prng.below(30));
    if (prng.chance(200)) options.stack.receive_blocks = static_cast<uint32_t>(prng.below(20));
    if (prng.chance(200))
      options.stack.sent_segments_max = 2 + static_cast<uint32_t>(prng.below(20));
    if (prng.chance(200)) options.stack.out_of_order_bytes_max = 8192;
    return options;
  };
  const EndOptions active = end();
  const EndOptions passive = end();
  const LinkOptions there = link();
  const LinkOptions back = link();
  TwoEnds ends(seed, active, passive, there, back, prng.chance(100));
  EXPECT_TRUE(ends.run(1800 * ns_per_s));
  expect_whole(ends);
}

TEST(ConnectionTest, bytes_in_are_bytes_out_over_any_network) {
  // PENSTOCK_TCP_SEED=N runs that one, and PENSTOCK_TCP_SEEDS=N so many.
  const char* one = std::getenv("PENSTOCK_TCP_SEED");
  const char* many = std::getenv("PENSTOCK_TCP_SEEDS");
  const uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  const uint64_t count = one != nullptr    ? 1
                         : many != nullptr ? std::strtoull(many, nullptr, 10)
                                           : 400;
  for (uint64_t seed = first; seed < first + count && !HasFailure(); ++seed) run_seed(seed);
}

}  // namespace
}  // namespace penstock::engine::tcp

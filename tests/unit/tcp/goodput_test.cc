#include <gtest/gtest.h>

#include "tests/unit/tcp/two_ends.h"

namespace penstock::engine::tcp {
namespace {

EndOptions big(uint64_t bytes) {
  EndOptions options;
  options.stack = small_stack();
  options.stack.held_packets_max = 4096;
  options.stack.receive_blocks = 4096;
  options.send_bytes = bytes;
  options.write_bytes_max = 400'000;
  return options;
}

/// Mbit/s that arrive within `seconds`.
double goodput(const EndOptions& sender, const LinkOptions& there, const LinkOptions& back,
               uint64_t seconds, uint64_t seed) {
  TwoEnds ends(seed, sender, big(0), there, back);
  ends.run_until([] { return false; }, seconds * ns_per_s);
  EXPECT_FALSE(ends.passive_.wrong_bytes_);
  return static_cast<double>(ends.passive_.received_) * 8 / 1e6 / static_cast<double>(seconds);
}

TEST(GoodputTest, one_percent_of_loss_at_50_ms) {
  // Mathis: 1.22 * 1448 B / (50 ms * sqrt(0.01)) is 2.8 Mbit/s for Reno, and CUBIC's Reno-friendly
  // region has the same on average.
  for (const char* name : {"cubic", "reno"}) {
    EndOptions sender = big(UINT64_C(1) << 40);
    sender.stack.congestion = name;
    const LinkOptions there{.delay_ns = 25 * ns_per_ms, .loss_per_10000 = 100};
    const LinkOptions back{.delay_ns = 25 * ns_per_ms};
    double sum = 0;
    for (uint64_t seed = 1; seed <= 4; ++seed) sum += goodput(sender, there, back, 60, seed);
    EXPECT_GT(sum / 4, 2.4);
  }
}

TEST(GoodputTest, a_clean_long_path_is_filled) {
  for (const uint64_t bytes_per_s : {1'250'000, 12'500'000}) {
    const LinkOptions there{
        .delay_ns = 50 * ns_per_ms, .bytes_per_s = bytes_per_s, .queue_bytes = bytes_per_s / 10};
    const LinkOptions back{.delay_ns = 50 * ns_per_ms};
    const double mbits = goodput(big(UINT64_C(1) << 40), there, back, 30, 1);
    EXPECT_GT(mbits, 0.85 * static_cast<double>(bytes_per_s) * 8 / 1e6);
  }
}

TEST(GoodputTest, six_megabits_over_200_ms_do_not_fall_behind) {
  EndOptions sender = big(6'000'000 / 8 * 60);
  sender.bytes_per_s = 6'000'000 / 8;
  const LinkOptions link{.delay_ns = 100 * ns_per_ms};
  TwoEnds ends(1, sender, big(0), link, link);
  ends.run_until([&] { return ends.active_.written_ > 6'000'000 / 8 * 5; }, 10 * ns_per_s);
  // After the start: what is not acknowledged is one round trip's worth and two frames.
  ends.active_.backlog_max_ = 0;
  EXPECT_TRUE(ends.run_until([&] { return ends.active_.closed_; }, 80 * ns_per_s));
  EXPECT_LT(ends.active_.backlog_max_, 6'000'000u / 8 / 5 + 3 * 25'000u);
  EXPECT_EQ(ends.passive_.received_, 6'000'000u / 8 * 60);
}

}  // namespace
}  // namespace penstock::engine::tcp

#include "bench/load/stall.h"

#include <gtest/gtest.h>

namespace penstock::load {
namespace {

Instant at_ms(uint64_t ms) { return Instant{}.after_ms(ms); }

constexpr uint64_t limit_ns = 1000 * ns_per_ms;

TEST(Stall, the_limit_follows_a_short_window_and_slow_media) {
  EXPECT_EQ(stall_limit_ns(10 * ns_per_s, 34), ns_per_s);
  EXPECT_EQ(stall_limit_ns(ns_per_s, 34), ns_per_s / 2);
  EXPECT_EQ(stall_limit_ns(0, 34), 68 * ns_per_ms);
  EXPECT_EQ(stall_limit_ns(10 * ns_per_s, 1000), 2 * ns_per_s);
}

TEST(Stall, what_was_sent_and_has_not_come_for_long) {
  const Flow flow{.live_since = at_ms(10),
                  .last_received_at = at_ms(5000),
                  .may_read_at = {},
                  .last_sent_at = at_ms(6900)};
  EXPECT_EQ(stalled_since(flow, at_ms(7000), limit_ns), at_ms(5000));
  EXPECT_EQ(stalled_since(flow, at_ms(6000), limit_ns), Instant::never());
}

TEST(Stall, nothing_sent_is_nothing_missed_but_what_is_not_taken_is) {
  Flow flow{.live_since = at_ms(10),
            .last_received_at = at_ms(5000),
            .may_read_at = {},
            .last_sent_at = at_ms(4999)};
  EXPECT_EQ(stalled_since(flow, at_ms(9000), limit_ns), Instant::never());
  flow.blocked = true;
  EXPECT_EQ(stalled_since(flow, at_ms(9000), limit_ns), at_ms(5000));
}

TEST(Stall, who_came_late_or_reads_slowly_does_not_wait_yet) {
  Flow flow{.live_since = at_ms(8500),
            .last_received_at = at_ms(5000),
            .may_read_at = {},
            .last_sent_at = at_ms(8990)};
  EXPECT_EQ(stalled_since(flow, at_ms(9000), limit_ns), Instant::never());
  flow.live_since = at_ms(10);
  flow.may_read_at = at_ms(9500);
  EXPECT_EQ(stalled_since(flow, at_ms(9000), limit_ns), Instant::never());
}

TEST(Stall, every_missing_message_counts_with_its_age) {
  Histogram latency;
  const Flow flow{.live_since = {},
                  .last_received_at = at_ms(1000),
                  .may_read_at = {},
                  .last_sent_at = at_ms(2990)};
  age_missing(latency, flow, at_ms(1000), at_ms(3000), 10 * ns_per_ms);
  EXPECT_EQ(latency.total(), 200u);
  EXPECT_EQ(latency.max_ns(), 2 * ns_per_s);
  EXPECT_NEAR(static_cast<double>(latency.at_share_ns(0.5)), 1e9, 2e7);
}

TEST(Stall, a_player_of_a_blocked_publisher_counts_once) {
  Histogram latency;
  age_missing(latency, Flow{.blocked = true}, at_ms(1000), at_ms(3000), 10 * ns_per_ms);
  EXPECT_EQ(latency.total(), 1u);
}

}  // namespace
}  // namespace penstock::load

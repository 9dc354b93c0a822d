#include <gtest/gtest.h>

#include <cmath>

#include "dataplane/engine/tcp/congestion.h"
#include "dataplane/engine/tcp/rtt.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint32_t segment = 1000;

TEST(rtt, the_first_sample_counts_whole) {
  RttEstimator rtt;
  EXPECT_FALSE(rtt.known());
  EXPECT_EQ(rtt.timeout_ns(), ns_per_s);
  rtt.sample(400 * ns_per_ms);
  EXPECT_EQ(rtt.smoothed_ns(), 400 * ns_per_ms);
  EXPECT_EQ(rtt.timeout_ns(), (400 + 4 * 200) * ns_per_ms);
}

TEST(rtt, later_ones_by_an_eighth_and_a_quarter) {
  RttEstimator rtt;
  rtt.sample(400 * ns_per_ms);
  rtt.sample(800 * ns_per_ms);
  EXPECT_EQ(rtt.smoothed_ns(), 450 * ns_per_ms);
  // 3/4 * 200 + 1/4 * |400 - 800|
  EXPECT_EQ(rtt.timeout_ns(), (450 + 4 * 250) * ns_per_ms);
  EXPECT_EQ(rtt.min_ns(), 400 * ns_per_ms);
  EXPECT_EQ(rtt.latest_ns(), 800 * ns_per_ms);
}

TEST(rtt, a_steady_path_waits_200_ms_beyond_its_round_trip) {
  RttEstimator rtt;
  for (int i = 0; i < 200; ++i) rtt.sample(50 * ns_per_ms);
  EXPECT_NEAR(static_cast<double>(rtt.timeout_ns()), 250e6, 1e3);
}

TEST(rtt, has_bounds_whatever_is_measured) {
  RttEstimator rtt;
  rtt.sample(0);
  EXPECT_TRUE(rtt.known());
  EXPECT_GE(rtt.timeout_ns(), RttEstimator::timeout_min_ns);
  for (int i = 0; i < 100; ++i) rtt.sample(UINT64_MAX);
  EXPECT_EQ(rtt.timeout_ns(), RttEstimator::timeout_max_ns);
}

TEST(congestion, begins_with_ten_segments_or_14600_bytes) {
  const struct {
    uint32_t segment_bytes, window;
  } rows[] = {{536, 5360}, {1460, 14600}, {1448, 14480}, {2190, 14600}, {8948, 17896}};
  for (const auto& row : rows) {
    EXPECT_EQ(initial_congestion_window(row.segment_bytes), row.window) << row.segment_bytes;
  }
}

TEST(congestion, is_found_by_its_name) {
  EXPECT_EQ(find_congestion_control("cubic"), &cubic);
  EXPECT_EQ(find_congestion_control("reno"), &new_reno);
  EXPECT_EQ(find_congestion_control("vegas"), nullptr);
}

class EachControl : public testing::TestWithParam<const CongestionControl*> {
 protected:
  /// So many round trips in which a whole window is acknowledged, an ACK for two segments each.
  void round_trips(int count) {
    for (int i = 0; i < count; ++i) {
      now_ = now_.after_ns(rtt_ns);
      for (uint32_t left = state_.window; left >= 2 * segment; left -= 2 * segment) {
        GetParam()->acknowledged(state_, {2 * segment, rtt_ns, now_});
      }
    }
  }
  static constexpr uint64_t rtt_ns = 50 * ns_per_ms;
  CongestionState state_;
  Instant now_{ns_per_s};

  void SetUp() override { start_congestion(state_, segment); }
};

TEST_P(EachControl, doubles_each_round_trip_until_the_threshold) {
  state_.threshold = 40 * segment;
  round_trips(1);
  EXPECT_EQ(state_.window, 20 * segment);
  round_trips(1);
  EXPECT_EQ(state_.window, 40 * segment);
  round_trips(1);
  EXPECT_LE(state_.window, 43 * segment);
  EXPECT_GT(state_.window, 40 * segment);
}

TEST_P(EachControl, one_ack_for_much_grows_by_what_was_acknowledged_and_no_more) {
  GetParam()->acknowledged(state_, {7 * segment, rtt_ns, now_});
  EXPECT_EQ(state_.window, 17 * segment);
  state_.threshold = state_.window;
  // After a pause of a minute: the curve is far above.
  GetParam()->acknowledged(state_, {segment, rtt_ns, now_});
  const uint32_t before = state_.window;
  GetParam()->acknowledged(state_, {segment, rtt_ns, now_.after_ns(60 * ns_per_s)});
  EXPECT_LE(state_.window, before + segment);
}

TEST_P(EachControl, a_loss_costs_more_than_a_mark) {
  state_.window = 100 * segment;
  CongestionState marked = state_;
  GetParam()->reduce(state_, false);
  GetParam()->reduce(marked, true);
  EXPECT_LT(state_.threshold, marked.threshold);
  EXPECT_LT(marked.threshold, 100 * segment);
  EXPECT_GE(state_.threshold, 50 * segment);
}

TEST_P(EachControl, never_goes_below_two_segments) {
  state_.window = segment;
  for (int i = 0; i < 5; ++i) GetParam()->reduce(state_, i % 2 == 0);
  EXPECT_EQ(state_.threshold, 2 * segment);
}

TEST_P(EachControl, never_grows_beyond_what_a_window_can_say) {
  state_.window = CongestionState::window_max - segment;
  for (int i = 0; i < 10; ++i) GetParam()->acknowledged(state_, {1u << 29, rtt_ns, now_});
  EXPECT_EQ(state_.window, CongestionState::window_max);
}

TEST_P(EachControl, what_was_no_loss_is_undone) {
  state_.window = 100 * segment;
  remember_congestion(state_);
  GetParam()->reduce(state_, false);
  state_.window = state_.threshold;
  undo_congestion(state_);
  EXPECT_EQ(state_.window, 100 * segment);
  EXPECT_EQ(state_.threshold, CongestionState::window_max);
}

INSTANTIATE_TEST_SUITE_P(congestion, EachControl, testing::Values(&cubic, &new_reno),
                         [](const auto& which) { return std::string(which.param->name); });

TEST(new_reno, grows_by_one_segment_per_window) {
  CongestionState state;
  start_congestion(state, segment);
  state.window = state.threshold = 20 * segment;
  for (int i = 0; i < 20; ++i) new_reno.acknowledged(state, {segment, 1, {1}});
  EXPECT_EQ(state.window, 21 * segment);
  new_reno.reduce(state, false);
  EXPECT_EQ(state.threshold, 21 * segment / 2);
}

TEST(cubic, keeps_seven_tenths_and_is_back_after_k_seconds) {
  CongestionState state;
  start_congestion(state, segment);
  state.window = 1000 * segment;
  cubic.reduce(state, false);
  EXPECT_EQ(state.threshold, 700 * segment);
  state.window = state.threshold;
  // RFC 9438 (4.2): K = cbrt((1000 - 700) / 0.4) = 9.1 s, at a round trip at which the curve and
  // not Reno decides.
  // Ten segments below the curve is as far from K as they are above.
  const double wanted_s = std::cbrt(300 / 0.4) - std::cbrt(10 / 0.4);
  const uint64_t rtt_ns = 200 * ns_per_ms;
  Instant now{ns_per_s};
  double back_s = 0;
  for (int i = 0; i < 100 && state.window < 990 * segment; ++i) {
    now = now.after_ns(rtt_ns);
    back_s += 0.2;
    for (uint32_t left = state.window; left >= segment; left -= segment) {
      cubic.acknowledged(state, {segment, rtt_ns, now});
    }
  }
  EXPECT_NEAR(back_s, wanted_s, 0.5);
}

TEST(cubic, leaves_room_for_others_when_it_was_not_back_yet) {
  CongestionState state;
  start_congestion(state, segment);
  state.window = 1000 * segment;
  cubic.reduce(state, false);
  EXPECT_FLOAT_EQ(state.cubic_window_max, 1000);
  state.window = 800 * segment;
  cubic.reduce(state, false);
  EXPECT_FLOAT_EQ(state.cubic_window_max, 800 * 0.85f);
}

}  // namespace
}  // namespace penstock::engine::tcp

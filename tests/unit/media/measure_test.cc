#include "penstock/media/measure.h"

#include <gtest/gtest.h>

namespace penstock::media {
namespace {

constexpr Instant at_ms(uint64_t ms) { return Instant{1'000'000'000}.after_ms(ms); }

// Video at 25 fps with a keyframe each second, audio each 20 ms; arrival follows the timestamps.
void run(StreamMeasure& measure, uint32_t first_timestamp, uint32_t ms) {
  for (uint32_t t = 0; t < ms; t += 20) {
    measure.audio(first_timestamp + t, 400, at_ms(t));
    if (t % 40 == 0) measure.video(first_timestamp + t, 5000, t % 1000 == 0, at_ms(t));
  }
}

TEST(StreamMeasure, nothing_before_anything_came) {
  StreamMeasure measure;
  const Measured measured = measure.measured(at_ms(0));
  EXPECT_EQ(measured.video_bits_per_second, 0U);
  EXPECT_EQ(measured.fps_milli, 0U);
  EXPECT_EQ(measured.timestamp_jumps, 0U);
}

TEST(StreamMeasure, steady_stream) {
  StreamMeasure measure;
  run(measure, 0, 10'000);
  const Measured measured = measure.measured(at_ms(10'000));
  EXPECT_NEAR(measured.fps_milli, 25'000, 10);
  EXPECT_NEAR(measured.video_bits_per_second, 1'000'000, 20'000);
  EXPECT_NEAR(measured.audio_bits_per_second, 160'000, 4'000);
  EXPECT_EQ(measured.keyframe_interval_ms, 1000U);
  EXPECT_NEAR(measured.av_drift_ms, 0, 20);
  EXPECT_EQ(measured.timestamp_jumps, 0U);
}

TEST(StreamMeasure, wrap_of_the_timestamps_is_no_jump) {
  StreamMeasure measure;
  run(measure, UINT32_MAX - 5'000, 10'000);
  const Measured measured = measure.measured(at_ms(10'000));
  EXPECT_NEAR(measured.fps_milli, 25'000, 10);
  EXPECT_EQ(measured.keyframe_interval_ms, 1000U);
  EXPECT_EQ(measured.timestamp_jumps, 0U);
  EXPECT_NEAR(measured.av_drift_ms, 0, 20);
}

TEST(StreamMeasure, jumps_are_counted_per_track_and_not_measured_by) {
  StreamMeasure measure;
  run(measure, 100'000, 4'000);
  measure.video(50'000, 100, false, at_ms(4'000));  // back
  measure.video(50'040, 100, false, at_ms(4'040));
  measure.video(51'041, 100, false, at_ms(4'080));    // forward by 1001
  measure.video(52'041, 100, false, at_ms(4'120));    // forward by 1000: a slow stream
  measure.audio(103'980 + 5'000, 100, at_ms(4'140));  // forward
  EXPECT_EQ(measure.measured(at_ms(4'200)).timestamp_jumps, 3U);
}

TEST(StreamMeasure, frames_of_several_tracks_at_one_moment_count_once) {
  StreamMeasure measure;
  for (uint32_t t = 0; t <= 4'000; t += 40) {
    for (int track = 0; track < 3; ++track) measure.video(t, 1000, t % 2000 == 0, at_ms(t));
  }
  EXPECT_NEAR(measure.measured(at_ms(4'000)).fps_milli, 25'000, 10);
  EXPECT_EQ(measure.measured(at_ms(4'000)).keyframe_interval_ms, 2000U);
}

TEST(StreamMeasure, timestamps_all_zero_are_measured_by_arrival) {
  StreamMeasure measure;
  for (uint32_t t = 0; t <= 4'000; t += 40) measure.video(0, 5000, t % 1000 == 0, at_ms(t));
  const Measured measured = measure.measured(at_ms(4'000));
  EXPECT_NEAR(measured.fps_milli, 25'000, 600);
  EXPECT_EQ(measured.keyframe_interval_ms, 0U);
  EXPECT_EQ(measured.timestamp_jumps, 0U);
}

TEST(StreamMeasure, burst_arrival_does_not_change_the_frame_rate) {
  StreamMeasure measure;
  for (uint32_t t = 0; t < 10'000; t += 40) measure.video(t, 5000, false, at_ms(t / 1000 * 1000));
  EXPECT_NEAR(measure.measured(at_ms(10'000)).fps_milli, 25'000, 10);
}

TEST(StreamMeasure, silence_reads_as_zero) {
  StreamMeasure measure;
  run(measure, 0, 4'000);
  EXPECT_GT(measure.measured(at_ms(4'000)).video_bits_per_second, 0U);
  (void)measure.measured(at_ms(6'000));
  const Measured measured = measure.measured(at_ms(8'000));
  EXPECT_EQ(measured.video_bits_per_second, 0U);
  EXPECT_EQ(measured.audio_bits_per_second, 0U);
  EXPECT_EQ(measured.fps_milli, 0U);
}

TEST(StreamMeasure, one_frame_in_five_seconds_has_a_rate) {
  StreamMeasure measure;
  for (uint32_t t = 0; t <= 20'000; t += 5'000) measure.video(t, 5000, true, at_ms(t));
  const Measured measured = measure.measured(at_ms(20'000));
  EXPECT_NEAR(measured.fps_milli, 200, 10);
  EXPECT_EQ(measured.keyframe_interval_ms, 5000U);
}

TEST(StreamMeasure, drift_settles_on_the_difference) {
  StreamMeasure measure;
  for (uint32_t t = 0; t < 5'000; t += 20) {
    measure.audio(t, 100, at_ms(t));
    measure.video(t + 500, 100, false, at_ms(t));
  }
  EXPECT_NEAR(measure.measured(at_ms(5'000)).av_drift_ms, 500, 20);
}

TEST(StreamMeasure, drift_is_zero_while_a_track_is_missing) {
  StreamMeasure measure;
  measure.video(5'000, 100, true, at_ms(0));
  EXPECT_EQ(measure.measured(at_ms(10)).av_drift_ms, 0);
  measure.audio(0, 100, at_ms(20));
  EXPECT_EQ(measure.measured(at_ms(20)).av_drift_ms, 5'000);
}

TEST(StreamMeasure, clock_that_steps_back_does_no_harm) {
  StreamMeasure measure;
  run(measure, 0, 4'000);
  measure.video(4'000, 100, false, at_ms(100));
  EXPECT_GT(measure.measured(at_ms(50)).video_bits_per_second, 0U);
}

}  // namespace
}  // namespace penstock::media

#pragma once

#include <cstdint>

#include "penstock/base/time.h"

namespace penstock::media {

/// What a stream's media says about itself, over the last whole window (2 s of arrival time) unless
/// it says otherwise.
struct Measured {
  uint32_t video_bits_per_second = 0;
  uint32_t audio_bits_per_second = 0;
  uint32_t video_message_bytes = 0;  // mean payload of a message; 0 when none came in the window
  uint32_t audio_message_bytes = 0;
  uint32_t fps_milli = 0;  // frames per second x 1000, by the stream's own timestamps
  uint32_t keyframe_interval_ms =
      0;  // between the last two keyframes, by timestamp; 0 before the second
  int32_t av_drift_ms =
      0;  // latest video minus latest audio timestamp, smoothed; 0 while one is missing
  uint32_t timestamp_jumps =
      0;  // since the start: steps back, or forward by more than 1 s, within a track
};

/// Fed once per message that carries a frame (not for sequence headers: their timestamps mean
/// nothing); constant time and no memory beyond itself. Owner: the publisher's worker.
class StreamMeasure {
 public:
  void video(uint32_t timestamp, uint32_t bytes, bool key, Instant now);
  void audio(uint32_t timestamp, uint32_t bytes, Instant now);
  [[nodiscard]] Measured measured(Instant now);

 private:
  struct Track {
    bool seen = false;
    uint32_t last_timestamp = 0;
    // In this window:
    uint64_t bytes = 0;
    uint32_t messages = 0;
    uint32_t steps = 0;       // messages whose timestamp moved on, without a jump
    uint64_t advance_ms = 0;  // sum of those steps
  };
  void step(Track& track, uint32_t timestamp, uint32_t bytes, Instant now);
  void drift();
  void roll(Instant now);

  Track video_;
  Track audio_;
  Instant window_start_{};
  bool started_ = false;
  bool keyframe_seen_ = false;
  bool drift_known_ = false;
  uint32_t last_keyframe_timestamp_ = 0;
  int64_t drift_ms_256_ = 0;  // in 1/256 ms
  Measured last_{};
};

}  // namespace penstock::media

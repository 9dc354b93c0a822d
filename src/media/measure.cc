#include "penstock/media/measure.h"

#include <algorithm>

namespace penstock::media {
namespace {

constexpr uint64_t window_ns = 2 * ns_per_s;
constexpr int32_t jump_ms = 1000;
// A sixteenth of each new difference: audio and video alternate some 100 times a second, so that a
// real change shows within half a second while the steps of their interleaving do not.
constexpr int64_t drift_smoothing = 16;

uint32_t at_most_u32(uint64_t value) {
  return static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX));
}

// Timestamps are 32 bits and wrap after 49.7 days: a difference is taken modulo 2^32, to the nearer
// side.
int32_t difference(uint32_t later, uint32_t earlier) {
  return static_cast<int32_t>(later - earlier);
}

// 2 s at 10 Gbit/s are 2.5e9 bytes; times 8000 that is 2e13 of the 1.8e19 that fit.
uint32_t bits_per_second(uint64_t bytes, uint64_t elapsed_ms) {
  return at_most_u32(bytes * 8000 / elapsed_ms);
}

uint32_t mean_bytes(uint64_t bytes, uint32_t messages) {
  return messages == 0 ? 0 : at_most_u32(bytes / messages);
}

}  // namespace

void StreamMeasure::step(Track& track, uint32_t timestamp, uint32_t bytes, Instant now) {
  roll(now);
  track.bytes += bytes;
  ++track.messages;
  if (track.seen) {
    const int32_t ahead = difference(timestamp, track.last_timestamp);
    if (ahead < 0 || ahead > jump_ms) {
      ++last_.timestamp_jumps;
      // The other track jumps a moment later, or has before: only what follows is drift.
      drift_known_ = false;
    } else if (ahead > 0) {
      ++track.steps;
      track.advance_ms += static_cast<uint64_t>(ahead);
    }
  }
  track.seen = true;
  track.last_timestamp = timestamp;
  drift();
}

void StreamMeasure::video(uint32_t timestamp, uint32_t bytes, bool key, Instant now) {
  step(video_, timestamp, bytes, now);
  if (!key) return;
  // A step of zero is another track's keyframe of the same moment; a step back says nothing about
  // the interval.
  const int32_t ahead = difference(timestamp, last_keyframe_timestamp_);
  if (keyframe_seen_ && ahead > 0) last_.keyframe_interval_ms = static_cast<uint32_t>(ahead);
  keyframe_seen_ = true;
  last_keyframe_timestamp_ = timestamp;
}

void StreamMeasure::audio(uint32_t timestamp, uint32_t bytes, Instant now) {
  step(audio_, timestamp, bytes, now);
}

void StreamMeasure::drift() {
  if (!video_.seen || !audio_.seen) return;
  const int64_t now_256 = int64_t{difference(video_.last_timestamp, audio_.last_timestamp)} * 256;
  if (!drift_known_) drift_ms_256_ = now_256;
  drift_known_ = true;
  drift_ms_256_ += (now_256 - drift_ms_256_) / drift_smoothing;
  last_.av_drift_ms = static_cast<int32_t>(drift_ms_256_ / 256);
}

// Ends the window when it is whole. What was gathered is spread over the time that really passed,
// because messages of a slow stream come further apart than a window is long.
void StreamMeasure::roll(Instant now) {
  if (!started_) {
    started_ = true;
    window_start_ = now;
    return;
  }
  const uint64_t elapsed_ns = now.since(window_start_);
  if (elapsed_ns < window_ns) return;
  const uint64_t elapsed_ms = elapsed_ns / ns_per_ms;
  last_.video_bits_per_second = bits_per_second(video_.bytes, elapsed_ms);
  last_.audio_bits_per_second = bits_per_second(audio_.bytes, elapsed_ms);
  last_.video_message_bytes = mean_bytes(video_.bytes, video_.messages);
  last_.audio_message_bytes = mean_bytes(audio_.bytes, audio_.messages);
  // Where the timestamps stand still or jump with every frame, arrival is all there is to count by.
  last_.fps_milli =
      at_most_u32(video_.advance_ms > 0 ? video_.steps * uint64_t{1'000'000} / video_.advance_ms
                                        : video_.messages * uint64_t{1'000'000} / elapsed_ms);
  for (Track* track : {&video_, &audio_}) {
    track->bytes = 0;
    track->messages = 0;
    track->steps = 0;
    track->advance_ms = 0;
  }
  window_start_ = now;
}

Measured StreamMeasure::measured(Instant now) {
  if (started_) roll(now);
  return last_;
}

}  // namespace penstock::media

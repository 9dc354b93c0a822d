#pragma once

#include <cstdint>
#include <string>

#include "penstock/control/layout.h"

namespace penstock::controlplane {

/// A published stream as outputs may show it: every text is clean, whatever the region said.
struct Stream {
  uint64_t stream_id = 0;
  std::string name;
  uint32_t worker = 0;
  uint64_t connection_id = 0;
  std::string publisher;
  std::string encoder;
  uint64_t since_unix_ms = 0;
  std::string video_codec;
  std::string audio_codec;
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t sample_rate = 0;
  uint32_t channels = 0;
  uint32_t video_bits_per_second = 0;
  uint32_t audio_bits_per_second = 0;
  uint32_t fps_milli = 0;
  uint32_t keyframe_interval_ms = 0;
  int32_t av_drift_ms = 0;
  uint32_t timestamp_jumps = 0;
  uint32_t last_timestamp_ms = 0;
  uint64_t subscribers = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t frames_received = 0;
  uint64_t frames_skipped = 0;
  uint64_t frames_dropped = 0;
  uint64_t gop_bytes = 0;
};

struct EndedStream {
  Stream stream;
  uint64_t run_id = 0;  // stream ids are unique only within a run of the data plane
  uint64_t ended_unix_ms = 0;
  std::string reason;
};

struct Connection {
  uint64_t connection_id = 0;
  control::ConnectionRole role = control::ConnectionRole::handshake;
  uint32_t worker = 0;
  std::string peer;
  std::string software;
  std::string transport;
  std::string stream;
  uint64_t since_unix_ms = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t queued_bytes = 0;
  uint64_t frames_skipped = 0;
};

/// `worker` is the area the row was found in; what the row itself says of its worker is not looked
/// at.
[[nodiscard]] Stream stream_of(const control::StreamRow& row, uint32_t worker);
[[nodiscard]] Connection connection_of(const control::ConnectionRow& row, uint32_t worker);

}  // namespace penstock::controlplane

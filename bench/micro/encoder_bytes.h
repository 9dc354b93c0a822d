#pragma once

#include <cstdint>
#include <vector>

#include "penstock/base/bytes.h"

namespace penstock::bench {

constexpr size_t gop_video = 60;  // 2 s at 30/s
constexpr size_t gop_audio = 86;  // 2 s at 43/s
constexpr size_t gop_messages = gop_video + gop_audio;
constexpr uint64_t gop_ms = 2000;

/// What an encoder sends, as bytes on the wire: H.264 with 30 frames/s and a keyframe every 2 s,
/// AAC with 43 messages/s of at most 128 kbit/s. Every message but the first two has a type 1
/// header, as FFmpeg and librtmp send, and the deltas close at 2000 ms, so that one GOP's bytes can
/// be sent again and again.
class EncoderBytes {
 public:
  EncoderBytes(uint32_t bits_per_second, uint32_t chunk_bytes);

  /// Sequence headers, and the two media messages that set both chunk streams up.
  [[nodiscard]] Bytes start() const { return start_; }
  /// Messages [first, first + count) of the GOP, wrapping at its end to as many as there are.
  [[nodiscard]] Bytes messages(size_t first, size_t count) const;
  [[nodiscard]] Bytes gop() const { return gop_; }
  /// Chunks in one GOP.
  [[nodiscard]] size_t chunks() const { return chunks_; }

 private:
  void add(std::vector<uint8_t>& to, uint8_t header_type, bool video, uint32_t time, Bytes payload);

  uint32_t chunk_bytes_;
  std::vector<uint8_t> start_;
  std::vector<uint8_t> gop_;
  std::vector<size_t> ends_;  // of each message in gop_
  size_t chunks_ = 0;
};

}  // namespace penstock::bench

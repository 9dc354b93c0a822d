#pragma once

#include <cstdint>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"

namespace penstock::sim {

/// One message of a simulated encoder.
struct MediaMessage {
  uint8_t type = 0;
  uint32_t timestamp = 0;
  std::vector<uint8_t> body;
};

enum class MediaKindSent : uint8_t { metadata, video_config, audio_config, video, audio };

/// What a relayed audio or video message says of itself, behind its codec header.
struct MediaMark {
  static constexpr size_t bytes = 12;
  uint32_t source = 0;
  uint32_t number = 0;          // of the message within its source
  uint32_t previous_video = 0;  // number of the video frame before it; 0: none
};

/// The messages of one encoder's session, each computable from its number: what a player got can be
/// compared with what was published without keeping it.
class MediaSource {
 public:
  explicit MediaSource(uint32_t source);

  [[nodiscard]] uint32_t id() const { return source_; }
  /// The next message; the first three are metadata and the two sequence headers.
  MediaMessage next();
  [[nodiscard]] uint32_t numbers_made() const { return static_cast<uint32_t>(kinds_.size()); }

  [[nodiscard]] MediaMessage make(uint32_t number) const;
  [[nodiscard]] MediaKindSent kind(uint32_t number) const { return kinds_[number].kind; }
  [[nodiscard]] bool key(uint32_t number) const { return kinds_[number].key; }
  [[nodiscard]] bool has_video() const { return with_video_; }

  static bool read_mark(uint8_t type, Bytes body, MediaMark& mark);

 private:
  struct Made {
    MediaKindSent kind{};
    bool key = false;
    uint32_t timestamp = 0;
    uint32_t previous_video = 0;
    uint32_t payload_bytes = 0;
  };
  Made plan();

  uint32_t source_;
  Prng prng_;
  std::vector<Made> kinds_;
  uint32_t last_video_ = 0;
  uint32_t until_key_ = 0;
  uint32_t frames_per_key_;
  uint32_t clock_ms_;
  bool with_video_;
};

}  // namespace penstock::sim

#pragma once

#include <cstdint>
#include <optional>

#include "penstock/base/bytes.h"
#include "penstock/media/tag.h"

// The header of E-RTMP v2 bodies (sections "Enhanced Video" and "Enhanced Audio"), which audio and
// video share but for the numbers of their packet types.
namespace penstock::media {

constexpr uint8_t packet_sequence_start = 0;
constexpr uint8_t packet_coded_frames = 1;
constexpr uint8_t packet_sequence_end = 2;
constexpr uint8_t packet_mod_ex = 7;
// video
constexpr uint8_t packet_coded_frames_x = 3;
constexpr uint8_t packet_metadata = 4;
constexpr uint8_t packet_mpeg2ts_sequence_start = 5;
constexpr uint8_t packet_video_multitrack = 6;
// audio
constexpr uint8_t packet_multichannel_config = 4;
constexpr uint8_t packet_audio_multitrack = 5;

constexpr uint8_t multitrack_one = 0;
constexpr uint8_t multitrack_many = 1;
constexpr uint8_t multitrack_many_codecs = 2;

constexpr uint8_t frame_key = 1;
constexpr uint8_t frame_disposable = 3;
constexpr uint8_t frame_generated_key = 4;
constexpr uint8_t frame_command = 5;

// A chain of ModEx may not keep us busy. Two are defined; more than a few mean nothing.
constexpr int mod_ex_max = 16;

struct EnhancedHeader {
  uint8_t packet_type = 0;  // the innermost: never multitrack, never ModEx
  uint8_t frame_type = 0;   // video only
  bool command = false;     // video: one command byte follows and nothing else
  bool multitrack = false;
  uint8_t form = 0;        // of multitrack
  uint32_t fourcc = 0;     // 0 where every track brings its own
  uint32_t offset_ns = 0;  // the last that a ModEx said
  size_t bytes = 0;        // of this header: tracks or the codec's own come next
};

/// Nothing when it is cut, or uses what is reserved. `body` starts with an enhanced first byte.
[[nodiscard]] std::optional<EnhancedHeader> read_enhanced_header(TrackReader::Kind kind,
                                                                 Bytes body);

/// Coded frames of these begin with a 24 bit composition time.
[[nodiscard]] constexpr bool has_composition_time(TrackReader::Kind kind, Codec codec,
                                                  uint8_t packet_type) {
  return kind == TrackReader::Kind::video && packet_type == packet_coded_frames &&
         (codec == Codec::avc || codec == Codec::hevc || codec == Codec::vvc);
}

/// Two's complement of 24 bits.
[[nodiscard]] constexpr int32_t load_i24(const uint8_t* at) {
  return static_cast<int32_t>(load_u24(at) << 8) >> 8;
}

}  // namespace penstock::media

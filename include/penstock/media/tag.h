#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "penstock/base/bytes.h"

// Audio and video message bodies (= FLV tag bodies), legacy and Enhanced RTMP v1/v2, understood just far enough to relay
// them well: codec, keyframe, sequence header, track. (FLV 10.1 annex E; E-RTMP v2, "Enhanced Video", "Enhanced Audio".)
namespace penstock::media {

enum class Codec : uint8_t {
  none,
  // video
  sorenson_h263, screen_video, vp6, vp6_alpha, screen_video_2, avc, jpeg, h263, mpeg4, hevc, vvc, av1, vp8, vp9,
  // audio
  pcm, adpcm, mp3, pcm_le, nellymoser_16k, nellymoser_8k, nellymoser, g711_a, g711_mu, aac, speex, mp3_8k, device_specific,
  opus, flac, ac3, eac3,
  unknown,
};

/// "H.264", "AAC", ...: what the CLI and the API show. Never empty; Codec::none is "-".
[[nodiscard]] std::string_view codec_name(Codec codec);

struct TagInfo {
  Codec codec = Codec::none;
  bool known = false;        // the header was understood; false: relay it, but conclude nothing from it
  bool enhanced = false;
  bool key = false;          // video: a decoder can start here
  bool disposable = false;
  bool sequence_header = false;
  bool sequence_end = false;
  bool config = false;       // a late joiner needs it: sequence header, multichannel config, colour metadata
  bool multitrack = false;
  uint8_t track = 0;         // first track in the message
  uint8_t config_slot = 0;   // with config: which kind of config it is (header, metadata, channels); with track it names what
                             // a newer one replaces
  int32_t composition_ms = 0;
  uint32_t body_offset = 0;  // where the codec's own bytes start; with multitrack: of the first track
};

/// Bytes of a body that the functions below look at: the longest header we follow (3 ModEx of 4 bytes, multitrack,
/// FourCC, track id, size, composition time) with room to spare. A longer one reads as not known.
constexpr size_t tag_prefix_bytes = 32;

/// `prefix`: the first min(tag_prefix_bytes, body) bytes of the body. Never fails: what is not understood has known = false.
[[nodiscard]] TagInfo inspect_video(Bytes prefix);
[[nodiscard]] TagInfo inspect_audio(Bytes prefix);

struct VideoSize {
  uint32_t width = 0;
  uint32_t height = 0;
};
/// Size in a decoder configuration (avcC, hvcC, av1C, vpcC has none), of untrusted bytes. `config` starts at body_offset.
[[nodiscard]] std::optional<VideoSize> video_size(Codec codec, Bytes config);

struct AudioFormat {
  uint32_t sample_rate = 0;  // Hz
  uint32_t channels = 0;
};
/// From a sequence header body, or for codecs without one from the first byte of any body.
[[nodiscard]] std::optional<AudioFormat> audio_format(const TagInfo& info, Bytes body);

}  // namespace penstock::media

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "penstock/base/bytes.h"

// Audio and video message bodies (= FLV tag bodies), legacy and Enhanced RTMP v1/v2, understood
// just far enough to relay them well: codec, keyframe, sequence header, track. (FLV 10.1 annex E;
// E-RTMP v2, "Enhanced Video", "Enhanced Audio".)
namespace penstock::media {

enum class Codec : uint8_t {
  none,
  // video
  sorenson_h263,
  screen_video,
  vp6,
  vp6_alpha,
  screen_video_2,
  avc,
  jpeg,
  h263,
  mpeg4,
  hevc,
  vvc,
  av1,
  vp8,
  vp9,
  // audio
  pcm,
  adpcm,
  mp3,
  pcm_le,
  nellymoser_16k,
  nellymoser_8k,
  nellymoser,
  g711_a,
  g711_mu,
  aac,
  speex,
  mp3_8k,
  device_specific,
  opus,
  flac,
  ac3,
  eac3,
  unknown,
};

/// "H.264", "AAC", ...: what the CLI and the API show. Never empty; Codec::none is "-".
[[nodiscard]] std::string_view codec_name(Codec codec);

/// The FourCC of E-RTMP as the number that it is in onMetaData ("avc1" is 1635148593). Unknown ones
/// are Codec::unknown; the aliases hev1 and vvi1 are read, never given. A codec without FourCC
/// gives 0.
[[nodiscard]] Codec codec_of_fourcc(uint32_t fourcc);
[[nodiscard]] uint32_t fourcc_of(Codec codec);

/// What a late joiner needs is kept per kind (audio, video), slot and track: a newer one replaces
/// the older of the same three. A message that carries several tracks has slots of its own, so that
/// it never replaces a single track's. What is kept goes out in the order in which it came, because
/// a later message of another slot may correct an earlier one.
enum class ConfigSlot : uint8_t {
  header,
  metadata,
  channels,
  comment,  // Opus has two headers, and both come as sequence headers
  header_many,
  metadata_many,
  channels_many,
  comment_many,
};

struct TagInfo {
  Codec codec = Codec::none;
  bool known = false;  // the header was understood; false: relay it, but conclude nothing from it
                       // (an empty body, which in audio means silence, has no header)
  bool enhanced = false;
  bool key = false;      // video: a decoder of its track can start with it; no sequence header
  bool command = false;  // video: seek start or end for Flash players; carries no picture
  bool disposable = false;
  bool sequence_header = false;
  bool sequence_end = false;
  bool config =
      false;  // a late joiner needs it: sequence header, multichannel config, colour metadata
  bool multitrack = false;
  bool many = false;  // with multitrack: not one track by itself but any number of them
  uint8_t track = 0;  // first track in the message
  uint8_t config_slot =
      0;  // with config: a ConfigSlot; with track it names what a newer one replaces
  int32_t composition_ms = 0;
  uint32_t presentation_offset_ns = 0;  // ModEx, to be added to the presentation time; below 1 ms
  uint32_t body_offset =
      0;  // where the codec's own bytes start; with multitrack: of the first track
};

/// Bytes of a body that the functions below look at: the longest header we follow (3 ModEx of 4
/// bytes, multitrack, FourCC, track id, size, composition time) with room to spare. A longer one
/// reads as not known.
constexpr size_t tag_prefix_bytes = 32;

/// `prefix`: the first min(tag_prefix_bytes, body) bytes of the body. Never fails: what is not
/// understood has known = false.
[[nodiscard]] TagInfo inspect_video(Bytes prefix);
[[nodiscard]] TagInfo inspect_audio(Bytes prefix);

/// One track of a message. Most messages have one; a multitrack message (E-RTMP v2) has one or
/// more.
struct Track {
  uint8_t track = 0;
  Codec codec = Codec::none;
  int32_t composition_ms = 0;
  Bytes body;  // the codec's own bytes
};

/// Takes a whole audio or video body apart into its tracks. `body` must outlive the reader and the
/// tracks.
class TrackReader {
 public:
  enum class Kind : uint8_t { audio, video };

  TrackReader(Kind kind, Bytes body);
  TrackReader(const TrackReader&) = delete;
  TrackReader& operator=(const TrackReader&) = delete;

  /// Nothing at the end, and nothing more where the body is malformed.
  [[nodiscard]] std::optional<Track> next();
  /// The body ended inside a track's header or data, or has more than tracks_max tracks.
  [[nodiscard]] bool malformed() const { return malformed_; }

 private:
  [[nodiscard]] std::optional<Track> fail();

  Kind kind_;
  Bytes left_;
  TagInfo info_;
  uint8_t packet_type_ = 0;
  uint8_t form_ = 0;
  uint32_t fourcc_ = 0;
  size_t tracks_ = 0;
  bool malformed_ = false;
};

/// Tracks in one message. Six is the most that an encoder sends (OBS); a track costs a peer 4 bytes
/// and us a look.
constexpr size_t tracks_max = 64;

struct VideoSize {
  uint32_t width = 0;
  uint32_t height = 0;
};
/// Size in a decoder configuration (avcC, hvcC, av1C, vpcC has none), of untrusted bytes. `config`
/// starts at body_offset.
[[nodiscard]] std::optional<VideoSize> video_size(Codec codec, Bytes config);

struct AudioFormat {
  uint32_t sample_rate = 0;  // Hz
  uint32_t channels = 0;     // 0: not said
};
/// From the body of a sequence header, or for codecs without one from the start of any body.
[[nodiscard]] std::optional<AudioFormat> audio_format(const TagInfo& info, Bytes body);

}  // namespace penstock::media

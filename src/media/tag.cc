#include "penstock/media/tag.h"

#include "src/media/codec.h"
#include "src/media/enhanced.h"

namespace penstock::media {
namespace {

using Kind = TrackReader::Kind;

// What kinds of configuration the packet types are. The two media share the numbers 4 and 5 with
// different meanings.
void set_packet(TagInfo& info, Kind kind, const EnhancedHeader& header, Bytes own) {
  const uint8_t type = header.packet_type;
  const auto keep = [&](ConfigSlot single, ConfigSlot several) {
    info.config = true;
    info.config_slot = static_cast<uint8_t>(info.many ? several : single);
  };
  info.sequence_end = type == packet_sequence_end;
  if (type == packet_sequence_start ||
      (kind == Kind::video && type == packet_mpeg2ts_sequence_start)) {
    info.sequence_header = true;
    // RFC 7845, 5.2. It may not take the place of the header that decoders need.
    const bool comment = info.codec == Codec::opus && as_text(own).starts_with("OpusTags");
    return comment ? keep(ConfigSlot::comment, ConfigSlot::comment_many)
                   : keep(ConfigSlot::header, ConfigSlot::header_many);
  }
  if (kind == Kind::audio) {
    if (type == packet_multichannel_config) keep(ConfigSlot::channels, ConfigSlot::channels_many);
    return;
  }
  if (type == packet_metadata) return keep(ConfigSlot::metadata, ConfigSlot::metadata_many);
  if (type != packet_coded_frames && type != packet_coded_frames_x) return;
  info.disposable = header.frame_type == frame_disposable;
  info.key = header.frame_type == frame_key || header.frame_type == frame_generated_key;
}

TagInfo inspect_enhanced(Kind kind, Bytes prefix) {
  TagInfo info;
  info.enhanced = true;
  const std::optional<EnhancedHeader> header = read_enhanced_header(kind, prefix);
  if (!header) return info;
  info.presentation_offset_ns = header->offset_ns;
  if (header->command) {
    info.known = true;
    info.command = true;
    info.body_offset = static_cast<uint32_t>(header->bytes);
    return info;
  }
  size_t at = header->bytes;
  uint32_t fourcc = header->fourcc;
  info.multitrack = header->multitrack;
  info.many = header->multitrack && header->form != multitrack_one;
  if (header->multitrack) {
    if (header->form == multitrack_many_codecs) {
      if (prefix.size() - at < 4) return info;
      fourcc = load_u32(prefix.data() + at);
      at += 4;
    }
    const size_t track_bytes =
        header->form == multitrack_one ? 1 : 4;  // id, and the size of a track
    if (prefix.size() - at < track_bytes) return info;
    info.track = prefix[at];
    at += track_bytes;
  }
  info.codec = codec_of_fourcc(fourcc);
  if (has_composition_time(kind, info.codec, header->packet_type)) {
    if (prefix.size() - at < 3) return info;
    info.composition_ms = load_i24(prefix.data() + at);
    at += 3;
  }
  info.known = true;
  info.body_offset = static_cast<uint32_t>(at);
  set_packet(info, kind, *header, prefix.subspan(at));
  return info;
}

// AVC, and what has been fitted into its layout: packet type, composition time, data (FLV 10.1,
// E.4.3.1).
void set_avc_packet(TagInfo& info, Bytes prefix, bool key) {
  constexpr uint8_t header = 0;
  constexpr uint8_t frames = 1;
  constexpr uint8_t end = 2;
  info.known = false;
  if (prefix.size() < 2) return;
  info.body_offset = prefix.size() < 5 ? static_cast<uint32_t>(prefix.size()) : 5;
  if (prefix[1] == end) {  // has been seen without its composition time
    info.known = true;
    info.sequence_end = true;
    return;
  }
  if (prefix.size() < 5 || prefix[1] > frames) return;
  info.known = true;
  if (prefix[1] == header) {
    info.sequence_header = true;
    // An empty one must not replace a good one.
    info.config = prefix.size() > 5;
    return;
  }
  info.composition_ms = load_i24(prefix.data() + 2);
  info.key = key && prefix.size() > 5;
}

}  // namespace

TagInfo inspect_video(Bytes prefix) {
  TagInfo info;
  if (prefix.empty()) return info;
  if ((prefix[0] & 0x80) != 0) return inspect_enhanced(Kind::video, prefix);
  const uint8_t frame_type = prefix[0] >> 4;
  info.codec = codec_of_legacy_video(prefix[0] & 0x0F);
  info.known =
      info.codec != Codec::unknown && frame_type >= frame_key && frame_type <= frame_command;
  info.body_offset = 1;
  if (!info.known) return info;
  if (frame_type == frame_command) {
    info.command = true;
    return info;
  }
  info.disposable = frame_type == frame_disposable;
  const bool key = frame_type == frame_key || frame_type == frame_generated_key;
  switch (info.codec) {
    case Codec::avc:
    case Codec::hevc:
    case Codec::av1:
    case Codec::vvc:
      set_avc_packet(info, prefix, key);
      break;
    case Codec::vp6:        // one byte of cropping
    case Codec::vp6_alpha:  // and where the alpha plane starts
      info.body_offset = info.codec == Codec::vp6 ? 2 : 5;
      info.known = prefix.size() >= info.body_offset;
      info.key = key && info.known;
      break;
    default:
      info.key = key;
      break;
  }
  return info;
}

TagInfo inspect_audio(Bytes prefix) {
  TagInfo info;
  if (prefix.empty()) return info;
  const uint8_t format = prefix[0] >> 4;
  constexpr uint8_t enhanced = 9;
  if (format == enhanced) return inspect_enhanced(Kind::audio, prefix);
  info.codec = codec_of_legacy_audio(format);
  info.known = info.codec != Codec::unknown;
  info.body_offset = 1;
  if (info.codec != Codec::aac) return info;
  info.known = prefix.size() >= 2 && prefix[1] <= 1;
  if (!info.known) return info;
  info.body_offset = 2;
  info.sequence_header = prefix[1] == 0;
  // Some encoders send empty ones; such a one must not replace a good one.
  info.config = info.sequence_header && prefix.size() > 2;
  return info;
}

TrackReader::TrackReader(Kind kind, Bytes body) : kind_(kind), left_(body) {
  info_ = kind == Kind::video ? inspect_video(body) : inspect_audio(body);
  if (!info_.known) {
    malformed_ = !body.empty();
    left_ = {};
    return;
  }
  if (!info_.multitrack) return;
  const std::optional<EnhancedHeader> header = read_enhanced_header(kind, body);
  packet_type_ = header->packet_type;
  form_ = header->form;
  fourcc_ = header->fourcc;
  left_ = body.subspan(header->bytes);
}

std::optional<Track> TrackReader::next() {
  if (left_.empty()) return std::nullopt;
  if (!info_.multitrack) {
    const Track track{0, info_.codec, info_.composition_ms, left_.subspan(info_.body_offset)};
    left_ = {};
    return track;
  }
  if (tracks_++ == tracks_max) return fail();
  Track track;
  uint32_t fourcc = fourcc_;
  if (form_ == multitrack_many_codecs) {
    if (left_.size() < 4) return fail();
    fourcc = load_u32(left_.data());
    left_ = left_.subspan(4);
  }
  track.codec = codec_of_fourcc(fourcc);
  if (left_.empty()) return fail();
  track.track = left_[0];
  left_ = left_.subspan(1);
  size_t bytes = left_.size();
  if (form_ != multitrack_one) {
    if (left_.size() < 3) return fail();
    bytes = load_u24(left_.data());
    left_ = left_.subspan(3);
    if (bytes > left_.size()) return fail();
  }
  track.body = left_.first(bytes);
  left_ = left_.subspan(bytes);
  if (has_composition_time(kind_, track.codec, packet_type_)) {
    if (track.body.size() < 3) return fail();
    track.composition_ms = load_i24(track.body.data());
    track.body = track.body.subspan(3);
  }
  return track;
}

std::optional<Track> TrackReader::fail() {
  malformed_ = true;
  left_ = {};
  return std::nullopt;
}

}  // namespace penstock::media

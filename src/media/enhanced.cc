#include "src/media/enhanced.h"

namespace penstock::media {
namespace {

// One ModEx: its data, then the packet type that comes next (E-RTMP v2, "ModEx"). `body` starts at
// its size byte. The number of bytes it takes, or 0 when it is cut.
size_t read_mod_ex(Bytes body, EnhancedHeader& header) {
  if (body.empty()) return 0;
  size_t at = 1;
  size_t data_bytes = size_t{body[0]} + 1;
  if (body[0] == 0xFF) {
    if (body.size() < 3) return 0;
    data_bytes = size_t{load_u16(body.data() + 1)} + 1;
    at = 3;
  }
  if (body.size() - at < data_bytes + 1) return 0;
  const uint8_t next = body[at + data_bytes];
  constexpr uint8_t timestamp_offset_nano = 0;
  constexpr uint32_t ns_per_ms_end = 1'000'000;
  if (next >> 4 == timestamp_offset_nano && data_bytes >= 3) {
    const uint32_t offset = load_u24(body.data() + at);
    if (offset < ns_per_ms_end) header.offset_ns = offset;
  }
  header.packet_type = next & 0x0F;
  return at + data_bytes + 1;
}

bool defined(TrackReader::Kind kind, uint8_t packet_type) {
  if (kind == TrackReader::Kind::video) return packet_type <= packet_video_multitrack;
  return packet_type <= packet_sequence_end || packet_type == packet_multichannel_config ||
         packet_type == packet_audio_multitrack;
}

}  // namespace

std::optional<EnhancedHeader> read_enhanced_header(TrackReader::Kind kind, Bytes body) {
  const bool video = kind == TrackReader::Kind::video;
  const uint8_t multitrack = video ? packet_video_multitrack : packet_audio_multitrack;
  if (body.empty()) return std::nullopt;
  EnhancedHeader header;
  header.packet_type = body[0] & 0x0F;
  if (video) header.frame_type = body[0] >> 4 & 0x07;
  size_t at = 1;
  for (int i = 0; header.packet_type == packet_mod_ex; ++i) {
    const size_t bytes = i < mod_ex_max ? read_mod_ex(body.subspan(at), header) : 0;
    if (bytes == 0) return std::nullopt;
    at += bytes;
  }
  if (!defined(kind, header.packet_type)) return std::nullopt;

  // A command has neither FourCC nor tracks. Metadata may carry any frame type: OBS writes 0.
  header.command =
      video && header.frame_type == frame_command && header.packet_type != packet_metadata;
  if (header.command) {
    if (body.size() <= at) return std::nullopt;
    header.bytes = at + 1;
    return header;
  }
  if (header.packet_type == multitrack) {
    if (body.size() <= at) return std::nullopt;
    header.multitrack = true;
    header.form = body[at] >> 4;
    header.packet_type = body[at] & 0x0F;
    ++at;
    // Neither multitrack nor ModEx is defined inside multitrack.
    if (header.form > multitrack_many_codecs || header.packet_type == multitrack ||
        !defined(kind, header.packet_type)) {
      return std::nullopt;
    }
  }
  if (!header.multitrack || header.form != multitrack_many_codecs) {
    if (body.size() - at < 4) return std::nullopt;
    header.fourcc = load_u32(body.data() + at);
    at += 4;
  }
  header.bytes = at;
  return header;
}

}  // namespace penstock::media

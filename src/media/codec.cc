#include "src/media/codec.h"

#include "penstock/media/tag.h"

namespace penstock::media {
namespace {

struct FourccRow {
  uint32_t fourcc;
  Codec codec;
};

// The first row of a codec is the one that is given for it. hev1 and vvi1 are the in-band forms of
// files; in RTMP they are aliases that some senders use.
constexpr FourccRow fourcc_table[] = {
    {fourcc("avc1"), Codec::avc},  {fourcc("hvc1"), Codec::hevc}, {fourcc("hev1"), Codec::hevc},
    {fourcc("vvc1"), Codec::vvc},  {fourcc("vvi1"), Codec::vvc},  {fourcc("av01"), Codec::av1},
    {fourcc("vp08"), Codec::vp8},  {fourcc("vp09"), Codec::vp9},  {fourcc("mp4a"), Codec::aac},
    {fourcc("Opus"), Codec::opus}, {fourcc("fLaC"), Codec::flac}, {fourcc("ac-3"), Codec::ac3},
    {fourcc("ec-3"), Codec::eac3}, {fourcc(".mp3"), Codec::mp3},
};

}  // namespace

std::string_view codec_name(Codec codec) {
  switch (codec) {
    case Codec::none:
      return "-";
    case Codec::sorenson_h263:
      return "Sorenson H.263";
    case Codec::screen_video:
      return "Screen Video";
    case Codec::vp6:
      return "VP6";
    case Codec::vp6_alpha:
      return "VP6 with alpha";
    case Codec::screen_video_2:
      return "Screen Video 2";
    case Codec::avc:
      return "H.264";
    case Codec::jpeg:
      return "JPEG";
    case Codec::h263:
      return "H.263";
    case Codec::mpeg4:
      return "MPEG-4 Visual";
    case Codec::hevc:
      return "H.265";
    case Codec::vvc:
      return "H.266";
    case Codec::av1:
      return "AV1";
    case Codec::vp8:
      return "VP8";
    case Codec::vp9:
      return "VP9";
    case Codec::pcm:
    case Codec::pcm_le:
      return "PCM";
    case Codec::adpcm:
      return "ADPCM";
    case Codec::mp3:
    case Codec::mp3_8k:
      return "MP3";
    case Codec::nellymoser_16k:
    case Codec::nellymoser_8k:
    case Codec::nellymoser:
      return "Nellymoser";
    case Codec::g711_a:
      return "G.711 A-law";
    case Codec::g711_mu:
      return "G.711 mu-law";
    case Codec::aac:
      return "AAC";
    case Codec::speex:
      return "Speex";
    case Codec::device_specific:
      return "device specific";
    case Codec::opus:
      return "Opus";
    case Codec::flac:
      return "FLAC";
    case Codec::ac3:
      return "AC-3";
    case Codec::eac3:
      return "E-AC-3";
    case Codec::unknown:
      return "unknown";
  }
  return "unknown";
}

Codec codec_of_fourcc(uint32_t fourcc) {
  for (const FourccRow& row : fourcc_table) {
    if (row.fourcc == fourcc) return row.codec;
  }
  return Codec::unknown;
}

uint32_t fourcc_of(Codec codec) {
  for (const FourccRow& row : fourcc_table) {
    if (row.codec == codec) return row.fourcc;
  }
  return 0;
}

// FLV 10.1, E.4.3.1. From 8 on unofficial, but sent: 12 to 14 by encoders for Asian CDNs.
Codec codec_of_legacy_video(uint8_t id) {
  switch (id) {
    case 1:
      return Codec::jpeg;
    case 2:
      return Codec::sorenson_h263;
    case 3:
      return Codec::screen_video;
    case 4:
      return Codec::vp6;
    case 5:
      return Codec::vp6_alpha;
    case 6:
      return Codec::screen_video_2;
    case 7:
      return Codec::avc;
    case 8:
      return Codec::h263;
    case 9:
      return Codec::mpeg4;
    case 12:
      return Codec::hevc;
    case 13:
      return Codec::av1;
    case 14:
      return Codec::vvc;
    default:
      return Codec::unknown;
  }
}

// FLV 10.1, E.4.2.1. 13 is unofficial; 9 is E-RTMP and not asked for here.
Codec codec_of_legacy_audio(uint8_t id) {
  switch (id) {
    case 0:
      return Codec::pcm;
    case 1:
      return Codec::adpcm;
    case 2:
      return Codec::mp3;
    case 3:
      return Codec::pcm_le;
    case 4:
      return Codec::nellymoser_16k;
    case 5:
      return Codec::nellymoser_8k;
    case 6:
      return Codec::nellymoser;
    case 7:
      return Codec::g711_a;
    case 8:
      return Codec::g711_mu;
    case 10:
      return Codec::aac;
    case 11:
      return Codec::speex;
    case 13:
      return Codec::opus;
    case 14:
      return Codec::mp3_8k;
    case 15:
      return Codec::device_specific;
    default:
      return Codec::unknown;
  }
}

}  // namespace penstock::media

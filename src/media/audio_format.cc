#include <optional>

#include "penstock/media/tag.h"
#include "src/media/bit_reader.h"

// Sample rate and channels, from what each codec says about itself.
namespace penstock::media {
namespace {

// ISO 14496-3, 1.6.3.3: samplingFrequencyIndex.
uint32_t aac_rate(BitReader& bits) {
  constexpr uint32_t rates[] = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                22050, 16000, 12000, 11025, 8000,  7350};
  const uint32_t index = bits.bits(4);
  if (index == 15) return bits.bits(24);
  return index < std::size(rates) ? rates[index] : 0;
}

uint32_t aac_object_type(BitReader& bits) {
  const uint32_t type = bits.bits(5);
  return type == 31 ? 32 + bits.bits(6) : type;
}

// ISO 14496-3, 4.4.1.1: program_config_element(), for layouts that have no number of their own.
uint32_t aac_program_channels(BitReader& bits) {
  bits.skip(4 + 2 + 4);  // instance tag, object type, frequency index
  const uint32_t front = bits.bits(4);
  const uint32_t side = bits.bits(4);
  const uint32_t back = bits.bits(4);
  uint32_t channels = bits.bits(2);   // low frequency
  bits.skip(3 + 4);                   // associated data, coupling
  if (bits.bit() != 0) bits.skip(4);  // mono mixdown
  if (bits.bit() != 0) bits.skip(4);  // stereo mixdown
  if (bits.bit() != 0) bits.skip(3);  // matrix mixdown
  for (uint32_t i = 0; i < front + side + back; ++i) {
    channels += 1 + bits.bit();
    bits.skip(4);
  }
  return bits.good() ? channels : 0;
}

// AudioSpecificConfig (ISO 14496-3, 1.6.2.1).
std::optional<AudioFormat> aac_format(Bytes config) {
  BitReader bits(config);
  uint32_t object_type = aac_object_type(bits);
  AudioFormat format;
  format.sample_rate = aac_rate(bits);
  const uint32_t layout = bits.bits(4);
  constexpr uint32_t channels[] = {0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0};
  format.channels = channels[layout];
  constexpr uint32_t sbr = 5;
  constexpr uint32_t parametric_stereo = 29;
  if (object_type == sbr || object_type == parametric_stereo) {
    // What is heard: twice the rate with SBR, and stereo made of mono.
    if (object_type == parametric_stereo && format.channels == 1) format.channels = 2;
    format.sample_rate = aac_rate(bits);
    object_type = aac_object_type(bits);
  }
  if (!bits.good() || format.sample_rate == 0) return std::nullopt;
  constexpr uint32_t main = 1;
  constexpr uint32_t long_term_prediction = 4;
  if (layout == 0 && object_type >= main && object_type <= long_term_prediction) {
    bits.skip(1);                        // frameLengthFlag
    if (bits.bit() != 0) bits.skip(14);  // coreCoderDelay
    bits.skip(1);                        // extensionFlag
    format.channels = aac_program_channels(bits);
  }
  return format;
}

// RFC 7845, 5.1. Opus always decodes to 48 kHz; the rate in the header is that of its origin. The
// header may lack.
std::optional<AudioFormat> opus_format(Bytes config) {
  constexpr uint32_t opus_rate = 48'000;
  constexpr size_t channels_at = 9;
  if (config.size() <= channels_at || as_text(config.first(8)) != "OpusHead")
    return AudioFormat{opus_rate, 0};
  return AudioFormat{opus_rate, config[channels_at]};
}

// "fLaC", the header of a metadata block, STREAMINFO (RFC 9639, 8.2).
std::optional<AudioFormat> flac_format(Bytes config) {
  constexpr size_t info_at = 8;
  constexpr size_t rate_at = info_at + 10;  // after block and frame sizes
  if (config.size() < rate_at + 4 || as_text(config.first(4)) != "fLaC" ||
      (config[4] & 0x7F) != 0) {
    return std::nullopt;
  }
  BitReader bits(config.subspan(rate_at));
  const uint32_t rate = bits.bits(20);
  if (rate == 0) return std::nullopt;
  return AudioFormat{rate, bits.bits(3) + 1};
}

constexpr uint32_t ac3_rates[] = {48000, 44100, 32000};
constexpr uint32_t ac3_channels[] = {2, 1, 2, 3, 3, 4, 4, 5};

// ATSC A/52: syncinfo and the start of bsi, 5.3.
std::optional<AudioFormat> ac3_format(Bytes frame) {
  if (frame.size() < 8 || load_u16(frame.data()) != 0x0B77) return std::nullopt;
  BitReader bits(frame.subspan(4));
  const uint32_t rate = bits.bits(2);
  bits.skip(6 + 5 + 3);  // frame size, bsid, bsmod
  const uint32_t mode = bits.bits(3);
  if ((mode & 1) != 0 && mode != 1) bits.skip(2);  // centre mix level
  if ((mode & 4) != 0) bits.skip(2);               // surround mix level
  if (mode == 2) bits.skip(2);                     // Dolby surround
  const uint32_t low_frequency = bits.bit();
  if (rate >= std::size(ac3_rates)) return std::nullopt;
  return AudioFormat{ac3_rates[rate], ac3_channels[mode] + low_frequency};
}

// ATSC A/52, E.1.2.
std::optional<AudioFormat> eac3_format(Bytes frame) {
  if (frame.size() < 5 || load_u16(frame.data()) != 0x0B77) return std::nullopt;
  BitReader bits(frame.subspan(2));
  bits.skip(2 + 3 + 11);  // stream type, substream, frame size
  const uint32_t rate = bits.bits(2);
  const uint32_t half_rate = bits.bits(2);  // or the number of blocks
  const uint32_t mode = bits.bits(3);
  const uint32_t low_frequency = bits.bit();
  const uint32_t hz = rate < 3 ? ac3_rates[rate] : half_rate < 3 ? ac3_rates[half_rate] / 2 : 0;
  if (hz == 0) return std::nullopt;
  return AudioFormat{hz, ac3_channels[mode] + low_frequency};
}

// The header of an MPEG audio frame (ISO 11172-3, 2.4.1.3).
std::optional<AudioFormat> mp3_format(Bytes frame) {
  constexpr uint32_t rates[] = {44100, 48000, 32000};
  if (frame.size() < 4 || load_u16(frame.data()) >> 5 != 0x7FF) return std::nullopt;
  const uint32_t version = frame[1] >> 3 & 3;  // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
  const uint32_t rate = frame[2] >> 2 & 3;
  if (version == 1 || rate == 3) return std::nullopt;
  const uint32_t divisor = version == 3 ? 1 : version == 2 ? 2 : 4;
  const bool mono = frame[3] >> 6 == 3;
  return AudioFormat{rates[rate] / divisor, mono ? 1U : 2U};
}

// The first byte of a legacy body (FLV 10.1, E.4.2.1).
AudioFormat legacy_format(uint8_t first) {
  constexpr uint32_t rates[] = {5512, 11025, 22050, 44100};
  return {rates[first >> 2 & 3], (first & 1U) + 1};
}

}  // namespace

std::optional<AudioFormat> audio_format(const TagInfo& info, Bytes body) {
  if (!info.known || info.body_offset > body.size()) return std::nullopt;
  const Bytes own = body.subspan(info.body_offset);
  switch (info.codec) {
    case Codec::aac:
      return info.sequence_header ? aac_format(own) : std::nullopt;
    case Codec::opus:
      if (!info.enhanced || !info.sequence_header) return std::nullopt;
      return opus_format(own);
    case Codec::flac:
      return info.sequence_header ? flac_format(own) : std::nullopt;
    case Codec::ac3:
      return ac3_format(own);
    case Codec::eac3:
      return eac3_format(own);
    case Codec::mp3: {
      // The two bits of the legacy byte have no way to say 48 or 32 kHz: the frame itself is right.
      const std::optional<AudioFormat> format = mp3_format(own);
      return format || info.enhanced ? format : legacy_format(body[0]);
    }
    case Codec::mp3_8k:
      return AudioFormat{8000, (body[0] & 1U) + 1};
    case Codec::nellymoser_16k:
    case Codec::speex:
      return AudioFormat{16000, 1};
    case Codec::nellymoser_8k:
      return AudioFormat{8000, 1};
    case Codec::g711_a:
    case Codec::g711_mu:
      return AudioFormat{8000, (body[0] & 1U) + 1};
    case Codec::pcm:
    case Codec::pcm_le:
    case Codec::adpcm:
    case Codec::nellymoser:
      return legacy_format(body[0]);
    default:
      return std::nullopt;
  }
}

}  // namespace penstock::media

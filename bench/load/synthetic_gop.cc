#include "bench/load/synthetic_gop.h"

#include <algorithm>
#include <utility>

#include "bench/load/stamp.h"
#include "penstock/amf/amf0.h"
#include "penstock/base/prng.h"
#include "penstock/rtmp/message.h"

namespace penstock::load {
namespace {

using rtmp::message_type::audio;
using rtmp::message_type::data;
using rtmp::message_type::video;

constexpr uint64_t audio_bits_per_second_max = 128'000;

// A keyframe of a talking head is about as large as 8 P frames.
constexpr uint32_t keyframe_weight = 8;

constexpr uint64_t message_bytes_max = 0xFFFFFF;

constexpr uint8_t stamp_uuid[16] = {0x70, 0x65, 0x6E, 0x73, 0x74, 0x6F, 0x63, 0x6B,
                                    0x2D, 0x6C, 0x6F, 0x61, 0x64, 0x2D, 0x30, 0x31};

// FLV 5, SEI unit (length 4, header 3, uuid, stamp, stop bit 1), slice (length 4, header 1, one
// byte).
constexpr size_t video_bytes_min = stamp_at_video + stamp_bytes + 1 + 4 + 2;
constexpr size_t audio_bytes_min = stamp_at_audio + stamp_bytes;

// Baseline 3.1, 1280x720, picture order as decoded, one reference (H.264 7.3.2.1): level 3.1 and no
// cropping, no VUI. Then the PPS: CAVLC, everything else 0 (7.3.2.2).
constexpr uint8_t sequence_parameters[] = {0x67, 0x42, 0xC0, 0x1F, 0xDA, 0x01, 0x40, 0x16, 0xE4};
constexpr uint8_t picture_parameters[] = {0x68, 0xCE, 0x38, 0x80};

// AAC LC, 44.1 kHz, stereo (ISO 14496-3, 1.6.2.1).
constexpr uint8_t audio_specific_config[] = {0x12, 0x10};

void append(std::vector<uint8_t>& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_u32(std::vector<uint8_t>& out, size_t value) {
  uint8_t bytes[4];
  store_u32(bytes, static_cast<uint32_t>(value));
  append(out, bytes);
}

/// Bytes that never form a start code: none of them is 0.
void fill(std::vector<uint8_t>& out, size_t bytes, Prng& prng) {
  const size_t at = out.size();
  out.resize(at + bytes);
  prng.fill(MutableBytes(out).subspan(at));
  for (size_t i = at; i < out.size(); ++i) out[i] |= 0x10;
}

struct PictureSizes {
  uint64_t key;
  uint64_t other;
};

PictureSizes picture_sizes(const SyntheticMedia& media) {
  const uint32_t pictures = media.video_fps * media.gop_s;
  const uint64_t audio_bytes = audio_bits_per_second(media) * media.gop_s / 8;
  const uint64_t video_bytes = media.bits_per_second * media.gop_s / 8 - audio_bytes;
  const uint64_t other = video_bytes / (keyframe_weight + pictures - 1);
  const uint64_t key = other * keyframe_weight;
  // What a keyframe cannot hold goes to the others, so that the bitrate stays.
  if (key > message_bytes_max && pictures > 1)
    return {message_bytes_max, (video_bytes - message_bytes_max) / (pictures - 1)};
  return {key, other};
}

std::vector<uint8_t> video_message(bool key, size_t bytes, Prng& prng) {
  bytes = std::max(bytes, video_bytes_min);
  std::vector<uint8_t> out = {static_cast<uint8_t>(key ? 0x17 : 0x27), 1, 0, 0, 0};
  constexpr size_t sei_content_bytes = sizeof stamp_uuid + stamp_bytes;
  append_u32(out, 2 + 1 + sei_content_bytes + 1);
  append(out, std::initializer_list<uint8_t>{6, 5, sei_content_bytes});
  append(out, stamp_uuid);
  out.resize(out.size() + stamp_bytes, 'x');
  out.push_back(0x80);
  append_u32(out, bytes - out.size() - 4);
  out.push_back(key ? 0x65 : 0x41);
  fill(out, bytes - out.size(), prng);
  return out;
}

std::vector<uint8_t> audio_message(size_t bytes, Prng& prng) {
  std::vector<uint8_t> out = {0xAF, 1};
  out.resize(audio_bytes_min, 'x');
  if (bytes > out.size()) fill(out, bytes - out.size(), prng);
  return out;
}

std::vector<uint8_t> metadata(const SyntheticMedia& media) {
  std::vector<uint8_t> out;
  amf::Amf0Writer values(out);
  values.string("@setDataFrame");
  values.string("onMetaData");
  values.ecma_array_begin(8);
  values.property("width", 1280.0);
  values.property("height", 720.0);
  values.property("framerate", double(media.video_fps));
  values.property("videocodecid", 7.0);
  values.property("videodatarate",
                  double(media.bits_per_second - audio_bits_per_second(media)) / 1000);
  values.property("audiocodecid", 10.0);
  values.property("audiodatarate", double(audio_bits_per_second(media)) / 1000);
  values.property("encoder", "penstock-load");
  values.object_end();
  return out;
}

std::vector<uint8_t> avc_sequence_header() {
  std::vector<uint8_t> out = {0x17, 0, 0, 0, 0};
  // avcC: version, profile, compatibility, level, 4-byte lengths, one SPS, one PPS.
  append(out, std::initializer_list<uint8_t>{1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1, 0,
                                             sizeof sequence_parameters});
  append(out, sequence_parameters);
  append(out, std::initializer_list<uint8_t>{1, 0, sizeof picture_parameters});
  append(out, picture_parameters);
  return out;
}

}  // namespace

uint64_t audio_bits_per_second(const SyntheticMedia& media) {
  return std::min(media.bits_per_second / 4, audio_bits_per_second_max);
}

uint64_t bits_per_second_min(const SyntheticMedia& media) {
  const uint64_t for_audio = audio_bytes_min * 8 * media.audio_fps;
  const uint64_t for_video = video_bytes_min * 8 * media.video_fps;
  // The audio is a quarter of all, so the larger of the two parts decides.
  return std::max(for_audio * 4, (for_video * 4 + 2) / 3);
}

bool fits_messages(const SyntheticMedia& media) {
  const PictureSizes sizes = picture_sizes(media);
  return std::max(sizes.key, sizes.other) <= message_bytes_max;
}

std::vector<LoopInput> synthetic_preamble(const SyntheticMedia& media) {
  std::vector<uint8_t> aac = {0xAF, 0};
  append(aac, audio_specific_config);
  return {{.message_type = data, .payload = metadata(media)},
          {.message_type = video, .payload = avc_sequence_header()},
          {.message_type = audio, .payload = std::move(aac)}};
}

std::vector<LoopInput> synthetic_body(const SyntheticMedia& media) {
  Prng prng(1);
  const uint32_t pictures = media.video_fps * media.gop_s;
  const uint32_t sounds = media.audio_fps * media.gop_s;
  const uint64_t audio_bytes = audio_bits_per_second(media) * media.gop_s / 8;
  const PictureSizes sizes = picture_sizes(media);
  const uint64_t period_us = uint64_t{media.gop_s} * 1'000'000;
  std::vector<LoopInput> body;
  const auto add = [&](uint8_t type, uint32_t number, uint32_t count, size_t stamp_at,
                       std::vector<uint8_t> payload) {
    const uint64_t due_us = number * period_us / count;
    body.push_back({.message_type = type,
                    .timestamp_ms = static_cast<uint32_t>((due_us + 500) / 1000),
                    .due_us = due_us,
                    .stamp_at = stamp_at,
                    .payload = std::move(payload)});
  };
  for (uint32_t i = 0; i < pictures; ++i) {
    add(video, i, pictures, stamp_at_video,
        video_message(i == 0, i == 0 ? sizes.key : sizes.other, prng));
  }
  for (uint32_t i = 0; i < sounds; ++i)
    add(audio, i, sounds, stamp_at_audio, audio_message(audio_bytes / sounds, prng));
  std::ranges::sort(body, {}, [](const LoopInput& message) {
    return std::pair(message.due_us, message.message_type == audio);
  });
  return body;
}

MediaLoop make_synthetic_loop(const SyntheticMedia& media, uint32_t chunk_bytes) {
  return make_loop(synthetic_preamble(media), synthetic_body(media), media.gop_s * 1000,
                   chunk_bytes);
}

}  // namespace penstock::load

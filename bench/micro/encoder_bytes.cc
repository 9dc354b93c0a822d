#include "bench/micro/encoder_bytes.h"

#include <algorithm>

namespace penstock::bench {
namespace {

constexpr uint32_t audio_bits_max = 128'000;
constexpr uint32_t keyframe_factor = 8;

constexpr uint8_t type_audio = 8;
constexpr uint8_t type_video = 9;
constexpr uint8_t audio_chunk_stream = 4;
constexpr uint8_t video_chunk_stream = 6;

// AVCDecoderConfigurationRecord of 1280x720, baseline; AudioSpecificConfig of AAC-LC, 44.1 kHz,
// stereo.
constexpr uint8_t avc_header[] = {0x17, 0,    0, 0,    0,    1,    0x42, 0xC0, 0x1F, 0xFF,
                                  0xE1, 0,    9, 0x67, 0x42, 0xC0, 0x1F, 0x8C, 0x8D, 0x40,
                                  0x50, 0x17, 1, 0,    4,    0x68, 0xCE, 0x3C, 0x80};
constexpr uint8_t aac_header[] = {0xAF, 0, 0x12, 0x10};

std::vector<uint8_t> video_payload(uint32_t bytes, bool key) {
  std::vector<uint8_t> payload(bytes, 0x5A);
  const uint8_t head[] = {static_cast<uint8_t>(key ? 0x17 : 0x27), 1, 0, 0, 0};
  std::copy(std::begin(head), std::end(head), payload.begin());
  return payload;
}

std::vector<uint8_t> audio_payload(uint32_t bytes) {
  std::vector<uint8_t> payload(bytes, 0xA5);
  payload[0] = 0xAF;
  payload[1] = 1;
  return payload;
}

/// Of message number k of `count` in a GOP, since the one before it.
uint32_t delta_ms(size_t k, size_t count) {
  const auto at = [&](size_t i) { return (i * gop_ms + count / 2) / count; };
  return static_cast<uint32_t>(at(k + 1) - at(k));
}

}  // namespace

EncoderBytes::EncoderBytes(uint32_t bits_per_second, uint32_t chunk_bytes)
    : chunk_bytes_(chunk_bytes) {
  const uint32_t audio_bits = std::min(audio_bits_max, bits_per_second / 4);
  const uint32_t audio_bytes = static_cast<uint32_t>(audio_bits / 8 * 2 / gop_audio);
  const uint32_t parts = gop_video - 1 + keyframe_factor;
  const uint32_t video_bytes = (bits_per_second - audio_bits) / 8 * 2 / parts;
  add(start_, 0, true, 0, avc_header);
  add(start_, 0, false, 0, aac_header);
  chunks_ = 0;
  size_t audio = 0;
  for (size_t video = 0; video < gop_video; ++video) {
    const bool key = video == 0;
    add(gop_, 1, true, delta_ms(video, gop_video),
        video_payload(key ? video_bytes * keyframe_factor : video_bytes, key));
    ends_.push_back(gop_.size());
    for (; audio * gop_video < (video + 1) * gop_audio && audio < gop_audio; ++audio) {
      add(gop_, 1, false, delta_ms(audio, gop_audio), audio_payload(audio_bytes));
      ends_.push_back(gop_.size());
    }
  }
}

void EncoderBytes::add(std::vector<uint8_t>& to, uint8_t header_type, bool video, uint32_t time,
                       Bytes payload) {
  const uint8_t chunk_stream = video ? video_chunk_stream : audio_chunk_stream;
  uint8_t header[12];
  header[0] = static_cast<uint8_t>(header_type << 6 | chunk_stream);
  store_u24(header + 1, time);
  store_u24(header + 4, static_cast<uint32_t>(payload.size()));
  header[7] = video ? type_video : type_audio;
  store_u32_le(header + 8, 1);
  const size_t header_bytes = header_type == 0 ? 12 : 8;
  to.insert(to.end(), header, header + header_bytes);
  for (size_t at = 0; at < payload.size(); at += chunk_bytes_) {
    if (at > 0) to.push_back(static_cast<uint8_t>(0xC0 | chunk_stream));
    const Bytes run = payload.subspan(at, std::min<size_t>(chunk_bytes_, payload.size() - at));
    to.insert(to.end(), run.begin(), run.end());
    ++chunks_;
  }
}

Bytes EncoderBytes::messages(size_t first, size_t count) const {
  const size_t end = std::min(first + count, ends_.size());
  const size_t from = first == 0 ? 0 : ends_[first - 1];
  return Bytes{gop_}.subspan(from, ends_[end - 1] - from);
}

}  // namespace penstock::bench

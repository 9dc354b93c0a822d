#pragma once

#include <cstdint>
#include <vector>

#include "bench/load/media_loop.h"

namespace penstock::load {

/// An encoder's pattern without an encoder: H.264 with one keyframe, then P frames, and AAC.
struct SyntheticMedia {
  uint64_t bits_per_second = 1'000'000;  // audio and video together, payload
  uint32_t video_fps = 30;
  uint32_t audio_fps = 43;  // AAC at 44.1 kHz has 43.07
  uint32_t gop_s = 2;
};

/// A quarter of all, 128 kbit/s at most: what encoders are usually set to.
[[nodiscard]] uint64_t audio_bits_per_second(const SyntheticMedia& media);

/// The lowest bitrate at which every message has room for its stamp.
[[nodiscard]] uint64_t bits_per_second_min(const SyntheticMedia& media);

/// Whether every picture fits the 24 bits of a message's length.
[[nodiscard]] bool fits_messages(const SyntheticMedia& media);

/// One GOP. Message k of n in the GOP has timestamp k * gop / n, rounded, so that the pattern of
/// deltas closes at the end of the GOP. The parameter sets are true; the slices are filler that no
/// decoder takes.
[[nodiscard]] MediaLoop make_synthetic_loop(const SyntheticMedia& media, uint32_t chunk_bytes);

/// Metadata, AVC and AAC sequence headers of it.
[[nodiscard]] std::vector<LoopInput> synthetic_preamble(const SyntheticMedia& media);
/// The messages of one GOP in the order in which they are due.
[[nodiscard]] std::vector<LoopInput> synthetic_body(const SyntheticMedia& media);

}  // namespace penstock::load

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace penstock::load {

/// What a synthetic message says of itself, so that whoever plays it can tell what is missing and
/// how long the rest was on its way.
struct Stamp {
  uint16_t incarnation = 0;  // of the publisher: one more with every connection
  uint32_t sequence = 0;     // from 0, counted apart for audio and video
  uint64_t sent_at_ns = 0;   // CLOCK_MONOTONIC: of use on one machine only
  bool operator==(const Stamp&) const = default;
};

// "PsLd", then 4, 8 and 16 hex digits. Digits, because no run of them can look like a start code
// within a NAL unit (H.264 7.4.1), whatever the numbers are.
constexpr size_t stamp_bytes = 32;

// Where it lies in a message's payload. Video: FLV header 5, length of the NAL unit 4, SEI header
// 3 (nal_unit_type 6, payload type 5, size), uuid 16. Audio: behind the FLV header.
constexpr size_t stamp_at_video = 5 + 4 + 3 + 16;
constexpr size_t stamp_at_audio = 2;

void write_stamp(uint8_t* at, const Stamp& stamp);
/// Nothing when there is none: foreign media, or a message that was sent without.
[[nodiscard]] std::optional<Stamp> read_stamp(const uint8_t* at);

}  // namespace penstock::load

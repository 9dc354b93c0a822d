#pragma once

#include <cstdint>

#include "penstock/media/tag.h"

namespace penstock::media {

[[nodiscard]] constexpr uint32_t fourcc(const char (&text)[5]) {
  uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<uint8_t>(text[i]);
  return number;
}

/// Codec ids of the one-byte headers; Codec::unknown for those that nobody has defined.
[[nodiscard]] Codec codec_of_legacy_video(uint8_t id);
[[nodiscard]] Codec codec_of_legacy_audio(uint8_t id);

}  // namespace penstock::media

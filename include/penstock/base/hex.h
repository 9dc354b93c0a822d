#pragma once

#include <string>

#include "penstock/base/bytes.h"

namespace penstock {

/// Two lower-case digits for each byte.
[[nodiscard]] inline std::string hex(Bytes bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace penstock

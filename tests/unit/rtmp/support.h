#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"

namespace penstock::test {

using Octets = std::vector<uint8_t>;

inline Octets from_hex(std::string_view hex) {
  Octets octets;
  int high = -1;
  for (const char c : hex) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      octets.push_back(static_cast<uint8_t>(high << 4 | digit));
      high = -1;
    }
  }
  return octets;
}

inline std::string to_hex(Bytes bytes) {
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

inline Octets octets(Bytes bytes) { return {bytes.begin(), bytes.end()}; }
inline Octets octets(std::string_view text) { return octets(as_bytes(text)); }

inline void append(Octets& to, Bytes more) { to.insert(to.end(), more.begin(), more.end()); }

/// Payload that differs at every place and for every seed.
inline Octets filler(size_t bytes, uint64_t seed) {
  Octets payload(bytes);
  Prng(seed).fill(payload);
  return payload;
}

}  // namespace penstock::test

#pragma once

#include <array>
#include <cstdint>

#include "penstock/base/bytes.h"

namespace penstock::rtmp {

using Digest = std::array<uint8_t, 32>;

/// HMAC-SHA256 over `first` and then `second`. Any key length, 0 included.
[[nodiscard]] Digest hmac_sha256(Bytes key, Bytes first, Bytes second = {});

/// Takes the same time wherever the two differ.
[[nodiscard]] bool equal_constant_time(Bytes one, Bytes other);

}  // namespace penstock::rtmp

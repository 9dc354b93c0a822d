#pragma once

#include <array>
#include <cstdint>

#include "penstock/base/bytes.h"
#include "penstock/rtmp/hmac.h"

namespace penstock::rtmp {

/// Identifies a player's file: over its uncompressed bytes, with the first one "F".
[[nodiscard]] Digest swf_hash(Bytes uncompressed_file);

/// The body of user control 27, with which a player answers user control 26. `s1_end` is the last
/// 32 bytes of S1.
[[nodiscard]] std::array<uint8_t, 44> swf_verify_response(uint32_t file_bytes, Bytes file_hash,
                                                          Bytes s1_end);

}  // namespace penstock::rtmp

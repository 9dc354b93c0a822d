#pragma once

#include <cstdint>

#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// 128 bits that no peer knows.
struct Secret {
  uint64_t words[2] = {};
};

/// SipHash-2-4 (Aumasson and Bernstein): a keyed hash whose values say nothing about other values.
/// For what peers get to see: initial sequence numbers, cookies, timestamps, ports.
[[nodiscard]] uint64_t siphash(const Secret& secret, Bytes message);

}  // namespace penstock::engine::tcp

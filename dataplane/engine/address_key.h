#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "dataplane/engine/engine.h"

namespace penstock::engine {

/// What counts as one address: who has one of IPv6 has its /64, and an IPv4 address that comes
/// through a listener for both (::ffff:192.0.2.7) is that address. Never all zeros.
using AddressKey = std::array<uint8_t, 9>;

[[nodiscard]] inline AddressKey address_key(const Endpoint& peer) {
  constexpr std::array<uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  AddressKey key{};
  const bool wide = peer.ipv6 && !std::equal(mapped.begin(), mapped.end(), peer.address);
  key[0] = wide ? 6 : 4;
  std::copy_n(peer.address + (peer.ipv6 && !wide ? mapped.size() : 0), wide ? 8 : 4,
              key.begin() + 1);
  return key;
}

}  // namespace penstock::engine

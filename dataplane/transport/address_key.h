#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "dataplane/engine/engine.h"

namespace penstock::transport {

/// What counts as one address: who has one of IPv6 has its /64.
using AddressKey = std::array<uint8_t, 9>;

[[nodiscard]] inline AddressKey address_key(const engine::Endpoint& peer) {
  AddressKey key{};
  key[0] = peer.ipv6 ? 6 : 4;
  std::copy_n(peer.address, peer.ipv6 ? 8 : 4, key.begin() + 1);
  return key;
}

}  // namespace penstock::transport

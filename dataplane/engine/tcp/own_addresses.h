#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/stack.h"
#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// What a stack is known by on its link, as packets have it.
struct OwnAddresses {
  explicit OwnAddresses(const StackOptions& options);

  [[nodiscard]] Bytes of(LocalAddress which) const {
    switch (which) {
      case LocalAddress::ipv4:
        return ipv4;
      case LocalAddress::ipv6:
        return ipv6;
      default:
        return link_local;
    }
  }
  [[nodiscard]] bool is_own(const IpAddress& address) const;
  /// On the link itself: reached without a gateway.
  [[nodiscard]] bool on_link(const IpAddress& address) const;
  /// The address of ours that a connection to `remote` has; nothing when there is none.
  [[nodiscard]] std::optional<LocalAddress> source_for(const IpAddress& remote) const;
  /// The neighbour to whom packets for `remote` go.
  [[nodiscard]] std::optional<IpAddress> next_hop(const IpAddress& remote) const;

  MacAddress mac;
  std::optional<uint16_t> vlan;
  bool has_ipv4 = false;
  bool has_ipv6 = false;
  uint8_t prefix_bits = 0;
  uint8_t prefix6_bits = 0;
  std::array<uint8_t, 4> ipv4{};
  std::array<uint8_t, 16> ipv6{};
  std::array<uint8_t, 16> link_local{};
  std::optional<IpAddress> gateway;
  std::optional<IpAddress> gateway6;
};

}  // namespace penstock::engine::tcp

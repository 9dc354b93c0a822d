#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::config {

/// A network: "10.0.0.0/8", "fd00::/8"; "192.0.2.7" is one with a single address.
struct AddressPrefix {
  std::string host;                 // as written
  std::array<uint8_t, 16> bytes{};  // IPv4 in the first four
  uint8_t bits = 0;
  bool ipv6 = false;
  bool operator==(const AddressPrefix&) const = default;

  /// `address` as engine::Endpoint has it: IPv4 in the first four bytes. An IPv4 address in IPv6's
  /// clothes (::ffff:10.0.0.1) is an IPv4 address.
  [[nodiscard]] bool covers(const uint8_t (&address)[16], bool address_ipv6) const;
};

/// Nothing when it is no network, or has bits set behind its length.
[[nodiscard]] std::optional<AddressPrefix> parse_prefix(std::string_view text);

/// A host's own address with the length of its network, as interfaces have it: "10.99.0.2/24",
/// "fd99::2/64". Here bits behind the length may be set, and the length has to be there. Nothing
/// when no host can have it: loopback, multicast, the network itself or its broadcast address.
[[nodiscard]] std::optional<AddressPrefix> parse_interface_address(std::string_view text);

/// Always with its length.
[[nodiscard]] std::string to_string(const AddressPrefix& prefix);

}  // namespace penstock::config

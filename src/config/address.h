#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::config {

/// An IP address in numbers with a port, as text and as bytes: two texts may mean the same address.
struct Address {
  std::string host;  // empty: every address of both families
  std::array<uint8_t, 16> bytes{};
  uint16_t port = 0;
  bool ipv6 = false;

  [[nodiscard]] bool loopback() const;
};

/// "1.2.3.4:5", "[::1]:5" or ":5". Nothing when it is none of these, or when the port is 0.
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);

}  // namespace penstock::config

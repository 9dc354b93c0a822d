#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

namespace penstock::tunnel {

/// How the two forms of the PROXY header begin (PROXY protocol 2.1 and 2.2).
constexpr std::string_view proxy_header_starts[] = {
    "PROXY ", std::string_view("\r\n\r\n\0\r\nQUIT\n", 12)};

// The text form is at most 107 bytes; of the binary form we take what load balancers send:
// addresses and a few extensions, no certificates.
constexpr size_t proxy_header_bytes_max = 1024;

/// The address of the peer that a load balancer stands in front of.
struct ProxiedPeer {
  std::array<uint8_t, 16> address{};  // IPv4 in the first four bytes
  uint16_t port = 0;
  bool ipv6 = false;
};

struct ProxyHeader {
  size_t header_bytes = 0;          // what to take from the front of the input
  std::optional<ProxiedPeer> peer;  // none: the balancer speaks for itself (LOCAL, UNKNOWN)
};

/// None while the header is not all there. Fault: proxy_header_malformed.
[[nodiscard]] std::expected<std::optional<ProxyHeader>, Fault> read_proxy_header(Bytes input);

}  // namespace penstock::tunnel

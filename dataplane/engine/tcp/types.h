#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "penstock/base/bytes.h"

// What the parts of the TCP/IP stack tell each other. Numbers are in host order everywhere but in
// packets.
namespace penstock::engine::tcp {

/// Names a connection of one stack. The index is reused, the generation makes a late call miss.
struct ConnectionId {
  uint32_t index = 0;
  uint32_t generation = 0;
  constexpr bool operator==(const ConnectionId&) const = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};
  constexpr bool operator==(const MacAddress&) const = default;
};

/// IPv4 in the first four bytes, the rest 0.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  bool ipv6 = false;
  constexpr bool operator==(const IpAddress&) const = default;
};

struct SocketAddress {
  IpAddress address;
  uint16_t port = 0;
  constexpr bool operator==(const SocketAddress&) const = default;
};

/// A connection as packets name it.
struct Flow {
  SocketAddress local;
  SocketAddress remote;
  constexpr bool operator==(const Flow&) const = default;
};

/// What a packet says about a host of the link: small, and the same for every stack of the host, so
/// that it can be handed to the stacks whose queue it did not come to.
struct NeighbourNews {
  IpAddress address;
  MacAddress mac;
  bool answer = false;  // it can be what somebody asked for: not a request, not gratuitous
  constexpr bool operator==(const NeighbourNews&) const = default;
};

/// Memory of the caller's that holds one received packet: whatever the caller wants, a pointer as a
/// rule. Each that is given to a stack comes back exactly once.
struct PacketToken {
  uintptr_t value = 0;
};

/// A packet from the wire, from its Ethernet header on. The bytes stay put until the token is back.
struct PacketIn {
  Bytes bytes;
  PacketToken token;
  // What the device found out; when false the stack computes it itself.
  bool ip_checksum_good = false;
  bool l4_checksum_good = false;
};

/// A packet for the wire: `header` and then the slices, in order. Slices are the bytes given to
/// send(): they stay put until the stack's `sent` event, and that waits for transmitted().
struct PacketOut {
  // Ethernet with one VLAN tag 18, IPv6 40, TCP 20 and options 40: 118. Whole small packets that
  // the stack makes (ARP, ICMP errors and echo replies up to their bound) lie in slices.
  static constexpr size_t header_bytes_max = 128;
  static constexpr size_t slices_max = 4;

  std::array<uint8_t, header_bytes_max> header;
  uint16_t header_bytes = 0;
  uint16_t payload_bytes = 0;
  uint8_t slice_count = 0;
  // For offloads: where IP and TCP begin, and whether the device is to fill in the checksums (the
  // TCP field then holds the pseudo header's sum).
  uint8_t ip_offset = 0;
  uint8_t l4_offset = 0;
  bool ipv6 = false;
  bool wants_ip_checksum = false;
  bool wants_tcp_checksum = false;
  std::array<Bytes, slices_max> slices;

  [[nodiscard]] size_t bytes() const { return size_t{header_bytes} + payload_bytes; }
};

}  // namespace penstock::engine::tcp

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/own_addresses.h"
#include "dataplane/engine/tcp/stack.h"
#include "dataplane/engine/tcp/types.h"
#include "dataplane/engine/tcp/wire.h"

// What tests of packets share: addresses, and packets as bytes.
namespace penstock::engine::tcp {

inline IpAddress ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  IpAddress address;
  address.bytes = {a, b, c, d};
  return address;
}

/// fd99::`last`
inline IpAddress ipv6(uint8_t last) {
  IpAddress address;
  address.ipv6 = true;
  address.bytes = {0xfd, 0x99};
  address.bytes[15] = last;
  return address;
}

inline MacAddress mac(uint8_t last) { return {{2, 0, 0, 0, 0, last}}; }

/// 10.0.0.`last`/24 and fd99::`last`/64, gateways .254.
inline StackOptions options_of_host(uint8_t last) {
  StackOptions options;
  options.mac = mac(last);
  options.address = ipv4(10, 0, 0, last);
  options.address6 = ipv6(last);
  options.gateway = ipv4(10, 0, 0, 254);
  options.gateway6 = ipv6(254);
  options.connections_max = 64;
  options.half_open_max = 16;
  options.time_wait_max = 16;
  options.neighbours_max = 16;
  options.held_packets_max = 256;
  options.receive_blocks = 256;
  options.secret[0] = 0x0123456789abcdef + last;
  options.secret[1] = 0xfedcba9876543210;
  return options;
}

inline std::vector<uint8_t> bytes_of(const PacketOut& packet) {
  std::vector<uint8_t> bytes(packet.header.begin(), packet.header.begin() + packet.header_bytes);
  for (size_t i = 0; i < packet.slice_count; ++i) {
    bytes.insert(bytes.end(), packet.slices[i].begin(), packet.slices[i].end());
  }
  return bytes;
}

inline std::vector<uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

inline PacketIn packet_of(const std::vector<uint8_t>& bytes) { return {.bytes = bytes}; }

/// From `own` to `peer`.
inline FlowKey flow_to(const IpAddress& peer, uint16_t peer_port, uint16_t local_port) {
  FlowKey flow;
  flow.local = peer.ipv6 ? LocalAddress::ipv6 : LocalAddress::ipv4;
  set_remote(flow, peer);
  flow.remote_port = peer_port;
  flow.local_port = local_port;
  return flow;
}

/// A TCP packet of the host `from` for the host `to`, by its own routines.
inline std::vector<uint8_t> tcp_packet(const StackOptions& from, const StackOptions& to, bool v6,
                                       uint16_t from_port, uint16_t to_port,
                                       const SegmentOut& segment) {
  PacketOut packet;
  const FlowKey flow = flow_to(v6 ? *to.address6 : *to.address, to_port, from_port);
  write_tcp_packet(packet, OwnAddresses(from), flow, to.mac, 0, segment, {});
  return bytes_of(packet);
}

}  // namespace penstock::engine::tcp

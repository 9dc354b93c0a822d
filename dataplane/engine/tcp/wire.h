#pragma once

#include <cstdint>

#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/own_addresses.h"
#include "dataplane/engine/tcp/segment.h"
#include "dataplane/engine/tcp/types.h"

// Ethernet (with one 802.1Q tag), IPv4, IPv6 and TCP as bytes. What is parsed was checked for all
// that can be checked without a connection.
namespace penstock::engine::tcp {

namespace protocol {
constexpr uint8_t icmp = 1;
constexpr uint8_t tcp = 6;
constexpr uint8_t icmp6 = 58;
}  // namespace protocol

constexpr size_t ethernet_bytes = 14;
constexpr size_t vlan_tag_bytes = 4;
constexpr size_t ipv4_bytes = 20;
constexpr size_t ipv6_bytes = 40;
constexpr size_t tcp_bytes = 20;
constexpr uint16_t ethertype_ipv4 = 0x0800;
constexpr uint16_t ethertype_arp = 0x0806;
constexpr uint16_t ethertype_vlan = 0x8100;
constexpr uint16_t ethertype_ipv6 = 0x86dd;

enum class PacketKind : uint8_t {
  tcp,
  icmp,  // or ICMPv6, by flow.ipv6(); neighbour discovery is among it
  arp,
  exception,  // not ours: for somebody else on this host
  dropped,    // and counted
};

struct ParsedPacket {
  PacketKind kind = PacketKind::dropped;
  uint8_t hop_limit = 0;
  bool to_group = false;  // the IPv6 destination is a multicast address
  FlowKey flow;           // tcp; for icmp without ports
  SegmentIn segment;      // tcp
  Bytes message;          // icmp, arp: from their header on, without padding of Ethernet
};

/// Fragments are dropped and counted: nobody sends TCP in fragments on purpose, and reassembly is
/// memory that blind senders choose the use of (RFC 4963). Those of other protocols go to the
/// exception path with the rest.
void parse_packet(const PacketIn& packet, const OwnAddresses& own, StackCounters& counters,
                  ParsedPacket& parsed);

/// Known options of `bytes`; false when they end in the middle of one: those before it count.
[[nodiscard]] bool parse_tcp_options(Bytes bytes, TcpOptions& options);
/// At most 40 bytes, a multiple of 4. `syn`: options that only a SYN may have are written.
[[nodiscard]] size_t write_tcp_options(const TcpOptions& options, bool syn, uint8_t* at);

/// How a packet of ours is addressed. `traffic_class`: the six bits of DSCP and two of ECN.
struct Addressing {
  MacAddress to;
  uint8_t protocol = 0;
  uint8_t traffic_class = 0;
  uint8_t hop_limit = 64;
  uint32_t flow_label = 0;
};

/// Whether the device fills in checksums.
struct ChecksumOffload {
  bool ip = false;
  bool tcp = false;
};

/// Ethernet header (and tag) into `packet`; header_bytes is then where the next one begins.
void write_ethernet(PacketOut& packet, const OwnAddresses& own, const MacAddress& to,
                    uint16_t ethertype);
/// Ethernet and IP header for `payload_bytes` behind them. The destination is `flow`'s remote.
void write_ip(PacketOut& packet, const OwnAddresses& own, const FlowKey& flow,
              const Addressing& addressing, size_t payload_bytes, bool ip_checksum_offload);
/// The whole of a TCP packet; its slices are those of `segment`.
void write_tcp_packet(PacketOut& packet, const OwnAddresses& own, const FlowKey& flow,
                      const MacAddress& to, uint32_t flow_label, const SegmentOut& segment,
                      ChecksumOffload offload);

/// The Ethernet address of an IPv6 multicast group (RFC 2464: 7).
[[nodiscard]] MacAddress group_mac(Bytes ipv6_group);
/// The group in which the owner of `address` is asked for (RFC 4291: 2.7.1).
[[nodiscard]] std::array<uint8_t, 16> solicited_node_group(Bytes address);

}  // namespace penstock::engine::tcp

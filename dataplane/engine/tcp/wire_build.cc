#include <algorithm>
#include <cstring>

#include "dataplane/engine/tcp/checksum.h"
#include "dataplane/engine/tcp/wire.h"

namespace penstock::engine::tcp {
namespace {

// Headers are written in words of 32 bits, in place, because checksums read them so right away: a
// word that was written in parts is not forwarded, and its reader waits until it is in the cache.

constexpr size_t options_bytes_max = 40;

uint8_t* write_sacks(const TcpOptions& options, uint8_t* at, const uint8_t* begin) {
  const size_t room = options_bytes_max - static_cast<size_t>(at - begin);
  if (options.sack_count == 0 || room < 12) return at;
  const size_t count = std::min<size_t>(options.sack_count, (room - 4) / 8);
  store_u32(at, 0x01010500u | static_cast<uint32_t>(2 + count * 8));
  at += 4;
  for (size_t i = 0; i < count; ++i, at += 8) {
    store_u32(at, options.sacks[i].begin);
    store_u32(at + 4, options.sacks[i].end);
  }
  return at;
}

void write_ipv4(uint8_t* at, const OwnAddresses& own, const FlowKey& flow,
                const Addressing& addressing, size_t payload_bytes, bool checksum_offload) {
  store_u32(at, 0x45000000u | uint32_t{addressing.traffic_class} << 16 |
                    static_cast<uint16_t>(ipv4_bytes + payload_bytes));
  // Never fragmented (DF), so the identification means nothing (RFC 6864: 4.1).
  store_u32(at + 4, 0x00004000);
  store_u32(at + 8, uint32_t{addressing.hop_limit} << 24 | uint32_t{addressing.protocol} << 16);
  std::memcpy(at + 12, own.ipv4.data(), 4);
  std::memcpy(at + 16, flow.remote_bytes().data(), 4);
  if (checksum_offload) return;
  Checksum checksum;
  checksum.add_words(at, ipv4_bytes / 4);
  store_u16(at + 10, checksum.value());
}

void write_ipv6(uint8_t* at, const OwnAddresses& own, const FlowKey& flow,
                const Addressing& addressing, size_t payload_bytes) {
  store_u32(
      at, 6u << 28 | uint32_t{addressing.traffic_class} << 20 | (addressing.flow_label & 0xfffff));
  store_u16(at + 4, static_cast<uint16_t>(payload_bytes));
  at[6] = addressing.protocol;
  at[7] = addressing.hop_limit;
  std::memcpy(at + 8, own.of(flow.local).data(), 16);
  std::memcpy(at + 24, flow.remote, 16);
}

}  // namespace

size_t write_tcp_options(const TcpOptions& options, bool syn, uint8_t* at) {
  uint8_t* const begin = at;
  if (syn && options.segment_bytes_max != 0) {
    store_u32(at, 0x02040000u | options.segment_bytes_max);
    at += 4;
  }
  if (options.has_timestamps) {
    // The two bytes that align it hold SACK-permitted where there is one, as Linux has it.
    const bool permitted = syn && options.sack_permitted;
    store_u32(at, permitted ? 0x0402080a : 0x0101080a);
    store_u32(at + 4, options.timestamp);
    store_u32(at + 8, options.timestamp_echo);
    at += 12;
  } else if (syn && options.sack_permitted) {
    store_u32(at, 0x01010402);
    at += 4;
  }
  if (syn && options.window_scale != TcpOptions::no_window_scale) {
    store_u32(at, 0x01030300u | options.window_scale);
    at += 4;
  }
  at = write_sacks(options, at, begin);
  return static_cast<size_t>(at - begin);
}

void write_ethernet(PacketOut& packet, const OwnAddresses& own, const MacAddress& to,
                    uint16_t ethertype) {
  uint8_t* at = packet.header.data();
  std::memcpy(at, to.bytes.data(), 6);
  std::memcpy(at + 6, own.mac.bytes.data(), 6);
  at += 12;
  if (own.vlan) {
    store_u16(at, ethertype_vlan);
    store_u16(at + 2, *own.vlan);
    at += vlan_tag_bytes;
  }
  store_u16(at, ethertype);
  packet.header_bytes = static_cast<uint16_t>(ethernet_bytes + (own.vlan ? vlan_tag_bytes : 0));
  packet.payload_bytes = 0;
  packet.slice_count = 0;
  packet.ip_offset = static_cast<uint8_t>(packet.header_bytes);
  packet.l4_offset = 0;
  packet.ipv6 = false;
  packet.wants_ip_checksum = false;
  packet.wants_tcp_checksum = false;
}

void write_ip(PacketOut& packet, const OwnAddresses& own, const FlowKey& flow,
              const Addressing& addressing, size_t payload_bytes, bool ip_checksum_offload) {
  const bool ipv6 = flow.ipv6();
  write_ethernet(packet, own, addressing.to, ipv6 ? ethertype_ipv6 : ethertype_ipv4);
  uint8_t* at = packet.header.data() + packet.header_bytes;
  packet.ipv6 = ipv6;
  if (ipv6) {
    write_ipv6(at, own, flow, addressing, payload_bytes);
  } else {
    write_ipv4(at, own, flow, addressing, payload_bytes, ip_checksum_offload);
    packet.wants_ip_checksum = ip_checksum_offload;
  }
  packet.header_bytes =
      static_cast<uint16_t>(packet.header_bytes + (ipv6 ? ipv6_bytes : ipv4_bytes));
  packet.l4_offset = static_cast<uint8_t>(packet.header_bytes);
}

void write_tcp_packet(PacketOut& packet, const OwnAddresses& own, const FlowKey& flow,
                      const MacAddress& to, uint32_t flow_label, const SegmentOut& segment,
                      ChecksumOffload offload) {
  // The options come first: their length is in the headers before them.
  const bool syn = (segment.flags & flag::syn) != 0;
  uint8_t* const options = packet.header.data() + ethernet_bytes + (own.vlan ? vlan_tag_bytes : 0) +
                           (flow.ipv6() ? ipv6_bytes : ipv4_bytes) + tcp_bytes;
  const size_t option_bytes = write_tcp_options(segment.options, syn, options);
  const size_t header_bytes = tcp_bytes + option_bytes;
  size_t payload_bytes = 0;
  for (size_t i = 0; i < segment.slice_count; ++i) payload_bytes += segment.slices[i].size();

  const Addressing addressing{.to = to,
                              .protocol = protocol::tcp,
                              .traffic_class = static_cast<uint8_t>(segment.ecn),
                              .flow_label = flow_label};
  write_ip(packet, own, flow, addressing, header_bytes + payload_bytes, offload.ip);
  uint8_t* at = packet.header.data() + packet.header_bytes;
  store_u32(at, uint32_t{flow.local_port} << 16 | flow.remote_port);
  store_u32(at + 4, segment.sequence);
  store_u32(at + 8, segment.acknowledgment);
  store_u32(at + 12, static_cast<uint32_t>(header_bytes / 4) << 28 | uint32_t{segment.flags} << 16 |
                         segment.window);
  store_u32(at + 16, 0);
  packet.header_bytes = static_cast<uint16_t>(packet.header_bytes + header_bytes);
  packet.payload_bytes = static_cast<uint16_t>(payload_bytes);
  packet.slice_count = segment.slice_count;
  for (size_t i = 0; i < segment.slice_count; ++i) packet.slices[i] = segment.slices[i];

  Checksum checksum = pseudo_header(own.of(flow.local), flow.remote_bytes(), protocol::tcp,
                                    static_cast<uint32_t>(header_bytes + payload_bytes));
  if (offload.tcp) {
    packet.wants_tcp_checksum = true;
    store_u16(at + 16, checksum.sum());
    return;
  }
  checksum.add_words(at, header_bytes / 4);
  for (size_t i = 0; i < segment.slice_count; ++i) checksum.add(segment.slices[i]);
  store_u16(at + 16, checksum.value());
}

MacAddress group_mac(Bytes ipv6_group) {
  return {{0x33, 0x33, ipv6_group[12], ipv6_group[13], ipv6_group[14], ipv6_group[15]}};
}

std::array<uint8_t, 16> solicited_node_group(Bytes address) {
  return {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, address[13], address[14], address[15]};
}

}  // namespace penstock::engine::tcp

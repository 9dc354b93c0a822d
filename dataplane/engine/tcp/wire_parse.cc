#include <algorithm>
#include <cstring>

#include "dataplane/engine/tcp/checksum.h"
#include "dataplane/engine/tcp/wire.h"

namespace penstock::engine::tcp {
namespace {

// Kinds of options (RFC 9293: 3.2, 7323, 2018).
constexpr uint8_t option_end = 0;
constexpr uint8_t option_none = 1;
constexpr uint8_t option_mss = 2;
constexpr uint8_t option_window_scale = 3;
constexpr uint8_t option_sack_permitted = 4;
constexpr uint8_t option_sack = 5;
constexpr uint8_t option_timestamps = 8;
// RFC 7323 (2.3): more is taken as 14.
constexpr uint8_t window_scale_max = 14;

// IPv6 headers before TCP. More than a handful in a row is somebody who measures our patience.
constexpr int extension_headers_max = 8;

/// Where in the packet parsing is, and for whom it was.
struct Cursor {
  Bytes rest;
  bool group = false;  // Ethernet's destination is broadcast or multicast
};

void drop(ParsedPacket& parsed, uint64_t& counter) {
  parsed.kind = PacketKind::dropped;
  ++counter;
}

bool is_group(const uint8_t* ipv4) { return ipv4[0] >= 224; }

/// Sources that no host can have: an answer would go to a group, to nobody, or to ourselves.
bool bad_source4(const uint8_t* source, const OwnAddresses& own) {
  return is_group(source) || source[0] == 0 || source[0] == 127 ||
         std::memcmp(source, own.ipv4.data(), 4) == 0;
}

bool bad_source6(const uint8_t* source, const OwnAddresses& own) {
  static constexpr uint8_t zeros[15] = {};
  if (source[0] == 0xff || std::memcmp(source, own.ipv6.data(), 16) == 0 ||
      std::memcmp(source, own.link_local.data(), 16) == 0) {
    return true;
  }
  return std::memcmp(source, zeros, 15) == 0 && source[15] <= 1;  // unspecified and loopback
}

void parse_tcp(const PacketIn& packet, Bytes segment_bytes, Checksum pseudo,
               StackCounters& counters, ParsedPacket& parsed) {
  if (segment_bytes.size() < tcp_bytes) return drop(parsed, counters.malformed);
  const uint8_t* at = segment_bytes.data();
  const size_t header_bytes = size_t{4} * (at[12] >> 4);
  if (header_bytes < tcp_bytes || header_bytes > segment_bytes.size()) {
    return drop(parsed, counters.malformed);
  }
  if (!packet.l4_checksum_good) {
    pseudo.add(segment_bytes);
    if (pseudo.value() != 0) return drop(parsed, counters.tcp_checksum_bad);
  }
  FlowKey& flow = parsed.flow;
  flow.remote_port = load_u16(at);
  flow.local_port = load_u16(at + 2);
  if (flow.remote_port == 0 || flow.local_port == 0) return drop(parsed, counters.malformed);

  SegmentIn& segment = parsed.segment;
  segment.sequence = load_u32(at + 4);
  segment.acknowledgment = load_u32(at + 8);
  segment.flags = at[13];
  segment.window = load_u16(at + 14);
  segment.token = packet.token;
  segment.payload = segment_bytes.subspan(header_bytes);
  TcpOptions& options = segment.options;
  options.segment_bytes_max = 0;
  options.window_scale = TcpOptions::no_window_scale;
  options.sack_permitted = false;
  options.has_timestamps = false;
  options.sack_count = 0;
  if (header_bytes != tcp_bytes &&
      !parse_tcp_options(segment_bytes.subspan(tcp_bytes, header_bytes - tcp_bytes), options)) {
    ++counters.tcp_options_malformed;
  }
  parsed.kind = PacketKind::tcp;
  ++counters.tcp_segments_in;
}

void parse_ipv4(const PacketIn& packet, const OwnAddresses& own, Cursor cursor,
                StackCounters& counters, ParsedPacket& parsed) {
  const Bytes bytes = cursor.rest;
  const uint8_t* at = bytes.data();
  if (bytes.size() < ipv4_bytes || at[0] >> 4 != 4) return drop(parsed, counters.malformed);
  const size_t header_bytes = size_t{4} * (at[0] & 0x0f);
  const size_t total_bytes = load_u16(at + 2);
  if (header_bytes < ipv4_bytes || total_bytes < header_bytes || total_bytes > bytes.size()) {
    return drop(parsed, counters.malformed);
  }
  const uint8_t* source = at + 12;
  const uint8_t* destination = at + 16;
  if (!own.has_ipv4 || std::memcmp(destination, own.ipv4.data(), 4) != 0) {
    parsed.kind = PacketKind::exception;
    return;
  }
  if (!packet.ip_checksum_good) {
    Checksum checksum;
    checksum.add_words(at, header_bytes / 4);
    if (checksum.value() != 0) return drop(parsed, counters.ip_checksum_bad);
  }
  const uint8_t protocol = at[9];
  if (protocol != protocol::tcp && protocol != protocol::icmp) {
    parsed.kind = PacketKind::exception;
    return;
  }
  if ((load_u16(at + 6) & 0x3fff) != 0) return drop(parsed, counters.ip_fragments);
  if (bad_source4(source, own)) return drop(parsed, counters.source_bad);
  // To one of our addresses, but by a group's Ethernet address (RFC 1122: 3.3.6).
  if (cursor.group) return drop(parsed, counters.other_mac);

  parsed.hop_limit = at[8];
  parsed.to_group = false;
  parsed.flow.local = LocalAddress::ipv4;
  parsed.flow.set_remote_ipv4(source);
  const Bytes payload = bytes.subspan(header_bytes, total_bytes - header_bytes);
  if (protocol == protocol::tcp) {
    parsed.segment.ecn = static_cast<Ecn>(at[1] & 3);
    parse_tcp(packet, payload,
              pseudo_header({source, 4}, {destination, 4}, protocol,
                            static_cast<uint32_t>(payload.size())),
              counters, parsed);
    return;
  }
  Checksum checksum;
  checksum.add(payload);
  if (checksum.value() != 0) return drop(parsed, counters.icmp_checksum_bad);
  parsed.flow.remote_port = 0;
  parsed.flow.local_port = 0;
  parsed.message = payload;
  parsed.kind = PacketKind::icmp;
}

/// Which of our addresses, or groups that we are in, an IPv6 packet is for.
bool match_destination6(const uint8_t* destination, const OwnAddresses& own, ParsedPacket& parsed) {
  parsed.to_group = false;
  if (own.has_ipv6 && std::memcmp(destination, own.ipv6.data(), 16) == 0) {
    parsed.flow.local = LocalAddress::ipv6;
    return true;
  }
  parsed.flow.local = LocalAddress::link_local;
  if (std::memcmp(destination, own.link_local.data(), 16) == 0) return true;
  if (destination[0] != 0xff) return false;
  parsed.to_group = true;
  static constexpr uint8_t all_nodes[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  const auto is = [destination](const std::array<uint8_t, 16>& group) {
    return std::memcmp(destination, group.data(), 16) == 0;
  };
  return std::memcmp(destination, all_nodes, 16) == 0 || is(solicited_node_group(own.link_local)) ||
         (own.has_ipv6 && is(solicited_node_group(own.ipv6)));
}

enum class Skipped : uint8_t { found, fragment, malformed };

/// Moves `rest` behind extension headers and sets `next` to what is there (RFC 8200: 4).
Skipped skip_extensions(Bytes& rest, uint8_t& next) {
  constexpr uint8_t hop_by_hop = 0;
  constexpr uint8_t routing = 43;
  constexpr uint8_t fragment = 44;
  constexpr uint8_t destination_options = 60;
  for (int i = 0; i < extension_headers_max; ++i) {
    size_t header_bytes = 8;
    if (next == fragment) {
      if (rest.size() < header_bytes) return Skipped::malformed;
      // "Atomic" ones (RFC 6946) are whole packets.
      if ((load_u16(rest.data() + 2) & 0xfff9) != 0) return Skipped::fragment;
    } else if (next == hop_by_hop || next == destination_options || next == routing) {
      if (rest.size() < header_bytes) return Skipped::malformed;
      header_bytes = 8 + size_t{8} * rest[1];
      // Segments left: we are no router.
      if (next == routing && rest[3] != 0) return Skipped::malformed;
    } else {
      return Skipped::found;
    }
    if (rest.size() < header_bytes) return Skipped::malformed;
    next = rest[0];
    rest = rest.subspan(header_bytes);
  }
  return Skipped::malformed;
}

void parse_ipv6(const PacketIn& packet, const OwnAddresses& own, Cursor cursor,
                StackCounters& counters, ParsedPacket& parsed) {
  const Bytes bytes = cursor.rest;
  const uint8_t* at = bytes.data();
  if (bytes.size() < ipv6_bytes || at[0] >> 4 != 6) return drop(parsed, counters.malformed);
  const size_t payload_bytes = load_u16(at + 4);
  if (payload_bytes > bytes.size() - ipv6_bytes) return drop(parsed, counters.malformed);
  const uint8_t* source = at + 8;
  const uint8_t* destination = at + 24;
  if (!match_destination6(destination, own, parsed)) {
    parsed.kind = PacketKind::exception;
    return;
  }
  Bytes rest = bytes.subspan(ipv6_bytes, payload_bytes);
  uint8_t next = at[6];
  switch (skip_extensions(rest, next)) {
    case Skipped::fragment:
      return drop(parsed, counters.ip_fragments);
    case Skipped::malformed:
      return drop(parsed, counters.malformed);
    case Skipped::found:
      break;
  }
  if (next != protocol::tcp && next != protocol::icmp6) {
    parsed.kind = PacketKind::exception;
    return;
  }
  parsed.hop_limit = at[7];
  parsed.flow.set_remote_ipv6(source);
  const Checksum pseudo =
      pseudo_header({source, 16}, {destination, 16}, next, static_cast<uint32_t>(rest.size()));
  if (next == protocol::tcp) {
    if (bad_source6(source, own)) return drop(parsed, counters.source_bad);
    if (cursor.group || parsed.to_group) return drop(parsed, counters.other_mac);
    parsed.segment.ecn = static_cast<Ecn>(at[1] >> 4 & 3);
    parse_tcp(packet, rest, pseudo, counters, parsed);
    return;
  }
  // The unspecified source is what duplicate address detection has (RFC 4862: 5.4).
  if (source[0] == 0xff) return drop(parsed, counters.source_bad);
  Checksum checksum = pseudo;
  checksum.add(rest);
  if (checksum.value() != 0) return drop(parsed, counters.icmp_checksum_bad);
  parsed.flow.remote_port = 0;
  parsed.flow.local_port = 0;
  parsed.message = rest;
  parsed.kind = PacketKind::icmp;
}

}  // namespace

bool parse_tcp_options(Bytes bytes, TcpOptions& options) {
  // What nearly every segment has (RFC 7323: appendix A).
  if (bytes.size() == 12 && load_u32(bytes.data()) == 0x0101080a) {
    options.has_timestamps = true;
    options.timestamp = load_u32(bytes.data() + 4);
    options.timestamp_echo = load_u32(bytes.data() + 8);
    return true;
  }
  for (size_t at = 0; at < bytes.size();) {
    const uint8_t kind = bytes[at];
    if (kind == option_end) return true;
    if (kind == option_none) {
      ++at;
      continue;
    }
    if (bytes.size() - at < 2) return false;
    const size_t length = bytes[at + 1];
    if (length < 2 || length > bytes.size() - at) return false;
    const uint8_t* value = bytes.data() + at + 2;
    if (kind == option_mss && length == 4) {
      options.segment_bytes_max = load_u16(value);
    } else if (kind == option_window_scale && length == 3) {
      options.window_scale = std::min(value[0], window_scale_max);
    } else if (kind == option_sack_permitted && length == 2) {
      options.sack_permitted = true;
    } else if (kind == option_timestamps && length == 10) {
      options.has_timestamps = true;
      options.timestamp = load_u32(value);
      options.timestamp_echo = load_u32(value + 4);
    } else if (kind == option_sack && (length - 2) % 8 == 0) {
      options.sack_count =
          static_cast<uint8_t>(std::min((length - 2) / 8, TcpOptions::sack_ranges_max));
      for (size_t i = 0; i < options.sack_count; ++i) {
        options.sacks[i] = {load_u32(value + i * 8), load_u32(value + i * 8 + 4)};
      }
    }
    at += length;
  }
  return true;
}

void parse_packet(const PacketIn& packet, const OwnAddresses& own, StackCounters& counters,
                  ParsedPacket& parsed) {
  const Bytes bytes = packet.bytes;
  if (bytes.size() < ethernet_bytes) return drop(parsed, counters.malformed);
  const uint8_t* at = bytes.data();
  Cursor cursor;
  cursor.group = (at[0] & 1) != 0;
  if (!cursor.group && std::memcmp(at, own.mac.bytes.data(), 6) != 0) {
    return drop(parsed, counters.other_mac);
  }
  uint16_t ethertype = load_u16(at + 12);
  size_t header_bytes = ethernet_bytes;
  uint16_t tag = 0;
  if (ethertype == ethertype_vlan) {
    header_bytes += vlan_tag_bytes;
    if (bytes.size() < header_bytes) return drop(parsed, counters.malformed);
    tag = load_u16(at + 14) & 0x0fff;
    ethertype = load_u16(at + 16);
  }
  // Tag 0 is a priority without a VLAN (802.1Q: 9.6).
  if (tag != own.vlan.value_or(0)) {
    ++counters.other_vlan;
    parsed.kind = PacketKind::exception;
    return;
  }
  cursor.rest = bytes.subspan(header_bytes);
  if (ethertype == ethertype_ipv4) return parse_ipv4(packet, own, cursor, counters, parsed);
  if (ethertype == ethertype_ipv6) return parse_ipv6(packet, own, cursor, counters, parsed);
  parsed.message = cursor.rest;
  parsed.kind = ethertype == ethertype_arp ? PacketKind::arp : PacketKind::exception;
}

}  // namespace penstock::engine::tcp

#include "dataplane/engine/tcp/neighbour_wire.h"

#include <algorithm>
#include <cstring>

#include "dataplane/engine/tcp/checksum.h"

namespace penstock::engine::tcp {
namespace {

constexpr size_t arp_bytes = 28;
constexpr uint8_t router_solicitation = 133;
constexpr uint8_t neighbour_solicitation = 135;
constexpr uint8_t neighbour_advertisement = 136;
constexpr uint8_t redirect = 137;
constexpr size_t ndp_bytes = 24;
constexpr uint8_t option_source_link_address = 1;
constexpr uint8_t option_target_link_address = 2;
constexpr MacAddress broadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

IpAddress ipv4_at(const uint8_t* at) {
  IpAddress address;
  std::copy_n(at, 4, address.bytes.begin());
  return address;
}

IpAddress ipv6_at(const uint8_t* at) {
  IpAddress address;
  address.ipv6 = true;
  std::copy_n(at, 16, address.bytes.begin());
  return address;
}

MacAddress mac_at(const uint8_t* at) {
  MacAddress mac;
  std::copy_n(at, 6, mac.bytes.begin());
  return mac;
}

void write_arp(PacketOut& packet, const OwnAddresses& own, uint16_t operation,
               const MacAddress& ethernet_to, const MacAddress& target_mac,
               const uint8_t* target_ipv4) {
  write_ethernet(packet, own, ethernet_to, ethertype_arp);
  uint8_t* at = packet.header.data() + packet.header_bytes;
  store_u16(at, 1);
  store_u16(at + 2, ethertype_ipv4);
  at[4] = 6;
  at[5] = 4;
  store_u16(at + 6, operation);
  std::memcpy(at + 8, own.mac.bytes.data(), 6);
  std::memcpy(at + 14, own.ipv4.data(), 4);
  std::memcpy(at + 18, target_mac.bytes.data(), 6);
  std::memcpy(at + 24, target_ipv4, 4);
  packet.header_bytes = static_cast<uint16_t>(packet.header_bytes + arp_bytes);
}

/// A solicitation or advertisement for `target`, with our link address as its option.
void write_ndp(PacketOut& packet, const OwnAddresses& own, const FlowKey& flow,
               const MacAddress& to, uint8_t type, uint8_t flags, Bytes target) {
  const Addressing addressing{.to = to, .protocol = protocol::icmp6, .hop_limit = 255};
  constexpr size_t message_bytes = ndp_bytes + 8;
  write_ip(packet, own, flow, addressing, message_bytes, false);
  uint8_t* at = packet.header.data() + packet.header_bytes;
  store_u32(at, uint32_t{type} << 24);
  store_u32(at + 4, uint32_t{flags} << 24);
  copy_bytes(at + 8, target);
  at[24] = type == neighbour_solicitation ? option_source_link_address : option_target_link_address;
  at[25] = 1;
  std::memcpy(at + 26, own.mac.bytes.data(), 6);
  Checksum checksum = pseudo_header(own.of(flow.local), flow.remote_bytes(), protocol::icmp6,
                                    static_cast<uint32_t>(message_bytes));
  checksum.add({at, message_bytes});
  store_u16(at + 2, checksum.value());
  packet.header_bytes = static_cast<uint16_t>(packet.header_bytes + message_bytes);
}

}  // namespace

bool is_unspecified(const IpAddress& address) {
  return std::all_of(address.bytes.begin(), address.bytes.end(),
                     [](uint8_t byte) { return byte == 0; });
}

std::optional<NeighbourMessage> parse_arp(Bytes message) {
  if (message.size() < arp_bytes) return std::nullopt;
  const uint8_t* at = message.data();
  if (load_u16(at) != 1 || load_u16(at + 2) != ethertype_ipv4 || at[4] != 6 || at[5] != 4) {
    return std::nullopt;
  }
  const uint16_t operation = load_u16(at + 6);
  if (operation != 1 && operation != 2) return std::nullopt;
  NeighbourMessage parsed;
  parsed.sender = ipv4_at(at + 14);
  const IpAddress target = ipv4_at(at + 24);
  // Both forms of gratuitous ARP, and conflict detection's probe (RFC 5227), have one address.
  parsed.request = operation == 1 && target != parsed.sender;
  parsed.solicited = operation == 2 && target != parsed.sender && !is_unspecified(target);
  parsed.target = parsed.request ? target : parsed.sender;
  if (!is_unspecified(parsed.sender)) parsed.mac = mac_at(at + 8);
  if (!parsed.request && !parsed.mac) return std::nullopt;
  return parsed;
}

bool is_ndp(Bytes message) {
  return !message.empty() && message[0] >= router_solicitation && message[0] <= redirect;
}

std::optional<NeighbourMessage> parse_ndp(const ParsedPacket& packet) {
  const Bytes message = packet.message;
  // RFC 4861 (7.1): a hop limit of 255 has passed no router, so it comes from this link.
  if (packet.hop_limit != 255 || message.size() < ndp_bytes || message[1] != 0) return std::nullopt;
  const uint8_t type = message[0];
  if (type != neighbour_solicitation && type != neighbour_advertisement) return std::nullopt;
  NeighbourMessage parsed;
  parsed.request = type == neighbour_solicitation;
  parsed.solicited = !parsed.request && (message[4] & 0x40) != 0;
  if (parsed.solicited && packet.to_group) return std::nullopt;
  parsed.sender = packet.flow.remote_address();
  parsed.target = ipv6_at(message.data() + 8);
  if (parsed.target.bytes[0] == 0xff) return std::nullopt;
  const uint8_t wanted = parsed.request ? option_source_link_address : option_target_link_address;
  for (Bytes rest = message.subspan(ndp_bytes); !rest.empty();) {
    if (rest.size() < 8) return std::nullopt;
    const size_t bytes = size_t{8} * rest[1];
    if (bytes == 0 || bytes > rest.size()) return std::nullopt;
    if (rest[0] == wanted && bytes == 8) parsed.mac = mac_at(rest.data() + 2);
    rest = rest.subspan(bytes);
  }
  if (parsed.request && is_unspecified(parsed.sender)) parsed.mac.reset();
  return parsed;
}

void write_request(PacketOut& packet, const OwnAddresses& own, LocalAddress source,
                   const IpAddress& target, const std::optional<MacAddress>& mac) {
  if (!target.ipv6) {
    write_arp(packet, own, 1, mac.value_or(broadcast), MacAddress{}, target.bytes.data());
    return;
  }
  FlowKey flow;
  flow.local = source;
  if (mac) {
    flow.set_remote_ipv6(target.bytes.data());
    write_ndp(packet, own, flow, *mac, neighbour_solicitation, 0, target.bytes);
    return;
  }
  const std::array<uint8_t, 16> group = solicited_node_group(target.bytes);
  flow.set_remote_ipv6(group.data());
  write_ndp(packet, own, flow, group_mac(group), neighbour_solicitation, 0, target.bytes);
}

void write_answer(PacketOut& packet, const OwnAddresses& own, LocalAddress which,
                  const std::optional<Asker>& asker) {
  if (which == LocalAddress::ipv4) {
    // An announcement is a request for one's own address (RFC 5227: 3): old hosts take no others.
    if (!asker) return write_arp(packet, own, 1, broadcast, MacAddress{}, own.ipv4.data());
    return write_arp(packet, own, 2, asker->mac, asker->mac, asker->address.bytes.data());
  }
  constexpr uint8_t solicited = 0x40;
  constexpr uint8_t override_others = 0x20;
  static constexpr uint8_t all_nodes[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  FlowKey flow;
  flow.local = which;
  if (!asker || is_unspecified(asker->address)) {
    flow.set_remote_ipv6(all_nodes);
    write_ndp(packet, own, flow, group_mac(all_nodes), neighbour_advertisement, override_others,
              own.of(which));
    return;
  }
  flow.set_remote_ipv6(asker->address.bytes.data());
  write_ndp(packet, own, flow, asker->mac, neighbour_advertisement, solicited | override_others,
            own.of(which));
}

}  // namespace penstock::engine::tcp

#include "dataplane/engine/tcp/icmp.h"

#include <algorithm>
#include <cstring>

#include "dataplane/engine/tcp/checksum.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint8_t echo_reply = 0;
constexpr uint8_t unreachable = 3;
constexpr uint8_t echo_request = 8;
constexpr uint8_t time_exceeded = 11;
constexpr uint8_t parameter_problem = 12;
constexpr uint8_t unreachable6 = 1;
constexpr uint8_t too_big6 = 2;
constexpr uint8_t time_exceeded6 = 3;
constexpr uint8_t parameter_problem6 = 4;
constexpr uint8_t echo_request6 = 128;
constexpr uint8_t echo_reply6 = 129;
constexpr size_t icmp_bytes = 8;
// What a router must quote of TCP (RFC 792): ports and sequence number.
constexpr size_t quoted_tcp_bytes = 8;

std::optional<IcmpTrouble> trouble4(uint8_t type, uint8_t code) {
  constexpr uint8_t protocol_unreachable = 2;
  constexpr uint8_t port_unreachable = 3;
  constexpr uint8_t needs_fragments = 4;
  if (type == unreachable) {
    if (code == needs_fragments) return IcmpTrouble::too_big;
    const bool hard = code == protocol_unreachable || code == port_unreachable;
    return hard ? IcmpTrouble::hard : IcmpTrouble::passing;
  }
  if (type == time_exceeded || type == parameter_problem) return IcmpTrouble::passing;
  return std::nullopt;
}

std::optional<IcmpTrouble> trouble6(uint8_t type, uint8_t code) {
  constexpr uint8_t prohibited = 1;
  constexpr uint8_t port_unreachable = 4;
  switch (type) {
    case unreachable6:
      return code == prohibited || code == port_unreachable ? IcmpTrouble::hard
                                                            : IcmpTrouble::passing;
    case too_big6:
      return IcmpTrouble::too_big;
    case time_exceeded6:
    case parameter_problem6:
      return IcmpTrouble::passing;
    default:
      return std::nullopt;
  }
}

/// The quoted IPv4 header; sets `tcp` to what is behind it.
bool parse_quoted4(Bytes quoted, const OwnAddresses& own, IcmpError& error, Bytes& tcp) {
  if (quoted.size() < ipv4_bytes || quoted[0] >> 4 != 4) return false;
  const size_t header_bytes = size_t{4} * (quoted[0] & 0x0f);
  if (header_bytes < ipv4_bytes || quoted.size() < header_bytes || quoted[9] != protocol::tcp) {
    return false;
  }
  if (!own.has_ipv4 || std::memcmp(quoted.data() + 12, own.ipv4.data(), 4) != 0) return false;
  error.flow.local = LocalAddress::ipv4;
  error.flow.set_remote_ipv4(quoted.data() + 16);
  tcp = quoted.subspan(header_bytes);
  return true;
}

bool parse_quoted6(Bytes quoted, const OwnAddresses& own, IcmpError& error, Bytes& tcp) {
  // We send no extension headers, so none can be quoted.
  if (quoted.size() < ipv6_bytes || quoted[0] >> 4 != 6 || quoted[6] != protocol::tcp) return false;
  const uint8_t* source = quoted.data() + 8;
  if (own.has_ipv6 && std::memcmp(source, own.ipv6.data(), 16) == 0) {
    error.flow.local = LocalAddress::ipv6;
  } else if (std::memcmp(source, own.link_local.data(), 16) == 0) {
    error.flow.local = LocalAddress::link_local;
  } else {
    return false;
  }
  error.flow.set_remote_ipv6(quoted.data() + 24);
  tcp = quoted.subspan(ipv6_bytes);
  return true;
}

}  // namespace

std::optional<IcmpError> parse_icmp_error(const ParsedPacket& packet, const OwnAddresses& own) {
  const Bytes message = packet.message;
  if (message.size() < icmp_bytes) return std::nullopt;
  const bool ipv6 = packet.flow.ipv6();
  const auto trouble = ipv6 ? trouble6(message[0], message[1]) : trouble4(message[0], message[1]);
  if (!trouble) return std::nullopt;
  IcmpError error;
  error.trouble = *trouble;
  if (error.trouble == IcmpTrouble::too_big) {
    const uint32_t mtu = ipv6 ? load_u32(message.data() + 4) : load_u16(message.data() + 6);
    error.mtu = static_cast<uint16_t>(std::min<uint32_t>(mtu, UINT16_MAX));
  }
  Bytes tcp;
  const Bytes quoted = message.subspan(icmp_bytes);
  if (!(ipv6 ? parse_quoted6(quoted, own, error, tcp) : parse_quoted4(quoted, own, error, tcp))) {
    return std::nullopt;
  }
  if (tcp.size() < quoted_tcp_bytes) return std::nullopt;
  error.flow.local_port = load_u16(tcp.data());
  error.flow.remote_port = load_u16(tcp.data() + 2);
  error.sequence = load_u32(tcp.data() + 4);
  return error;
}

std::optional<Bytes> echo_request_data(const ParsedPacket& packet) {
  const Bytes message = packet.message;
  const uint8_t wanted = packet.flow.ipv6() ? echo_request6 : echo_request;
  if (message.size() < icmp_bytes || message[0] != wanted || message[1] != 0) return std::nullopt;
  return message.subspan(icmp_bytes);
}

void write_echo_reply(PacketOut& packet, const OwnAddresses& own, const ParsedPacket& request,
                      const MacAddress& to, Bytes data, bool ip_checksum_offload) {
  const bool ipv6 = request.flow.ipv6();
  const Addressing addressing{.to = to, .protocol = ipv6 ? protocol::icmp6 : protocol::icmp};
  const size_t message_bytes = icmp_bytes + data.size();
  write_ip(packet, own, request.flow, addressing, message_bytes, ip_checksum_offload);
  uint8_t* at = packet.header.data() + packet.header_bytes;
  store_u32(at, uint32_t{ipv6 ? echo_reply6 : echo_reply} << 24);
  std::memcpy(at + 4, request.message.data() + 4, 4);  // identifier and sequence number
  Checksum checksum;
  if (ipv6) {
    checksum = pseudo_header(own.of(request.flow.local), request.flow.remote_bytes(),
                             protocol::icmp6, static_cast<uint32_t>(message_bytes));
  }
  checksum.add({at, icmp_bytes});
  checksum.add(data);
  store_u16(at + 2, checksum.value());
  packet.header_bytes = static_cast<uint16_t>(packet.header_bytes + icmp_bytes);
  packet.payload_bytes = static_cast<uint16_t>(data.size());
  if (!data.empty()) {
    packet.slice_count = 1;
    packet.slices[0] = data;
  }
}

}  // namespace penstock::engine::tcp

#include "dataplane/engine/dpdk/steering.h"

#include <rte_thash.h>

#include <algorithm>
#include <cstring>

#include "penstock/base/prng.h"

namespace penstock::engine {
namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t tag_bytes = 4;
constexpr size_t ipv4_bytes = 20;
constexpr size_t ipv6_bytes = 40;
constexpr size_t icmp_bytes = 8;
constexpr uint16_t ethertype_ipv4 = 0x0800;
constexpr uint16_t ethertype_tag = 0x8100;
constexpr uint16_t ethertype_ipv6 = 0x86dd;
constexpr uint8_t protocol_icmp = 1;
constexpr uint8_t protocol_tcp = 6;
constexpr uint8_t protocol_icmp6 = 58;
// As many as the stack skips (tcp/wire_parse.cc): what it finds must be found here.
constexpr int extension_headers_max = 8;

/// An IP packet, as far as it has to be known here.
struct Datagram {
  PacketFlow flow;  // without ports
  uint8_t protocol = 0;
  Bytes payload;
};

std::optional<Datagram> read_ipv4(Bytes bytes) {
  if (bytes.size() < ipv4_bytes) return std::nullopt;
  const size_t header_bytes = size_t{4} * (bytes[0] & 0x0f);
  if (bytes[0] >> 4 != 4 || header_bytes < ipv4_bytes || header_bytes > bytes.size()) {
    return std::nullopt;
  }
  if ((load_u16(&bytes[6]) & 0x1fff) != 0) return std::nullopt;  // ports are in the first fragment
  Datagram found;
  std::copy_n(&bytes[12], 4, found.flow.remote.begin());
  std::copy_n(&bytes[16], 4, found.flow.local.begin());
  found.protocol = bytes[9];
  found.payload = bytes.subspan(header_bytes);
  return found;
}

std::optional<Datagram> read_ipv6(Bytes bytes) {
  if (bytes.size() < ipv6_bytes || bytes[0] >> 4 != 6) return std::nullopt;
  Datagram found;
  found.flow.ipv6 = true;
  std::copy_n(&bytes[8], 16, found.flow.remote.begin());
  std::copy_n(&bytes[24], 16, found.flow.local.begin());
  uint8_t next = bytes[6];
  Bytes rest = bytes.subspan(ipv6_bytes);
  for (int i = 0; i < extension_headers_max; ++i) {
    const bool fragment = next == 44;
    if (!fragment && next != 0 && next != 43 && next != 60) break;
    if (rest.size() < 8) return std::nullopt;
    const size_t header_bytes = fragment ? 8 : 8 + size_t{8} * rest[1];
    if (header_bytes > rest.size()) return std::nullopt;
    next = rest[0];
    rest = rest.subspan(header_bytes);
    found.flow.unusual = true;
  }
  found.protocol = next;
  found.payload = rest;
  return found;
}

std::optional<PacketFlow> with_ports(const Datagram& datagram) {
  if (datagram.payload.size() < 4) return std::nullopt;
  PacketFlow flow = datagram.flow;
  flow.remote_port = load_u16(datagram.payload.data());
  flow.local_port = load_u16(datagram.payload.data() + 2);
  return flow;
}

/// Whose segment an ICMP error quotes. It was ours, so its ends are the other way round.
std::optional<PacketFlow> quoted(Bytes message, bool ipv6) {
  if (message.size() < icmp_bytes) return std::nullopt;
  const uint8_t type = message[0];
  // Destination unreachable, (too big,) time exceeded, parameter problem; RFC 792, RFC 4443.
  const bool error = ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
  if (!error) return std::nullopt;
  const Bytes inner = message.subspan(icmp_bytes);
  const auto datagram = ipv6 ? read_ipv6(inner) : read_ipv4(inner);
  if (!datagram || datagram->protocol != protocol_tcp) return std::nullopt;
  auto flow = with_ports(*datagram);
  if (!flow) return std::nullopt;
  std::swap(flow->remote, flow->local);
  std::swap(flow->remote_port, flow->local_port);
  flow->unusual = true;
  return flow;
}

uint32_t toeplitz(const PacketFlow& flow) {
  uint8_t key[40];
  for (size_t i = 0; i < sizeof key; i += 2) store_u16(key + i, Steering::symmetric_key);
  // rte_softrss wants words in the host's order.
  uint32_t words[9];
  const size_t address_words = flow.ipv6 ? 4 : 1;
  for (size_t i = 0; i < address_words; ++i) {
    words[i] = load_u32(&flow.remote[i * 4]);
    words[address_words + i] = load_u32(&flow.local[i * 4]);
  }
  const size_t ports = 2 * address_words;
  words[ports] = uint32_t{flow.remote_port} << 16 | flow.local_port;
  return rte_softrss(words, static_cast<uint32_t>(ports + 1), key);
}

}  // namespace

std::optional<PacketFlow> flow_of_packet(Bytes packet) {
  if (packet.size() < ethernet_bytes) return std::nullopt;
  uint16_t ethertype = load_u16(&packet[12]);
  size_t header_bytes = ethernet_bytes;
  if (ethertype == ethertype_tag) {
    header_bytes += tag_bytes;
    if (packet.size() < header_bytes) return std::nullopt;
    ethertype = load_u16(&packet[16]);
  }
  if (ethertype != ethertype_ipv4 && ethertype != ethertype_ipv6) return std::nullopt;
  const bool ipv6 = ethertype == ethertype_ipv6;
  const Bytes inner = packet.subspan(header_bytes);
  const auto datagram = ipv6 ? read_ipv6(inner) : read_ipv4(inner);
  if (!datagram) return std::nullopt;
  if (datagram->protocol == protocol_tcp) return with_ports(*datagram);
  if (datagram->protocol == (ipv6 ? protocol_icmp6 : protocol_icmp)) {
    return quoted(datagram->payload, ipv6);
  }
  return std::nullopt;
}

Steering::Steering(size_t workers, uint64_t secret) : workers_(workers) {
  Prng prng(secret);
  for (uint64_t& key : keys_) key = prng.next();
}

size_t Steering::owner(const PacketFlow& flow) const {
  if (workers_ == 1) return 0;
  if (follows_device()) return queues_[toeplitz(flow) % queues_.size()];
  // Multilinear, as the stack's own table: who chooses addresses and ports cannot choose a worker.
  uint64_t sum = keys_[0];
  for (size_t i = 0; i < 4; ++i) {
    sum += keys_[1 + i] * load_u32(&flow.remote[i * 4]);
    sum += keys_[5 + i] * load_u32(&flow.local[i * 4]);
  }
  sum += keys_[9] * (uint32_t{flow.remote_port} << 16 | flow.local_port);
  // The upper half is the hash; its part of 2^32 says which of the workers.
  return static_cast<size_t>((sum >> 32) * workers_ >> 32);
}

size_t Steering::owner(const tcp::Flow& flow) const {
  PacketFlow packet;
  packet.remote = flow.remote.address.bytes;
  packet.local = flow.local.address.bytes;
  packet.remote_port = flow.remote.port;
  packet.local_port = flow.local.port;
  packet.ipv6 = flow.remote.address.ipv6;
  return owner(packet);
}

}  // namespace penstock::engine

#include "dataplane/engine/tcp/own_addresses.h"

#include <algorithm>

namespace penstock::engine::tcp {
namespace {

bool same_prefix(Bytes left, Bytes right, size_t bits) {
  const size_t whole = bits / 8;
  if (!std::equal(left.begin(), left.begin() + static_cast<ptrdiff_t>(whole), right.begin())) {
    return false;
  }
  const size_t rest = bits % 8;
  if (rest == 0) return true;
  return ((left[whole] ^ right[whole]) >> (8 - rest)) == 0;
}

bool is_link_local(const IpAddress& address) {
  return address.ipv6 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

}  // namespace

OwnAddresses::OwnAddresses(const StackOptions& options)
    : mac(options.mac),
      vlan(options.vlan),
      has_ipv4(options.address.has_value()),
      has_ipv6(options.address6.has_value()),
      prefix_bits(std::min<uint8_t>(options.prefix_bits, 32)),
      prefix6_bits(std::min<uint8_t>(options.prefix6_bits, 128)),
      gateway(options.gateway),
      gateway6(options.gateway6) {
  if (has_ipv4) std::copy_n(options.address->bytes.begin(), 4, ipv4.begin());
  if (has_ipv6) ipv6 = options.address6->bytes;
  // RFC 4291: appendix A (modified EUI-64), RFC 2464: 5.
  link_local = {0xfe, 0x80};
  std::copy_n(mac.bytes.begin(), 3, link_local.begin() + 8);
  link_local[8] ^= 0x02;
  link_local[11] = 0xff;
  link_local[12] = 0xfe;
  std::copy_n(mac.bytes.begin() + 3, 3, link_local.begin() + 13);
}

bool OwnAddresses::is_own(const IpAddress& address) const {
  if (!address.ipv6) return has_ipv4 && std::equal(ipv4.begin(), ipv4.end(), address.bytes.begin());
  return (has_ipv6 && address.bytes == ipv6) || address.bytes == link_local;
}

bool OwnAddresses::on_link(const IpAddress& address) const {
  if (!address.ipv6) return has_ipv4 && same_prefix(ipv4, address.bytes, prefix_bits);
  return is_link_local(address) || (has_ipv6 && same_prefix(ipv6, address.bytes, prefix6_bits));
}

std::optional<LocalAddress> OwnAddresses::source_for(const IpAddress& remote) const {
  if (!remote.ipv6) return has_ipv4 ? std::optional{LocalAddress::ipv4} : std::nullopt;
  if (is_link_local(remote)) return LocalAddress::link_local;
  return has_ipv6 ? std::optional{LocalAddress::ipv6} : std::nullopt;
}

std::optional<IpAddress> OwnAddresses::next_hop(const IpAddress& remote) const {
  if (on_link(remote)) return remote;
  return remote.ipv6 ? gateway6 : gateway;
}

}  // namespace penstock::engine::tcp

#include "penstock/tunnel/proxy_header.h"

#include <openssl/x509v3.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <string>

namespace penstock::tunnel {
namespace {

using Read = std::expected<std::optional<ProxyHeader>, Fault>;

constexpr size_t text_bytes_max = 107;  // with its line end
constexpr size_t binary_fixed_bytes = 16;

Read malformed() { return std::unexpected(Fault::proxy_header_malformed); }

std::string_view take_word(std::string_view& line) {
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

struct FreeOctets {
  void operator()(ASN1_OCTET_STRING* octets) const { ASN1_OCTET_STRING_free(octets); }
};

// OpenSSL's, which it has for certificates: the only reader of addresses here that needs no socket
// header.
bool read_address(std::string_view text, bool ipv6, std::array<uint8_t, 16>& address) {
  const std::unique_ptr<ASN1_OCTET_STRING, FreeOctets> read(
      a2i_IPADDRESS(std::string(text).c_str()));
  if (read == nullptr) return false;
  const Bytes bytes(ASN1_STRING_get0_data(read.get()),
                    static_cast<size_t>(ASN1_STRING_length(read.get())));
  if (bytes.size() != (ipv6 ? 16U : 4U)) return false;
  std::copy(bytes.begin(), bytes.end(), address.begin());
  return true;
}

bool read_port(std::string_view text, uint16_t& port) {
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, port);
  return parsed.ec == std::errc{} && parsed.ptr == end;
}

/// A balancer that listens for both families names IPv4 peers as ::ffff:a.b.c.d. They are what they
/// are: counted by address, not all of them together as one network.
void unmap(ProxiedPeer& peer) {
  constexpr std::array<uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (!peer.ipv6 || !std::equal(mapped.begin(), mapped.end(), peer.address.begin())) return;
  std::copy_n(peer.address.begin() + mapped.size(), 4, peer.address.begin());
  std::fill(peer.address.begin() + 4, peer.address.end(), uint8_t{0});
  peer.ipv6 = false;
}

// "PROXY TCP4 192.0.2.1 192.0.2.9 50000 1935\r\n"
Read read_text(Bytes input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const size_t end = text.substr(0, text_bytes_max).find("\r\n");
  if (end == std::string_view::npos) {
    if (input.size() >= text_bytes_max) return malformed();
    return std::nullopt;
  }
  ProxyHeader header{.header_bytes = end + 2, .peer = {}};
  std::string_view line = text.substr(0, end);
  line.remove_prefix(proxy_header_starts[0].size());
  const std::string_view family = take_word(line);
  if (family == "UNKNOWN") return header;
  if (family != "TCP4" && family != "TCP6") return malformed();
  ProxiedPeer peer{.address = {}, .port = 0, .ipv6 = family == "TCP6"};
  const std::string_view source = take_word(line);
  std::array<uint8_t, 16> destination{};
  uint16_t destination_port = 0;
  if (!read_address(source, peer.ipv6, peer.address) ||
      !read_address(take_word(line), peer.ipv6, destination) ||
      !read_port(take_word(line), peer.port) || !read_port(take_word(line), destination_port) ||
      !line.empty()) {
    return malformed();
  }
  unmap(peer);
  header.peer = peer;
  return header;
}

// 12 bytes of signature, version and command, family and protocol, length of what follows:
// source address, destination address, source port, destination port, extensions.
Read read_binary(Bytes input) {
  if (input.size() < binary_fixed_bytes) return std::nullopt;
  const uint8_t version = input[12] >> 4;
  const uint8_t command = input[12] & 0x0F;
  if (version != 2 || command > 1) return malformed();
  const size_t whole = binary_fixed_bytes + (size_t{input[14]} << 8 | input[15]);
  if (whole > proxy_header_bytes_max) return malformed();
  if (input.size() < whole) return std::nullopt;
  ProxyHeader header{.header_bytes = whole, .peer = {}};
  const uint8_t family = input[13] >> 4;
  const bool stream = (input[13] & 0x0F) == 1;
  // A balancer that checks whether we live, or stands before something that is no TCP of ours.
  if (command == 0 || !stream || (family != 1 && family != 2)) return header;
  ProxiedPeer peer{.address = {}, .port = 0, .ipv6 = family == 2};
  const size_t address_bytes = peer.ipv6 ? 16 : 4;
  if (whole < binary_fixed_bytes + 2 * address_bytes + 4) return malformed();
  const Bytes body = input.subspan(binary_fixed_bytes);
  std::copy_n(body.begin(), address_bytes, peer.address.begin());
  const size_t port_at = 2 * address_bytes;
  peer.port = static_cast<uint16_t>(body[port_at] << 8 | body[port_at + 1]);
  unmap(peer);
  header.peer = peer;
  return header;
}

}  // namespace

Read read_proxy_header(Bytes input) {
  for (const std::string_view start : proxy_header_starts) {
    const size_t count = std::min(start.size(), input.size());
    if (std::memcmp(input.data(), start.data(), count) != 0) continue;
    if (count < start.size()) return std::nullopt;
    return start == proxy_header_starts[0] ? read_text(input) : read_binary(input);
  }
  return malformed();
}

}  // namespace penstock::tunnel

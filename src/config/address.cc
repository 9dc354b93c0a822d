#include "src/config/address.h"

#include <algorithm>
#include <charconv>

#include "penstock/config/address_prefix.h"

namespace penstock::config {
namespace {

// All of `text` as a number. No sign, no blank; no leading zero where `base` is 10, because some
// programs read those as octal.
std::optional<uint32_t> parse_number(std::string_view text, int base, uint32_t max) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  if (base == 10 && text.size() > 1 && text[0] == '0') return std::nullopt;
  uint32_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, status] = std::from_chars(text.data(), end, value, base);
  if (status != std::errc{} || at != end || value > max || text[0] == '-') return std::nullopt;
  return value;
}

bool parse_ipv4(std::string_view text, uint8_t* bytes) {
  for (int i = 0; i < 4; ++i) {
    const size_t end = i < 3 ? text.find('.') : text.size();
    if (end == std::string_view::npos) return false;
    const std::optional<uint32_t> byte = parse_number(text.substr(0, end), 10, 255);
    if (!byte) return false;
    bytes[i] = static_cast<uint8_t>(*byte);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return text.empty();
}

// Groups between colons, the last two perhaps as IPv4. How many bytes, or nothing.
std::optional<size_t> parse_groups(std::string_view text, std::array<uint8_t, 16>& bytes) {
  size_t used = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(':'), text.size());
    const std::string_view group = text.substr(0, end);
    if (end == text.size() && group.find('.') != std::string_view::npos) {
      if (used + 4 > bytes.size() || !parse_ipv4(group, bytes.data() + used)) return std::nullopt;
      return used + 4;
    }
    const std::optional<uint32_t> value =
        group.size() <= 4 ? parse_number(group, 16, 0xFFFF) : std::nullopt;
    if (!value || used + 2 > bytes.size() || end + 1 == text.size()) return std::nullopt;
    bytes[used++] = static_cast<uint8_t>(*value >> 8);
    bytes[used++] = static_cast<uint8_t>(*value);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return used;
}

// RFC 4291, 2.2, without zones: a listener has no use for link-local addresses.
bool parse_ipv6(std::string_view text, std::array<uint8_t, 16>& bytes) {
  bytes = {};
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    const std::optional<size_t> used = parse_groups(text, bytes);
    return used == bytes.size();
  }
  std::array<uint8_t, 16> tail{};
  const std::string_view before = text.substr(0, gap);
  if (before.find('.') != std::string_view::npos) return false;
  const std::optional<size_t> head_bytes = parse_groups(before, bytes);
  const std::optional<size_t> tail_bytes = parse_groups(text.substr(gap + 2), tail);
  // The gap stands for one group at least.
  if (!head_bytes || !tail_bytes || *head_bytes + *tail_bytes > bytes.size() - 2) return false;
  std::copy_n(tail.begin(), *tail_bytes, bytes.end() - static_cast<ptrdiff_t>(*tail_bytes));
  return true;
}

/// The first `bits` of both are the same.
bool same_bits(const uint8_t* left, const uint8_t* right, size_t bits) {
  const size_t whole = bits / 8;
  if (!std::equal(left, left + whole, right)) return false;
  const size_t rest = bits % 8;
  return rest == 0 || (left[whole] ^ right[whole]) >> (8 - rest) == 0;
}

/// "address/bits", or an address alone, which is all of its bits.
std::optional<AddressPrefix> parse_with_length(std::string_view text) {
  const size_t slash = std::min(text.find('/'), text.size());
  AddressPrefix prefix;
  prefix.host = text.substr(0, slash);
  prefix.ipv6 = !parse_ipv4(prefix.host, prefix.bytes.data());
  if (prefix.ipv6 && !parse_ipv6(prefix.host, prefix.bytes)) return std::nullopt;
  const uint32_t bits_max = prefix.ipv6 ? 128 : 32;
  uint32_t bits = bits_max;
  if (slash < text.size()) {
    const std::optional<uint32_t> given = parse_number(text.substr(slash + 1), 10, bits_max);
    if (!given) return std::nullopt;
    bits = *given;
  }
  prefix.bits = static_cast<uint8_t>(bits);
  return prefix;
}

bool any_bit_behind_length(const AddressPrefix& prefix) {
  for (size_t bit = prefix.bits; bit < (prefix.ipv6 ? 128U : 32U); ++bit) {
    if ((prefix.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0) return true;
  }
  return false;
}

/// Unspecified, loopback, multicast or reserved: no host of a network has it.
bool is_special(const AddressPrefix& address) {
  const std::array<uint8_t, 16>& bytes = address.bytes;
  if (!address.ipv6) return bytes[0] == 0 || bytes[0] == 127 || bytes[0] >= 224;
  // :: and ::1, and what IPv6 maps or embeds IPv4 in.
  return bytes[0] == 0xFF ||
         std::all_of(bytes.begin(), bytes.begin() + 8, [](uint8_t byte) { return byte == 0; });
}

}  // namespace

bool AddressPrefix::covers(const uint8_t (&address)[16], bool address_ipv6) const {
  constexpr uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  const bool clothed = address_ipv6 && !ipv6 && std::equal(mapped, mapped + 12, address);
  if (address_ipv6 != ipv6 && !clothed) return false;
  return same_bits(bytes.data(), address + (clothed ? sizeof(mapped) : 0), bits);
}

std::optional<AddressPrefix> parse_interface_address(std::string_view text) {
  if (text.find('/') == std::string_view::npos) return std::nullopt;
  const std::optional<AddressPrefix> address = parse_with_length(text);
  if (!address || address->bits == 0 || is_special(*address)) return std::nullopt;
  // RFC 3021: of two addresses, or one, none is the network's or for all.
  const uint32_t bits_max = address->ipv6 ? 128 : 32;
  if (address->bits + 1U >= bits_max) return address;
  if (!any_bit_behind_length(*address)) return std::nullopt;
  AddressPrefix inverted = *address;
  for (uint8_t& byte : inverted.bytes) byte = static_cast<uint8_t>(~byte);
  if (!address->ipv6 && !any_bit_behind_length(inverted)) return std::nullopt;
  return address;
}

std::optional<AddressPrefix> parse_prefix(std::string_view text) {
  std::optional<AddressPrefix> prefix = parse_with_length(text);
  // A bit behind the length is a slip of the length or of the address, and which cannot be told.
  if (prefix && any_bit_behind_length(*prefix)) return std::nullopt;
  return prefix;
}

std::string to_string(const AddressPrefix& prefix) {
  return prefix.host + "/" + std::to_string(prefix.bits);
}

bool Address::loopback() const {
  if (host.empty()) return false;
  if (!ipv6) return bytes[0] == 127;
  constexpr std::array<uint8_t, 16> one = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return bytes == one;
}

std::optional<Address> parse_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<uint32_t> port = parse_number(text.substr(colon + 1), 10, 65'535);
  if (!port || *port == 0) return std::nullopt;
  Address address;
  address.port = static_cast<uint16_t>(*port);
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']') && host.size() > 2) {
    host = host.substr(1, host.size() - 2);
    address.ipv6 = true;
    if (!parse_ipv6(host, address.bytes)) return std::nullopt;
  } else if (!host.empty() && !parse_ipv4(host, address.bytes.data())) {
    return std::nullopt;
  }
  address.host = host;
  return address;
}

}  // namespace penstock::config

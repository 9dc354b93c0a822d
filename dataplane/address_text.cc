#include "dataplane/address_text.h"

#include <cstdio>

#include "penstock/base/bytes.h"

namespace penstock::dataplane {
namespace {

std::string ipv6_text(const uint8_t* address) {
  // The longest run of two or more zero groups becomes "::", the first of equals (RFC 5952, 4.2).
  int best_start = -1;
  int best_length = 1;
  for (int start = 0; start < 8; ++start) {
    int length = 0;
    while (start + length < 8 && load_u16(address + 2 * (start + length)) == 0) ++length;
    if (length > best_length) {
      best_start = start;
      best_length = length;
    }
  }
  std::string text;
  for (int group = 0; group < 8; ++group) {
    if (group == best_start) {
      text += "::";
      group += best_length - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text += ':';
    char digits[8];
    std::snprintf(digits, sizeof(digits), "%x", unsigned{load_u16(address + 2 * group)});
    text += digits;
  }
  return text;
}

}  // namespace

std::string address_text(const engine::Endpoint& endpoint) {
  const std::string port = std::to_string(endpoint.port);
  if (endpoint.ipv6) return "[" + ipv6_text(endpoint.address) + "]:" + port;
  char digits[16];
  std::snprintf(digits, sizeof(digits), "%u.%u.%u.%u", unsigned{endpoint.address[0]},
                unsigned{endpoint.address[1]}, unsigned{endpoint.address[2]},
                unsigned{endpoint.address[3]});
  return digits + (":" + port);
}

}  // namespace penstock::dataplane

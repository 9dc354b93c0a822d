#include "penstock/tunnel/sniff.h"

#include <algorithm>
#include <string_view>

#include "penstock/tunnel/proxy_header.h"

namespace penstock::tunnel {
namespace {

constexpr uint8_t tls_handshake_record = 0x16;

// The methods of RTMPT and of what people point a browser or a probe at a port with: an answer in
// HTTP tells them more than a reset.
constexpr std::string_view http_methods[] = {"POST ",   "GET ",     "HEAD ", "PUT ",
                                             "DELETE ", "OPTIONS ", "PATCH "};

enum class Match : uint8_t { no, begins, whole };

Match match(Bytes first, std::string_view wanted) {
  const size_t count = std::min(first.size(), wanted.size());
  if (!std::equal(first.begin(), first.begin() + static_cast<ptrdiff_t>(count), wanted.begin(),
                  [](uint8_t byte, char c) { return byte == static_cast<uint8_t>(c); })) {
    return Match::no;
  }
  return count == wanted.size() ? Match::whole : Match::begins;
}

}  // namespace

Spoken sniff(Bytes first) {
  if (first.empty()) return Spoken::need_more;
  switch (first[0]) {
    case 3:
      return Spoken::rtmp;
    case 6:
    case 8:
    case 9:
      return Spoken::rtmpe;
    case tls_handshake_record:
      return Spoken::tls;
    default:
      break;
  }
  bool begins = false;
  for (const std::string_view start : proxy_header_starts) {
    const Match found = match(first, start);
    if (found == Match::whole) return Spoken::proxy_header;
    begins = begins || found == Match::begins;
  }
  for (const std::string_view method : http_methods) {
    const Match found = match(first, method);
    if (found == Match::whole) return Spoken::http;
    begins = begins || found == Match::begins;
  }
  return begins ? Spoken::need_more : Spoken::unknown;
}

}  // namespace penstock::tunnel

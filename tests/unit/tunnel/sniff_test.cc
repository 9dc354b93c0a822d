#include "penstock/tunnel/sniff.h"

#include <gtest/gtest.h>

#include <string_view>

namespace penstock::tunnel {
namespace {

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST(sniff, tells_every_protocol_by_its_first_bytes) {
  const struct {
    std::string_view first;
    Spoken spoken;
  } cases[] = {
      {"\x03", Spoken::rtmp},
      {"\x03 and whatever follows", Spoken::rtmp},
      {"\x06", Spoken::rtmpe},
      {"\x08", Spoken::rtmpe},
      {"\x09", Spoken::rtmpe},
      {"\x16\x03\x01", Spoken::tls},
      {"POST /open/1 HTTP/1.1\r\n", Spoken::http},
      {"GET / HTTP/1.1\r\n", Spoken::http},
      {"OPTIONS * HTTP/1.1\r\n", Spoken::http},
      {"PROXY TCP4 ", Spoken::proxy_header},
      {std::string_view("\r\n\r\n\0\r\nQUIT\n\x21", 13), Spoken::proxy_header},
      {std::string_view("\0", 1), Spoken::unknown},
      {"\x04", Spoken::unknown},
      {"SSH-2.0-", Spoken::unknown},
      {"POSTAL", Spoken::unknown},
      {"\r\nhello", Spoken::unknown},
  };
  for (const auto& one : cases) EXPECT_EQ(sniff(bytes_of(one.first)), one.spoken) << one.first;
}

TEST(sniff, waits_while_what_is_there_begins_more_than_one_thing) {
  for (const std::string_view whole : {std::string_view("POST "), std::string_view("PROXY "),
                                       std::string_view("\r\n\r\n\0\r\nQUIT\n", 12)}) {
    for (size_t count = 0; count < whole.size(); ++count) {
      EXPECT_EQ(sniff(bytes_of(whole.substr(0, count))), Spoken::need_more) << count;
    }
    EXPECT_NE(sniff(bytes_of(whole)), Spoken::need_more);
  }
}

}  // namespace
}  // namespace penstock::tunnel

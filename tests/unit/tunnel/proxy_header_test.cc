#include "penstock/tunnel/proxy_header.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace penstock::tunnel {
namespace {

using namespace std::string_literals;

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string binary(uint8_t command, uint8_t family, const std::string& body) {
  std::string header = signature;
  header += static_cast<char>(command);
  header += static_cast<char>(family);
  header += static_cast<char>(body.size() >> 8);
  header += static_cast<char>(body.size() & 0xFF);
  return header + body;
}

// 192.0.2.1:50000 -> 198.51.100.9:1935
const std::string ipv4_body = "\xC0\x00\x02\x01\xC6\x33\x64\x09\xC3\x50\x07\x8F"s;

TEST(proxy_header, text_form_names_the_peer) {
  const std::string text = "PROXY TCP4 192.0.2.1 198.51.100.9 50000 1935\r\n\x03rest";
  const auto header = read_proxy_header(bytes_of(text));
  ASSERT_TRUE(header && *header);
  EXPECT_EQ((*header)->header_bytes, text.size() - 5);
  ASSERT_TRUE((*header)->peer);
  const ProxiedPeer& peer = *(*header)->peer;
  EXPECT_FALSE(peer.ipv6);
  EXPECT_EQ(peer.port, 50000);
  EXPECT_EQ(peer.address[0], 192);
  EXPECT_EQ(peer.address[3], 1);
}

TEST(proxy_header, text_form_takes_ipv6_and_unknown) {
  const auto six = read_proxy_header(bytes_of("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"));
  ASSERT_TRUE(six && *six && (*six)->peer);
  EXPECT_TRUE((*six)->peer->ipv6);
  EXPECT_EQ((*six)->peer->address[15], 1);
  const auto unknown = read_proxy_header(bytes_of("PROXY UNKNOWN whatever it says\r\n"));
  ASSERT_TRUE(unknown && *unknown);
  EXPECT_FALSE((*unknown)->peer);
}

TEST(proxy_header, ipv4_within_ipv6_is_ipv4) {
  const auto read =
      read_proxy_header(bytes_of("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"));
  ASSERT_TRUE(read && *read && (*read)->peer);
  EXPECT_FALSE((*read)->peer->ipv6);
  EXPECT_EQ((*read)->peer->address[0], 192);
  EXPECT_EQ((*read)->peer->address[3], 1);
  EXPECT_EQ((*read)->peer->address[10], 0);
}

TEST(proxy_header, binary_form_names_the_peer_and_skips_extensions) {
  const std::string header_text = binary(0x21, 0x11, ipv4_body + "\x04\x00\x01\x00"s);
  const auto header = read_proxy_header(bytes_of(header_text + "\x03"));
  ASSERT_TRUE(header && *header && (*header)->peer);
  EXPECT_EQ((*header)->header_bytes, header_text.size());
  EXPECT_EQ((*header)->peer->port, 50000);
  EXPECT_EQ((*header)->peer->address[2], 2);
  const auto six =
      read_proxy_header(bytes_of(binary(0x21, 0x21, std::string(32, '\x07') + "\1\2\3\4")));
  ASSERT_TRUE(six && *six && (*six)->peer);
  EXPECT_TRUE((*six)->peer->ipv6);
  EXPECT_EQ((*six)->peer->port, 0x0102);
}

TEST(proxy_header, a_balancer_that_speaks_for_itself_keeps_its_address) {
  const auto local = read_proxy_header(bytes_of(binary(0x20, 0x00, "")));
  ASSERT_TRUE(local && *local);
  EXPECT_FALSE((*local)->peer);
  EXPECT_EQ((*local)->header_bytes, 16u);
}

TEST(proxy_header, waits_for_every_byte) {
  for (const std::string& whole :
       {"PROXY TCP4 192.0.2.1 198.51.100.9 50000 1935\r\n"s, binary(0x21, 0x11, ipv4_body)}) {
    for (size_t count = 0; count < whole.size(); ++count) {
      const auto header = read_proxy_header(bytes_of(whole).first(count));
      ASSERT_TRUE(header) << count;
      EXPECT_FALSE(*header) << count;
    }
  }
}

TEST(proxy_header, refuses_what_is_malformed) {
  const std::vector<std::string> malformed = {
      "PROXY TCP4 192.0.2.1 198.51.100.9 50000\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.9 70000 1935\r\n",
      "PROXY TCP4 2001:db8::1 198.51.100.9 1 2\r\n",
      "PROXY TCP4 192.0.2.1 198.51.100.9 1 2 3\r\n",
      "PROXY TCP5 192.0.2.1 198.51.100.9 1 2\r\n",
      "PROXY TCP4  192.0.2.1 198.51.100.9 1 2\r\n",
      "PROXY " + std::string(101, 'x'),
      binary(0x11, 0x11, ipv4_body),
      binary(0x22, 0x11, ipv4_body),
      binary(0x21, 0x11, ipv4_body.substr(0, 11)),
      binary(0x21, 0x11, std::string(2000, 'x')),
      "HELO ",
  };
  for (const std::string& text : malformed) {
    const auto header = read_proxy_header(bytes_of(text));
    ASSERT_FALSE(header) << text;
    EXPECT_EQ(header.error(), Fault::proxy_header_malformed);
  }
}

}  // namespace
}  // namespace penstock::tunnel

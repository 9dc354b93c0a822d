#include "src/config/address.h"

#include <gtest/gtest.h>

#include "penstock/config/address_prefix.h"

namespace penstock::config {
namespace {

TEST(Address, good_ones) {
  const struct {
    const char* text;
    const char* host;
    uint16_t port;
    bool ipv6;
    bool loopback;
  } cases[] = {
      {"127.0.0.1:1935", "127.0.0.1", 1935, false, true},
      {"0.0.0.0:1", "0.0.0.0", 1, false, false},
      {"255.255.255.255:65535", "255.255.255.255", 65535, false, false},
      {":1935", "", 1935, false, false},
      {"[::1]:1935", "::1", 1935, true, true},
      {"[0:0:0:0:0:0:0:1]:1", "0:0:0:0:0:0:0:1", 1, true, true},
      {"[::]:1", "::", 1, true, false},
      {"[1::]:1", "1::", 1, true, false},
      {"[fe80::a:b]:1", "fe80::a:b", 1, true, false},
      {"[1:2:3:4:5:6:7:8]:1", "1:2:3:4:5:6:7:8", 1, true, false},
      {"[1:2:3::5:6:7:8]:1", "1:2:3::5:6:7:8", 1, true, false},
      {"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, true, false},
      {"[64:ff9b::1.2.3.4]:1", "64:ff9b::1.2.3.4", 1, true, false},
  };
  for (const auto& c : cases) {
    const auto address = parse_address(c.text);
    ASSERT_TRUE(address) << c.text;
    EXPECT_EQ(address->host, c.host);
    EXPECT_EQ(address->port, c.port);
    EXPECT_EQ(address->ipv6, c.ipv6) << c.text;
    EXPECT_EQ(address->loopback(), c.loopback) << c.text;
  }
}

TEST(Address, bad_ones) {
  for (const char* text : {"",
                           ":",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:0",
                           "127.0.0.1:65536",
                           "127.0.0.1:+1",
                           "127.0.0.1:-1",
                           "127.0.0.1: 1",
                           "127.0.0.1:01",
                           "127.0.0.1:1x",
                           "127.0.0:1",
                           "127.0.0.1.1:1",
                           "127.0.0.256:1",
                           "127.0.0.01:1",
                           "127..0.1:1",
                           "127.0.0.-1:1",
                           "localhost:1",
                           "::1:1",
                           "[]:1",
                           "[:]:1",
                           "[:::]:1",
                           "[1::2::3]:1",
                           "[1:2:3:4:5:6:7]:1",
                           "[1:2:3:4:5:6:7:8:9]:1",
                           "[1:2:3:4:5:6:7::8]:x",
                           "[1:2:3:4::5:6:7:8]:1",
                           "[12345::]:1",
                           "[g::]:1",
                           "[::1%lo]:1",
                           "[::1:]:1",
                           "[:1::]:1",
                           "[::1.2.3]:1",
                           "[1.2.3.4::]:1",
                           "[::1.2.3.4:5]:1",
                           "[::1",
                           "::1]:1",
                           "[127.0.0.1]:1"}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
}

TEST(Address, texts_of_one_address_have_the_same_bytes) {
  EXPECT_EQ(parse_address("[::1]:1")->bytes, parse_address("[0:0::0:0001]:1")->bytes);
  EXPECT_EQ(parse_address("[::102:304]:1")->bytes, parse_address("[::1.2.3.4]:1")->bytes);
  EXPECT_EQ(parse_address("[AB::]:1")->bytes, parse_address("[ab::]:1")->bytes);
  EXPECT_NE(parse_address("[ab::]:1")->bytes, parse_address("[::ab]:1")->bytes);
}

TEST(AddressPrefix, covers_what_is_in_its_network) {
  const struct {
    const char* prefix;
    const char* address;
    bool inside;
  } cases[] = {
      {"10.0.0.0/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.1", false},
      {"192.0.2.7", "192.0.2.7", true},
      {"192.0.2.7", "192.0.2.6", false},
      {"192.0.2.128/25", "192.0.2.128", true},
      {"192.0.2.128/25", "192.0.2.127", false},
      {"0.0.0.0/0", "8.8.8.8", true},
      {"0.0.0.0/0", "[::1]", false},
      {"fd00::/8", "[fd12::1]", true},
      {"fd00::/8", "[fe80::1]", false},
      {"::1", "[::1]", true},
      {"::1", "[::2]", false},
      {"10.0.0.0/8", "[::ffff:10.1.2.3]", true},
      {"10.0.0.0/8", "[::ffff:11.1.2.3]", false},
      {"::ffff:10.0.0.0/104", "[::ffff:10.1.2.3]", true},
      {"::/0", "10.0.0.1", false},
  };
  for (const auto& c : cases) {
    const auto prefix = parse_prefix(c.prefix);
    ASSERT_TRUE(prefix) << c.prefix;
    const auto address = parse_address(std::string{c.address} + ":1");
    ASSERT_TRUE(address) << c.address;
    uint8_t bytes[16];
    std::copy(address->bytes.begin(), address->bytes.end(), bytes);
    EXPECT_EQ(prefix->covers(bytes, address->ipv6), c.inside) << c.prefix << " " << c.address;
  }
}

TEST(AddressPrefix, bad_ones) {
  for (const char* text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/8", "10.0.0/8", "::/129",
        "::1/64", "[::1]/128", "10.0.0.0/8/8", "10.0.0.0/08", "localhost"}) {
    EXPECT_FALSE(parse_prefix(text)) << text;
  }
}

TEST(InterfaceAddress, is_one_that_a_host_of_a_network_can_have) {
  for (const char* text : {"10.99.0.2/24", "192.0.2.1/31", "192.0.2.0/31", "192.0.2.7/32",
                           "fd99::2/64", "2001:db8::1/128", "2001:db8::/127"}) {
    const auto address = parse_interface_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
  for (const char* text :
       {"", "10.99.0.2", "fd99::2", "10.99.0.0/24", "10.99.0.255/24", "10.99.0.2/33", "10.99.0.2/0",
        "10.99.0.2/", "10.99.0.2/24/32", "127.0.0.1/8", "224.0.0.1/24", "0.0.0.1/24",
        "255.255.255.255/32", "::/64", "::1/128", "ff02::1/64", "fd99::/64", "fd99::2/129"}) {
    EXPECT_FALSE(parse_interface_address(text)) << text;
  }
}

}  // namespace
}  // namespace penstock::config

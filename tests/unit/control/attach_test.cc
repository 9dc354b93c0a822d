#include "penstock/control/attach.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace penstock::control {
namespace {

std::vector<uint8_t> packet(const AttachHello& hello, std::string_view config) {
  std::vector<uint8_t> bytes(sizeof hello + config.size());
  std::memcpy(bytes.data(), &hello, sizeof hello);
  copy_bytes(bytes.data() + sizeof hello, as_bytes(config));
  return bytes;
}

AttachHello hello_for(std::string_view config) {
  AttachHello hello;
  hello.run_id = 7;
  hello.config_bytes = static_cast<uint32_t>(config.size());
  return hello;
}

TEST(attach_packet, is_read_with_its_configuration) {
  const auto bytes = packet(hello_for("x = 1"), "x = 1");
  const auto read = read_attach_packet(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->hello.run_id, 7u);
  EXPECT_EQ(read->config, "x = 1");
  EXPECT_TRUE(read_attach_packet(packet(hello_for(""), "")).has_value());
}

TEST(attach_packet, of_another_kind_is_refused) {
  AttachHello hello = hello_for("");
  hello.magic ^= 1;
  EXPECT_FALSE(read_attach_packet(packet(hello, "")).has_value());
  hello = hello_for("");
  ++hello.version;
  EXPECT_FALSE(read_attach_packet(packet(hello, "")).has_value());
  hello = hello_for("");
  ++hello.region_version;
  EXPECT_FALSE(read_attach_packet(packet(hello, "")).has_value());
  hello = hello_for("abc");
  EXPECT_FALSE(read_attach_packet(packet(hello, "ab")).has_value()) << "cut";
  EXPECT_FALSE(read_attach_packet(packet(hello, "abcd")).has_value()) << "too long";
  const std::string large(attach_config_bytes_max + 1, ' ');
  EXPECT_FALSE(read_attach_packet(packet(hello_for(large), large)).has_value());
  auto bytes = packet(hello_for(""), "");
  while (!bytes.empty()) {
    bytes.pop_back();
    EXPECT_FALSE(read_attach_packet(bytes).has_value()) << bytes.size();
  }
}

}  // namespace
}  // namespace penstock::control

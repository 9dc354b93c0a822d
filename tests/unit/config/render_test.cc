#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "penstock/config/config.h"

namespace penstock::config {
namespace {

void expect_round_trip(const Config& config) {
  const std::string text = render(config);
  const auto again = parse(text, "rendered");
  ASSERT_TRUE(again) << again.error()[0].to_string() << "\n" << text;
  EXPECT_EQ(*again, config) << text;
  EXPECT_EQ(render(*again), text);
}

TEST(ConfigRender, defaults_come_back) { expect_round_trip(*parse("", "p.toml")); }

TEST(ConfigRender, everything_comes_back) {
  Config config = *parse("", "p.toml");
  config.workers = {5, 0, 1023};
  config.state_dir = "a \"quoted\" \\ path # = [x] \xC3\xA9";
  config.rtmp = {{"0.0.0.0", 1935, false}, {"::", 1935, true}, {"fe80::1", 65535, true}};
  config.rtmps = {{"0.0.0.0", 443, false}};
  config.rtmpt = {{"::1", 8080, true}};
  config.rtmpts = {{"127.0.0.1", 8443, false}, {"::1", 8443, true}};
  config.sniff = false;
  config.proxy_from = {*parse_prefix("10.0.0.0/8"), *parse_prefix("::1")};
  config.certificates = {{"a \"b\"", "k", {}}, {"/c", "/d", {"e.f", "*.e.f"}}};
  config.tls_tickets = tls_tickets_max;
  config.rtmpe_enabled = true;
  config.publish = control::AdmissionMode::login;
  config.keys = {"live/'\"\\", "live/a", "live/b"};
  config.http = "[::]:80";
  config.socket = "/run/x";
  config.token_file = "/etc/\xE4\xB8\xAD";
  config.log_format = LogFormat::json;
  config.log_level = control::LogLevel::trace;
  for (size_t i = 0; i < control::tunable_count; ++i)
    config.tunables[i] = control::tunable_table[i].max;
  expect_round_trip(config);
}

TEST(ConfigRender, the_section_of_an_engine_comes_back) {
  Config config = *parse("", "p.toml");
  config.engine = "dpdk";
  config.workers = {0, 1};
  config.dpdk.devices = {"net_af_xdp0,iface=a,start_queue=0", "net_af_xdp1,iface=a,start_queue=1"};
  config.dpdk.hugepages = false;
  config.dpdk.memory_mb = dpdk_memory_mb_max;
  config.dpdk.file_prefix = "a-b_1";
  config.dpdk.address = parse_interface_address("10.99.0.2/24");
  config.dpdk.address6 = parse_interface_address("fd99::2/64");
  config.dpdk.gateway = parse_prefix("10.99.0.1");
  config.dpdk.gateway6 = parse_prefix("fe80::1");
  config.dpdk.vlan = vlan_max;
  config.dpdk.mtu = mtu_max;
  config.dpdk.exception_interface = "penstock0";
  config.rtmp = {{"10.99.0.2", 1935, false}, {"::", 1935, true}};
  expect_round_trip(config);
}

TEST(ConfigRender, plain_rtmp_that_is_switched_off_stays_off) {
  Config config = *parse("", "p.toml");
  config.rtmp.clear();
  config.rtmps = {{"0.0.0.0", 1935, false}};
  expect_round_trip(config);
}

TEST(ConfigRender, every_tunable_is_there) {
  const std::string text = render(Config{});
  for (const control::TunableInfo& info : control::tunable_table) {
    const std::string name{info.key.substr(info.key.find('.') + 1)};
    EXPECT_THAT(text,
                testing::HasSubstr("\n" + name + " = " + std::to_string(info.fallback) + "\n"));
  }
}

TEST(ConfigRender, addresses_read_as_they_are_written) {
  EXPECT_EQ(to_string(ListenAddress{"127.0.0.1", 1935, false}), "127.0.0.1:1935");
  EXPECT_EQ(to_string(ListenAddress{"::1", 1935, true}), "[::1]:1935");
}

}  // namespace
}  // namespace penstock::config

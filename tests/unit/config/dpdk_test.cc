#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "penstock/config/config.h"

namespace penstock::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> problems_of(const std::string& text) {
  std::vector<std::string> lines;
  if (const auto config = parse(text, "p.toml"); !config) {
    for (const Problem& problem : config.error()) lines.push_back(problem.to_string());
  }
  return lines;
}

const std::string least =
    "[dataplane]\n"
    "engine = \"dpdk\"\n"
    "[dpdk]\n"
    "devices = [\"0000:3b:00.0\"]\n"
    "address = \"10.99.0.2/24\"\n";

TEST(ConfigDpdk, what_has_to_be_there_is_little) {
  const auto config = parse(least, "p.toml");
  ASSERT_TRUE(config) << config.error()[0].to_string();
  EXPECT_EQ(config->engine, "dpdk");
  EXPECT_THAT(config->dpdk.devices, ElementsAre("0000:3b:00.0"));
  EXPECT_EQ(to_string(*config->dpdk.address), "10.99.0.2/24");
  EXPECT_TRUE(config->dpdk.hugepages);
  EXPECT_EQ(config->dpdk.mtu, 1500U);
  EXPECT_THAT(config->rtmp,
              ElementsAre(ListenAddress{"0.0.0.0", 1935, false}, ListenAddress{"::", 1935, true}))
      << "loopback is the kernel's";
}

TEST(ConfigDpdk, every_key_is_read) {
  const auto config = parse(R"(
[dataplane]
engine = "dpdk"
workers = [2, 3]
[dpdk]
devices = ["net_af_xdp0,iface=eth1,start_queue=0", "net_af_xdp1,iface=eth1,start_queue=1"]
hugepages = false
memory_mb = 512
file_prefix = "box-1"
address = "10.99.0.2/24"
address6 = "fd99::2/64"
gateway = "10.99.0.1"
gateway6 = "fe80::1"
vlan = 7
mtu = 9000
exception_interface = "penstock0"
[listen]
rtmp = ["10.99.0.2:1935", "[fd99::2]:1935"]
rtmps = [":443"]
)",
                            "p.toml");
  ASSERT_TRUE(config) << config.error()[0].to_string();
  const DpdkConfig& dpdk = config->dpdk;
  EXPECT_EQ(dpdk.devices.size(), 2U);
  EXPECT_FALSE(dpdk.hugepages);
  EXPECT_EQ(dpdk.memory_mb, 512U);
  EXPECT_EQ(dpdk.file_prefix, "box-1");
  EXPECT_EQ(to_string(*dpdk.address6), "fd99::2/64");
  EXPECT_EQ(dpdk.gateway->host, "10.99.0.1");
  EXPECT_EQ(dpdk.gateway6->host, "fe80::1");
  EXPECT_EQ(dpdk.vlan, 7U);
  EXPECT_EQ(dpdk.mtu, 9000U);
  EXPECT_EQ(dpdk.exception_interface, "penstock0");
}

TEST(ConfigDpdk, a_section_that_waits_for_its_engine_need_not_be_whole) {
  EXPECT_THAT(problems_of("[dpdk]\nmemory_mb = 256\n"), IsEmpty());
  EXPECT_THAT(problems_of("[listen]\nrtmp = [\"127.0.0.1:1\"]\n[dpdk]\naddress = \"10.0.0.2/8\"\n"),
              IsEmpty());
}

TEST(ConfigDpdk, control_http_is_the_kernels_and_may_have_the_same_port) {
  EXPECT_THAT(problems_of(least + "[control]\nhttp = \"127.0.0.1:1935\"\n"), IsEmpty());
}

TEST(ConfigDpdk, problems_of_one_key) {
  const struct {
    const char* text;  // below "[dpdk]\n"
    const char* problem;
  } cases[] = {
      {"devices = []\nvlna = 1", "p.toml:3: dpdk.vlna: unknown key; did you mean vlan?"},
      {"devices = \"0000:3b:00.0\"",
       "p.toml:2: dpdk.devices: a text; accepted: a list of devices, as in [\"0000:3b:00.0\"]"},
      {"devices = [\"eth0\"]",
       "p.toml:2: dpdk.devices: \"eth0\" is no device; accepted: a PCI address as in "
       "\"0000:3b:00.0\", or a virtual device as in \"net_af_packet0,iface=eth1\""},
      {"devices = [\"3b:00.0\"]", "\"3b:00.0\" is no device"},
      {"devices = [\"0000:3g:00.0\"]", "\"0000:3g:00.0\" is no device"},
      {"devices = [\"net_\"]", "\"net_\" is no device"},
      {"devices = [\"net_af_packet0, iface=a\"]", "is no device"},
      {"devices = [\"net_ring0\",\n\"net_ring0,x=1\"]",
       "p.toml:3: dpdk.devices: \"net_ring0\" is there twice; accepted: every device once (virtual "
       "ones are numbered: net_af_xdp0, net_af_xdp1)"},
      {"hugepages = 1", "p.toml:2: dpdk.hugepages: a whole number; accepted: true or false"},
      {"memory_mb = 63",
       "p.toml:2: dpdk.memory_mb: 63 is out of range; accepted: 64 to 1048576 MiB"},
      {"memory_mb = \"1G\"",
       "p.toml:2: dpdk.memory_mb: a text; accepted: a whole number, 64 to 1048576 MiB"},
      {"file_prefix = \"../x\"",
       "p.toml:2: dpdk.file_prefix: \"../x\" is no part of a file's name; accepted: 1 to 32 "
       "letters, digits, \"_\", \"-\""},
      {"file_prefix = \"\"", "is no part of a file's name"},
      {"address = \"10.99.0.2\"",
       "p.toml:2: dpdk.address: \"10.99.0.2\" is none; accepted: an IPv4 address of a host with "
       "the length of its network, as in \"10.99.0.2/24\""},
      {"address = \"fd99::2/64\"", "dpdk.address: \"fd99::2/64\" is none"},
      {"address = \"10.99.0.255/24\"", "dpdk.address: \"10.99.0.255/24\" is none"},
      {"address6 = \"10.99.0.2/24\"", "dpdk.address6: \"10.99.0.2/24\" is none"},
      {"gateway = \"router\"",
       "p.toml:2: dpdk.gateway: \"router\" is none; accepted: the router's IPv4 address, as in "
       "\"10.99.0.1\""},
      {"gateway = \"10.99.0.1\"",
       "p.toml:2: dpdk.gateway: \"10.99.0.1\" without dpdk.address; accepted: both"},
      {"address = \"10.99.0.2/24\"\ngateway = \"10.98.0.1\"",
       "p.toml:3: dpdk.gateway: \"10.98.0.1\" is not in the network of dpdk.address "
       "\"10.99.0.2/24\"; accepted: an address of it"},
      {"address = \"10.99.0.2/24\"\ngateway = \"10.99.0.2\"",
       "p.toml:3: dpdk.gateway: \"10.99.0.2\" is dpdk.address itself; accepted: the router's"},
      {"address6 = \"fd99::2/64\"\ngateway6 = \"fd98::1\"", "is not in the network of"},
      {"vlan = 4095", "p.toml:2: dpdk.vlan: 4095 is out of range; accepted: 0 to 4094 (0: none)"},
      {"mtu = 1279", "p.toml:2: dpdk.mtu: 1279 is out of range; accepted: 1280 to 9000 bytes"},
      {"mtu = 9001", "dpdk.mtu: 9001 is out of range"},
      {"exception_interface = \"sixteen-letters-\"",
       "p.toml:2: dpdk.exception_interface: \"sixteen-letters-\" is none; accepted: the name of an "
       "interface to make, at most 15 bytes, or \"\" for none"},
      {"exception_interface = \"a/b\"", "is none; accepted: the name of an interface"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(problems_of("[dpdk]\n" + std::string{c.text}), ElementsAre(HasSubstr(c.problem)))
        << c.text;
  }
}

TEST(ConfigDpdk, problems_of_keys_together) {
  const auto with = [](const std::string& dataplane, const std::string& rest) {
    return problems_of("[dataplane]\nengine = \"dpdk\"\n" + dataplane + "[dpdk]\n" + rest);
  };
  EXPECT_THAT(with("", "address = \"10.99.0.2/24\"\n"),
              ElementsAre("p.toml:2: dataplane.engine: \"dpdk\" without dpdk.devices; accepted: "
                          "both, with a PCI address as in \"0000:3b:00.0\", or a virtual device as "
                          "in \"net_af_packet0,iface=eth1\""));
  EXPECT_THAT(with("", "devices = [\"net_ring0\"]\n"),
              ElementsAre(HasSubstr("p.toml:2: dataplane.engine: \"dpdk\" without an address; ")));
  EXPECT_THAT(with("", "devices = [\"nonsense\"]\n"), ElementsAre(HasSubstr("is no device")))
      << "what has a problem of its own is not said to be absent";
  EXPECT_THAT(
      with("workers = [0, 1, 2]\n",
           "devices = [\"net_ring0\", \"net_ring1\"]\naddress = \"10.99.0.2/24\"\n"),
      ElementsAre("p.toml:2: dpdk.devices: 2 devices for 3 of dataplane.workers; accepted: one "
                  "with a queue for each worker, or as many as there are workers"));
}

TEST(ConfigDpdk, listeners_are_where_the_engine_is) {
  EXPECT_THAT(problems_of(least + "[listen]\nrtmp = [\"127.0.0.1:1935\"]\n"),
              ElementsAre("p.toml:7: listen.rtmp: \"127.0.0.1:1935\" is not where the engine "
                          "\"dpdk\" listens; accepted: \":1935\", or dpdk.address or "
                          "dpdk.address6"));
  EXPECT_THAT(problems_of(least + "[listen]\nrtmp = [\"[fd99::2]:1935\"]\n"),
              ElementsAre(HasSubstr("is not where the engine \"dpdk\" listens")));
  EXPECT_THAT(problems_of(least + "[listen]\nrtmp = [\"10.99.0.2:1\", \"0.0.0.0:2\"]\n"),
              IsEmpty());
  EXPECT_THAT(
      problems_of(least + "[listen]\nrtmp = [\"10.99.0.2:1\"]\nrtmpt = [\"0.0.0.0:1\"]\n"),
      ElementsAre(HasSubstr("port 1 is in listen.rtmp, too; accepted with the engine \"dpdk\": "
                            "every port in one list")));
  EXPECT_THAT(problems_of(least + "[listen]\nrtmps = [\":1935\"]\n"),
              ElementsAre(HasSubstr("is the port of listen.rtmp, which is \":1935\" unless said")));
}

}  // namespace
}  // namespace penstock::config

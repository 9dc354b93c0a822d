#include "dataplane/main_dpdk.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/sim/zeroed_memory.h"

namespace penstock::dataplane {
namespace {

using testing::ElementsAre;

constexpr uint64_t secret[2] = {11, 12};

config::Config parsed(const std::string& text) {
  auto config = config::parse(text, "p.toml");
  EXPECT_TRUE(config) << (config ? "" : config.error()[0].to_string());
  return config ? *config : config::Config{};
}

std::string text_of(const engine::Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(endpoint.ipv6 ? AF_INET6 : AF_INET, endpoint.address, text, sizeof text);
  return text;
}

TEST(DpdkOptions, all_that_is_configured_arrives) {
  const config::Config config = parsed(R"(
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
exception_interface = "tap7"
[limits]
connections_max = 777
)");
  std::vector<engine::Endpoint> listeners(3);
  listeners[0].port = 1935;
  listeners[1].port = 443;
  listeners[2].port = 1935;  // of the other family
  const engine::DpdkOptions options = dpdk_options(config, listeners, secret);
  EXPECT_THAT(options.devices, ElementsAre("net_af_xdp0,iface=eth1,start_queue=0",
                                           "net_af_xdp1,iface=eth1,start_queue=1"));
  EXPECT_FALSE(options.hugepages);
  EXPECT_EQ(options.memory_mb, 512U);
  EXPECT_EQ(options.file_prefix, "box-1");
  EXPECT_THAT(options.cores, ElementsAre(2, 3));
  ASSERT_TRUE(options.address && options.address6 && options.gateway && options.gateway6);
  EXPECT_EQ(text_of(options.address->address), "10.99.0.2");
  EXPECT_EQ(options.address->prefix_bits, 24);
  EXPECT_EQ(text_of(options.address6->address), "fd99::2");
  EXPECT_EQ(options.address6->prefix_bits, 64);
  EXPECT_EQ(text_of(*options.gateway), "10.99.0.1");
  EXPECT_EQ(text_of(*options.gateway6), "fe80::1");
  EXPECT_EQ(options.vlan, 7);
  EXPECT_EQ(options.mtu, 9000);
  // The place of a port is the number of its listener.
  EXPECT_THAT(options.ports, ElementsAre(1935, 443, 1935));
  EXPECT_EQ(options.connections_max, 777U);
  EXPECT_TRUE(options.exceptions);
  EXPECT_EQ(options.exception_interface, "tap7");
  EXPECT_THAT(options.secret, ElementsAre(11, 12));
}

TEST(DpdkOptions, what_is_not_configured_is_not_there) {
  const config::Config config = parsed(R"(
[dataplane]
engine = "dpdk"
[dpdk]
devices = ["0000:3b:00.0"]
address6 = "fd99::2/64"
)");
  const engine::DpdkOptions options = dpdk_options(config, {}, secret);
  EXPECT_THAT(options.devices, ElementsAre("0000:3b:00.0"));
  EXPECT_TRUE(options.hugepages);
  EXPECT_FALSE(options.address || options.gateway || options.gateway6 || options.vlan);
  EXPECT_TRUE(options.address6);
  EXPECT_EQ(options.mtu, 1500);
  EXPECT_TRUE(options.ports.empty());
  EXPECT_FALSE(options.exceptions);
}

/// Two workers' devices, or their one, that say what they are told to.
class FakeHost final : public engine::DpdkHost {
 public:
  engine::Engine& engine(size_t) override { std::abort(); }
  [[nodiscard]] uint64_t memory_bytes() const override { return 0; }
  [[nodiscard]] engine::DpdkWorkerStats stats(size_t worker) override { return said[worker]; }
  void offer_memory(MutableBytes) override {}

  std::array<engine::DpdkWorkerStats, 2> said;
};

TEST(DpdkLine, names_each_device_once) {
  FakeHost host;
  for (engine::DpdkWorkerStats& stats : host.said) {
    stats.device = "net_af_packet0,iface=eth1";
    stats.driver = "net_af_packet";
    stats.offloads = "slices";
  }
  config::Config config = parsed(R"(
[dataplane]
engine = "dpdk"
workers = [0, 1]
[dpdk]
devices = ["net_af_packet0,iface=eth1"]
address = "10.99.0.2/24"
)");
  EXPECT_EQ(dpdk_line(host, config),
            "engine dpdk: net_af_packet0,iface=eth1 (net_af_packet, link down, offloads: slices), "
            "10.99.0.2/24");
}

TEST(LinkRow, numbers_beyond_its_places_are_counted) {
  engine::DpdkWorkerStats stats;
  stats.link_up = true;
  stats.link_mbps = 10'000;
  const auto row = std::make_unique<control::LinkRow>();
  const size_t places = row->numbers.size();
  for (size_t i = 0; i < places; ++i) stats.tcp.push_back({"t" + std::to_string(i), {}, i});
  stats.driver_counters.push_back({"rx_good_packets", {}, 5});
  fill_link_row(stats, false, *row);
  EXPECT_EQ(row->numbers_used, places);
  EXPECT_EQ(row->numbers_left_out, 0U);
  fill_link_row(stats, true, *row);
  EXPECT_EQ(row->numbers_used, places);
  EXPECT_EQ(row->numbers_left_out, 1U);
  EXPECT_EQ(row->up, 1U);
  EXPECT_EQ(row->mbps, 10'000U);
}

class Links : public testing::Test {
 protected:
  /// What is said a second later.
  std::vector<std::string> look() {
    now_ = now_.after_ms(1000);
    return reports_.look(now_);
  }
  void set(size_t worker, const char* device, bool up) {
    host_.said[worker].device = device;
    host_.said[worker].link_up = up;
  }
  bool row_is_up(uint32_t worker) {
    const auto row = std::make_unique<control::LinkRow>();
    EXPECT_TRUE(region_.worker(worker).link.read(*row));
    return row->up != 0;
  }

  static constexpr control::RegionPlan plan{2, 1, 1};
  sim::ZeroedMemory memory_ = sim::zeroed_memory(plan.region_bytes());
  control::Region region_{memory_.get(), plan};
  FakeHost host_;
  LinkReports reports_{host_, region_};
  Instant now_;
};

TEST_F(Links, that_go_and_come_back_are_said_once_for_each_device) {
  const auto set_both = [&](bool up) {
    for (const size_t worker : {0U, 1U}) set(worker, "eth1", up);
  };
  set_both(true);
  EXPECT_THAT(look(), ElementsAre());
  set_both(false);
  EXPECT_THAT(reports_.look(now_.after_ms(999)), ElementsAre());
  EXPECT_TRUE(row_is_up(1));
  EXPECT_THAT(look(), ElementsAre("eth1: the link is down: cable, switch or peer"));
  EXPECT_FALSE(row_is_up(0));
  EXPECT_FALSE(row_is_up(1));
  EXPECT_THAT(look(), ElementsAre());
  set_both(true);
  EXPECT_THAT(look(), ElementsAre("eth1: the link is up again"));
  EXPECT_THAT(look(), ElementsAre());
  EXPECT_TRUE(row_is_up(1));
}

TEST_F(Links, of_two_devices_are_two) {
  set(0, "eth1", true);
  set(1, "eth2", false);
  EXPECT_THAT(look(), ElementsAre("eth2: the link is down: cable, switch or peer"));
  set(0, "eth1", false);
  set(1, "eth2", true);
  EXPECT_THAT(look(), ElementsAre("eth1: the link is down: cable, switch or peer",
                                  "eth2: the link is up again"));
  EXPECT_THAT(look(), ElementsAre());
}

}  // namespace
}  // namespace penstock::dataplane

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <time.h>

#include <map>
#include <thread>

#include "dataplane/engine/uring/listener.h"
#include "penstock/base/spsc_ring.h"
#include "tests/conformance/dpdk_lab.h"
#include "tests/conformance/harness.h"

// What only the DPDK engine has: several workers on one device, the way to the kernel, what it says
// when it cannot start.
namespace penstock::conformance {
namespace {

using engine::EngineEvent;
using engine::EngineEventKind;
using testing::HasSubstr;

Instant now() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return {static_cast<uint64_t>(at.tv_sec) * ns_per_s + static_cast<uint64_t>(at.tv_nsec)};
}

uint64_t value_of(const std::vector<engine::DpdkCounter>& counters, const std::string& name) {
  for (const engine::DpdkCounter& counter : counters) {
    if (counter.name == name) return counter.value;
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

/// A worker's thread that sends everything back.
class Echo {
 public:
  explicit Echo(engine::Engine& engine) : engine_(engine), thread_([this] { run(); }) {}
  ~Echo() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    stop_.raise();
    engine_.wake();
    thread_.join();
  }
  size_t accepted = 0;  // after stop()

 private:
  struct Kept {
    std::deque<std::vector<uint8_t>> bytes;
    bool ended = false;
    size_t queued = 0;
  };

  void run() {
    std::vector<EngineEvent> events(64);
    while (!stop_.raised()) {
      for (const EngineEvent& event : engine_.poll(events, now().after_ms(100))) take(event);
    }
  }
  void take(const EngineEvent& event) {
    Kept& kept = connections_[{event.id.index, event.id.generation}];
    if (event.kind == EngineEventKind::accepted) ++accepted;
    if (event.kind == EngineEventKind::received) {
      const auto& copy = kept.bytes.emplace_back(event.bytes.begin(), event.bytes.end());
      const Bytes slice = copy;
      engine_.send(event.id, {&slice, 1});
    }
    if (event.kind == EngineEventKind::ended) engine_.finish(event.id);
  }

  engine::Engine& engine_;
  std::map<std::pair<uint32_t, uint32_t>, Kept> connections_;
  StopFlag stop_;
  std::thread thread_;
};

struct Devices {
  std::string name;
  std::vector<std::string> devices;
};

class DpdkWorkers : public testing::TestWithParam<Devices> {};

INSTANTIATE_TEST_SUITE_P(devices, DpdkWorkers,
                         testing::Values(Devices{"two_queues",
                                                 {"net_af_packet0,iface=lab0,qpairs=2"}},
                                         Devices{"two_devices",
                                                 {"net_af_xdp0,iface=lab0,start_queue=0",
                                                  "net_af_xdp1,iface=lab0,start_queue=1"}}),
                         [](const auto& devices) { return devices.param.name; });

TEST_P(DpdkWorkers, share_addresses_and_each_connection_has_one) {
  const bool xdp = GetParam().devices.size() > 1;
  if (const std::string why = xdp ? missing_dpdk_xdp() : missing_dpdk(); !why.empty()) {
    GTEST_SKIP() << why;
  }
  use_dpdk_lab(2);
  engine::DpdkOptions options = dpdk_options("", 256);
  options.devices = GetParam().devices;
  options.cores = {0, 1};
  auto host = LabHost::start(options);
  ASSERT_TRUE(host) << host.error();
  Echo first((**host)->engine(0));
  Echo second((**host)->engine(1));

  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<Exchange> exchanges;
  for (size_t i = 0; i < 40; ++i) {
    peers.push_back(connect_from_peer_side(i % 2 == 0, dpdk_port));
    ASSERT_NE(peers.back(), nullptr);
    exchanges.push_back({peers.back().get(), pattern(50'000 + i, i), 0, {}});
  }
  const Instant limit = now().after_ms(20'000);
  size_t done = 0;
  while (done < exchanges.size() && now() < limit) {
    done = 0;
    for (Exchange& exchange : exchanges) {
      exchange.step();
      done += exchange.got.size() == exchange.to_write.size() ? 1 : 0;
    }
  }
  EXPECT_EQ(done, exchanges.size());
  for (const Exchange& exchange : exchanges) EXPECT_TRUE(exchange.got == exchange.to_write);
  std::this_thread::sleep_for(std::chrono::milliseconds(150));  // until it was told
  uint64_t redirected = 0;
  uint64_t adopted = 0;
  for (size_t worker = 0; worker < 2; ++worker) {
    // Where the interface is: its link is asked of the kernel, which may take a second after the
    // interface was made until it says so.
    engine::DpdkWorkerStats stats;
    const Instant up_by = now().after_ms(3000);
    do {
      dpdk_lab().network->in_engine_side([&] { stats = (**host)->stats(worker); });
      if (!stats.link_up) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    } while (!stats.link_up && now() < up_by);
    redirected += value_of(stats.engine, "packets_redirected");
    adopted += value_of(stats.engine, "packets_adopted");
    EXPECT_EQ(value_of(stats.engine, "redirections_full"), 0U);
    EXPECT_GT(value_of(stats.tcp, "bytes_received"), 0U);
    EXPECT_TRUE(stats.link_up);
  }
  EXPECT_GT(adopted, 0U);
  EXPECT_LE(adopted, redirected);
  first.stop();
  second.stop();
  EXPECT_EQ(first.accepted + second.accepted, exchanges.size());
  EXPECT_GT(first.accepted, 5U);
  EXPECT_GT(second.accepted, 5U);
}

/// A listener of the kernel's on the engine's side, where the exception path ends.
int kernel_listener(const char* address, uint16_t port) {
  int fd = -1;
  dpdk_lab().network->in_engine_side([&] {
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const auto to = engine::to_socket_address(endpoint_of(address, port));
    if (bind(fd, to.get(), to.length) != 0 || listen(fd, 16) != 0) {
      close(fd);
      fd = -1;
    }
  });
  return fd;
}

TEST(DpdkExceptions, what_is_not_ours_reaches_the_kernel_and_answers_come_back) {
  if (const std::string why = missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  use_dpdk_lab(1);
  engine::DpdkOptions options = dpdk_options("net_af_packet0,iface=lab0", 16);
  options.exceptions = true;
  options.exception_interface = "labtap0";
  auto host = LabHost::start(options);
  ASSERT_TRUE(host) << host.error();
  Echo echo((**host)->engine(0));
  ASSERT_TRUE(dpdk_lab().network->run_in_engine_side(std::string("ip addr add ") +
                                                     NetworkLab::engine4 + "/24 dev labtap0"));
  const int listener = kernel_listener(NetworkLab::engine4, 2222);
  ASSERT_GE(listener, 0);
  // By the kernel there, and by the engine, at the same time.
  const auto theirs = connect_from_peer_side(false, 2222);
  const auto ours = connect_from_peer_side(false, dpdk_port);
  Exchange exchange{ours.get(), pattern(100'000, 5), 0, {}};
  std::unique_ptr<Peer> taken;
  size_t got = 0;
  const std::vector<uint8_t> hello = pattern(3000, 6);
  size_t written = 0;
  const Instant limit = now().after_ms(10'000);
  while ((got < hello.size() || exchange.got.size() < exchange.to_write.size()) && now() < limit) {
    exchange.step();
    if (written < hello.size()) written += theirs->write(Bytes{hello}.subspan(written));
    if (taken == nullptr) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd >= 0) taken = std::make_unique<SocketPeer>(fd);
    }
    uint8_t chunk[4096];
    if (taken != nullptr) got += taken->read(chunk);
  }
  EXPECT_EQ(got, hello.size());
  EXPECT_TRUE(exchange.got == exchange.to_write);
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  const engine::DpdkWorkerStats stats = (**host)->stats(0);
  EXPECT_GT(value_of(stats.engine, "exceptions_sent"), 0U);
  EXPECT_GT(value_of(stats.engine, "exceptions_received"), 0U);
  close(listener);
}

/// A raw socket for one kind of packets on an interface of the namespace that this is called in.
int raw_socket(const char* interface, uint16_t ethertype) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ethertype));
  sockaddr_ll at{};
  at.sll_family = AF_PACKET;
  at.sll_protocol = htons(ethertype);
  at.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0) << interface;
  return fd;
}

struct NeighbourAnswer {
  std::string name;
  uint16_t ethertype;
  std::vector<uint8_t> frame;
  size_t kind_at;  // what tells it from a question, and whose it is: as in `frame`
  size_t target_at;
};

class DpdkNeighbours : public testing::TestWithParam<NeighbourAnswer> {};

// 10.99.0.77 and fd99::4d are at 02:00:00:00:00:4d: to everybody.
INSTANTIATE_TEST_SUITE_P(
    families, DpdkNeighbours,
    testing::Values(NeighbourAnswer{"arp",
                                    ETH_P_ARP,
                                    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0,  0, 0,  0,
                                     0x4d, 0x08, 0x06, 0,    1,    0x08, 0,  6,  4, 0,  2,
                                     2,    0,    0,    0,    0,    0x4d, 10, 99, 0, 77, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 10,   99, 0,  2},
                                    21,
                                    31},
                    NeighbourAnswer{
                        "ndp",
                        ETH_P_IPV6,
                        {0x33, 0x33, 0,   0, 0,    1,    2,    0,   0,   0,    0,    0x4d, 0x86,
                         0xdd, 0x60, 0,   0, 0,    0,    32,   58,  255, 0xfd, 0x99, 0,    0,
                         0,    0,    0,   0, 0,    0,    0,    0,   0,   0,    0,    0x4d, 0xff,
                         2,    0,    0,   0, 0,    0,    0,    0,   0,   0,    0,    0,    0,
                         0,    1,    136, 0, 0x58, 0x85, 0x20, 0,   0,   0,    0xfd, 0x99, 0,
                         0,    0,    0,   0, 0,    0,    0,    0,   0,   0,    0,    0,    0x4d,
                         2,    1,    2,   0, 0,    0,    0,    0x4d},
                        54,
                        77}),
    [](const auto& answer) { return answer.param.name; });

TEST_P(DpdkNeighbours, an_answer_reaches_the_kernel_once) {
  if (const std::string why = missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  use_dpdk_lab(1);
  engine::DpdkOptions options = dpdk_options("net_af_packet0,iface=lab0", 16);
  options.exceptions = true;
  options.exception_interface = "labtap0";
  auto host = LabHost::start(options);
  ASSERT_TRUE(host) << host.error();
  Echo echo((**host)->engine(0));
  int kernel = -1;
  int wire = -1;
  const auto& [name, ethertype, answer, kind_at, target_at] = GetParam();
  const uint16_t type = ethertype;
  dpdk_lab().network->in_engine_side([&] { kernel = raw_socket("labtap0", type); });
  dpdk_lab().network->in_peer_side([&] { wire = raw_socket(NetworkLab::peer_interface, type); });
  constexpr size_t sent = 20;
  for (size_t i = 0; i < sent; ++i) {
    EXPECT_EQ(write(wire, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  size_t seen = 0;
  std::array<uint8_t, 200> frame{};
  for (ssize_t bytes = 0; (bytes = read(kernel, frame.data(), frame.size())) > 0;) {
    const bool same = static_cast<size_t>(bytes) >= answer.size() &&
                      frame[kind_at] == answer[kind_at] && frame[target_at] == answer[target_at];
    seen += same ? 1 : 0;
  }
  EXPECT_EQ(seen, sent);
  close(kernel);
  close(wire);
}

TEST(DpdkExceptions, a_flood_is_limited) {
  if (const std::string why = missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  use_dpdk_lab(1);
  engine::DpdkOptions options = dpdk_options("net_af_packet0,iface=lab0", 16);
  options.exceptions = true;
  options.exception_interface = "labtap0";
  options.exceptions_per_second = 100;
  auto host = LabHost::start(options);
  ASSERT_TRUE(host) << host.error();
  Echo echo((**host)->engine(0));
  int fd = -1;
  dpdk_lab().network->in_peer_side([&] { fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
  const auto to = engine::to_socket_address(endpoint_of(NetworkLab::engine4, 5353));
  const uint8_t text[64] = {};
  const Instant limit = now().after_ms(500);
  while (now() < limit) {
    for (int i = 0; i < 50; ++i) {
      [[maybe_unused]] const ssize_t sent =
          sendto(fd, text, sizeof text, MSG_DONTWAIT, to.get(), to.length);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  close(fd);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const engine::DpdkWorkerStats stats = (**host)->stats(0);
  EXPECT_LE(value_of(stats.engine, "exceptions_sent"), 150U);
  EXPECT_GT(value_of(stats.engine, "exceptions_limited"), 100U);
}

TEST(DpdkVlan, a_tagged_link_is_spoken_on) {
  if (const std::string why = missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  use_dpdk_lab(1);
  engine::DpdkOptions options = dpdk_options("net_af_packet0,iface=lab0", 16);
  options.address = engine::DpdkAddress{endpoint_of("10.98.0.2", 0), 24};
  options.vlan = 7;
  auto host = LabHost::start(options);
  ASSERT_TRUE(host) << host.error();
  const NetworkLab& network = *dpdk_lab().network;
  if (!network.run_in_peer_side("ip link add link lab1 name lab1.7 type vlan id 7")) {
    GTEST_SKIP() << "this kernel has no VLANs";
  }
  EXPECT_TRUE(
      network.run_in_peer_side("ip link set lab1.7 up && ip addr add 10.98.0.1/24 dev lab1.7"));
  Echo echo((**host)->engine(0));
  int fd = -1;
  network.in_peer_side(
      [&] { fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); });
  const auto to = engine::to_socket_address(endpoint_of("10.98.0.2", dpdk_port));
  connect(fd, to.get(), to.length);
  SocketPeer peer(fd);
  Exchange exchange{&peer, pattern(100'000, 8), 0, {}};
  const Instant limit = now().after_ms(10'000);
  while (exchange.got.size() < exchange.to_write.size() && now() < limit) exchange.step();
  EXPECT_TRUE(exchange.got == exchange.to_write);
  EXPECT_TRUE(network.run_in_peer_side("ip link del lab1.7"));
}

TEST(DpdkStart, says_in_one_line_what_is_missing) {
  if (const std::string why = missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  use_dpdk_lab(1);
  const auto error_of = [](const std::function<void(engine::DpdkOptions&)>& change) {
    engine::DpdkOptions options = dpdk_options("net_af_packet0,iface=lab0", 8);
    change(options);
    auto host = LabHost::start(options);
    EXPECT_FALSE(host);
    const std::string error = host ? "" : host.error();
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
    return error;
  };
  using Options = engine::DpdkOptions;
  EXPECT_THAT(error_of([](Options& o) { o.devices = {"net_af_packet0,iface=gone0"}; }),
              HasSubstr("no network interface 'gone0'"));
  EXPECT_THAT(error_of([](Options& o) { o.devices = {"net_af_packet0"}; }),
              HasSubstr("which interface?"));
  EXPECT_THAT(error_of([](Options& o) { o.devices = {"0000:ff:1f.7"}; }),
              HasSubstr("no such PCI device"));
  EXPECT_THAT(error_of([](Options& o) { o.devices = {"eth0"}; }),
              HasSubstr("neither a PCI address"));
  EXPECT_THAT(error_of([](Options& o) { o.devices = {"net_nosuch0"}; }),
              HasSubstr("apt-get install librte-net-nosuch23"));
  // A driver that makes no Ethernet device of it; its name is not taken afterwards.
  const auto netvsc = [](Options& o) { o.devices = {"net_vdev_netvsc0"}; };
  const std::string no_device = error_of(netvsc);
  EXPECT_THAT(no_device, HasSubstr("DPDK cannot make this device"));
  EXPECT_EQ(error_of(netvsc), no_device);
  EXPECT_THAT(error_of([](Options& o) { o.devices = {}; }), HasSubstr("names no device"));
  EXPECT_THAT(error_of([](Options& o) { o.cores = {0, 1, 2}; }), HasSubstr("qpairs="));
  EXPECT_THAT(error_of([](Options& o) { o.mtu = 9000; }), HasSubstr("ip link set lab0 mtu 9000"));
  EXPECT_THAT(error_of([](Options& o) {
                for (uint16_t port = 2000; o.ports.size() < 17; ++port) o.ports.push_back(port);
              }),
              HasSubstr("17 different ports"));
  EXPECT_THAT(error_of([](Options& o) { o.memory_mb = 1; }), HasSubstr("memory_mb is too small"));
  EXPECT_THAT(error_of([](Options& o) { o.congestion_control = "bbr"; }), HasSubstr("cubic"));
  const NetworkLab& network = *dpdk_lab().network;
  const std::string address = std::string(NetworkLab::engine4) + "/24 dev lab0";
  EXPECT_TRUE(network.run_in_engine_side("ip addr add " + address));
  EXPECT_THAT(error_of([](Options&) {}), HasSubstr("is the kernel's as well, on lab0"));
  EXPECT_TRUE(network.run_in_engine_side("ip addr del " + address));
  // After all that it starts.
  auto host = LabHost::start(dpdk_options("net_af_packet0,iface=lab0", 8));
  EXPECT_TRUE(host) << host.error();
}

}  // namespace
}  // namespace penstock::conformance

#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <time.h>

#include <thread>

#include "penstock/base/prng.h"
#include "tests/conformance/dpdk_lab.h"
#include "tests/conformance/harness.h"

// Whatever strangers put on the wire, the engine lives, and its connections with it.
namespace penstock::conformance {
namespace {

/// A raw socket on the peer's side.
class Wire {
 public:
  Wire() {
    dpdk_lab().network->in_peer_side([&] {
      fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
      to_.sll_family = AF_PACKET;
      to_.sll_ifindex = static_cast<int>(if_nametoindex(NetworkLab::peer_interface));
    });
  }
  ~Wire() { ::close(fd_); }
  void put(Bytes frame) const {
    [[maybe_unused]] const ssize_t sent =
        sendto(fd_, frame.data(), frame.size(), MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&to_), sizeof to_);
  }

 private:
  int fd_ = -1;
  sockaddr_ll to_{};
};

std::vector<uint8_t> mac_of_device() {
  std::vector<uint8_t> mac(6);
  dpdk_lab().network->in_engine_side([&] {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strncpy(request.ifr_name, NetworkLab::device, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0) {
      std::copy_n(request.ifr_hwaddr.sa_data, 6, mac.begin());
    }
    ::close(fd);
  });
  return mac;
}

/// The Internet's checksum of IPv4's header: what is wrong there would hide all that follows.
void set_ipv4_checksum(std::vector<uint8_t>& frame) {
  store_u16(&frame[24], 0);
  uint32_t sum = 0;
  for (size_t at = 14; at < 34; at += 2) sum += load_u16(&frame[at]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  store_u16(&frame[24], static_cast<uint16_t>(~sum));
}

/// A frame that is right up to somewhere, and noise from there on.
std::vector<uint8_t> noise(Prng& prng, const std::vector<uint8_t>& mac) {
  std::vector<uint8_t> frame(14 + prng.below(200));
  if (prng.below(20) == 0) frame.resize(14 + prng.below(1480));
  prng.fill(frame);
  std::copy(mac.begin(), mac.end(), frame.begin());
  frame[6] = 2;  // nobody's group
  constexpr uint16_t types[] = {0x0800, 0x86dd, 0x0806, 0x8100};
  store_u16(&frame[12], types[prng.below(4)]);
  const uint16_t type = load_u16(&frame[12]);
  if (type == 0x0800 && frame.size() >= 34) {
    frame[14] = static_cast<uint8_t>(prng.below(10) == 0 ? 0x46 : 0x45);
    store_u16(&frame[16], static_cast<uint16_t>(frame.size() - 14));
    store_u16(&frame[20], 0);
    frame[23] = prng.below(2) == 0 ? 6 : 1;
    store_u32(&frame[26], 0x0a630000 | static_cast<uint32_t>(3 + prng.below(250)));
    store_u32(&frame[30], 0x0a630002);
    set_ipv4_checksum(frame);
  }
  if (type == 0x86dd && frame.size() >= 54) {
    frame[14] = 0x60;
    store_u16(&frame[18], static_cast<uint16_t>(frame.size() - 54));
    constexpr uint8_t next[] = {6, 58, 0, 43, 44, 60};
    frame[20] = next[prng.below(6)];
    frame[21] = 255;
    const uint8_t engine6[16] = {0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2};
    std::copy_n(engine6, 15, frame.begin() + 22);
    std::copy_n(engine6, 16, frame.begin() + 38);
  }
  return frame;
}

TEST(DpdkNoise, frames_of_all_kinds_leave_a_connection_alone) {
  if (const std::string why = missing_dpdk(); !why.empty()) GTEST_SKIP() << why;
  use_dpdk_lab(1);
  engine::DpdkOptions options = dpdk_options("net_af_packet0,iface=lab0", 16);
  options.devices = {"net_af_packet0,iface=lab0"};
  options.exceptions = true;
  options.exception_interface = "labtap0";
  auto host = LabHost::start(options);
  ASSERT_TRUE(host) << host.error();
  const std::vector<uint8_t> mac = mac_of_device();
  const Wire wire;
  Prng prng(11);

  engine::Engine& engine = (**host)->engine(0);
  std::vector<engine::EngineEvent> events(64);
  const auto peer = connect_from_peer_side(false, dpdk_port);
  std::vector<uint8_t> got;
  const std::vector<uint8_t> bytes = pattern(400'000, 12);
  size_t written = 0;
  for (int round = 0; round < 4000 && got.size() < bytes.size(); ++round) {
    for (int i = 0; i < 20; ++i) wire.put(noise(prng, mac));
    if (written < bytes.size()) {
      written +=
          peer->write(Bytes{bytes}.subspan(written, std::min<size_t>(400, bytes.size() - written)));
    }
    for (const engine::EngineEvent& event : engine.poll(events, Instant{})) {
      if (event.kind != engine::EngineEventKind::received) continue;
      got.insert(got.end(), event.bytes.begin(), event.bytes.end());
    }
  }
  EXPECT_GT(got.size(), bytes.size() / 4);
  EXPECT_TRUE(std::equal(got.begin(), got.end(), bytes.begin()));
  EXPECT_FALSE(peer->was_reset());
  // The kernel takes tags out of packets; the stack must have seen them all the same.
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  engine.poll(events, Instant{});
  for (const engine::DpdkCounter& counter : (**host)->stats(0).tcp) {
    if (counter.name == "other_vlan") {
      EXPECT_GT(counter.value, 100U);
    }
  }
}

}  // namespace
}  // namespace penstock::conformance

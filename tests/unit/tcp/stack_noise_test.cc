// Whatever comes from the wire: no assertion, no packet kept for ever, every connection ends.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "dataplane/engine/tcp/checksum.h"
#include "penstock/base/prng.h"
#include "tests/unit/tcp/stack_pair.h"

namespace penstock::engine::tcp {
namespace {

/// Right checksums for whatever a packet says now, so that it is looked at.
void mend_checksums(std::vector<uint8_t>& packet) {
  if (packet.size() < 14 + ipv4_bytes || load_u16(packet.data() + 12) != ethertype_ipv4) return;
  uint8_t* ip = packet.data() + 14;
  const size_t header = std::min<size_t>(size_t{4} * (ip[0] & 0x0f), packet.size() - 14);
  if (header < ipv4_bytes) return;
  store_u16(ip + 10, 0);
  Checksum of_header;
  of_header.add({ip, header});
  store_u16(ip + 10, of_header.value());
  const size_t length = std::min<size_t>(load_u16(ip + 2), packet.size() - 14);
  if (length < header + tcp_bytes) return;
  uint8_t* rest = ip + header;
  const size_t at = ip[9] == protocol::tcp ? 16 : 2;
  store_u16(rest + at, 0);
  Checksum checksum;
  if (ip[9] == protocol::tcp) {
    checksum =
        pseudo_header({ip + 12, 4}, {ip + 16, 4}, ip[9], static_cast<uint32_t>(length - header));
  }
  checksum.add({rest, length - header});
  store_u16(rest + at, checksum.value());
}

void change(Prng& prng, std::vector<uint8_t>& packet) {
  const size_t headers = std::min<size_t>(packet.size(), 80);
  switch (prng.below(6)) {
    case 0:  // somewhere in the headers
      packet[prng.below(headers)] = static_cast<uint8_t>(prng.next());
      break;
    case 1:  // flags
      if (packet.size() > 47) packet[47] = static_cast<uint8_t>(prng.next());
      break;
    case 2: {  // numbers that nearly fit
      if (packet.size() < 46) break;
      uint8_t* number = packet.data() + (prng.chance(500) ? 38 : 42);
      store_u32(number, load_u32(number) + static_cast<uint32_t>(prng.below(4000)) - 2000);
      break;
    }
    case 3:  // window
      if (packet.size() > 49) store_u16(packet.data() + 48, static_cast<uint16_t>(prng.below(9)));
      break;
    case 4:  // options
      for (size_t i = 54; i < headers; ++i) {
        if (prng.chance(200)) packet[i] = static_cast<uint8_t>(prng.below(12));
      }
      break;
    default:
      packet.resize(14 + prng.below(packet.size() - 13));
      break;
  }
  if (prng.chance(900)) mend_checksums(packet);
}

/// Connections under packets that are changed, lost, repeated and late, from one number.
void run_seed(uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Prng prng(seed);
  StackOptions options = options_of_host(1);
  options.user_timeout_ns = 10 * ns_per_s;
  options.keepalive_ns = 5 * ns_per_s;
  options.half_open_max = static_cast<uint32_t>(1 + prng.below(4));
  options.connections_max = static_cast<uint32_t>(1 + prng.below(8));
  options.time_wait_max = 2;
  options.held_packets_max = 16;
  options.receive_blocks = 4;
  StackOptions other = options;
  other.mac = mac(2);
  other.address = ipv4(10, 0, 0, 2);
  other.address6 = ipv6(2);
  StackPair pair(options, other);
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  pair.right_.echoes_ = true;
  bool noise = true;
  std::vector<std::vector<uint8_t>> late;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
    if (!noise) return true;
    Host& to = from_left ? pair.right_ : pair.left_;
    if (prng.chance(150)) {
      std::vector<uint8_t> changed = packet;
      change(prng, changed);
      to.arrive(std::move(changed));
    }
    if (prng.chance(50)) to.arrive(packet);
    if (prng.chance(50)) late.push_back(packet);
    if (!late.empty() && prng.chance(50)) {
      (prng.chance(500) ? pair.left_ : pair.right_).arrive(late[prng.below(late.size())]);
    }
    return !prng.chance(100);
  };
  for (int round = 0; round < 12; ++round) {
    const auto id = pair.left_.stack_.connect(
        {prng.chance(700) ? *other.address : *other.address6, 1}, pair.now_);
    if (id) pair.left_.adopt(*id);
    for (size_t i = 0; i < pair.left_.peers(); ++i) {
      Host::Peer& peer = pair.left_.peer_number(i);
      if (peer.closed) continue;
      if (prng.chance(500)) {
        pair.left_.send(peer.id, std::string(prng.below(9000), 'n'), pair.now_);
      }
      if (prng.chance(100)) pair.left_.stack_.set_reading(peer.id, prng.chance(500), pair.now_);
      if (prng.chance(100)) pair.left_.stack_.close(peer.id, pair.now_);
    }
    pair.run(prng.below(700) * ns_per_ms);
    if (prng.chance(300)) pair.right_.close_ended(pair.now_);
  }
  noise = false;
  pair.left_.close_all(pair.now_);
  pair.run(5 * ns_per_s);
  pair.right_.close_all(pair.now_);
  pair.run(150 * ns_per_s);
  for (Host* host : {&pair.left_, &pair.right_}) {
    for (size_t i = 0; i < host->peers(); ++i) {
      EXPECT_TRUE(host->peer_number(i).closed) << "connection " << i;
    }
    EXPECT_EQ(host->lent(), 0u);
    EXPECT_LE(host->stack_.deadline(), Instant::never());
  }
}

TEST(stack, survives_changed_lost_repeated_and_late_packets) {
  for (uint64_t seed = 1; seed <= 150 && !testing::Test::HasFailure(); ++seed) run_seed(seed);
}

}  // namespace
}  // namespace penstock::engine::tcp

// Neighbours, pings and what routers say.

#include <gtest/gtest.h>

#include <string>

#include "dataplane/engine/tcp/checksum.h"
#include "dataplane/engine/tcp/icmp.h"
#include "dataplane/engine/tcp/neighbour_wire.h"
#include "dataplane/engine/tcp/neighbours.h"
#include "penstock/base/prng.h"
#include "tests/unit/tcp/stack_pair.h"

namespace penstock::engine::tcp {
namespace {

struct Cache : testing::Test {
  StackCounters counters;
  Neighbours neighbours{8, Secret{{1, 2}}, counters};
  IpAddress peer = ipv4(10, 0, 0, 9);
  Instant now{1000 * ns_per_s};

  void after(uint64_t ns) {
    now = now.after_ns(ns);
    neighbours.expire(now);
  }
  /// Counts and drops the questions there are.
  int queries(bool direct = false) {
    int count = 0;
    while (const auto query = neighbours.next_query()) count += query->mac.has_value() == direct;
    return count;
  }
  NeighbourRef learn(uint8_t last) {
    const NeighbourRef ref = neighbours.entry_of(peer, now);
    (void)neighbours.use(ref, now);
    neighbours.heard({peer, mac(last), true}, false, now);
    (void)queries();
    return ref;
  }
  [[nodiscard]] int known(NeighbourRef ref) {
    const MacAddress* found = neighbours.use(ref, now);
    return found == nullptr ? -1 : found->bytes[5];
  }
};

TEST_F(Cache, asks_three_times_and_fails_for_a_while) {
  const NeighbourRef ref = neighbours.entry_of(peer, now);
  EXPECT_EQ(known(ref), -1);
  EXPECT_EQ(queries(), 1);
  after(ns_per_s + ns_per_ms);
  after(ns_per_s + ns_per_ms);
  EXPECT_EQ(queries(), 1);  // two, of which the second was not taken in between
  EXPECT_FALSE(neighbours.failed(ref));
  after(ns_per_s + ns_per_ms);
  EXPECT_TRUE(neighbours.failed(ref));
  EXPECT_TRUE(neighbours.take_changed());
  EXPECT_EQ(known(ref), -1);
  EXPECT_EQ(queries(), 0);
  after(4 * ns_per_s);
  EXPECT_EQ(known(ref), -1);
  EXPECT_EQ(queries(), 1);
}

TEST_F(Cache, an_answer_makes_it_known) {
  const NeighbourRef ref = learn(7);
  EXPECT_EQ(known(ref), 7);
  EXPECT_TRUE(neighbours.take_changed());
}

TEST_F(Cache, nothing_is_learnt_that_nobody_asked_for) {
  neighbours.heard({peer, mac(7), true}, false, now);
  EXPECT_EQ(counters.neighbours_learnt, 0u);
  // But who asks for us will be answered.
  neighbours.heard({peer, mac(7), false}, true, now);
  EXPECT_EQ(counters.neighbours_learnt, 1u);
  EXPECT_EQ(known(neighbours.entry_of(peer, now)), 7);
}

TEST_F(Cache, group_addresses_are_nobodys) {
  const NeighbourRef ref = neighbours.entry_of(peer, now);
  (void)neighbours.use(ref, now);
  neighbours.heard({peer, {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, true}, false, now);
  neighbours.heard({peer, {{1, 0, 0, 0, 0, 1}}, true}, false, now);
  neighbours.heard({peer, {}, true}, false, now);
  EXPECT_EQ(known(ref), -1);
}

TEST_F(Cache, use_without_confirmation_leads_to_a_probe) {
  const NeighbourRef ref = learn(7);
  after(31 * ns_per_s);
  EXPECT_EQ(known(ref), 7);
  EXPECT_EQ(queries(true), 0);
  after(6 * ns_per_s);
  EXPECT_EQ(queries(true), 1);
  EXPECT_EQ(known(ref), 7);
  neighbours.heard({peer, mac(7), true}, false, now);
  after(10 * ns_per_s);
  EXPECT_EQ(queries(true), 0);
}

TEST_F(Cache, confirmation_by_peers_saves_the_probe) {
  const NeighbourRef ref = learn(7);
  for (int i = 0; i < 100; ++i) {
    after(ns_per_s);
    neighbours.confirm(ref, now);
    EXPECT_EQ(known(ref), 7);
  }
  EXPECT_EQ(queries(true), 0);
}

TEST_F(Cache, a_false_claim_is_checked_with_the_one_we_know) {
  const NeighbourRef ref = learn(7);
  neighbours.heard({peer, mac(66), true}, false, now);
  EXPECT_EQ(known(ref), 7);
  EXPECT_EQ(counters.neighbours_doubted, 1u);
  EXPECT_EQ(queries(true), 1);
  neighbours.heard({peer, mac(7), true}, false, now);
  after(5 * ns_per_s);
  EXPECT_EQ(known(ref), 7);
  EXPECT_EQ(counters.neighbours_changed, 0u);
}

TEST_F(Cache, a_fail_over_is_followed_within_about_a_second) {
  const NeighbourRef ref = learn(7);
  neighbours.heard({peer, mac(8), false}, false, now);
  for (int i = 0; i < 10; ++i) {
    after(100 * ns_per_ms);
    while (const auto query = neighbours.next_query()) {
      // The old one is gone; the new one hears what is asked of everybody.
      if (!query->mac) neighbours.heard({peer, mac(8), true}, false, now);
    }
    (void)known(ref);
  }
  EXPECT_EQ(known(ref), 8);
}

TEST_F(Cache, a_flood_does_not_push_out_what_is_used) {
  const NeighbourRef ref = learn(7);
  for (int i = 0; i < 1000; ++i) {
    after(200 * ns_per_ms);
    EXPECT_EQ(known(ref), 7);
    const auto third = static_cast<uint8_t>(i / 200 + 1);
    neighbours.heard({ipv4(10, 0, third, static_cast<uint8_t>(i % 200)), mac(9), false}, true, now);
    (void)queries();
    neighbours.heard({peer, mac(7), true}, false, now);
  }
  EXPECT_TRUE(neighbours.valid(ref));
}

TEST_F(Cache, entries_that_were_reused_are_not_mistaken) {
  const NeighbourRef ref = learn(7);
  after(1000 * ns_per_s);
  for (uint8_t i = 10; i < 30; ++i) {
    const NeighbourRef other = neighbours.entry_of(ipv4(10, 0, 0, i), now);
    if (other.index == NeighbourRef::none) break;
    after(100 * ns_per_s);
  }
  EXPECT_FALSE(neighbours.valid(ref));
  EXPECT_EQ(neighbours.use(ref, now), nullptr);
}

TEST(neighbour_message, comes_back_in_both_protocols) {
  const OwnAddresses here(options_of_host(1));
  const OwnAddresses there(options_of_host(2));
  StackCounters counters;
  const auto parse = [&](const PacketOut& packet, const OwnAddresses& by) {
    static std::vector<uint8_t> bytes;
    bytes = bytes_of(packet);
    ParsedPacket parsed;
    parse_packet(packet_of(bytes), by, counters, parsed);
    if (parsed.kind == PacketKind::arp) return parse_arp(parsed.message);
    return parsed.kind == PacketKind::icmp ? parse_ndp(parsed) : std::nullopt;
  };
  for (const bool v6 : {false, true}) {
    const IpAddress target = v6 ? ipv6(2) : ipv4(10, 0, 0, 2);
    const IpAddress source = v6 ? ipv6(1) : ipv4(10, 0, 0, 1);
    const LocalAddress which = v6 ? LocalAddress::ipv6 : LocalAddress::ipv4;
    for (const bool direct : {false, true}) {
      PacketOut packet;
      write_request(packet, here, which, target, direct ? std::optional(mac(2)) : std::nullopt);
      const auto asked = parse(packet, there);
      ASSERT_TRUE(asked);
      EXPECT_TRUE(asked->request);
      EXPECT_EQ(asked->target, target);
      EXPECT_EQ(asked->sender, source);
      EXPECT_EQ(asked->mac, mac(1));
    }
    PacketOut packet;
    write_answer(packet, there, which, Asker{source, mac(1)});
    const auto answered = parse(packet, here);
    ASSERT_TRUE(answered);
    EXPECT_FALSE(answered->request);
    EXPECT_TRUE(answered->solicited);
    EXPECT_EQ(answered->target, target);
    EXPECT_EQ(answered->mac, mac(2));
    write_answer(packet, there, which, std::nullopt);
    const auto announced = parse(packet, here);
    ASSERT_TRUE(announced);
    EXPECT_FALSE(announced->request);
    EXPECT_FALSE(announced->solicited);
    EXPECT_EQ(announced->target, target);
  }
}

TEST(neighbour_message, survives_noise) {
  Prng prng(10);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes(prng.below(80));
    prng.fill(bytes);
    if (bytes.size() > 1) {
      bytes[0] = static_cast<uint8_t>(prng.below(5) + 133);
      bytes[1] = 0;
    }
    (void)parse_arp(bytes);
    ParsedPacket parsed;
    parsed.flow.local = LocalAddress::ipv6;
    parsed.hop_limit = 255;
    parsed.message = bytes;
    (void)parse_ndp(parsed);
    if (!bytes.empty()) bytes[0] = static_cast<uint8_t>(prng.below(5));
    (void)parse_icmp_error(parsed, OwnAddresses(options_of_host(1)));
  }
}

TEST(stack_link, another_host_with_our_address_is_noticed_and_answered) {
  StackPair pair;
  PacketOut claim;
  StackOptions liar = options_of_host(1);
  liar.mac = mac(66);
  write_answer(claim, OwnAddresses(liar), LocalAddress::ipv4, std::nullopt);
  int announced = 0;
  pair.passes_ = [&](bool from_left, const auto&) {
    announced += from_left ? 1 : 0;
    return true;
  };
  for (int i = 0; i < 10; ++i) {
    pair.left_.arrive(bytes_of(claim));
    pair.run(10 * ns_per_ms);
  }
  EXPECT_EQ(pair.left_.counters().address_conflicts, 10u);
  EXPECT_EQ(announced, 3);  // each address, once
}

TEST(stack_link, stacks_that_share_addresses_tell_each_other) {
  StackOptions options = options_of_host(1);
  options.shares_addresses = true;
  StackPair pair(options, options_of_host(2));
  Stack sibling(options);
  const Instant now = pair.now_;
  // The sibling asks; the answer comes to the other stack's queue.
  ASSERT_TRUE(sibling.connect({*pair.right_.options_.address, 1}, now));
  std::array<PacketOut, 4> room;
  auto out = sibling.output(room, now);
  ASSERT_EQ(out.size(), 1u);
  pair.right_.arrive(bytes_of(out[0]));
  pair.run(5 * ns_per_ms);
  std::array<NeighbourNews, 4> news;
  const auto heard = pair.left_.stack_.take_neighbour_news(news);
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_EQ(heard[0].mac, mac(2));
  sibling.hear_neighbour(heard[0], now);
  out = sibling.output(room, now);
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(load_u16(out[0].header.data() + 12), ethertype_ipv4);  // the SYN
}

std::vector<uint8_t> ping(const StackOptions& from, const StackOptions& to, bool v6, size_t bytes) {
  // A reply with its type changed back: the routine that makes requests is the peer's, not ours.
  const OwnAddresses own(from);
  std::vector<uint8_t> message(8 + bytes);
  message[0] = v6 ? 128 : 8;
  message[5] = 1;
  for (size_t i = 8; i < message.size(); ++i) message[i] = static_cast<uint8_t>(i * 3);
  const FlowKey flow = flow_to(v6 ? *to.address6 : *to.address, 0, 0);
  const uint8_t next = v6 ? protocol::icmp6 : protocol::icmp;
  Checksum checksum;
  if (v6) {
    checksum = pseudo_header(own.of(flow.local), flow.remote_bytes(), next,
                             static_cast<uint32_t>(message.size()));
  }
  checksum.add(message);
  store_u16(message.data() + 2, checksum.value());
  PacketOut packet;
  write_ip(packet, own, flow, {.to = to.mac, .protocol = next}, message.size(), false);
  std::vector<uint8_t> whole = bytes_of(packet);
  whole.insert(whole.end(), message.begin(), message.end());
  return whole;
}

TEST(stack_link, answers_pings_of_every_size) {
  for (const bool v6 : {false, true}) {
    for (const size_t bytes : {size_t{0}, size_t{56}, size_t{1400}}) {
      StackPair pair;
      std::vector<uint8_t> answer;
      pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
        const size_t header = 14 + (v6 ? ipv6_bytes : ipv4_bytes);
        const uint8_t type = v6 ? 129 : 0;
        if (!from_left && packet.size() == header + 8 + bytes && packet[header] == type) {
          answer = packet;
        }
        return true;
      };
      const auto request = ping(pair.left_.options_, pair.right_.options_, v6, bytes);
      pair.right_.arrive(request);
      pair.run(10 * ns_per_ms);
      ASSERT_FALSE(answer.empty()) << v6 << ", " << bytes;
      const size_t data = answer.size() - bytes;
      EXPECT_TRUE(std::equal(answer.begin() + static_cast<long>(data), answer.end(),
                             request.begin() + static_cast<long>(data)));
      // The other one finds its checksum right: it takes it for nothing it knows.
      EXPECT_EQ(pair.left_.counters().icmp_checksum_bad, 0u);
      EXPECT_EQ(pair.left_.counters().icmp_in, 1u);
    }
  }
}

TEST(stack_link, a_flood_of_pings_is_limited) {
  StackPair pair;
  for (int i = 0; i < 1000; ++i) {
    pair.right_.arrive(ping(pair.left_.options_, pair.right_.options_, false, 56));
    if (i % 20 == 0) pair.run(ns_per_ms);
  }
  pair.run(10 * ns_per_ms);
  EXPECT_LT(pair.right_.counters().echo_replies, 300u);
  EXPECT_EQ(pair.right_.counters().echo_replies + pair.right_.counters().echo_limited, 1000u);
  EXPECT_EQ(pair.right_.lent(), 0u);
}

/// An ICMP error of a router about `packet`, IPv4.
std::vector<uint8_t> icmp_error(const StackOptions& to, uint8_t type, uint8_t code, uint16_t mtu,
                                const std::vector<uint8_t>& packet, size_t quoted = 28) {
  StackOptions router = options_of_host(254);
  std::vector<uint8_t> message(8);
  message[0] = type;
  message[1] = code;
  store_u16(message.data() + 6, mtu);
  const size_t end = std::min(packet.size(), 14 + quoted);
  message.insert(message.end(), packet.begin() + 14, packet.begin() + static_cast<long>(end));
  Checksum checksum;
  checksum.add(message);
  store_u16(message.data() + 2, checksum.value());
  PacketOut out;
  write_ip(out, OwnAddresses(router), flow_to(*to.address, 0, 0),
           {.to = to.mac, .protocol = protocol::icmp}, message.size(), false);
  std::vector<uint8_t> whole = bytes_of(out);
  whole.insert(whole.end(), message.begin(), message.end());
  return whole;
}

TEST(path_mtu, is_learnt_from_routers_and_bytes_get_through) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  size_t too_big = 0;
  size_t largest = 0;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
    if (!from_left) return true;
    if (packet.size() > 14 + 1300) {
      ++too_big;
      pair.left_.arrive(icmp_error(pair.left_.options_, 3, 4, 1300, packet));
      return false;
    }
    largest = std::max(largest, packet.size());
    return true;
  };
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  const std::string text(100'000, 'm');
  pair.left_.send(id, text, pair.now_);
  pair.run(3 * ns_per_s);
  EXPECT_EQ(pair.right_.last_peer().received, text);
  EXPECT_EQ(largest, 14u + 1300u);
  EXPECT_LE(too_big, 12u);  // the first window
  EXPECT_EQ(pair.left_.counters().path_mtu_lowered, 1u);
  // The next connection knows.
  too_big = 0;
  const ConnectionId next = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.left_.send(next, text, pair.now_);
  pair.run(3 * ns_per_s);
  EXPECT_EQ(too_big, 0u);
  // Until it is forgotten.
  pair.run(700 * ns_per_s);
  EXPECT_EQ(pair.left_.counters().path_mtu_aged, 1u);
}

std::vector<uint8_t> too_big6(const StackOptions& to, uint32_t mtu,
                              const std::vector<uint8_t>& packet) {
  const OwnAddresses router(options_of_host(254));
  std::vector<uint8_t> message = {2, 0, 0, 0, 0, 0, 0, 0};
  store_u32(message.data() + 4, mtu);
  message.insert(message.end(), packet.begin() + 14, packet.begin() + 14 + 60);
  const FlowKey flow = flow_to(*to.address6, 0, 0);
  Checksum checksum = pseudo_header(router.of(flow.local), flow.remote_bytes(), protocol::icmp6,
                                    static_cast<uint32_t>(message.size()));
  checksum.add(message);
  store_u16(message.data() + 2, checksum.value());
  PacketOut out;
  write_ip(out, router, flow, {.to = to.mac, .protocol = protocol::icmp6}, message.size(), false);
  std::vector<uint8_t> whole = bytes_of(out);
  whole.insert(whole.end(), message.begin(), message.end());
  return whole;
}

TEST(path_mtu, is_learnt_over_ipv6_but_not_below_what_each_link_carries) {
  const struct {
    uint32_t said;
    size_t carried;
  } rows[] = {{1400, 1400}, {1280, 1280}, {600, 1280}, {0, 1280}, {70'000, 1500}};
  for (const auto& row : rows) {
    StackPair pair;
    ASSERT_TRUE(pair.right_.stack_.listen(1));
    size_t largest = 0;
    bool lied = false;
    pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
      if (!from_left) return true;
      if (packet.size() > 14 + row.carried || (row.said > 1500 && packet.size() > 1000 && !lied)) {
        lied = true;
        pair.left_.arrive(too_big6(pair.left_.options_, row.said, packet));
        return packet.size() <= 14 + row.carried;
      }
      largest = std::max(largest, packet.size());
      return true;
    };
    const ConnectionId id = pair.left_.connect(*pair.right_.options_.address6, 1, pair.now_);
    const std::string text(100'000, 'm');
    pair.left_.send(id, text, pair.now_);
    pair.run(5 * ns_per_s);
    EXPECT_EQ(pair.right_.last_peer().received, text) << row.said;
    EXPECT_EQ(largest, 14 + row.carried) << row.said;
  }
}

TEST(path_mtu, is_not_lowered_by_who_cannot_see_our_numbers) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  std::vector<uint8_t> seen;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
    if (from_left && packet.size() > 1000) seen = packet;
    return true;
  };
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.left_.send(id, std::string(20'000, 'm'), pair.now_);
  pair.run();
  ASSERT_FALSE(seen.empty());
  // Acknowledged by now, and numbers that were never sent.
  pair.left_.arrive(icmp_error(pair.left_.options_, 3, 4, 600, seen));
  store_u32(seen.data() + 14 + 20 + 4, load_u32(seen.data() + 14 + 20 + 4) + 1'000'000);
  pair.left_.arrive(icmp_error(pair.left_.options_, 3, 4, 600, seen));
  pair.left_.arrive(icmp_error(pair.left_.options_, 3, 4, 600, seen, 20));
  pair.run();
  EXPECT_EQ(pair.left_.counters().path_mtu_lowered, 0u);
  EXPECT_EQ(pair.left_.counters().icmp_errors_ignored, 2u);
}

TEST(icmp, a_hard_error_ends_a_handshake_and_nothing_else) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  bool refuse = true;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
    if (!from_left || load_u16(packet.data() + 12) != ethertype_ipv4) return true;
    if (refuse) pair.left_.arrive(icmp_error(pair.left_.options_, 3, 3, 0, packet));
    return !refuse;
  };
  const ConnectionId refused = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  EXPECT_EQ(pair.left_.peer(refused).closed, EndReason::refused);
  refuse = false;
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  refuse = true;
  pair.left_.send(id, "hello", pair.now_);
  pair.run(2 * ns_per_s);
  EXPECT_FALSE(pair.left_.peer(id).closed);
  refuse = false;
  pair.run(5 * ns_per_s);
  EXPECT_EQ(pair.right_.last_peer().received, "hello");
}

}  // namespace
}  // namespace penstock::engine::tcp

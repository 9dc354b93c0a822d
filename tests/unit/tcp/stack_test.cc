#include "dataplane/engine/tcp/stack.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/tcp/stack_pair.h"

namespace penstock::engine::tcp {
namespace {

std::string text_of(size_t bytes) {
  std::string text(bytes, ' ');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

void expect_no_packets_held(StackPair& pair) {
  EXPECT_EQ(pair.left_.lent(), 0u);
  EXPECT_EQ(pair.right_.lent(), 0u);
}

struct Way {
  const char* name;
  bool v6;
  bool tagged;
};

class OverEachWay : public testing::TestWithParam<Way> {
 protected:
  static StackOptions with_way(StackOptions options) {
    if (GetParam().tagged) options.vlan = 42;
    return options;
  }
  [[nodiscard]] static IpAddress address_of(const Host& host) {
    return GetParam().v6 ? *host.options_.address6 : *host.options_.address;
  }
};

TEST_P(OverEachWay, a_connection_carries_bytes_both_ways_and_closes) {
  StackPair pair(with_way(options_of_host(1)), with_way(options_of_host(2)));
  ASSERT_TRUE(pair.right_.stack_.listen(1935));
  pair.right_.echoes_ = true;
  const ConnectionId id = pair.left_.connect(address_of(pair.right_), 1935, pair.now_);
  pair.run();
  ASSERT_TRUE(pair.left_.peer(id).connected);
  ASSERT_EQ(pair.right_.peers(), 1u);
  EXPECT_EQ(pair.right_.last_peer().address.address, address_of(pair.left_));
  EXPECT_EQ(pair.right_.last_peer().port, 1935);

  const std::string text = text_of(300'000);
  pair.left_.send(id, text, pair.now_);
  pair.run(5 * ns_per_s);
  EXPECT_EQ(pair.right_.last_peer().received, text);
  EXPECT_EQ(pair.left_.peer(id).received, text);
  EXPECT_EQ(pair.left_.peer(id).sent_bytes, text.size());

  pair.left_.stack_.finish(id, pair.now_);
  pair.run();
  EXPECT_TRUE(pair.right_.last_peer().ended);
  EXPECT_FALSE(pair.right_.last_peer().closed);
  pair.right_.stack_.finish(pair.right_.last_peer().id, pair.now_);
  pair.run();
  EXPECT_EQ(pair.left_.peer(id).closed, EndReason::ours);
  EXPECT_EQ(pair.right_.last_peer().closed, EndReason::ours);
  EXPECT_EQ(pair.left_.counters().time_wait_entered, 1u);
  EXPECT_EQ(pair.left_.counters().tcp_checksum_bad, 0u);
  expect_no_packets_held(pair);
}

INSTANTIATE_TEST_SUITE_P(stack, OverEachWay,
                         testing::Values(Way{"ipv4", false, false}, Way{"ipv6", true, false},
                                         Way{"ipv4_vlan", false, true},
                                         Way{"ipv6_vlan", true, true}),
                         [](const auto& way) { return way.param.name; });

TEST(stack, asks_for_a_neighbour_once_and_is_known_by_its_question) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run(10 * ns_per_ms);
  EXPECT_TRUE(pair.left_.peer(id).connected);
  EXPECT_EQ(pair.left_.counters().neighbour_queries_out, 1u);
  EXPECT_EQ(pair.right_.counters().neighbour_queries_out, 0u);
}

TEST(stack, asks_a_silent_neighbour_again_and_gives_a_connection_up) {
  StackPair pair;
  pair.passes_ = [](bool, const auto&) { return false; };
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run(10 * ns_per_s);
  EXPECT_GE(pair.left_.counters().neighbour_queries_out, 3u);
  EXPECT_EQ(pair.left_.counters().neighbours_unreachable, 1u);
  EXPECT_EQ(pair.left_.peer(id).closed, EndReason::unreachable);
}

TEST(stack, probes_a_neighbour_that_is_in_use) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  const uint64_t before = pair.left_.counters().neighbour_queries_out;
  for (int i = 0; i < 60; ++i) {
    pair.left_.send(id, "x", pair.now_);
    pair.run(ns_per_s);
  }
  EXPECT_GT(pair.left_.counters().neighbour_queries_out, before);
  EXPECT_LT(pair.left_.counters().neighbour_queries_out, before + 4);
  EXPECT_EQ(pair.right_.last_peer().received, std::string(60, 'x'));
}

TEST(stack, sends_through_its_gateway_what_is_not_on_the_link) {
  StackPair pair;
  std::vector<uint8_t> question;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& bytes) {
    if (from_left && question.empty()) question = bytes;
    return true;
  };
  pair.left_.connect(ipv4(192, 0, 2, 1), 1, pair.now_);
  pair.run();
  ASSERT_GE(question.size(), 42u);
  EXPECT_EQ(load_u16(question.data() + 12), ethertype_arp);
  EXPECT_EQ(load_u32(question.data() + 38), 0x0a0000feu);  // 10.0.0.254
}

TEST(stack, refuses_a_port_that_nobody_listens_on) {
  StackPair pair;
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 9, pair.now_);
  pair.run();
  EXPECT_EQ(pair.left_.peer(id).closed, EndReason::refused);
  EXPECT_EQ(pair.right_.counters().resets_out, 1u);
  EXPECT_FALSE(pair.left_.stack_.connect({*pair.left_.options_.address, 9}, pair.now_));
  EXPECT_FALSE(pair.left_.stack_.connect({*pair.right_.options_.address, 0}, pair.now_));
}

TEST(stack, offers_what_is_not_its_own_to_the_exception_path) {
  StackOptions right = options_of_host(2);
  right.foreign_ports_are_exceptions = true;
  StackPair pair(options_of_host(1), right);
  ASSERT_TRUE(pair.right_.stack_.listen(1935));
  pair.left_.connect(*pair.right_.options_.address, 22, pair.now_);
  pair.run();
  EXPECT_EQ(pair.right_.exceptions_.size(), pair.right_.counters().exceptions);
  EXPECT_EQ(pair.right_.counters().exceptions, 1u);
  EXPECT_EQ(pair.right_.counters().resets_out, 0u);
  expect_no_packets_held(pair);
}

TEST(stack, refuses_peers_beyond_connections_max) {
  StackOptions right = options_of_host(2);
  right.connections_max = 3;
  StackPair pair(options_of_host(1), right);
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(pair.left_.connect(*pair.right_.options_.address, 1, pair.now_));
    pair.run();
  }
  EXPECT_EQ(pair.right_.peers(), 3u);
  EXPECT_EQ(pair.left_.peer(ids[4]).closed, EndReason::refused);
  // One goes, another may come.
  pair.left_.stack_.close(ids[0], pair.now_);
  pair.run();
  pair.right_.stack_.close(pair.right_.peer(pair.right_.last_peer().id).id, pair.now_);
  pair.run();
  const ConnectionId again = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  EXPECT_TRUE(pair.left_.peer(again).connected);
}

TEST(stack, who_was_closed_and_whose_peer_is_silent_makes_room_for_others) {
  StackOptions right = options_of_host(2);
  right.connections_max = 2;  // and 16 places for those whose end is not through
  StackPair pair(options_of_host(1), right);
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  uint16_t silent_below = 0;
  uint16_t port = 0;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& bytes) {
    if (!from_left || load_u16(bytes.data() + 12) != ethertype_ipv4) return true;
    const uint16_t from = load_u16(bytes.data() + 34);
    if (from > port || silent_below == 0) port = from;
    return from == port && from != silent_below;
  };
  // Each has another local port, and what comes from an older one is lost.
  for (int i = 0; i < 40; ++i) {
    silent_below = 0;
    const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
    for (int wait = 0; wait < 30 && pair.right_.peers() < static_cast<size_t>(i) + 1; ++wait) {
      pair.run(100 * ns_per_ms);
    }
    ASSERT_EQ(pair.right_.peers(), static_cast<size_t>(i) + 1);
    EXPECT_TRUE(pair.left_.peer(id).connected);
    silent_below = port;
    pair.right_.stack_.close(pair.right_.last_peer().id, pair.now_);
    pair.run(10 * ns_per_ms);
    EXPECT_TRUE(pair.right_.last_peer().closed);
  }
  pair.run(60 * ns_per_s);
  EXPECT_EQ(pair.right_.lent(), 0u);
}

TEST(stack, many_connections_come_and_go_without_a_trace) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  pair.right_.echoes_ = true;
  for (int round = 0; round < 30; ++round) {
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 40; ++i) {
      ids.push_back(pair.left_.connect(
          i % 2 == 0 ? *pair.right_.options_.address : *pair.right_.options_.address6, 1,
          pair.now_));
      pair.left_.send(ids.back(), text_of(static_cast<size_t>(i) * 100), pair.now_);
    }
    pair.run(200 * ns_per_ms);
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_EQ(pair.left_.peer(ids[i]).received.size(), i * 100) << "round " << round;
      pair.left_.stack_.close(ids[i], pair.now_);
    }
    pair.run(200 * ns_per_ms);
    // The other side sees the end and closes as well.
    pair.right_.close_ended(pair.now_);
    pair.run(200 * ns_per_ms);
  }
  EXPECT_EQ(pair.left_.counters().connections_active, 1200u);
  EXPECT_EQ(pair.right_.counters().connections_passive, 1200u);
  EXPECT_GT(pair.left_.counters().time_wait_evicted, 0u);
  expect_no_packets_held(pair);
}

TEST(stack, sends_a_syn_ack_again_and_gives_up) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  int syn_acks = 0;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& bytes) {
    if (from_left || load_u16(bytes.data() + 12) == ethertype_arp) return true;
    ++syn_acks;
    return false;
  };
  // A SYN by hand: nobody asks again.
  SegmentOut syn;
  syn.flags = flag::syn;
  pair.right_.arrive(tcp_packet(pair.left_.options_, pair.right_.options_, false, 5, 1, syn));
  pair.run(40 * ns_per_s);
  EXPECT_EQ(syn_acks, 5);
  EXPECT_EQ(pair.right_.counters().half_open_expired, 1u);
  EXPECT_EQ(pair.right_.peers(), 0u);
}

TEST(stack, survives_the_loss_of_each_packet_of_a_handshake) {
  for (int lost = 0; lost < 6; ++lost) {
    StackPair pair;
    ASSERT_TRUE(pair.right_.stack_.listen(1));
    pair.right_.echoes_ = true;
    int packet = 0;
    pair.passes_ = [&](bool, const auto&) { return packet++ != lost; };
    const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
    pair.left_.send(id, "hello", pair.now_);
    pair.run(5 * ns_per_s);
    EXPECT_EQ(pair.left_.peer(id).received, "hello") << "without packet " << lost;
  }
}

TEST(stack, who_finds_no_record_for_a_segment_waits_for_one) {
  StackOptions left = options_of_host(1);
  left.sent_segments_max = 4;
  StackPair pair(left, options_of_host(2));
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  pair.right_.echoes_ = true;
  const ConnectionId first = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  const ConnectionId second = pair.left_.connect(*pair.right_.options_.address6, 1, pair.now_);
  pair.run();
  const std::string text = text_of(50'000);
  bool first_passes = false;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& bytes) {
    return !from_left || first_passes || load_u16(bytes.data() + 12) != ethertype_ipv4;
  };
  pair.left_.send(first, text, pair.now_);
  pair.run(50 * ns_per_ms);
  // The first one holds all records there are; the second acknowledges what comes all the same.
  pair.left_.send(second, text, pair.now_);
  pair.right_.send(pair.right_.peer_number(1).id, "unasked", pair.now_);
  pair.run(50 * ns_per_ms);
  EXPECT_GT(pair.left_.counters().sent_segments_full, 0u);
  EXPECT_EQ(pair.left_.peer(second).received, "unasked");
  EXPECT_EQ(pair.right_.peer_number(1).sent_bytes, 7u);
  EXPECT_EQ(pair.right_.peer_number(1).received, "");
  first_passes = true;
  pair.run(20 * ns_per_s);
  EXPECT_EQ(pair.left_.peer(first).received, text);
  EXPECT_EQ(pair.left_.peer(second).received, "unasked" + text);
  expect_no_packets_held(pair);
}

TEST(stack, tells_the_link_its_addresses) {
  StackPair pair;
  pair.left_.stack_.announce();
  int packets = 0;
  pair.passes_ = [&](bool from_left, const auto&) {
    packets += from_left ? 1 : 0;
    return true;
  };
  pair.run();
  EXPECT_EQ(packets, 3);
  EXPECT_EQ(pair.right_.counters().arp_in, 1u);
  EXPECT_EQ(pair.right_.counters().ndp_in, 2u);
  EXPECT_EQ(pair.right_.counters().neighbours_learnt, 0u);
}

TEST(stack, says_what_its_memory_is) {
  StackOptions options = options_of_host(1);
  const size_t few = Stack(options).memory_bytes();
  options.connections_max = 10'000;
  const size_t many = Stack(options).memory_bytes();
  EXPECT_GT(few, 100'000u);
  EXPECT_GT(many, few + 10'000 * 500);
  EXPECT_LT(many, few + size_t{10'000} * 4000);
}

TEST(stack, leaves_ids_of_the_past_alone) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  pair.left_.stack_.close(id, pair.now_);
  pair.run();
  ASSERT_TRUE(pair.left_.peer(id).closed);
  pair.left_.stack_.close(id, pair.now_);
  pair.left_.send(id, "late", pair.now_);
  pair.left_.stack_.finish(id, pair.now_);
  pair.left_.stack_.set_reading(id, false, pair.now_);
  pair.left_.stack_.close({12345, 0}, pair.now_);
  pair.run();
  EXPECT_EQ(pair.right_.last_peer().received, "");
}

}  // namespace
}  // namespace penstock::engine::tcp

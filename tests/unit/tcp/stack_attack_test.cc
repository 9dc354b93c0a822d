// What strangers may try: floods, guesses, old segments.

#include <gtest/gtest.h>

#include <string>

#include "dataplane/engine/tcp/time_wait.h"
#include "penstock/base/prng.h"
#include "tests/unit/tcp/stack_pair.h"

namespace penstock::engine::tcp {
namespace {

std::vector<uint8_t> tcp_part(const std::vector<uint8_t>& packet) {
  if (load_u16(packet.data() + 12) != ethertype_ipv4 || packet[14 + 9] != protocol::tcp) return {};
  return {packet.begin() + 34, packet.end()};
}
uint8_t flags_of(const std::vector<uint8_t>& tcp) { return tcp.empty() ? uint8_t{0} : tcp[13]; }

/// A SYN of a stranger. Its port and number are its place.
std::vector<uint8_t> strange_syn(const Host& to, uint16_t from_port, bool options) {
  StackOptions stranger = options_of_host(77);
  SegmentOut syn;
  syn.flags = flag::syn;
  syn.sequence = from_port * 1000u;
  if (options) {
    syn.options.segment_bytes_max = 1400;
    syn.options.window_scale = 7;
    syn.options.sack_permitted = true;
    syn.options.has_timestamps = true;
    syn.options.timestamp = 5;
  }
  return tcp_packet(stranger, to.options_, false, from_port, 1, syn);
}

struct Flooded : testing::Test {
  StackPair pair;

  void SetUp() override { ASSERT_TRUE(pair.right_.stack_.listen(1)); }
  void flood(int syns, uint16_t first_port = 1000) {
    for (int i = 0; i < syns; ++i) {
      pair.right_.arrive(
          strange_syn(pair.right_, static_cast<uint16_t>(first_port + i), i % 2 == 0));
    }
  }
};

TEST(crowd, of_peers_that_connect_at_once_those_beyond_connections_max_are_reset) {
  for (const uint32_t half_open_max : {1u, 16u}) {  // 1: nearly all come by a cookie
    StackOptions right = options_of_host(2);
    right.connections_max = 3;
    right.half_open_max = half_open_max;
    StackPair pair(options_of_host(1), right);
    ASSERT_TRUE(pair.right_.stack_.listen(1));
    std::vector<ConnectionId> ids;
    for (int i = 0; i < 8; ++i) {
      ids.push_back(pair.left_.connect(*pair.right_.options_.address, 1, pair.now_));
    }
    pair.run();
    EXPECT_EQ(pair.right_.peers(), 3u);
    EXPECT_EQ(pair.right_.counters().connections_full, 5u);
    int gone = 0;
    for (const ConnectionId id : ids) gone += pair.left_.peer(id).closed.has_value() ? 1 : 0;
    EXPECT_EQ(gone, 5);
  }
}

TEST_F(Flooded, peers_still_connect_and_bytes_still_go) {
  flood(200);
  pair.run(10 * ns_per_ms);
  EXPECT_EQ(pair.right_.counters().syns_in, 200u);
  EXPECT_EQ(pair.right_.counters().cookies_sent, 184u);  // half_open_max is 16
  pair.right_.echoes_ = true;
  const std::string text(50'000, 'x');
  for (int i = 0; i < 5; ++i) {
    flood(50, static_cast<uint16_t>(2000 + i * 50));
    const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
    pair.left_.send(id, text, pair.now_);
    pair.run(300 * ns_per_ms);
    EXPECT_EQ(pair.left_.peer(id).received, text);
    // What a cookie stands for includes window scale and SACK, by the timestamp.
  }
  EXPECT_EQ(pair.right_.counters().cookies_good, 5u);
  EXPECT_EQ(pair.right_.counters().cookies_bad, 0u);
}

TEST_F(Flooded, holds_no_more_than_its_table_and_lets_it_go) {
  const size_t memory = pair.right_.stack_.memory_bytes();
  for (int i = 0; i < 40; ++i) {
    flood(250, static_cast<uint16_t>(1000 + i * 250));
    pair.run(50 * ns_per_ms);
  }
  EXPECT_EQ(pair.right_.stack_.memory_bytes(), memory);
  EXPECT_EQ(pair.right_.peers(), 0u);
  pair.run(40 * ns_per_s);
  EXPECT_EQ(pair.right_.counters().half_open_expired, 16u);
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  EXPECT_TRUE(pair.left_.peer(id).connected);
  EXPECT_EQ(pair.right_.counters().cookies_good, 0u);
  EXPECT_EQ(pair.right_.lent(), 0u);
}

TEST_F(Flooded, takes_no_cookie_that_it_did_not_bake) {
  flood(40);
  pair.run(10 * ns_per_ms);
  Prng prng(8);
  StackOptions stranger = options_of_host(3);
  for (int i = 0; i < 500; ++i) {
    SegmentOut guess;
    guess.flags = flag::ack;
    guess.sequence = static_cast<uint32_t>(prng.next());
    guess.acknowledgment = static_cast<uint32_t>(prng.next());
    pair.right_.arrive(tcp_packet(stranger, pair.right_.options_, false, 9, 1, guess));
  }
  pair.run(10 * ns_per_ms);
  EXPECT_EQ(pair.right_.counters().cookies_bad, 500u);
  EXPECT_EQ(pair.right_.peers(), 0u);
}

TEST_F(Flooded, without_a_flood_no_ack_is_taken_for_a_cookie) {
  SegmentOut guess;
  guess.flags = flag::ack;
  guess.sequence = 5;
  pair.right_.arrive(tcp_packet(options_of_host(3), pair.right_.options_, false, 9, 1, guess));
  pair.run(10 * ns_per_ms);
  EXPECT_EQ(pair.right_.counters().cookies_bad, 0u);
  EXPECT_EQ(pair.right_.counters().resets_out, 1u);
}

TEST_F(Flooded, resets_are_rate_limited) {
  for (int i = 0; i < 3000; ++i) {
    SegmentOut stray;
    stray.flags = flag::ack;
    pair.right_.arrive(tcp_packet(options_of_host(3), pair.right_.options_, false,
                                  static_cast<uint16_t>(i + 1), 7, stray));
  }
  pair.run(10 * ns_per_ms);
  EXPECT_EQ(pair.right_.counters().resets_out, 1000u);
  EXPECT_EQ(pair.right_.counters().resets_limited, 2000u);
}

struct Row {
  const char* what;
  uint8_t flags;
  uint32_t sequence;
  uint32_t acknowledgment;
  // What the answer is; no flags: none.
  uint8_t answer_flags;
  uint32_t answer_sequence;
  uint32_t answer_acknowledgment;
};

TEST(stray_segment, is_answered_as_the_standard_has_it) {
  // RFC 9293: 3.10.7.1.
  const Row rows[] = {
      {"SYN", flag::syn, 10, 0, flag::rst | flag::ack, 0, 11},
      {"SYN and FIN", flag::syn | flag::fin, 10, 0, flag::rst | flag::ack, 0, 12},
      {"ACK", flag::ack, 10, 20, flag::rst, 20, 0},
      {"SYN-ACK", flag::syn | flag::ack, 10, 20, flag::rst, 20, 0},
      {"FIN", flag::fin | flag::ack, 10, 20, flag::rst, 20, 0},
      {"nothing", 0, 10, 0, flag::rst | flag::ack, 0, 10},
      {"RST", flag::rst, 10, 0, 0, 0, 0},
      {"RST and ACK", flag::rst | flag::ack, 10, 20, 0, 0, 0},
  };
  for (const Row& row : rows) {
    StackPair pair;
    std::vector<uint8_t> answer;
    pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
      const std::vector<uint8_t> tcp = tcp_part(packet);
      if (!from_left && !tcp.empty()) answer = tcp;
      return true;
    };
    SegmentOut segment;
    segment.flags = row.flags;
    segment.sequence = row.sequence;
    segment.acknowledgment = row.acknowledgment;
    pair.right_.arrive(tcp_packet(pair.left_.options_, pair.right_.options_, false, 5, 7, segment));
    pair.run(10 * ns_per_ms);
    EXPECT_EQ(flags_of(answer), row.answer_flags) << row.what;
    if (answer.empty()) continue;
    EXPECT_EQ(load_u32(answer.data() + 4), row.answer_sequence) << row.what;
    EXPECT_EQ(load_u32(answer.data() + 8), row.answer_acknowledgment) << row.what;
  }
}

/// A handshake by hand up to the SYN-ACK.
struct HalfWay : testing::Test {
  StackPair pair;
  uint32_t own_first = 0;  // of the stack
  std::vector<std::vector<uint8_t>> answers;

  void SetUp() override {
    ASSERT_TRUE(pair.right_.stack_.listen(1));
    pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
      const std::vector<uint8_t> tcp = tcp_part(packet);
      if (tcp.empty()) return true;
      if (!from_left) answers.push_back(tcp);
      return false;
    };
    say(flag::syn, 99, 0);
    ASSERT_EQ(answers.size(), 1u);
    ASSERT_EQ(flags_of(answers[0]), flag::syn | flag::ack);
    own_first = load_u32(answers[0].data() + 4);
    answers.clear();
  }
  void say(uint8_t flags, uint32_t sequence, uint32_t acknowledgment) {
    SegmentOut segment;
    segment.flags = flags;
    segment.sequence = sequence;
    segment.acknowledgment = acknowledgment;
    segment.window = 1000;
    pair.right_.arrive(tcp_packet(pair.left_.options_, pair.right_.options_, false, 5, 1, segment));
    pair.run(5 * ns_per_ms);
  }
  [[nodiscard]] uint8_t answer() const { return answers.empty() ? 0 : flags_of(answers.back()); }
};

TEST_F(HalfWay, the_right_ack_completes_it) {
  say(flag::ack, 100, own_first + 1);
  EXPECT_EQ(pair.right_.peers(), 1u);
}

TEST_F(HalfWay, a_wrong_ack_is_reset_and_the_handshake_stands) {
  say(flag::ack, 100, own_first + 2);
  EXPECT_EQ(answer(), flag::rst);
  EXPECT_EQ(pair.right_.peers(), 0u);
  say(flag::ack, 100, own_first + 1);
  EXPECT_EQ(pair.right_.peers(), 1u);
}

TEST_F(HalfWay, only_an_exact_reset_ends_it) {
  say(flag::rst, 101, 0);
  EXPECT_EQ(answer(), flag::ack);  // RFC 5961
  say(flag::rst, 99 + 70000, 0);
  EXPECT_EQ(answers.size(), 1u);
  EXPECT_EQ(pair.right_.counters().half_open_reset, 0u);
  say(flag::rst, 100, 0);
  EXPECT_EQ(pair.right_.counters().half_open_reset, 1u);
}

TEST_F(HalfWay, the_same_syn_gets_the_same_answer) {
  say(flag::syn, 99, 0);
  ASSERT_EQ(answer(), flag::syn | flag::ack);
  EXPECT_EQ(load_u32(answers.back().data() + 4), own_first);
  say(flag::syn, 300, 0);
  EXPECT_EQ(answer(), flag::ack);
}

TEST_F(HalfWay, bytes_may_come_before_the_bare_ack) {
  say(flag::ack | flag::fin, 100, own_first + 1);
  ASSERT_EQ(pair.right_.peers(), 1u);
  EXPECT_TRUE(pair.right_.last_peer().ended);
}

TEST(handshake, agrees_to_what_was_asked_for_and_to_nothing_else) {
  const struct {
    const char* what;
    uint8_t flags;
    TcpOptions asked;
  } rows[] = {
      {"nothing", flag::syn, {}},
      {"window scale", flag::syn, {.window_scale = 2}},
      {"the largest window scale", flag::syn, {.window_scale = 14}},
      {"SACK", flag::syn, {.sack_permitted = true}},
      {"timestamps", flag::syn, {.has_timestamps = true, .timestamp = 99}},
      {"ECN", flag::syn | flag::ece | flag::cwr, {}},
      {"half of ECN", flag::syn | flag::ece, {}},
      {"all",
       flag::syn | flag::ece | flag::cwr,
       {.segment_bytes_max = 900,
        .window_scale = 7,
        .sack_permitted = true,
        .has_timestamps = true,
        .timestamp = 5}},
  };
  for (const auto& row : rows) {
    StackPair pair;
    ASSERT_TRUE(pair.right_.stack_.listen(1));
    std::vector<uint8_t> answer;
    pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
      const std::vector<uint8_t> tcp = tcp_part(packet);
      if (!from_left && !tcp.empty()) answer = tcp;
      return tcp.empty();
    };
    SegmentOut syn;
    syn.flags = row.flags;
    syn.options = row.asked;
    pair.right_.arrive(tcp_packet(pair.left_.options_, pair.right_.options_, false, 5, 1, syn));
    pair.run(10 * ns_per_ms);
    ASSERT_GE(answer.size(), 20u) << row.what;
    TcpOptions agreed;
    ASSERT_TRUE(parse_tcp_options(Bytes(answer).subspan(20), agreed)) << row.what;
    EXPECT_EQ(agreed.segment_bytes_max, 1460) << row.what;
    const bool scales = row.asked.window_scale != TcpOptions::no_window_scale;
    // 6 MB of receive_window_max.
    EXPECT_EQ(agreed.window_scale, scales ? 7 : TcpOptions::no_window_scale) << row.what;
    EXPECT_EQ(agreed.sack_permitted, row.asked.sack_permitted) << row.what;
    EXPECT_EQ(agreed.has_timestamps, row.asked.has_timestamps) << row.what;
    if (agreed.has_timestamps) {
      EXPECT_EQ(agreed.timestamp_echo, row.asked.timestamp) << row.what;
    }
    const bool ecn = (row.flags & (flag::ece | flag::cwr)) == (flag::ece | flag::cwr);
    EXPECT_EQ(flags_of(answer), flag::syn | flag::ack | (ecn ? flag::ece : 0)) << row.what;
  }
}

TEST(established, survives_blind_resets_syns_and_data) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  uint16_t left_port = 0;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
    const std::vector<uint8_t> tcp = tcp_part(packet);
    if (from_left && !tcp.empty()) left_port = load_u16(tcp.data());
    return true;
  };
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.left_.send(id, "begin", pair.now_);
  pair.run();
  Prng prng(9);
  const std::vector<uint8_t> junk(100, 'J');
  for (int i = 0; i < 2000; ++i) {
    SegmentOut blind;
    const uint8_t kinds[] = {flag::rst, flag::rst | flag::ack, flag::syn, flag::ack, flag::fin};
    blind.flags = kinds[prng.below(5)];
    blind.sequence = static_cast<uint32_t>(prng.next());
    blind.acknowledgment = static_cast<uint32_t>(prng.next());
    blind.window = 0;
    if (prng.chance(500)) {
      blind.slice_count = 1;
      blind.slices[0] = junk;
    }
    pair.right_.arrive(
        tcp_packet(pair.left_.options_, pair.right_.options_, false, left_port, 1, blind));
    if (i % 100 == 0) pair.run(5 * ns_per_ms);
  }
  pair.run();
  pair.left_.send(id, " and end", pair.now_);
  pair.run(2 * ns_per_s);
  EXPECT_EQ(pair.right_.last_peer().received, "begin and end");
  EXPECT_FALSE(pair.right_.last_peer().closed);
}

TEST(time_wait, judges_segments) {
  TimeWaitState plain{.send_next = 500, .receive_next = 100};
  TimeWaitState stamped = plain;
  stamped.timestamps = true;
  stamped.timestamp_recent = 50;
  const auto segment = [](uint8_t flags, uint32_t sequence, std::optional<uint32_t> stamp) {
    SegmentIn made;
    made.flags = flags;
    made.sequence = sequence;
    made.options.has_timestamps = stamp.has_value();
    made.options.timestamp = stamp.value_or(0);
    return made;
  };
  using enum TimeWaitVerdict;
  const struct {
    const char* what;
    const TimeWaitState& state;
    SegmentIn in;
    TimeWaitVerdict verdict;
  } rows[] = {
      {"RST", plain, segment(flag::rst, 100, {}), ignore},
      {"SYN with newer number", plain, segment(flag::syn, 101, {}), reuse},
      {"SYN with older number", plain, segment(flag::syn, 99, {}), acknowledge},
      {"SYN that now has timestamps", plain, segment(flag::syn, 99, 1), reuse},
      {"SYN with newer timestamp", stamped, segment(flag::syn, 99, 51), reuse},
      {"SYN with same timestamp", stamped, segment(flag::syn, 99, 50), acknowledge},
      {"SYN with same timestamp, newer", stamped, segment(flag::syn, 101, 50), reuse},
      {"SYN with older timestamp", stamped, segment(flag::syn, 101, 49), acknowledge},
      {"FIN again", plain, segment(flag::fin | flag::ack, 99, {}), acknowledge_restart},
      {"FIN of elsewhere", plain, segment(flag::fin | flag::ack, 50, {}), acknowledge},
      {"ACK", plain, segment(flag::ack, 100, {}), ignore},
      {"ACK of elsewhere", plain, segment(flag::ack, 90, {}), acknowledge},
      {"outdated ACK", stamped, segment(flag::ack, 100, 49), acknowledge},
      {"SYN-ACK", plain, segment(flag::syn | flag::ack, 200, {}), acknowledge},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(judge_in_time_wait(row.state, row.in), row.verdict) << row.what;
  }
}

TEST(time_wait, gives_its_flow_to_a_new_syn_beyond_the_old_numbers) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  uint16_t left_port = 0;
  uint32_t right_number = 0;
  std::vector<uint8_t> last;
  pair.passes_ = [&](bool from_left, const std::vector<uint8_t>& packet) {
    const std::vector<uint8_t> tcp = tcp_part(packet);
    if (tcp.empty()) return true;
    if (from_left) {
      left_port = load_u16(tcp.data());
    } else {
      last = tcp;
      right_number = load_u32(tcp.data() + 4);
    }
    return true;
  };
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  // The right one ends first, so it is the one that waits.
  pair.right_.stack_.finish(pair.right_.last_peer().id, pair.now_);
  pair.run();
  pair.left_.stack_.finish(id, pair.now_);
  pair.run();
  ASSERT_EQ(pair.right_.counters().time_wait_entered, 1u);
  const uint32_t old_number = right_number;
  SegmentOut syn;
  syn.flags = flag::syn;
  syn.sequence = 0x70000000;
  syn.options.has_timestamps = true;
  syn.options.timestamp = 0x7fffffff;
  // Whatever the old timestamps were, one of these is newer.
  for (const uint32_t stamp : {0u, 0x55555555u, 0xaaaaaaaau}) {
    syn.options.timestamp = stamp;
    pair.right_.arrive(
        tcp_packet(pair.left_.options_, pair.right_.options_, false, left_port, 1, syn));
    pair.run(2 * ns_per_ms);
    if (pair.right_.counters().time_wait_reused > 0) break;
  }
  EXPECT_EQ(pair.right_.counters().time_wait_reused, 1u);
  EXPECT_GT(static_cast<int32_t>(right_number - old_number), 0);
}

TEST(time_wait, ends_after_a_minute) {
  StackPair pair;
  ASSERT_TRUE(pair.right_.stack_.listen(1));
  const ConnectionId id = pair.left_.connect(*pair.right_.options_.address, 1, pair.now_);
  pair.run();
  pair.left_.stack_.close(id, pair.now_);
  pair.run();
  pair.right_.close_ended(pair.now_);
  pair.run();
  ASSERT_EQ(pair.left_.counters().time_wait_entered, 1u);
  EXPECT_NE(pair.left_.stack_.deadline(), Instant::never());
  pair.run(120 * ns_per_s);
  EXPECT_EQ(pair.left_.stack_.deadline(), Instant::never());
}

}  // namespace
}  // namespace penstock::engine::tcp

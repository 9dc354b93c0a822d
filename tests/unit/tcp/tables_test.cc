// The small parts: hashes, the table of flows, numbers that peers see, ports, rates, paths.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/flow_table.h"
#include "dataplane/engine/tcp/isn.h"
#include "dataplane/engine/tcp/local_ports.h"
#include "dataplane/engine/tcp/path_mtu.h"
#include "dataplane/engine/tcp/rate_limit.h"
#include "dataplane/engine/tcp/syn_cookies.h"
#include "penstock/base/prng.h"

namespace penstock::engine::tcp {
namespace {

constexpr Secret secret{{0x1122334455667788, 0x99aabbccddeeff00}};

FlowKey flow_number(uint32_t number) {
  FlowKey flow;
  const uint8_t address[4] = {10, static_cast<uint8_t>(number >> 24),
                              static_cast<uint8_t>(number >> 16), 1};
  flow.set_remote_ipv4(address);
  flow.remote_port = static_cast<uint16_t>(number);
  flow.local_port = 1935;
  return flow;
}

TEST(siphash, of_the_reference_vectors) {
  // From the reference implementation: key 00..0f, message of n bytes 00, 01, ...
  const Secret key{{0x0706050403020100, 0x0f0e0d0c0b0a0908}};
  uint8_t message[16];
  for (uint8_t i = 0; i < 16; ++i) message[i] = i;
  EXPECT_EQ(siphash(key, Bytes(message).first(0)), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(siphash(key, Bytes(message).first(1)), 0x74f839c593dc67fdu);
  EXPECT_EQ(siphash(key, Bytes(message).first(7)), 0xab0200f58b01d137u);
  EXPECT_EQ(siphash(key, Bytes(message).first(8)), 0x93f5f5799a932462u);
  EXPECT_EQ(siphash(key, Bytes(message).first(15)), 0xa129ca6149be45e5u);
}

TEST(flow_hash, spreads_flows_that_differ_little) {
  const FlowHash hash(secret);
  std::map<uint32_t, int> buckets;
  constexpr uint32_t flows = 65536;
  for (uint32_t i = 0; i < flows; ++i) ++buckets[hash.of(flow_number(i)) & 0x3fff];
  int most = 0;
  for (const auto& [bucket, count] : buckets) most = std::max(most, count);
  // Four each on the average; chance makes about 16 of one of them.
  EXPECT_LT(most, 24);
  EXPECT_GT(buckets.size(), 0x3fffu * 95 / 100);
}

TEST(flow_hash, differs_by_each_part_of_a_flow) {
  const FlowHash hash(secret);
  std::set<uint32_t> seen;
  FlowKey flow = flow_number(7);
  seen.insert(hash.of(flow));
  flow.local_port = 1936;
  seen.insert(hash.of(flow));
  flow.remote_port = 9;
  seen.insert(hash.of(flow));
  flow.local = LocalAddress::ipv6;
  seen.insert(hash.of(flow));
  flow.local = LocalAddress::link_local;
  seen.insert(hash.of(flow));
  flow.remote[0] ^= 1;
  seen.insert(hash.of(flow));
  EXPECT_EQ(seen.size(), 6u);
}

TEST(flow_table, equals_a_map_under_random_use) {
  Prng prng(3);
  constexpr uint32_t most = 2000;
  FlowTable table(most);
  std::map<uint32_t, FlowValue> model;  // by hash: unique here
  std::vector<uint32_t> hashes;
  // Few low bits, so that buckets overflow.
  const auto make_hash = [&] { return static_cast<uint32_t>(prng.below(1 << 20)) << 3; };
  for (int step = 0; step < 200000; ++step) {
    const bool insert = model.size() < most && (model.empty() || prng.chance(505));
    if (insert) {
      const uint32_t hash = make_hash();
      if (model.contains(hash)) continue;
      const FlowValue value{FlowKind::connection, static_cast<uint32_t>(step)};
      table.insert(hash, value);
      model[hash] = value;
    } else {
      auto found = model.lower_bound(make_hash());
      if (found == model.end()) found = model.begin();
      if (prng.chance(300)) {
        const FlowValue now{FlowKind::time_wait, found->second.index};
        if (found->second != now) table.replace(found->first, found->second, now);
        found->second = now;
        continue;
      }
      table.erase(found->first, found->second);
      model.erase(found);
    }
    const uint32_t asked = make_hash();
    const FlowValue value = table.find(asked, [](FlowValue) { return true; });
    const auto expected = model.find(asked);
    ASSERT_EQ(value, expected == model.end() ? FlowValue{} : expected->second);
  }
  for (const auto& [hash, value] : model) {
    EXPECT_EQ(table.find(hash, [&](FlowValue found) { return found == value; }), value);
    table.erase(hash, value);
  }
  EXPECT_EQ(table.size(), 0u);
}

TEST(flow_table, holds_flows_with_one_hash) {
  FlowTable table(20);
  for (uint32_t i = 0; i < 20; ++i) table.insert(5, {FlowKind::half_open, i});
  for (uint32_t i = 0; i < 20; ++i) {
    const FlowValue value{FlowKind::half_open, i};
    EXPECT_EQ(table.find(5, [&](FlowValue found) { return found == value; }), value);
  }
  for (uint32_t i = 0; i < 20; ++i) table.erase(5, {FlowKind::half_open, i});
  EXPECT_EQ(table.find(5, [](FlowValue) { return true; }), FlowValue{});
}

TEST(isn, grows_with_time_and_differs_by_flow) {
  const FlowNumbers numbers(secret);
  const FlowKey flow = flow_number(1);
  const uint32_t first = numbers.isn(flow, {0});
  EXPECT_EQ(numbers.isn(flow, {4 * ns_per_s}) - first, 1'000'000u);
  EXPECT_NE(numbers.isn(flow_number(2), {0}), first);
  EXPECT_NE(FlowNumbers(Secret{{1, 2}}).isn(flow, {0}), first);
}

TEST(syn_cookie, is_good_for_its_flow_for_a_minute_or_two) {
  const FlowNumbers numbers(secret);
  const SynCookies cookies(numbers);
  const FlowKey flow = flow_number(1);
  const Instant made{1000 * ns_per_s};
  const uint32_t cookie = cookies.make(flow, 77, 1452, made);
  EXPECT_EQ(cookies.check(flow, 77, cookie, made), 1452);
  EXPECT_EQ(cookies.check(flow, 77, cookie, made.after_ns(63 * ns_per_s)), 1452);
  EXPECT_EQ(cookies.check(flow, 77, cookie, made.after_ns(129 * ns_per_s)), std::nullopt);
  EXPECT_EQ(cookies.check(flow, 78, cookie, made), std::nullopt);
  EXPECT_EQ(cookies.check(flow_number(2), 77, cookie, made), std::nullopt);
}

TEST(syn_cookie, is_not_guessed) {
  const FlowNumbers numbers(secret);
  const SynCookies cookies(numbers);
  Prng prng(4);
  int good = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    const auto guess = static_cast<uint32_t>(prng.next());
    good += cookies.check(flow_number(1), 77, guess, {ns_per_s}).has_value() ? 1 : 0;
  }
  EXPECT_LE(good, 1);
}

TEST(syn_cookie, rounds_the_segment_size_down) {
  const FlowNumbers numbers(secret);
  const SynCookies cookies(numbers);
  const struct {
    uint16_t asked, given;
  } rows[] = {{216, 536},   {536, 536},   {1219, 536},  {1220, 1220},
              {1459, 1452}, {1460, 1460}, {8939, 1460}, {9000, 8940}};
  for (const auto& row : rows) {
    const uint32_t cookie = cookies.make(flow_number(1), 5, row.asked, {0});
    EXPECT_EQ(cookies.check(flow_number(1), 5, cookie, {0}), row.given) << row.asked;
  }
}

TEST(syn_cookie, options_live_in_a_timestamp_that_is_not_ahead) {
  for (const uint32_t stamp : {0u, 63u, 64u, 0x7fffffffu, 0xffffffffu}) {
    for (const uint8_t scale : {uint8_t{0}, uint8_t{7}, uint8_t{14}, TcpOptions::no_window_scale}) {
      const SynOptions options{.window_scale = scale, .sack = scale != 7, .ecn = scale == 7};
      const uint32_t with = SynCookies::timestamp_with(stamp, options);
      EXPECT_LE(stamp - with, 64u);
      SynOptions read;
      SynCookies::read_timestamp(with, read);
      EXPECT_TRUE(read.timestamps);
      EXPECT_EQ(read.window_scale, scale);
      EXPECT_EQ(read.sack, options.sack);
      EXPECT_EQ(read.ecn, options.ecn);
    }
  }
}

TEST(local_ports, finds_every_free_one_and_no_other) {
  LocalPorts ports(secret);
  std::set<uint16_t> taken;
  FlowKey flow = flow_number(1);
  for (uint32_t i = 0; i < LocalPorts::count; ++i) {
    const bool found = ports.choose(
        flow, [&](const FlowKey& candidate) { return !taken.contains(candidate.local_port); });
    ASSERT_TRUE(found);
    ASSERT_GE(flow.local_port, LocalPorts::first);
    ASSERT_LT(flow.local_port, LocalPorts::first + LocalPorts::count);
    taken.insert(flow.local_port);
  }
  EXPECT_EQ(taken.size(), LocalPorts::count);
  EXPECT_FALSE(ports.choose(
      flow, [&](const FlowKey& candidate) { return !taken.contains(candidate.local_port); }));
}

TEST(local_ports, begin_elsewhere_for_each_destination) {
  LocalPorts ports(secret);
  std::set<uint16_t> firsts;
  for (uint32_t i = 0; i < 50; ++i) {
    FlowKey flow = flow_number(i << 16);
    EXPECT_TRUE(ports.choose(flow, [](const FlowKey&) { return true; }));
    firsts.insert(flow.local_port);
  }
  EXPECT_GT(firsts.size(), 45u);
}

TEST(rate_limit, lets_a_burst_through_and_then_the_rate) {
  RateLimit limit(10, 3);
  int allowed = 0;
  for (int i = 0; i < 10; ++i) allowed += limit.allow({0}) ? 1 : 0;
  EXPECT_EQ(allowed, 3);
  for (uint64_t ms = 1; ms <= 1000; ++ms) allowed += limit.allow({ms * ns_per_ms}) ? 1 : 0;
  EXPECT_EQ(allowed, 13);
  allowed = 0;
  for (int i = 0; i < 10; ++i) allowed += limit.allow({60 * ns_per_s}) ? 1 : 0;
  EXPECT_EQ(allowed, 3);
}

TEST(path_mtu, shrinks_by_messages_and_grows_by_age_only) {
  PathMtus paths(1500, secret);
  const FlowKey flow = flow_number(1);
  EXPECT_EQ(paths.of(flow, {0}), 1500);
  EXPECT_EQ(paths.learn(flow, 1600, 1500, {0}), 1500);
  EXPECT_EQ(paths.learn(flow, 1400, 1500, {0}), 1400);
  EXPECT_EQ(paths.learn(flow, 1450, 1400, {0}), 1400);
  EXPECT_EQ(paths.of(flow, {0}), 1400);
  EXPECT_EQ(paths.of(flow_number(1 << 16), {0}), 1500);
  EXPECT_EQ(paths.expire({599 * ns_per_s}), 0u);
  EXPECT_EQ(paths.expire({601 * ns_per_s}), 1u);
  EXPECT_EQ(paths.of(flow, {601 * ns_per_s}), 1500);
}

TEST(path_mtu, has_a_floor_that_forged_messages_do_not_break) {
  PathMtus paths(1500, secret);
  EXPECT_EQ(paths.learn(flow_number(1), 68, 1500, {0}), PathMtus::ipv4_min);
  FlowKey flow;
  flow.local = LocalAddress::ipv6;
  flow.remote[0] = 0x20;
  EXPECT_EQ(paths.learn(flow, 500, 1500, {0}), PathMtus::ipv6_min);
  EXPECT_EQ(paths.learn(flow_number(1 << 16), 0, 1500, {0}), 1006);
}

}  // namespace
}  // namespace penstock::engine::tcp

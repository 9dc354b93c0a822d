#include <gtest/gtest.h>

#include <map>

#include "dataplane/engine/dpdk/crossings.h"
#include "dataplane/engine/dpdk/steering.h"
#include "penstock/base/prng.h"

namespace penstock::engine {
namespace {

std::vector<uint8_t> frame_of(uint16_t ethertype, bool tagged) {
  std::vector<uint8_t> frame(12, 2);
  const auto add = [&](uint16_t value) {
    frame.push_back(static_cast<uint8_t>(value >> 8));
    frame.push_back(static_cast<uint8_t>(value));
  };
  if (tagged) {
    add(0x8100);
    add(7);
  }
  add(ethertype);
  return frame;
}

void add_ipv4(std::vector<uint8_t>& frame, uint8_t protocol, uint32_t source,
              uint32_t destination) {
  uint8_t header[20] = {0x45};
  header[9] = protocol;
  store_u32(header + 12, source);
  store_u32(header + 16, destination);
  frame.insert(frame.end(), header, header + 20);
}

void add_ports(std::vector<uint8_t>& frame, uint16_t source, uint16_t destination) {
  uint8_t header[20] = {};
  store_u16(header, source);
  store_u16(header + 2, destination);
  frame.insert(frame.end(), header, header + 20);
}

std::vector<uint8_t> segment(bool tagged = false) {
  auto frame = frame_of(0x0800, tagged);
  add_ipv4(frame, 6, 0x0a000001, 0x0a000002);
  add_ports(frame, 40000, 1935);
  return frame;
}

bool same_flow(const PacketFlow& a, const PacketFlow& b) {
  return a.remote == b.remote && a.local == b.local && a.remote_port == b.remote_port &&
         a.local_port == b.local_port && a.ipv6 == b.ipv6;
}

TEST(flow_of_packet, finds_a_segments_ends_with_a_tag_and_without) {
  for (const bool tagged : {false, true}) {
    const auto flow = flow_of_packet(segment(tagged));
    ASSERT_TRUE(flow);
    EXPECT_EQ(load_u32(flow->remote.data()), 0x0a000001U);
    EXPECT_EQ(load_u32(flow->local.data()), 0x0a000002U);
    EXPECT_EQ(flow->remote_port, 40000);
    EXPECT_EQ(flow->local_port, 1935);
    EXPECT_FALSE(flow->unusual);
  }
}

TEST(flow_of_packet, an_error_is_about_the_segment_that_it_quotes) {
  auto frame = frame_of(0x0800, false);
  add_ipv4(frame, 1, 0x0a0000fe, 0x0a000002);           // from a router
  frame.insert(frame.end(), {3, 4, 0, 0, 0, 0, 5, 0});  // fragmentation needed
  add_ipv4(frame, 6, 0x0a000002, 0x0a000001);
  add_ports(frame, 1935, 40000);
  const auto flow = flow_of_packet(frame);
  ASSERT_TRUE(flow);
  EXPECT_TRUE(same_flow(*flow, *flow_of_packet(segment())));
  EXPECT_TRUE(flow->unusual);
}

TEST(flow_of_packet, looks_behind_extension_headers) {
  auto frame = frame_of(0x86dd, false);
  uint8_t header[40] = {0x60};
  header[6] = 60;  // destination options
  header[8] = header[24] = 0xfd;
  header[39] = 2;
  frame.insert(frame.end(), header, header + 40);
  frame.insert(frame.end(), {44, 0, 1, 4, 0, 0, 0, 0});  // then a fragment header
  frame.insert(frame.end(), {6, 0, 0, 0, 0, 0, 0, 1});   // then TCP
  add_ports(frame, 40000, 1935);
  const auto flow = flow_of_packet(frame);
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->remote_port, 40000);
  EXPECT_TRUE(flow->ipv6);
  EXPECT_TRUE(flow->unusual);
}

TEST(flow_of_packet, reads_no_further_than_the_packet) {
  Prng prng(3);
  const auto whole = segment(true);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    const std::vector<uint8_t> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes));
    const auto flow = flow_of_packet(part);
    EXPECT_EQ(flow.has_value(), bytes >= 18 + 20 + 4) << bytes;
  }
  for (int i = 0; i < 200'000; ++i) {
    std::vector<uint8_t> frame(prng.below(120));
    prng.fill(frame);
    if (frame.size() > 13) store_u16(&frame[12], prng.below(2) == 0 ? 0x0800 : 0x86dd);
    if (frame.size() > 14) frame[14] = load_u16(&frame[12]) == 0x0800 ? 0x45 : 0x60;
    if (frame.size() > 20 && prng.below(2) == 0) frame[20] = prng.below(2) == 0 ? 60 : 58;
    if (const auto flow = flow_of_packet(frame)) {
      EXPECT_LT(Steering(3, 1).owner(*flow), 3U);
      if (i > 1000) continue;
    }
  }
}

TEST(steering, spreads_connections_and_keeps_each_where_it_is) {
  const Steering steering(4, 99);
  size_t owned[4] = {};
  PacketFlow flow = *flow_of_packet(segment());
  for (uint16_t port = 1024; port < 5024; ++port) {
    flow.remote_port = port;
    const size_t owner = steering.owner(flow);
    ASSERT_LT(owner, 4U);
    EXPECT_EQ(owner, steering.owner(flow));
    ++owned[owner];
  }
  for (const size_t count : owned) EXPECT_GT(count, 800U);
}

TEST(steering, follows_a_devices_table_by_a_hash_that_both_directions_share) {
  Steering steering(2, 99);
  steering.follow_device({0, 1, 0, 1, 1, 1, 0, 0});
  Prng prng(5);
  size_t second = 0;
  for (int i = 0; i < 1000; ++i) {
    PacketFlow flow;
    flow.ipv6 = i % 2 == 0;
    const size_t bytes = flow.ipv6 ? 16 : 4;
    prng.fill(std::span(flow.remote).first(bytes));
    prng.fill(std::span(flow.local).first(bytes));
    flow.remote_port = static_cast<uint16_t>(prng.next());
    flow.local_port = 1935;
    PacketFlow back = flow;
    std::swap(back.remote, back.local);
    std::swap(back.remote_port, back.local_port);
    EXPECT_EQ(steering.owner(flow), steering.owner(back));
    second += steering.owner(flow);
  }
  EXPECT_GT(second, 300U);
  EXPECT_LT(second, 700U);
}

TEST(DpdkRota, all_who_are_behind_have_as_many_turns) {
  // A turn has room for four of the eight; numbers as in a host of nine workers.
  constexpr uint64_t rung = uint64_t{0xff} << Crossings::ringer_first_worker;
  std::map<uint32_t, int> turns;
  Rota rota;
  for (int turn = 0; turn < 640; ++turn) {
    const uint32_t first = rota.first_of(rung);
    uint64_t left = std::rotr(rung, static_cast<int>(first));
    for (int room = 4; room > 0; --room, left &= left - 1) {
      ++turns[(first + static_cast<uint32_t>(std::countr_zero(left))) % Doorbell::ringers_max];
    }
  }
  EXPECT_EQ(turns.size(), 8U);
  for (const auto& [ringer, count] : turns) EXPECT_EQ(count, 320) << ringer;
}

TEST(DpdkRota, who_rings_alone_is_first_wherever_the_last_one_was) {
  Rota rota;
  for (const uint32_t ringer : {63U, 3U, 63U, 40U, 40U, 0U}) {
    EXPECT_EQ(rota.first_of(uint64_t{1} << ringer), ringer);
  }
}

}  // namespace
}  // namespace penstock::engine

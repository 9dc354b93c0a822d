#include "dataplane/engine/tcp/wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dataplane/engine/tcp/checksum.h"
#include "penstock/base/prng.h"
#include "tests/unit/tcp/packets.h"

namespace penstock::engine::tcp {
namespace {

struct Wire : testing::Test {
  StackOptions here = options_of_host(1);
  StackOptions there = options_of_host(2);
  StackCounters counters;

  ParsedPacket parse(std::vector<uint8_t> bytes) {
    // Moved: views of it are good until the next, and it ends where its memory does.
    packet_bytes = std::move(bytes);
    ParsedPacket parsed;
    parse_packet(packet_of(packet_bytes), OwnAddresses(here), counters, parsed);
    return parsed;
  }
  std::vector<uint8_t> segment_bytes(bool v6) {
    SegmentOut segment;
    segment.sequence = 0x01020304;
    segment.acknowledgment = 0x05060708;
    segment.window = 500;
    segment.flags = flag::ack | flag::psh;
    segment.ecn = Ecn::capable_0;
    segment.options.has_timestamps = true;
    segment.options.timestamp = 11;
    segment.options.timestamp_echo = 12;
    segment.slice_count = 2;
    segment.slices[0] = payload_first;
    segment.slices[1] = payload_rest;
    return tcp_packet(there, here, v6, 40000, 1935, segment);
  }

  std::vector<uint8_t> packet_bytes;
  std::vector<uint8_t> payload_first = bytes_of(std::string_view("odd"));
  std::vector<uint8_t> payload_rest = bytes_of(std::string_view("ity"));
};

TEST_F(Wire, reads_what_it_writes) {
  for (const bool v6 : {false, true}) {
    for (const bool tagged : {false, true}) {
      here.vlan = there.vlan = tagged ? std::optional<uint16_t>(7) : std::nullopt;
      const std::vector<uint8_t> bytes = segment_bytes(v6);
      const ParsedPacket parsed = parse(bytes);
      ASSERT_EQ(parsed.kind, PacketKind::tcp);
      EXPECT_EQ(parsed.flow, flow_to(v6 ? *there.address6 : *there.address, 40000, 1935));
      EXPECT_EQ(parsed.segment.sequence, 0x01020304u);
      EXPECT_EQ(parsed.segment.acknowledgment, 0x05060708u);
      EXPECT_EQ(parsed.segment.window, 500);
      EXPECT_EQ(parsed.segment.flags, flag::ack | flag::psh);
      EXPECT_EQ(parsed.segment.ecn, Ecn::capable_0);
      EXPECT_TRUE(parsed.segment.options.has_timestamps);
      EXPECT_EQ(parsed.segment.options.timestamp, 11u);
      EXPECT_EQ(parsed.segment.options.timestamp_echo, 12u);
      EXPECT_EQ(as_text(parsed.segment.payload), "oddity");
    }
  }
}

TEST_F(Wire, cuts_the_padding_of_short_packets) {
  std::vector<uint8_t> bytes = segment_bytes(false);
  bytes.resize(bytes.size() + 9);
  const ParsedPacket parsed = parse(bytes);
  EXPECT_EQ(as_text(parsed.segment.payload), "oddity");
}

TEST_F(Wire, notices_every_flipped_bit) {
  for (const bool v6 : {false, true}) {
    const std::vector<uint8_t> bytes = segment_bytes(v6);
    for (size_t bit = 14 * 8; bit < bytes.size() * 8; ++bit) {
      std::vector<uint8_t> flipped = bytes;
      flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ (1u << (bit % 8)));
      // Hop limit, traffic class and flow label of IPv6 are covered by nothing.
      if (v6 && (bit / 8 < 14 + 4 || bit / 8 == 14 + 7) && bit / 8 != 14) continue;
      if (v6 && bit / 8 == 14 && bit % 8 < 4) continue;
      ASSERT_NE(parse(flipped).kind, PacketKind::tcp) << "IPv6 " << v6 << ", bit " << bit;
    }
  }
}

TEST_F(Wire, trusts_the_device_where_it_has_looked) {
  std::vector<uint8_t> bytes = segment_bytes(false);
  bytes[bytes.size() - 1] ^= 1;
  bytes[14 + 8] = 3;  // a router's doing
  PacketIn packet = packet_of(bytes);
  packet.ip_checksum_good = packet.l4_checksum_good = true;
  ParsedPacket parsed;
  parse_packet(packet, OwnAddresses(here), counters, parsed);
  EXPECT_EQ(parsed.kind, PacketKind::tcp);
}

TEST_F(Wire, leaves_checksums_to_the_device) {
  SegmentOut segment;
  segment.flags = flag::ack;
  PacketOut packet;
  write_tcp_packet(packet, OwnAddresses(there), flow_to(*here.address, 1, 2), here.mac, 0, segment,
                   {.ip = true, .tcp = true});
  EXPECT_TRUE(packet.wants_ip_checksum);
  EXPECT_TRUE(packet.wants_tcp_checksum);
  EXPECT_EQ(packet.ip_offset, 14);
  EXPECT_EQ(packet.l4_offset, 34);
  // As a device does it: sums from l4_offset on, the pseudo header being in the field.
  std::vector<uint8_t> bytes = bytes_of(packet);
  Checksum tcp;
  tcp.add(Bytes(bytes).subspan(34));
  store_u16(bytes.data() + 34 + 16, tcp.value());
  Checksum ip;
  ip.add(Bytes(bytes).subspan(14, 20));
  store_u16(bytes.data() + 24, ip.value());
  EXPECT_EQ(parse(bytes).kind, PacketKind::tcp);
}

TEST_F(Wire, sorts_out_what_is_not_ours) {
  const auto with = [&](size_t at, uint8_t value) {
    std::vector<uint8_t> bytes = segment_bytes(false);
    bytes[at] = value;
    return parse(bytes).kind;
  };
  EXPECT_EQ(with(5, 9), PacketKind::dropped);           // another Ethernet address
  EXPECT_EQ(with(13, 0x22), PacketKind::exception);     // another protocol
  EXPECT_EQ(with(14 + 19, 77), PacketKind::exception);  // another IP address
  EXPECT_EQ(counters.other_mac, 1u);
  std::vector<uint8_t> bytes = segment_bytes(false);
  PacketIn packet = packet_of(bytes);
  packet.ip_checksum_good = packet.l4_checksum_good = true;
  ParsedPacket parsed;
  bytes[14 + 9] = 17;
  parse_packet(packet, OwnAddresses(here), counters, parsed);
  EXPECT_EQ(parsed.kind, PacketKind::exception);  // UDP
  bytes[14 + 9] = 6;
  bytes[14 + 6] = 0x20;
  parse_packet(packet, OwnAddresses(here), counters, parsed);
  EXPECT_EQ(parsed.kind, PacketKind::dropped);
  EXPECT_EQ(counters.ip_fragments, 1u);
  bytes[14 + 6] = 0x40;
  for (const uint8_t source : {uint8_t{0}, uint8_t{127}, uint8_t{224}, uint8_t{255}}) {
    bytes[14 + 12] = source;
    parse_packet(packet, OwnAddresses(here), counters, parsed);
    EXPECT_EQ(parsed.kind, PacketKind::dropped);
  }
  EXPECT_EQ(counters.source_bad, 4u);
}

TEST_F(Wire, takes_only_its_vlan) {
  there.vlan = 8;
  const std::vector<uint8_t> tagged = segment_bytes(false);
  here.vlan = 7;
  EXPECT_EQ(parse(tagged).kind, PacketKind::exception);
  here.vlan.reset();
  EXPECT_EQ(parse(tagged).kind, PacketKind::exception);
  EXPECT_EQ(counters.other_vlan, 2u);
  there.vlan = 0;
  EXPECT_EQ(parse(segment_bytes(false)).kind, PacketKind::tcp);  // a priority, no VLAN
}

TEST_F(Wire, finds_tcp_behind_extension_headers) {
  const std::vector<uint8_t> plain = segment_bytes(true);
  const auto with = [&](std::vector<uint8_t> headers, uint8_t first) {
    std::vector<uint8_t> bytes(plain.begin(), plain.begin() + 54);
    bytes[14 + 6] = first;
    store_u16(bytes.data() + 14 + 4, static_cast<uint16_t>(plain.size() - 54 + headers.size()));
    bytes.insert(bytes.end(), headers.begin(), headers.end());
    bytes.insert(bytes.end(), plain.begin() + 54, plain.end());
    return parse(bytes);
  };
  const std::vector<uint8_t> skipped = {60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_EQ(with(skipped, 0).kind, PacketKind::tcp);
  EXPECT_EQ(as_text(with(skipped, 0).segment.payload), "oddity");
  EXPECT_EQ(with({6, 0, 0, 0, 0, 0, 0, 1}, 44).kind, PacketKind::tcp);      // atomic fragment
  EXPECT_EQ(with({6, 0, 0, 1, 0, 0, 0, 1}, 44).kind, PacketKind::dropped);  // a first one
  EXPECT_EQ(counters.ip_fragments, 1u);
  EXPECT_EQ(with({6, 0, 0, 1, 0, 0, 0, 0}, 43).kind, PacketKind::dropped);   // segments left
  EXPECT_EQ(with({6, 255, 1, 4, 0, 0, 0, 0}, 0).kind, PacketKind::dropped);  // beyond the end
  std::vector<uint8_t> many;
  for (int i = 0; i < 20; ++i) many.insert(many.end(), {60, 0, 1, 4, 0, 0, 0, 0});
  EXPECT_EQ(with(many, 60).kind, PacketKind::dropped);
}

TEST_F(Wire, never_reads_beyond_a_packet_that_ends_early) {
  for (const bool v6 : {false, true}) {
    const std::vector<uint8_t> bytes = segment_bytes(v6);
    for (size_t length = 0; length < bytes.size(); ++length) {
      // A copy of its own, so that the address sanitizer sees each byte too many.
      std::vector<uint8_t> part(bytes.begin(), bytes.begin() + static_cast<long>(length));
      EXPECT_NE(parse(std::move(part)).kind, PacketKind::tcp);
    }
  }
}

TEST_F(Wire, survives_noise) {
  Prng prng(6);
  for (int round = 0; round < 20000; ++round) {
    std::vector<uint8_t> bytes = segment_bytes(prng.chance(500));
    for (uint64_t i = prng.below(6); i > 0; --i) {
      bytes[prng.below(bytes.size())] = static_cast<uint8_t>(prng.next());
    }
    if (prng.chance(300)) bytes.resize(prng.below(bytes.size()));
    PacketIn packet = packet_of(bytes);
    packet.ip_checksum_good = packet.l4_checksum_good = true;
    ParsedPacket parsed;
    parse_packet(packet, OwnAddresses(here), counters, parsed);
    if (parsed.kind == PacketKind::tcp) {
      ASSERT_LE(parsed.segment.payload.size(), bytes.size());
      ASSERT_LE(parsed.segment.options.sack_count, 4);
    }
  }
}

TEST(tcp_options, of_a_syn_come_back) {
  for (const bool timestamps : {false, true}) {
    for (const bool sack : {false, true}) {
      TcpOptions options;
      options.segment_bytes_max = 1460;
      options.window_scale = 7;
      options.sack_permitted = sack;
      options.has_timestamps = timestamps;
      options.timestamp = 1;
      uint8_t bytes[40];
      const size_t length = write_tcp_options(options, true, bytes);
      EXPECT_EQ(length % 4, 0u);
      TcpOptions read;
      ASSERT_TRUE(parse_tcp_options(Bytes(bytes, length), read));
      EXPECT_EQ(read.segment_bytes_max, 1460);
      EXPECT_EQ(read.window_scale, 7);
      EXPECT_EQ(read.sack_permitted, sack);
      EXPECT_EQ(read.has_timestamps, timestamps);
    }
  }
}

TEST(tcp_options, as_many_sack_ranges_as_fit) {
  for (const bool timestamps : {false, true}) {
    TcpOptions options;
    options.has_timestamps = timestamps;
    options.sack_count = 4;
    for (uint32_t i = 0; i < 4; ++i) options.sacks[i] = {i * 10, i * 10 + 5};
    uint8_t bytes[40];
    const size_t length = write_tcp_options(options, false, bytes);
    TcpOptions read;
    ASSERT_TRUE(parse_tcp_options(Bytes(bytes, length), read));
    EXPECT_EQ(read.sack_count, timestamps ? 3 : 4);
    EXPECT_EQ(read.sacks[2], (SequenceRange{20, 25}));
  }
}

TEST(tcp_options, odd_ones_are_skipped_and_torn_ones_end_it) {
  TcpOptions options;
  const uint8_t unknown[] = {1, 254, 4, 0, 0, 2, 4, 5, 180, 0, 99};
  EXPECT_TRUE(parse_tcp_options(unknown, options));
  EXPECT_EQ(options.segment_bytes_max, 1460);
  const struct {
    std::vector<uint8_t> bytes;
    bool good;
  } rows[] = {
      {{}, true},           {{0}, true},
      {{1, 1, 1, 1}, true}, {{2}, false},
      {{2, 0}, false},      {{2, 1}, false},
      {{2, 4, 5}, false},   {{8, 10, 0, 0}, false},
      {{3, 3, 15}, true},   {{5, 9, 0, 0, 0, 0, 0, 0, 0}, true},
  };
  for (const auto& row : rows) {
    TcpOptions read;
    EXPECT_EQ(parse_tcp_options(row.bytes, read), row.good);
    EXPECT_EQ(read.sack_count, 0);
    EXPECT_TRUE(read.window_scale == TcpOptions::no_window_scale || read.window_scale == 14);
  }
}

}  // namespace
}  // namespace penstock::engine::tcp

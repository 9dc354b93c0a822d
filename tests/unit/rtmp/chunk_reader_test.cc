#include "penstock/rtmp/chunk_reader.h"

#include <gtest/gtest.h>

#include "tests/unit/rtmp/chunk_collector.h"
#include "tests/unit/rtmp/support.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

using test::ChunkCollector;
using test::Decoded;
using test::from_hex;
using test::NaiveChunkReader;
using test::Octets;
using test::WholeMessage;

constexpr uint32_t bytes_max = 1 << 20;

Decoded read_whole(const Octets& stream) {
  ChunkCollector collector(bytes_max, bytes_max);
  collector.feed(stream);
  return collector.decoded;
}

/// Hex of payload bytes: what they are does not matter to the chunk layer.
std::string payload(size_t bytes, uint64_t seed = 1) {
  return test::to_hex(test::filler(bytes, seed));
}

struct VectorCase {
  std::string name;
  Octets stream;
  std::vector<WholeMessage> messages;
};

std::vector<VectorCase> vector_cases() {
  std::vector<VectorCase> cases;
  for (const auto& one : test::load_vectors("chunk_stream.json", "cases")) {
    VectorCase vector{.name = one["name"], .stream = from_hex(one["hex"].get<std::string>())};
    for (const auto& message : one["messages"]) {
      vector.messages.push_back({message["csid"], message["timestamp"], message["type"],
                                 message["msid"], from_hex(message["payload"].get<std::string>())});
    }
    cases.push_back(std::move(vector));
  }
  return cases;
}

TEST(ChunkReader, vectors_come_out_whole) {
  const auto cases = vector_cases();
  EXPECT_EQ(cases.size(), 21u);
  for (const VectorCase& vector : cases) {
    SCOPED_TRACE(vector.name);
    const Decoded decoded = read_whole(vector.stream);
    EXPECT_EQ(decoded.fault, std::nullopt);
    EXPECT_EQ(decoded.messages, vector.messages);
  }
}

TEST(ChunkReader, vectors_do_not_depend_on_where_the_input_is_cut) {
  for (const VectorCase& vector : vector_cases()) {
    SCOPED_TRACE(vector.name);
    for (size_t cut = 0; cut <= vector.stream.size(); ++cut) {
      ChunkCollector collector(bytes_max, bytes_max);
      // Copies, so that the memory checker sees a reader that keeps a view of what was fed.
      const Octets front(vector.stream.begin(),
                         vector.stream.begin() + static_cast<ptrdiff_t>(cut));
      const Octets back(vector.stream.begin() + static_cast<ptrdiff_t>(cut), vector.stream.end());
      ASSERT_TRUE(collector.feed(front));
      ASSERT_TRUE(collector.feed(back));
      ASSERT_EQ(collector.decoded.messages, vector.messages) << "cut at " << cut;
    }
    for (size_t step = 1; step < 6; ++step) {
      ChunkCollector collector(bytes_max, bytes_max);
      for (size_t at = 0; at < vector.stream.size(); at += step) {
        const Octets run = test::octets(
            Bytes(vector.stream).subspan(at).first(std::min(step, vector.stream.size() - at)));
        ASSERT_TRUE(collector.feed(run));
      }
      ASSERT_EQ(collector.decoded.messages, vector.messages) << "steps of " << step;
    }
  }
}

TEST(ChunkReader, naive_reader_agrees_with_the_vectors) {
  for (const VectorCase& vector : vector_cases()) {
    SCOPED_TRACE(vector.name);
    EXPECT_EQ(NaiveChunkReader(vector.stream, bytes_max, bytes_max).decode().messages,
              vector.messages);
  }
}

struct Stamp {
  uint32_t timestamp;
  size_t bytes;
  bool operator==(const Stamp&) const = default;
};

struct Case {
  const char* name;
  std::string hex;
  std::vector<Stamp> expected;
};

std::vector<Stamp> stamps(const std::vector<WholeMessage>& messages) {
  std::vector<Stamp> stamps;
  for (const WholeMessage& message : messages)
    stamps.push_back({message.timestamp, message.payload.size()});
  return stamps;
}

TEST(ChunkReader, timestamps) {
  const std::string ten = payload(10);
  const std::vector<Case> cases = {
      {"type 3 repeats the delta of type 1 and 2",
       "060003e800000a0801000000" + ten + "4600001400000a08" + ten + "86000017" + ten + "c6" + ten +
           "c6" + ten,
       {{1000, 10}, {1020, 10}, {1043, 10}, {1066, 10}, {1089, 10}}},
      {"type 3 behind a late type 0 uses the last delta that was named",
       "0600000000000a0801000000" + ten + "4600001400000a08" + ten + "0600ea6000000a0801000000" +
           ten + "c6" + ten,
       {{0, 10}, {20, 10}, {60000, 10}, {60020, 10}}},
      {"type 3 behind a late type 0 stands still when no delta is known",
       "0600ea6000000a0801000000" + ten + "c6" + ten,
       {{60000, 10}, {60000, 10}}},
      {"type 3 behind an early type 0 adds its timestamp",
       "0600001a00000a0801000000" + ten + "c6" + ten + "c6" + ten,
       {{26, 10}, {52, 10}, {78, 10}}},
      {"24 bits are crossed by deltas without any extension",
       "06fffff000000a0801000000" + ten + "8600001f" + ten,
       {{0xFFFFF0, 10}, {0x100000F, 10}}},
      {"largest timestamp that needs no extension",
       "06fffffe00000a0801000000" + ten,
       {{0xFFFFFE, 10}}},
      {"delta of exactly 0xFFFFFF is extended",
       "0600000100000a0801000000" + ten + "86ffffff00ffffff" + ten,
       {{1, 10}, {0x1000000, 10}}},
      {"32 bits wrap by a plain delta",
       "06ffffff00000a0801000000ffffffff" + ten + "86000001" + ten,
       {{0xFFFFFFFF, 10}, {0, 10}}},
      {"type 3 start with the extended delta repeated",
       "0600000000000a0801000000" + ten + "46ffffff00000a08fffffff6" + ten + "c6fffffff6" + ten,
       {{0, 10}, {0xFFFFFFF6, 10}, {0xFFFFFFEC, 10}}},
      {"type 3 start that leaves the extension out, as OBS does",
       "0600000000000a0801000000" + ten + "46ffffff00000a08fffffff6" + ten + "c6" + ten,
       {{0, 10}, {0xFFFFFFF6, 10}, {0xFFFFFFEC, 10}}},
      {"type 3 start that carries its own timestamp",
       "0600000000000a0801000000" + ten + "46ffffff00000a0801000000" + ten + "c602000000" + ten,
       {{0, 10}, {0x1000000, 10}, {0x2000000, 10}}},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    const Octets stream = from_hex(one.hex);
    const Decoded decoded = read_whole(stream);
    EXPECT_EQ(decoded.fault, std::nullopt);
    EXPECT_EQ(stamps(decoded.messages), one.expected);
    EXPECT_EQ(NaiveChunkReader(stream, bytes_max, bytes_max).decode().messages, decoded.messages);
  }
}

TEST(ChunkReader, continuation_may_repeat_the_timestamp_in_place_of_the_delta) {
  // Type 1 with an extended delta, continued by the absolute timestamp.
  const std::string rest = payload(22, 3);
  const Octets stream =
      from_hex("0600006400000a0801000000" + payload(10) + "46ffffff00009608fffffff6" +
               payload(128, 2) + "c60000005a" + rest);
  const Decoded decoded = read_whole(stream);
  ASSERT_EQ(decoded.messages.size(), 2u);
  EXPECT_EQ(decoded.messages[1].timestamp, 0x5Au);
  EXPECT_EQ(test::to_hex(Bytes(decoded.messages[1].payload).last(22)), rest);
}

TEST(ChunkReader, left_out_extension_costs_nothing_at_any_cut) {
  // 130 bytes: the last chunk has 2, so that looking for the extension reaches into the next
  // message's header.
  const Octets stream = from_hex(
      "06ffffff0000820801000000"
      "01000000" +
      payload(128) + "c6" + payload(2, 9) + "0600002800000a0801000000" + payload(10, 4));
  const Decoded expected = NaiveChunkReader(stream, bytes_max, bytes_max).decode();
  ASSERT_EQ(expected.messages.size(), 2u);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    for (size_t second = cut; second <= std::min(stream.size(), cut + 6); ++second) {
      ChunkCollector collector(bytes_max, bytes_max);
      ASSERT_TRUE(collector.feed(Bytes(stream).first(cut)));
      ASSERT_TRUE(collector.feed(Bytes(stream).subspan(cut, second - cut)));
      ASSERT_TRUE(collector.feed(Bytes(stream).subspan(second)));
      ASSERT_EQ(collector.decoded.messages, expected.messages) << cut << ", " << second;
      ASSERT_LE(collector.copied_bytes, 4u);
    }
  }
}

TEST(ChunkReader, payload_is_never_copied_from_a_peer_that_keeps_to_the_rules) {
  for (const VectorCase& vector : vector_cases()) {
    if (vector.name.find("WITHOUT") != std::string::npos) continue;
    for (size_t cut = 0; cut <= vector.stream.size(); ++cut) {
      ChunkCollector collector(bytes_max, bytes_max);
      collector.feed(Bytes(vector.stream).first(cut));
      collector.feed(Bytes(vector.stream).subspan(cut));
      EXPECT_EQ(collector.copied_bytes, 0u) << vector.name << " cut at " << cut;
    }
  }
}

TEST(ChunkReader, two_and_three_byte_forms_name_the_same_chunk_stream) {
  // Type 0 in the one form, type 3 in the other.
  const Octets stream =
      from_hex("0000 00000500000a0801000000" + payload(10) + "c10000" + payload(10, 2));
  const Decoded decoded = read_whole(stream);
  ASSERT_EQ(decoded.messages.size(), 2u);
  EXPECT_EQ(decoded.messages[1].chunk_stream_id, 64u);
  EXPECT_EQ(decoded.messages[1].timestamp, 10u);
}

TEST(ChunkReader, type_0_replaces_an_unfinished_message_of_its_chunk_stream) {
  const Octets stream = from_hex("0600000000012c0801000000" + payload(128) +
                                 "0600000700000a0801000000" + payload(10));
  ChunkReader reader;
  reader.feed(stream);
  const auto first = reader.next();
  ASSERT_TRUE(first && *first);
  EXPECT_FALSE((*first)->replaces);
  const auto second = reader.next();
  ASSERT_TRUE(second && *second);
  EXPECT_TRUE((*second)->replaces);
  EXPECT_EQ((*second)->slot, (*first)->slot);
  EXPECT_EQ((*second)->timestamp, 7u);
  EXPECT_TRUE((*second)->completes());
}

TEST(ChunkReader, abort_frees_the_slot_and_keeps_the_header_state) {
  const Octets begun = from_hex("0600000000012c0801000000" + payload(128));
  ChunkReader reader;
  reader.feed(begun);
  const auto piece = reader.next();
  ASSERT_TRUE(piece && *piece);
  EXPECT_FALSE(reader.next()->has_value());
  EXPECT_EQ(reader.abort(7), std::nullopt);
  EXPECT_EQ(reader.abort(6), (*piece)->slot);
  EXPECT_EQ(reader.abort(6), std::nullopt);
  const Octets next = from_hex("c6" + payload(128));
  reader.feed(next);
  const auto after = reader.next();
  ASSERT_TRUE(after && *after);
  EXPECT_EQ((*after)->offset, 0u);
  EXPECT_EQ((*after)->message_bytes, 300u);
}

TEST(ChunkReader, unread_input_can_be_taken_back_and_fed_again) {
  const Octets stream =
      from_hex("060003e800000a0801000000" + payload(10) + "4600001400000c08" + payload(12));
  ChunkReader reader;
  reader.feed(stream);
  ASSERT_TRUE(reader.next()->has_value());
  const Bytes unread = reader.take_unread();
  EXPECT_EQ(unread.size(), 8u + 12u);
  EXPECT_FALSE(reader.next()->has_value());
  reader.feed(unread);
  const auto piece = reader.next();
  ASSERT_TRUE(piece && *piece);
  EXPECT_EQ((*piece)->timestamp, 1020u);
}

TEST(ChunkReader, random_streams_read_as_by_the_naive_reader_at_any_cut) {
  // Mostly valid headers on few chunk streams, so that interleaving, replacing and extensions
  // really meet.
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Prng prng(seed);
    Octets stream;
    for (int chunks = 0; chunks < 60; ++chunks) {
      const uint8_t id = static_cast<uint8_t>(3 + prng.below(3));
      const uint64_t dice = prng.below(10);
      const uint8_t type = static_cast<uint8_t>(dice < 2 ? 0 : dice < 3 ? 1 : dice < 4 ? 2 : 3);
      stream.push_back(static_cast<uint8_t>(type << 6 | id));
      uint8_t header[11];
      store_u24(header, prng.chance(300) ? 0xFFFFFF : static_cast<uint32_t>(prng.below(20'000)));
      store_u24(header + 3, static_cast<uint32_t>(prng.below(400)));
      header[6] = static_cast<uint8_t>(prng.chance(50) ? 1 : 8);
      store_u32_le(header + 7, 1);
      constexpr size_t bytes[] = {11, 7, 3, 0};
      test::append(stream, Bytes(header).first(bytes[type]));
      const bool extended = type < 3 ? load_u24(header) == 0xFFFFFF : prng.chance(500);
      if (extended) test::append(stream, from_hex(prng.chance(500) ? "00000000" : "fffffff6"));
      test::append(stream, Octets(prng.below(3) == 0 ? 128 : prng.below(128)));
    }
    const Decoded expected = NaiveChunkReader(stream, bytes_max, bytes_max).decode();
    for (int round = 0; round < 6; ++round) {
      ChunkCollector collector(bytes_max, bytes_max, round % 2 == 0 ? nullptr : &prng);
      bool good = true;
      for (size_t at = 0; at < stream.size() && good;) {
        const size_t run = std::min<size_t>(1 + prng.below(round < 2   ? 4096
                                                           : round < 4 ? 300
                                                                       : 20),
                                            stream.size() - at);
        good = collector.feed(Bytes(stream).subspan(at, run));
        at += run;
      }
      ASSERT_EQ(collector.decoded.fault, expected.fault) << "seed " << seed;
      ASSERT_EQ(collector.decoded.messages, expected.messages) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace penstock::rtmp

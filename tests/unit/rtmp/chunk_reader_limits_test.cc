#include <gtest/gtest.h>

#include "penstock/rtmp/chunk_reader.h"
#include "tests/unit/rtmp/chunk_collector.h"
#include "tests/unit/rtmp/support.h"

namespace penstock::rtmp {
namespace {

using test::ChunkCollector;
using test::from_hex;
using test::Octets;

/// Header of type 0 on a chunk stream of the three-byte form, with as much of the payload as fits
/// in a first chunk.
Octets begin(uint32_t chunk_stream_id, uint32_t message_bytes, size_t payload_bytes) {
  Octets chunk(14);
  chunk[0] = 1;
  chunk[1] = static_cast<uint8_t>(chunk_stream_id - 64);
  chunk[2] = static_cast<uint8_t>((chunk_stream_id - 64) >> 8);
  store_u24(chunk.data() + 6, message_bytes);
  chunk[9] = 9;
  chunk.resize(14 + payload_bytes);
  return chunk;
}

std::optional<Fault> fault_of(const Octets& stream, uint32_t message_bytes_max = 1 << 20,
                              uint32_t partial_bytes_max = 1 << 24) {
  ChunkCollector collector(message_bytes_max, partial_bytes_max);
  collector.feed(stream);
  return collector.decoded.fault;
}

TEST(ChunkReaderLimits, first_chunk_of_type_2_or_3_has_no_base) {
  EXPECT_EQ(fault_of(from_hex("86000017")), Fault::chunk_header_without_base);
  EXPECT_EQ(fault_of(from_hex("c6")), Fault::chunk_header_without_base);
  EXPECT_EQ(fault_of(from_hex("a1000017")), Fault::chunk_header_without_base)
      << "DJI, chunk stream 33";
  EXPECT_EQ(fault_of(from_hex("4600001700000108ff")), std::nullopt);
}

TEST(ChunkReaderLimits, header_of_type_1_or_2_inside_a_message_is_fatal) {
  for (const char* header : {"4600001400012c08", "86000014"}) {
    Octets stream = from_hex("0600000000012c0801000000");
    stream.resize(stream.size() + 128);
    test::append(stream, from_hex(header));
    EXPECT_EQ(fault_of(stream), Fault::chunk_inside_message);
  }
}

TEST(ChunkReaderLimits, message_may_be_as_long_as_the_limit_and_no_longer) {
  EXPECT_EQ(fault_of(begin(70, 1000, 0), 1000), std::nullopt);
  EXPECT_EQ(fault_of(begin(70, 1001, 0), 1000), Fault::message_too_large);
}

TEST(ChunkReaderLimits, length_is_checked_again_when_type_3_repeats_it) {
  ChunkReader reader;
  const Octets first = begin(70, 100, 100);
  reader.feed(first);
  ASSERT_TRUE(reader.next()->has_value());
  ASSERT_FALSE(reader.next()->has_value());
  reader.set_limits(99, 1000);  // turned down while the peer was connected
  const Octets again = from_hex("c10600");
  reader.feed(again);
  EXPECT_EQ(reader.next().error(), Fault::message_too_large);
}

TEST(ChunkReaderLimits, as_many_messages_may_be_unfinished_as_there_are_slots) {
  Octets stream;
  for (uint32_t id = 64; id < 64 + partial_messages_max; ++id)
    test::append(stream, begin(id, 300, 128));
  EXPECT_EQ(fault_of(stream), std::nullopt);
  test::append(stream, begin(1000, 1, 1));
  EXPECT_EQ(fault_of(stream), Fault::partial_messages_exceeded);
}

TEST(ChunkReaderLimits, declared_bytes_of_unfinished_messages_are_bounded_together) {
  Octets stream = begin(64, 600, 128);
  test::append(stream, begin(65, 400, 128));
  EXPECT_EQ(fault_of(stream, 1000, 1000), std::nullopt);
  test::append(stream, begin(66, 1, 0));
  EXPECT_EQ(fault_of(stream, 1000, 1000), Fault::partial_messages_exceeded);
}

TEST(ChunkReaderLimits, lowered_limit_below_what_is_unfinished_refuses_the_next_message) {
  ChunkReader reader;
  reader.set_limits(1000, 1000);
  const Octets first = begin(64, 600, 128);
  reader.feed(first);
  ASSERT_TRUE(reader.next()->has_value());
  ASSERT_FALSE(reader.next()->has_value());
  reader.set_limits(1000, 500);
  const Octets second = begin(65, 1, 1);
  reader.feed(second);
  EXPECT_EQ(reader.next().error(), Fault::partial_messages_exceeded);
}

TEST(ChunkReaderLimits, finished_messages_give_their_share_back) {
  Octets stream;
  for (int i = 0; i < 1000; ++i) test::append(stream, begin(64, 100, 100));
  EXPECT_EQ(fault_of(stream, 100, 100), std::nullopt);
}

TEST(ChunkReaderLimits, chunk_streams_are_bounded) {
  Octets stream;
  for (uint32_t id = 64; id < 64 + chunk_streams_max; ++id) test::append(stream, begin(id, 1, 1));
  EXPECT_EQ(fault_of(stream), std::nullopt);
  test::append(stream, begin(5000, 1, 1));
  EXPECT_EQ(fault_of(stream), Fault::chunk_streams_exceeded);
}

TEST(ChunkReaderLimits, chunk_size_zero_is_refused_and_a_huge_one_clamped) {
  ChunkReader reader;
  EXPECT_EQ(reader.set_chunk_size(0).error(), Fault::chunk_size_zero);
  EXPECT_TRUE(reader.set_chunk_size(0xFFFFFFFF));
  reader.set_limits(0xFFFFFF, 0xFFFFFF);
  const Octets stream = begin(64, 0xFFFFFF, 5000);
  reader.feed(stream);
  const auto piece = reader.next();
  ASSERT_TRUE(piece && *piece);
  EXPECT_EQ((*piece)->bytes.size(), 5000u);
}

TEST(ChunkReaderLimits, chunk_size_1_works) {
  Octets stream = from_hex("02000000000004010000000000000001");
  test::append(stream, from_hex("060000050000030801000000 aa c6 bb c6 cc"));
  ChunkCollector collector(1000, 1000);
  ASSERT_TRUE(collector.feed(stream));
  ASSERT_EQ(collector.decoded.messages.size(), 2u);
  EXPECT_EQ(collector.decoded.messages[1].payload, from_hex("aabbcc"));
}

}  // namespace
}  // namespace penstock::rtmp

#include "penstock/rtmp/wire.h"

#include <gtest/gtest.h>

#include "penstock/rtmp/chunk_writer.h"
#include "tests/unit/rtmp/chunk_collector.h"
#include "tests/unit/rtmp/support.h"

namespace penstock::rtmp {
namespace {

using test::ChunkCollector;
using test::Octets;

constexpr uint32_t bytes_max = 1 << 20;

TEST(Wire, what_is_written_reads_back_at_every_chunk_size_around_the_extended_timestamp) {
  const uint32_t chunk_sizes[] = {1, 2, 3, 4, 5, 127, 128, 129, 1000, 4096, 65536};
  const uint32_t timestamps[] = {0,         1,          0xFFFFFE,   0xFFFFFF,
                                 0x1000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
  const uint32_t lengths[] = {0, 1, 2, 127, 128, 129, 256, 257, 4097, 65537};
  for (const uint32_t chunk_bytes : chunk_sizes) {
    ChunkCollector collector(bytes_max, bytes_max);
    ASSERT_TRUE(collector.reader.set_chunk_size(chunk_bytes));
    size_t count = 0;
    for (const uint32_t timestamp : timestamps) {
      for (const uint32_t length : lengths) {
        const WireHeader header{.chunk_stream_id = 7,
                                .message_type = 9,
                                .timestamp = timestamp,
                                .message_bytes = length,
                                .message_stream_id = 0x01020304};
        const Octets payload = test::filler(length, length + 1);
        Octets wire(wire_bytes(header, chunk_bytes));
        ASSERT_EQ(wire_write(wire.data(), header, chunk_bytes, 0, payload), wire.size());
        ASSERT_TRUE(collector.feed(wire));
        ASSERT_EQ(collector.decoded.messages.size(), ++count);
        const test::WholeMessage expected{7, timestamp, 9, 0x01020304, payload};
        ASSERT_EQ(collector.decoded.messages.back(), expected)
            << chunk_bytes << " " << timestamp << " " << length;
      }
    }
  }
}

TEST(Wire, pieces_give_the_same_bytes_as_the_whole_within_the_bound) {
  const WireHeader header{.chunk_stream_id = 6,
                          .message_type = 8,
                          .timestamp = 0x1000000,
                          .message_bytes = 1000,
                          .message_stream_id = 1};
  const Octets payload = test::filler(1000, 3);
  for (const uint32_t chunk_bytes : {1u, 7u, 128u, 999u, 1000u, 65536u}) {
    Octets whole(wire_bytes(header, chunk_bytes));
    wire_write(whole.data(), header, chunk_bytes, 0, payload);
    for (uint64_t seed = 0; seed < 20; ++seed) {
      Prng prng(seed);
      Octets grown;
      uint32_t offset = 0;
      size_t end = 0;
      while (offset < payload.size()) {
        const uint32_t run =
            static_cast<uint32_t>(std::min<size_t>(1 + prng.below(300), payload.size() - offset));
        grown.resize(wire_end(header, chunk_bytes, offset + run));
        end = wire_write(grown.data(), header, chunk_bytes, offset,
                         Bytes(payload).subspan(offset, run));
        ASSERT_LE(end, grown.size());
        offset += run;
      }
      grown.resize(end);
      ASSERT_EQ(grown, whole) << chunk_bytes;
    }
  }
}

TEST(Wire, message_stream_id_lies_where_it_is_said_to) {
  for (const uint32_t timestamp : {5u, 0x2000000u}) {
    const WireHeader header{.chunk_stream_id = 6,
                            .message_type = 8,
                            .timestamp = timestamp,
                            .message_bytes = 1,
                            .message_stream_id = 0xA1B2C3D4};
    Octets wire(wire_bytes(header, 128));
    const uint8_t payload = 0;
    wire_write(wire.data(), header, 128, 0, {&payload, 1});
    EXPECT_EQ(load_u32_le(wire.data() + wire_message_stream_id_offset), 0xA1B2C3D4u);
  }
}

TEST(ChunkWriter, messages_use_the_announced_size_from_the_announcement_on) {
  ChunkWriter writer;
  Outbox outbox;
  const Octets body = test::filler(300, 1);
  const WireHeader header{.chunk_stream_id = 3, .message_type = 20, .message_bytes = 300};
  writer.write(outbox, header, body);
  EXPECT_EQ(outbox.size(), 12 + 300u + 2);
  writer.change_chunk_size(outbox, 4096);
  const size_t before = outbox.size();
  writer.write(outbox, header, body);
  EXPECT_EQ(outbox.size() - before, 12 + 300u);
  ChunkCollector collector(bytes_max, bytes_max);
  ASSERT_TRUE(collector.feed(outbox.view()));
  ASSERT_EQ(collector.decoded.messages.size(), 3u);
  EXPECT_EQ(collector.decoded.messages[2].payload, body);
}

TEST(ControlMessages, bodies) {
  const struct {
    ControlMessage message;
    uint8_t type;
    const char* hex;
  } cases[] = {
      {set_chunk_size(4096), 1, "00001000"},
      {abort_message(6), 2, "00000006"},
      {acknowledgement(0x100000005), 3, "00000005"},
      {stream_begin(1), 4, "000000000001"},
      {stream_eof(1), 4, "000100000001"},
      {stream_dry(1), 4, "000200000001"},
      {set_buffer_length(1, 3000), 4, "00030000000100000bb8"},
      {stream_is_recorded(1), 4, "000400000001"},
      {ping_request(12345), 4, "000600003039"},
      {ping_response(12345), 4, "000700003039"},
      {buffer_empty(1), 4, "001f00000001"},
      {buffer_ready(1), 4, "002000000001"},
      {window_ack_size(2500000), 5, "002625a0"},
      {set_peer_bandwidth(2500000, BandwidthLimit::dynamic), 6, "002625a002"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(one.message.type, one.type);
    EXPECT_EQ(test::to_hex(one.message.body()), one.hex);
  }
}

TEST(ControlMessages, whole_chunks_are_as_in_the_worked_examples) {
  ChunkWriter writer;
  Outbox outbox;
  writer.write(outbox, window_ack_size(2500000));
  writer.write(outbox, set_peer_bandwidth(2500000, BandwidthLimit::dynamic));
  writer.write(outbox, stream_begin(1));
  EXPECT_EQ(test::to_hex(outbox.view()),
            "020000000000040500000000002625a0"
            "020000000000050600000000002625a002"
            "020000000000060400000000000000000001");
}

}  // namespace
}  // namespace penstock::rtmp

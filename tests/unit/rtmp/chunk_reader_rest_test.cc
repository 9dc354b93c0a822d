#include <gtest/gtest.h>

#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/wire.h"
#include "tests/unit/rtmp/chunk_collector.h"
#include "tests/unit/rtmp/support.h"

// The rest of a message in one go: what it takes at once, where it leaves off, and that it comes to
// the same as pieces.
namespace penstock::rtmp {
namespace {

using test::ChunkCollector;
using test::Decoded;
using test::from_hex;
using test::NaiveChunkReader;
using test::Octets;

constexpr uint32_t bytes_max = 1 << 20;

Octets message(uint8_t chunk_stream_id, uint32_t timestamp, Bytes payload,
               uint32_t chunk_bytes = 128) {
  const WireHeader header{.chunk_stream_id = chunk_stream_id,
                          .message_type = 9,
                          .timestamp = timestamp,
                          .message_bytes = static_cast<uint32_t>(payload.size()),
                          .message_stream_id = 1};
  Octets wire(wire_bytes(header, chunk_bytes));
  wire_write(wire.data(), header, chunk_bytes, 0, payload);
  return wire;
}

/// Header of a type 0 chunk of a video message, without its payload.
Octets type_0(uint8_t chunk_stream_id, uint32_t message_bytes) {
  Octets header(12);
  header[0] = chunk_stream_id;
  store_u24(header.data() + 4, message_bytes);
  header[7] = 9;
  return header;
}

/// The first piece of what is fed, which must be there.
Piece first_piece(ChunkReader& reader, Bytes input) {
  reader.feed(input);
  const auto piece = reader.next();
  EXPECT_TRUE(piece && *piece);
  return **piece;
}

TEST(ChunkReaderRest, whole_rest_comes_in_one_go) {
  const Octets payload = test::filler(1000, 1);
  Octets stream = message(6, 40, payload);
  test::append(stream, message(6, 80, test::filler(10, 2)));
  ChunkReader reader;
  const Piece piece = first_piece(reader, stream);
  Octets room(872);
  EXPECT_TRUE(reader.unfinished(piece.slot));
  EXPECT_EQ(reader.take_rest(piece.slot, room), 872u);
  EXPECT_EQ(room, test::octets(Bytes(payload).subspan(128)));
  EXPECT_FALSE(reader.unfinished(piece.slot));
  EXPECT_EQ(reader.take_rest(piece.slot, room), 0u) << "the message is over";
  const auto next = reader.next();
  ASSERT_TRUE(next && *next);
  EXPECT_EQ((*next)->timestamp, 80u);
  EXPECT_TRUE((*next)->whole());
}

TEST(ChunkReaderRest, skipping_goes_as_far) {
  Octets stream = message(6, 40, test::filler(1000, 1));
  test::append(stream, message(6, 80, test::filler(10, 2)));
  ChunkReader reader;
  const Piece piece = first_piece(reader, stream);
  EXPECT_EQ(reader.skip_rest(piece.slot), 872u);
  EXPECT_FALSE(reader.unfinished(piece.slot));
  EXPECT_EQ((*reader.next())->timestamp, 80u);
}

TEST(ChunkReaderRest, room_of_any_size_is_kept_to) {
  const Octets payload = test::filler(1000, 1);
  const Octets stream = message(6, 40, payload);
  for (size_t room_bytes = 0; room_bytes <= 872; ++room_bytes) {
    ChunkReader reader;
    const Piece piece = first_piece(reader, stream);
    Octets room(room_bytes);
    ASSERT_EQ(reader.take_rest(piece.slot, room), room_bytes);
    ASSERT_EQ(room, test::octets(Bytes(payload).subspan(128, room_bytes)));
    const auto next = reader.next();
    ASSERT_TRUE(next.has_value());
    ASSERT_EQ(next->has_value(), room_bytes < 872);
    if (*next) {
      ASSERT_EQ((*next)->offset, 128 + room_bytes);
    }
  }
}

TEST(ChunkReaderRest, leaves_off_at_any_other_header) {
  // These are the business of next(): another chunk stream, the same one with types 0 to 2, which
  // replace the message or are a fault, and a long form.
  for (const char* header : {"c7", "06", "46", "86", "c000"}) {
    Octets stream = type_0(6, 1000);
    test::append(stream, test::filler(128, 1));
    test::append(stream, from_hex("c6"));
    test::append(stream, test::filler(128, 2));
    test::append(stream, from_hex(header));
    test::append(stream, test::filler(300, 3));
    ChunkReader reader;
    const Piece piece = first_piece(reader, stream);
    Octets room(1000);
    EXPECT_EQ(reader.take_rest(piece.slot, room), 128u) << header;
    EXPECT_EQ(reader.take_unread().size(), stream.size() - 12 - 128 - 129) << header;
  }
}

TEST(ChunkReaderRest, extended_timestamps_and_long_chunk_stream_ids_go_chunk_by_chunk) {
  const Octets extended = message(6, 0x1000000, test::filler(1000, 1));
  Octets long_id = from_hex("0000 000000 0003e8 09 01000000");
  test::append(long_id, test::filler(128, 1));
  test::append(long_id, from_hex("c000"));
  test::append(long_id, test::filler(128, 2));
  for (const auto& [stream, header_bytes] : {std::pair{extended, 16u}, std::pair{long_id, 13u}}) {
    ChunkReader reader;
    // All but 28 bytes of the first chunk: those are the rest that is taken.
    reader.feed(Bytes(stream).first(header_bytes + 100));
    const auto piece = reader.next();
    ASSERT_TRUE(piece && *piece);
    ASSERT_FALSE(reader.next()->has_value());
    reader.feed(Bytes(stream).subspan(header_bytes + 100));
    Octets room(900);
    EXPECT_EQ(reader.take_rest((*piece)->slot, room), 28u);
    EXPECT_EQ(reader.take_rest((*piece)->slot, room), 0u);
    EXPECT_EQ((*reader.next())->offset, 128u);
  }
}

TEST(ChunkReaderRest, of_a_message_that_was_not_told_of_yet_there_is_none) {
  ChunkReader reader;
  Octets room(1000);
  for (uint8_t slot = 0; slot < partial_messages_max; ++slot) {
    EXPECT_EQ(reader.take_rest(slot, room), 0u) << "nothing was read yet";
  }
  // The input ends behind the header: next() has read it, and nothing to tell.
  const Octets header = type_0(6, 300), payload = test::filler(128, 1);
  reader.feed(header);
  ASSERT_FALSE(reader.next()->has_value());
  reader.feed(payload);
  EXPECT_EQ(reader.take_rest(0, room), 0u);
  const auto piece = reader.next();
  ASSERT_TRUE(piece && *piece);
  EXPECT_EQ((*piece)->offset, 0u);
  EXPECT_EQ((*piece)->bytes.size(), 128u);
}

TEST(ChunkReaderRest, payload_that_had_to_be_held_comes_as_a_piece_first) {
  // Four bytes were looked at as an extended timestamp, in two inputs, and are payload.
  Octets stream = from_hex("06ffffff00012c090100000001000000");
  test::append(stream, test::filler(128, 1));
  test::append(stream, from_hex("c6"));
  const Octets rest = test::filler(172, 2);
  test::append(stream, rest);
  ChunkReader reader;
  const Piece first = first_piece(reader, Bytes(stream).first(16 + 128 + 3));
  ASSERT_FALSE(reader.next()->has_value());
  Octets room(172);
  reader.feed(Bytes(stream).subspan(16 + 128 + 3));
  EXPECT_EQ(reader.take_rest(first.slot, room), 0u) << "its header is not complete";
  const auto held = reader.next();
  ASSERT_TRUE(held && *held);
  ASSERT_EQ((*held)->bytes.size(), 4u);
  EXPECT_EQ(reader.take_rest(first.slot, room), 124u);
  EXPECT_TRUE(std::equal(rest.begin() + 4, rest.begin() + 128, room.begin()));
}

TEST(ChunkReaderRest, chunk_size_that_changed_inside_a_message_holds_for_the_next_chunk) {
  Octets stream = type_0(6, 400);
  test::append(stream, test::filler(128, 1));
  const Octets rest = test::filler(272, 2);
  ChunkReader reader;
  const Piece piece = first_piece(reader, stream);
  ASSERT_TRUE(reader.set_chunk_size(100));
  Octets more;
  for (size_t at = 0; at < rest.size(); at += 100) {
    more.push_back(0xC6);
    test::append(more, Bytes(rest).subspan(at, std::min<size_t>(100, rest.size() - at)));
  }
  reader.feed(more);
  Octets room(272);
  EXPECT_EQ(reader.take_rest(piece.slot, room), 272u);
  EXPECT_EQ(room, rest);
}

TEST(ChunkReaderRest, abort_ends_it) {
  Octets stream = type_0(6, 400);
  test::append(stream, test::filler(128, 1));
  ChunkReader reader;
  const Piece piece = first_piece(reader, stream);
  ASSERT_EQ(reader.abort(6), piece.slot);
  Octets chunk = from_hex("c6");
  test::append(chunk, test::filler(128, 2));
  reader.feed(chunk);
  Octets room(400);
  EXPECT_EQ(reader.take_rest(piece.slot, room), 0u);
  EXPECT_EQ((*reader.next())->offset, 0u) << "type 3 begins the next message";
}

/// Messages of several chunk streams whose chunks come in turn, with all that may come in between.
Octets woven() {
  Octets stream;
  const auto cut = [](const Octets& wire, size_t from, size_t to) {
    return Bytes(wire).subspan(from, std::min(to, wire.size()) - from);
  };
  const Octets video = message(6, 40, test::filler(700, 1));
  const Octets audio = message(4, 43, test::filler(300, 2));
  const Octets late = message(7, 0x1234567, test::filler(400, 3));
  test::append(stream, cut(video, 0, 12 + 128 + 2 * 129));
  test::append(stream, cut(audio, 0, 12 + 128));
  test::append(stream, cut(video, 12 + 128 + 2 * 129, 12 + 128 + 3 * 129));
  test::append(stream, cut(audio, 12 + 128, SIZE_MAX));
  test::append(stream, cut(late, 0, 16 + 128 + 133));
  // A message that is given up, then the rest of the other two.
  test::append(stream, cut(message(5, 50, test::filler(300, 4)), 0, 12 + 128 + 129));
  test::append(stream, from_hex("02000000000004020000000000000005"));
  test::append(stream, cut(video, 12 + 128 + 3 * 129, SIZE_MAX));
  test::append(stream, cut(late, 16 + 128 + 133, SIZE_MAX));
  // Set Chunk Size to 64 between two chunks of a message.
  test::append(stream, cut(message(6, 80, test::filler(300, 5)), 0, 12 + 128));
  test::append(stream, from_hex("02000000000004010000000000000040"));
  const Octets rest = test::filler(172, 6);
  for (size_t at = 0; at < rest.size(); at += 64) {
    stream.push_back(0xC6);
    test::append(stream, cut(rest, at, at + 64));
  }
  // The next message of the chunk stream begins with the very header that continued the last one.
  stream.push_back(0xC6);
  test::append(stream, Bytes(test::filler(64, 7)));
  test::append(stream, message(6, 200, test::filler(150, 8), 64));
  return stream;
}

TEST(ChunkReaderRest, pieces_and_rests_come_to_the_same_at_every_cut) {
  const Octets stream = woven();
  const Decoded expected = NaiveChunkReader(stream, bytes_max, bytes_max).decode();
  ASSERT_EQ(expected.messages.size(), 7u);
  Prng prng(1);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    for (const size_t gap : {size_t{0}, size_t{1}, size_t{5}, size_t{130}}) {
      const size_t second = std::min(stream.size(), cut + gap);
      for (Prng* rests : {static_cast<Prng*>(nullptr), &prng}) {
        ChunkCollector collector(bytes_max, bytes_max, rests);
        // Copies, so that the memory checker sees a reader that looks outside of its input.
        ASSERT_TRUE(collector.feed(test::octets(Bytes(stream).first(cut))));
        ASSERT_TRUE(collector.feed(test::octets(Bytes(stream).subspan(cut, second - cut))));
        ASSERT_TRUE(collector.feed(test::octets(Bytes(stream).subspan(second))));
        ASSERT_EQ(collector.decoded.messages, expected.messages) << cut << ", " << second;
        ASSERT_EQ(collector.rest_bytes > 0, rests != nullptr) << cut;
      }
    }
  }
}

}  // namespace
}  // namespace penstock::rtmp

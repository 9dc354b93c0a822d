#include "dataplane/engine/tcp/scoreboard.h"

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/engine/tcp/sequence.h"
#include "penstock/base/prng.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint32_t segment = 100;

/// Segments of 100 bytes from number `first` on, one a millisecond.
struct Board : testing::Test {
  static constexpr uint32_t first = 0xffffff00;  // wraps
  SentRecords records{64};
  Scoreboard board;
  SendBlock block;  // what cursors point to; nobody reads the bytes
  std::vector<uint8_t> bytes = std::vector<uint8_t>(1 << 20);
  uint32_t next = first;
  uint64_t ms = 1;

  Board() {
    block.slices[0] = bytes;
    block.end = 1;
  }
  void send(int count) {
    for (int i = 0; i < count; ++i) {
      const uint32_t index = records.take();
      ASSERT_NE(index, no_index);
      SentRecord& record = records.at(index);
      record.block = &block;
      record.offset = next - first;
      record.begin = next;
      record.end = next += segment;
      board.push(records, index);
      board.sent(records, index, ms * ns_per_ms, ms);
      ++ms;
    }
  }
  /// Numbers of segments.
  AckDigest sack(uint32_t from, uint32_t to) {
    AckDigest digest;
    const SequenceRange range{first + from * segment, first + to * segment};
    board.sack(records, range, range.begin, forward, digest);
    forward = later_of(forward, range.end);
    return digest;
  }
  AckDigest acknowledge(uint32_t number) {
    AckDigest digest;
    board.acknowledge(records, number, forward, digest);
    forward = later_of(forward, number);
    return digest;
  }
  uint32_t forward = first;
};

TEST_F(Board, what_is_acknowledged_is_gone) {
  send(4);
  const AckDigest digest = acknowledge(first + 2 * segment);
  EXPECT_EQ(digest.acked_bytes, 2 * segment);
  EXPECT_EQ(digest.delivered_bytes, 2 * segment);
  EXPECT_EQ(digest.newest_end, first + 2 * segment);
  EXPECT_FALSE(digest.reordered);
  EXPECT_EQ(board.in_flight(), 2u);
  EXPECT_EQ(board.in_flight_bytes(), 2 * segment);
  EXPECT_EQ(records.in_use(), 2u);
}

TEST_F(Board, a_part_of_a_segment_can_be_acknowledged) {
  send(2);
  const AckDigest digest = acknowledge(first + 30);
  EXPECT_EQ(digest.acked_bytes, 30u);
  const SentRecord& record = records.at(board.head());
  EXPECT_EQ(record.begin, first + 30);
  EXPECT_EQ(record.offset, 30u);
  EXPECT_EQ(board.in_flight_bytes(), 170u);
}

TEST_F(Board, what_is_sacked_is_delivered_once) {
  send(5);
  EXPECT_EQ(sack(2, 4).delivered_bytes, 2 * segment);
  EXPECT_EQ(sack(2, 4).delivered_bytes, 0u);
  EXPECT_EQ(sack(1, 5).delivered_bytes, 2 * segment);
  EXPECT_EQ(board.sacked(), 4u);
  EXPECT_EQ(board.in_flight(), 1u);
  const AckDigest digest = acknowledge(first + 5 * segment);
  EXPECT_EQ(digest.acked_bytes, 5 * segment);
  EXPECT_EQ(digest.delivered_bytes, segment);
  // It comes last of all and was sent first.
  EXPECT_TRUE(digest.reordered);
  EXPECT_TRUE(board.empty());
}

TEST_F(Board, a_range_that_cuts_segments_says_nothing_about_them) {
  send(3);
  AckDigest digest;
  const SequenceRange range{first + 50, first + 250};
  board.sack(records, range, range.begin, forward, digest);
  EXPECT_EQ(digest.delivered_bytes, segment);
  EXPECT_EQ(board.sacked(), 1u);
}

TEST_F(Board, what_was_sent_before_the_newest_and_is_late_is_lost) {
  send(4);  // at 1, 2, 3 and 4 ms
  const AckDigest digest = sack(3, 4);
  // Patience of 10 ms: the first is late at 11 ms.
  EXPECT_EQ(board.detect_losses(records, digest.newest_sent_at_ns, digest.newest_end,
                                10 * ns_per_ms, 10 * ns_per_ms),
            ns_per_ms);
  EXPECT_EQ(board.lost(), 0u);
  EXPECT_EQ(board.detect_losses(records, digest.newest_sent_at_ns, digest.newest_end,
                                10 * ns_per_ms, 12 * ns_per_ms),
            ns_per_ms);
  EXPECT_EQ(board.lost(), 2u);
  EXPECT_EQ(records.at(board.next_lost(records)).begin, first);
}

TEST_F(Board, what_is_sent_again_is_watched_from_then_on) {
  send(3);
  const AckDigest digest = sack(2, 3);
  std::ignore =
      board.detect_losses(records, digest.newest_sent_at_ns, digest.newest_end, 0, 100 * ns_per_ms);
  ASSERT_EQ(board.lost(), 2u);
  board.sent(records, board.next_lost(records), 101 * ns_per_ms, 9);
  EXPECT_EQ(board.lost(), 1u);
  EXPECT_EQ(records.at(board.next_lost(records)).begin, first + segment);
  // It left after the newest that was delivered: nothing is known of it.
  EXPECT_EQ(
      board.detect_losses(records, digest.newest_sent_at_ns, digest.newest_end, 0, 200 * ns_per_ms),
      0u);
  EXPECT_EQ(board.lost(), 1u);
}

TEST_F(Board, losses_that_were_none_are_in_flight_again_in_their_order) {
  send(4);
  board.mark_all_lost(records, false);
  EXPECT_EQ(board.in_flight(), 0u);
  board.sent(records, board.next_lost(records), 50 * ns_per_ms, 9);
  board.restore_lost(records);
  EXPECT_EQ(board.lost(), 0u);
  EXPECT_EQ(board.in_flight_bytes(), 4 * segment);
  // By time: the three that were not sent again come first.
  const AckDigest digest = sack(3, 4);
  std::ignore =
      board.detect_losses(records, digest.newest_sent_at_ns, digest.newest_end, 0, 60 * ns_per_ms);
  EXPECT_EQ(board.lost(), 2u);
  EXPECT_EQ(records.at(board.next_lost(records)).begin, first + segment);
}

TEST_F(Board, a_timeout_takes_sacks_back_only_of_who_reneges) {
  send(3);
  sack(1, 2);
  board.mark_all_lost(records, false);
  EXPECT_EQ(board.lost(), 2u);
  EXPECT_EQ(board.sacked(), 1u);
  board.mark_all_lost(records, true);
  EXPECT_EQ(board.lost(), 3u);
  EXPECT_EQ(board.sacked(), 0u);
}

TEST_F(Board, a_segment_is_cut_where_the_path_is_narrower) {
  send(2);
  ASSERT_TRUE(board.split(records, board.head(), 40));
  EXPECT_EQ(board.in_flight(), 3u);
  EXPECT_EQ(board.in_flight_bytes(), 2 * segment);
  const SentRecord& one = records.at(board.head());
  const SentRecord& two = records.at(one.next);
  EXPECT_EQ(one.end, first + 40);
  EXPECT_EQ(two.begin, first + 40);
  EXPECT_EQ(two.offset, 40u);
  EXPECT_EQ(two.end, first + 100);
  EXPECT_EQ(records.at(two.next).begin, first + 100);
}

/// Counts and orders are those of the records, whatever happens.
TEST_F(Board, agrees_with_its_records_under_random_use) {
  Prng prng(5);
  for (int step = 0; step < 100'000; ++step) {
    const uint32_t held = board.empty() ? 0 : next - records.at(board.head()).begin;
    const auto inside = [&] { return next - held + static_cast<uint32_t>(prng.below(held + 1)); };
    switch (prng.below(8)) {
      case 0:
      case 1:
        if (records.left() > 2) send(1);
        break;
      case 2:
        if (prng.chance(300)) acknowledge(inside());
        break;
      case 3: {
        const uint32_t from = inside();
        AckDigest digest;
        const SequenceRange range{from, later_of(from, inside())};
        board.sack(records, range, range.begin, forward, digest);
        forward = later_of(forward, range.end);
        if (digest.has_newest) {
          std::ignore = board.detect_losses(records, digest.newest_sent_at_ns, digest.newest_end,
                                            prng.below(20) * ns_per_ms, ms * ns_per_ms);
        }
        break;
      }
      case 4:
        if (board.lost() > 0) {
          board.sent(records, board.next_lost(records), ms++ * ns_per_ms, 1);
        }
        break;
      case 5:
        if (prng.chance(20)) board.mark_all_lost(records, prng.chance(500));
        if (prng.chance(20)) board.restore_lost(records);
        break;
      case 6:
        if (!board.empty() && records.at(board.head()).bytes() > 1 && records.left() > 0) {
          const uint32_t whole = records.at(board.head()).bytes();
          ASSERT_TRUE(
              board.split(records, board.head(), 1 + static_cast<uint32_t>(prng.below(whole - 1))));
        }
        break;
      default:
        if (!board.empty()) board.mark_lost(records, board.tail());
        break;
    }
    uint32_t flying = 0, flying_bytes = 0, lost = 0, sacked = 0, count = 0;
    uint32_t lowest_lost = no_index;
    uint32_t end = board.empty() ? next : records.at(board.head()).begin;
    for (uint32_t index = board.head(); index != no_index; index = records.at(index).next) {
      const SentRecord& record = records.at(index);
      ASSERT_EQ(record.begin, end);
      end = record.end;
      ASSERT_EQ(record.in_flight + record.lost + record.sacked, 1);
      flying += record.in_flight ? 1 : 0;
      flying_bytes += record.in_flight ? record.bytes() : 0;
      lost += record.lost ? 1 : 0;
      sacked += record.sacked ? 1 : 0;
      if (record.lost && lowest_lost == no_index) lowest_lost = index;
      ++count;
    }
    ASSERT_EQ(end, next);
    ASSERT_EQ(board.in_flight(), flying);
    ASSERT_EQ(board.in_flight_bytes(), flying_bytes);
    ASSERT_EQ(board.lost(), lost);
    ASSERT_EQ(board.sacked(), sacked);
    ASSERT_EQ(records.in_use(), count);
    ASSERT_EQ(board.next_lost(records), lowest_lost);
  }
  board.clear(records);
  EXPECT_EQ(records.in_use(), 0u);
}

}  // namespace
}  // namespace penstock::engine::tcp

#include "bench/load/continuity.h"

#include <gtest/gtest.h>

#include <vector>

#include "penstock/rtmp/message.h"

namespace penstock::load {
namespace {

using rtmp::message_type::audio;
using rtmp::message_type::video;

std::vector<uint8_t> stamped_head(uint8_t type, const Stamp& stamp) {
  std::vector<uint8_t> head(MessageHead::bytes_max, 1);
  write_stamp(head.data() + (type == video ? stamp_at_video : stamp_at_audio), stamp);
  return head;
}

TEST(Continuity, stamps_in_order_are_no_gap_wherever_they_begin) {
  Continuity continuity;
  for (uint32_t i = 40; i < 60; ++i) {
    const Arrival arrival = continuity.take(video, 0, stamped_head(video, {1, i, 1000 + i}));
    EXPECT_FALSE(arrival.gap);
    EXPECT_EQ(arrival.sent_at_ns, 1000u + i);
    EXPECT_FALSE(continuity.take(audio, 0, stamped_head(audio, {1, i * 2 - 80, 5})).gap);
    EXPECT_FALSE(continuity.take(audio, 0, stamped_head(audio, {1, i * 2 - 79, 5})).gap);
  }
}

TEST(Continuity, a_missing_one_is_one_gap) {
  Continuity continuity;
  continuity.take(video, 0, stamped_head(video, {1, 7, 1}));
  const Arrival arrival = continuity.take(video, 0, stamped_head(video, {1, 11, 1}));
  EXPECT_TRUE(arrival.gap);
  EXPECT_EQ(arrival.missing, 3u);
  EXPECT_FALSE(continuity.take(video, 0, stamped_head(video, {1, 12, 1})).gap);
}

TEST(Continuity, an_older_one_is_a_gap) {
  Continuity continuity;
  continuity.take(audio, 0, stamped_head(audio, {1, 7, 1}));
  EXPECT_TRUE(continuity.take(audio, 0, stamped_head(audio, {1, 6, 1})).gap);
}

TEST(Continuity, a_publisher_that_came_back_begins_anew) {
  Continuity continuity;
  continuity.take(video, 0, stamped_head(video, {1, 700, 1}));
  EXPECT_FALSE(continuity.take(video, 0, stamped_head(video, {2, 0, 1})).gap);
  EXPECT_FALSE(continuity.take(video, 0, stamped_head(video, {2, 1, 1})).gap);
}

TEST(Continuity, foreign_media_goes_by_timestamps) {
  const std::vector<uint8_t> head(20, 1);
  Continuity strict(34);
  EXPECT_FALSE(strict.take(video, 5000, head).gap);
  EXPECT_FALSE(strict.take(video, 5034, head).gap);
  EXPECT_FALSE(strict.take(audio, 4990, head).gap);
  EXPECT_TRUE(strict.take(video, 5101, head).gap);
  EXPECT_TRUE(strict.take(video, 5100, head).gap);
  Continuity foreign;
  EXPECT_FALSE(foreign.take(video, 0, head).gap);
  EXPECT_FALSE(foreign.take(video, 900, head).gap);
  EXPECT_TRUE(foreign.take(video, 2000, head).gap);
}

TEST(MessageHead, is_the_same_however_the_message_was_cut) {
  std::vector<uint8_t> message(100);
  for (size_t i = 0; i < message.size(); ++i) message[i] = static_cast<uint8_t>(i);
  for (size_t cut = 0; cut <= message.size(); ++cut) {
    MessageHead head;
    std::vector<uint8_t> found;
    uint32_t times = 0;
    uint32_t offset = 0;
    for (const Bytes part : {Bytes(message).first(cut), Bytes(message).subspan(cut)}) {
      if (part.empty()) continue;
      const auto bytes = head.feed({.message_bytes = 100, .offset = offset, .bytes = part});
      if (bytes) {
        found.assign(bytes->begin(), bytes->end());
        ++times;
      }
      offset += static_cast<uint32_t>(part.size());
    }
    EXPECT_EQ(times, 1u) << cut;
    EXPECT_EQ(found, std::vector<uint8_t>(message.begin(), message.begin() + 64)) << cut;
  }
}

TEST(MessageHead, short_messages_are_their_own_head) {
  MessageHead head;
  const std::vector<uint8_t> message = {1, 2, 3, 4};
  EXPECT_FALSE(head.feed({.message_bytes = 4, .offset = 0, .bytes = Bytes(message).first(1)}));
  const auto bytes =
      head.feed({.message_bytes = 4, .offset = 1, .bytes = Bytes(message).subspan(1)});
  ASSERT_TRUE(bytes);
  EXPECT_EQ(std::vector<uint8_t>(bytes->begin(), bytes->end()), message);
}

}  // namespace
}  // namespace penstock::load

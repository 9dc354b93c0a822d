#include "bench/load/media_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "bench/load/continuity.h"
#include "bench/load/flv_source.h"
#include "bench/load/synthetic_gop.h"
#include "penstock/media/flv.h"
#include "penstock/media/tag.h"
#include "penstock/rtmp/message.h"

namespace penstock::load {
namespace {

using rtmp::message_type::audio;
using rtmp::message_type::video;

struct Read {
  uint8_t type;
  uint32_t timestamp;
  std::vector<uint8_t> payload;
};

/// As any server would read it.
std::vector<Read> read_wire(std::initializer_list<Bytes> parts, uint32_t chunk_bytes) {
  rtmp::ChunkReader reader;
  EXPECT_TRUE(reader.set_chunk_size(chunk_bytes));
  std::vector<Read> messages;
  std::map<uint8_t, std::vector<uint8_t>> unfinished;
  for (const Bytes part : parts) {
    reader.feed(part);
    for (;;) {
      const auto piece = reader.next();
      EXPECT_TRUE(piece.has_value());
      if (!piece || !*piece) break;
      auto& payload = unfinished[(*piece)->slot];
      payload.insert(payload.end(), (*piece)->bytes.begin(), (*piece)->bytes.end());
      if (!(*piece)->completes()) continue;
      messages.push_back({(*piece)->message_type, (*piece)->timestamp, std::move(payload)});
      payload.clear();
    }
  }
  return messages;
}

class SyntheticLoop : public testing::TestWithParam<uint32_t> {};

TEST_P(SyntheticLoop, two_turns_are_read_as_they_were_meant) {
  const SyntheticMedia media;
  const MediaLoop loop = make_synthetic_loop(media, GetParam());
  const auto body = synthetic_body(media);
  const auto read = read_wire({loop.preamble, loop.image, loop.image}, GetParam());
  ASSERT_EQ(read.size(), 3 + 2 * body.size());
  ASSERT_EQ(body.size(), 146u);
  // Without a type 0 header in the first turn, each type begins one step after the preamble.
  std::map<uint8_t, uint32_t> first;
  for (size_t i = 0; i < 2 * body.size(); ++i) {
    const LoopInput& meant = body[i % body.size()];
    const Read& got = read[3 + i];
    EXPECT_EQ(got.type, meant.message_type);
    EXPECT_EQ(got.payload, meant.payload);
    const uint32_t shift = first.try_emplace(got.type, got.timestamp).first->second;
    EXPECT_EQ(got.timestamp - shift,
              meant.timestamp_ms + (i >= body.size() ? media.gop_s * 1000 : 0));
  }
}

TEST_P(SyntheticLoop, messages_lie_where_they_are_said_to) {
  const MediaLoop loop = make_synthetic_loop({}, GetParam());
  uint32_t at = 0;
  for (const LoopMessage& message : loop.messages) {
    EXPECT_EQ(message.wire_at, at);
    at += message.wire_bytes;
    EXPECT_EQ(loop.image[message.wire_at + message.stamp_at], 'x');
    EXPECT_EQ(loop.image[message.wire_at + message.stamp_at + stamp_bytes - 1], 'x');
    EXPECT_EQ(load_u24(loop.image.data() + message.wire_at + 4), message.payload_bytes);
  }
  EXPECT_EQ(at, loop.image.size());
  EXPECT_EQ(loop.period_us, 2'000'000u);
  EXPECT_EQ(loop.step_ms_max, 34u);
}

INSTANTIATE_TEST_SUITE_P(chunk_sizes, SyntheticLoop, testing::Values(128, 4096, 65536));

TEST(SyntheticGop, has_the_bitrate_and_the_sizes_of_an_encoder) {
  for (const uint64_t bitrate : {100'000u, 200'000u, 1'000'000u, 8'000'000u}) {
    const SyntheticMedia media{.bits_per_second = bitrate};
    uint64_t bytes = 0;
    size_t key_bytes = 0;
    size_t picture_bytes = 0;
    for (const LoopInput& message : synthetic_body(media)) {
      bytes += message.payload.size();
      if (message.message_type != video) continue;
      const auto info = media::inspect_video(
          Bytes(message.payload).first(std::min(message.payload.size(), media::tag_prefix_bytes)));
      EXPECT_EQ(info.codec, media::Codec::avc);
      (info.key ? key_bytes : picture_bytes) = message.payload.size();
    }
    EXPECT_NEAR(static_cast<double>(bytes * 8 / media.gop_s), static_cast<double>(bitrate),
                static_cast<double>(bitrate) * 0.02);
    EXPECT_NEAR(static_cast<double>(key_bytes), 8 * static_cast<double>(picture_bytes), 8);
  }
}

TEST(SyntheticGop, a_keyframe_that_a_message_cannot_hold_leaves_the_rest_to_the_others) {
  const SyntheticMedia media{.bits_per_second = 1'000'000'000};
  EXPECT_TRUE(fits_messages(media));
  uint64_t bytes = 0;
  size_t largest = 0;
  for (const LoopInput& message : synthetic_body(media)) {
    bytes += message.payload.size();
    largest = std::max(largest, message.payload.size());
  }
  EXPECT_EQ(largest, 0xFFFFFFu);
  EXPECT_NEAR(static_cast<double>(bytes), 250e6, 1e5);
  EXPECT_FALSE(fits_messages({.bits_per_second = 1'000'000'000, .video_fps = 1, .gop_s = 1}));
}

TEST(SyntheticGop, every_message_has_room_for_its_stamp_at_the_lowest_bitrate) {
  SyntheticMedia media;
  media.bits_per_second = bits_per_second_min(media);
  for (const LoopInput& message : synthetic_body(media)) {
    const std::vector<uint8_t> none(stamp_bytes, 'x');
    ASSERT_GE(message.payload.size(), message.stamp_at + stamp_bytes);
    EXPECT_EQ(
        std::vector<uint8_t>(message.payload.begin() + ptrdiff_t(message.stamp_at),
                             message.payload.begin() + ptrdiff_t(message.stamp_at + stamp_bytes)),
        none);
    EXPECT_EQ(message.stamp_at, message.message_type == video ? stamp_at_video : stamp_at_audio);
  }
}

TEST(FlvLoop, takes_headers_to_the_front_and_goes_on_over_its_end) {
  const std::vector<uint8_t> metadata = {2,   0,   10,  'o', 'n', 'M', 'e',
                                         't', 'a', 'D', 'a', 't', 'a', 5};
  const std::vector<uint8_t> avc_header = {0x17, 0, 0, 0, 0, 1, 2, 3};
  const std::vector<uint8_t> aac_header = {0xAF, 0, 0x12, 0x10};
  std::vector<uint8_t> file;
  media::flv_append_header(file, true, true);
  media::flv_append_tag(file, {media::flv_type_script, 0, metadata});
  media::flv_append_tag(file, {media::flv_type_video, 0, avc_header});
  media::flv_append_tag(file, {media::flv_type_audio, 0, aac_header});
  std::vector<std::vector<uint8_t>> bodies;
  for (uint8_t i = 0; i < 5; ++i) {
    bodies.push_back({static_cast<uint8_t>(i == 0 ? 0x17 : 0x27), 1, 0, 0, 0, i});
    media::flv_append_tag(file, {media::flv_type_video, 100u + i * 40u, bodies.back()});
  }
  const auto loop = make_flv_loop(file, 128);
  ASSERT_TRUE(loop) << loop.error();
  EXPECT_EQ(loop->period_us, 200'000u);
  EXPECT_EQ(loop->step_ms_max, 40u);
  EXPECT_FALSE(loop->stamped);
  const auto read = read_wire({loop->preamble, loop->image, loop->image}, 128);
  ASSERT_EQ(read.size(), 13u);
  EXPECT_EQ(as_text(read[0].payload).substr(3, 13), "@setDataFrame");
  EXPECT_EQ(read[1].payload, avc_header);
  EXPECT_EQ(read[2].payload, aac_header);
  for (uint32_t i = 0; i < 10; ++i) {
    EXPECT_EQ(read[3 + i].payload, bodies[i % 5]);
    EXPECT_EQ(read[3 + i].timestamp - read[3].timestamp, i * 40);
  }
}

TEST(FlvLoop, says_what_is_wrong_with_a_file) {
  EXPECT_FALSE(make_flv_loop(as_bytes("RIFF, not FLV at all"), 4096));
  std::vector<uint8_t> file;
  media::flv_append_header(file, true, true);
  EXPECT_FALSE(make_flv_loop(file, 4096));
}

}  // namespace
}  // namespace penstock::load

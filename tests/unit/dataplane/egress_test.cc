#include "dataplane/egress.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "penstock/rtmp/aggregate.h"
#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/message.h"

namespace penstock::dataplane {
namespace {

constexpr size_t arena_bytes = 4 << 20;

/// Records what it is given to send; a test decides when it has been sent.
class RecordingEngine : public engine::Engine {
 public:
  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent>, Instant) override {
    return {};
  }
  std::optional<engine::ConnectionId> connect(const engine::Endpoint&) override {
    return std::nullopt;
  }
  void send(engine::ConnectionId, std::span<const Bytes> slices) override {
    ++sends;
    slice_count = slices.size();
    for (const Bytes slice : slices) sent.insert(sent.end(), slice.begin(), slice.end());
  }
  void set_reading(engine::ConnectionId, bool) override {}
  void set_low_water(engine::ConnectionId, uint32_t, engine::Rest) override {}
  void finish(engine::ConnectionId) override {}
  void close(engine::ConnectionId) override {}
  bool set_accepting(bool) override { return true; }
  void set_gather_max(uint64_t) override {}
  void wake() override {}

  int sends = 0;
  size_t slice_count = 0;
  std::vector<uint8_t> sent;
};

class EgressTest : public testing::Test {
 protected:
  ~EgressTest() override {
    egress_.clear(pool_);
    log_.clear(pool_);
    EXPECT_EQ(pool_.frames_in_use(), 0u);
  }

  void push(FrameKind kind, uint32_t bytes, bool config = false, uint16_t config_key = 0) {
    const rtmp::WireHeader header{.chunk_stream_id = 6, .message_type = 8, .message_bytes = bytes};
    Frame* frame = log_.begin(pool_, header, 65536);
    ASSERT_NE(frame, nullptr);
    ASSERT_TRUE(FrameLog::grow(pool_, frame, frame->length));
    const std::vector<uint8_t> payload(bytes, next_++);
    rtmp::wire_write(frame->bytes, header, 65536, 0, payload);
    frame->kind = kind;
    frame->config = config;
    frame->config_key = config_key;
    egress_.push(frame);
    pool_.release(frame);
  }
  uint32_t flush() { return egress_.flush(engine_, {}, Instant{1}); }

  std::unique_ptr<uint8_t, decltype(&std::free)> arena_{
      static_cast<uint8_t*>(std::aligned_alloc(block_bytes_min, arena_bytes)), &std::free};
  FramePool pool_{MutableBytes{arena_.get(), arena_bytes}};
  FrameLog log_;
  RecordingEngine engine_;
  Egress egress_;
  uint8_t next_ = 1;
};

using egress = EgressTest;

TEST_F(egress, what_queued_up_behind_a_send_goes_out_as_one_slice) {
  push(FrameKind::audio, 100);
  EXPECT_EQ(flush(), 1u);
  push(FrameKind::audio, 100);
  push(FrameKind::audio, 100);
  push(FrameKind::audio, 100);
  EXPECT_EQ(flush(), 0u) << "one send at a time";
  egress_.sent(pool_, 112, Instant{2});
  EXPECT_EQ(flush(), 1u);
  EXPECT_EQ(engine_.slice_count, 1u);
  EXPECT_EQ(engine_.sent.size(), 4u * 112);
}

TEST_F(egress, partial_completions_release_frames_in_order) {
  push(FrameKind::video, 1000);
  push(FrameKind::video, 1000);
  flush();
  const size_t frames = pool_.frames_in_use();
  egress_.sent(pool_, 500, Instant{2});
  EXPECT_EQ(pool_.frames_in_use(), frames);
  EXPECT_EQ(egress_.queued_bytes(), 2u * 1012 - 500);
  egress_.sent(pool_, 600, Instant{3});
  EXPECT_EQ(pool_.frames_in_use(), frames - 1);
  EXPECT_TRUE(egress_.sending());
  egress_.sent(pool_, 2 * 1012 - 1100, Instant{4});
  EXPECT_TRUE(egress_.idle());
  EXPECT_FALSE(egress_.sending());
}

TEST_F(egress, dropping_media_keeps_what_is_in_flight_and_what_a_decoder_needs) {
  push(FrameKind::video, 10);
  flush();
  push(FrameKind::video, 20);
  push(FrameKind::video, 30, true);
  push(FrameKind::control, 40);
  push(FrameKind::audio, 50);
  EXPECT_EQ(egress_.drop_media(pool_), 2u);
  egress_.sent(pool_, 22, Instant{2});
  engine_.sent.clear();
  flush();
  EXPECT_EQ(engine_.sent.size(), 42u + 52u);
  EXPECT_EQ(engine_.sent[12], 3) << "the header comes first, as it was queued";
}

TEST_F(egress, of_each_header_only_the_newest_waits_for_a_slow_peer) {
  push(FrameKind::video, 10);
  flush();
  push(FrameKind::video, 20, true);  // 2
  push(FrameKind::audio, 30, true);  // 3
  push(FrameKind::video, 40);        // 4
  push(FrameKind::video, 50, true);  // 5 replaces 2
  EXPECT_EQ(egress_.droppable_bytes(), 52u);
  EXPECT_EQ(egress_.drop_media(pool_), 2u);
  EXPECT_EQ(egress_.droppable_bytes(), 0u);
  egress_.sent(pool_, 22, Instant{2});
  engine_.sent.clear();
  flush();
  ASSERT_EQ(engine_.sent.size(), 42u + 62u);
  EXPECT_EQ(engine_.sent[12], 3);
  EXPECT_EQ(engine_.sent[42 + 12], 5);
}

TEST_F(egress, answers_are_counted_until_they_are_sent) {
  push(FrameKind::control, 100);
  push(FrameKind::audio, 100);
  EXPECT_EQ(egress_.control_bytes(), 112u);
  EXPECT_EQ(egress_.drop_media(pool_), 1u);
  EXPECT_EQ(egress_.control_bytes(), 112u);
  flush();
  egress_.sent(pool_, 112, Instant{2});
  EXPECT_EQ(egress_.control_bytes(), 0u);
}

TEST_F(egress, order_and_bytes_survive_any_pattern_of_growth_and_completion) {
  std::vector<uint8_t> expected;
  uint64_t outstanding = 0;
  for (int round = 0; round < 300; ++round) {
    for (int i = 0; i < round % 7 + 1; ++i) {
      push(FrameKind::audio, static_cast<uint32_t>(1 + (round * 13 + i) % 900));
    }
    if (!egress_.sending()) {
      const size_t before = engine_.sent.size();
      flush();
      outstanding = engine_.sent.size() - before;
    }
    const auto part = static_cast<uint32_t>(std::min<uint64_t>(outstanding, 700));
    if (part > 0) egress_.sent(pool_, part, Instant{2});
    outstanding -= part;
  }
  while (!egress_.idle()) {
    if (outstanding == 0) {
      const size_t before = engine_.sent.size();
      flush();
      outstanding = engine_.sent.size() - before;
    }
    egress_.sent(pool_, static_cast<uint32_t>(outstanding), Instant{3});
    outstanding = 0;
  }
  // Every frame is its type 0 header and then a run of its own number, one more than the run
  // before.
  uint8_t number = 1;
  for (size_t at = 0; at < engine_.sent.size();) {
    const uint32_t bytes = load_u24(engine_.sent.data() + at + 4);
    for (uint32_t i = 0; i < bytes; ++i) ASSERT_EQ(engine_.sent[at + 12 + i], number);
    at += 12 + bytes;
    ++number;
  }
  EXPECT_EQ(number, next_);
}

TEST_F(egress, counts_the_frames_that_another_worker_waits_for) {
  ReturnRing returns(64);
  pool_.set_return_ring(1, &returns);
  uint8_t bytes[100] = {};
  Frame theirs[4];
  for (Frame& frame : theirs) {
    Frame* stand_in = pool_.make_stand_in({.kind = LeaseKind::frame,
                                           .frame_kind = FrameKind::video,
                                           .length = sizeof bytes,
                                           .frame = &frame,
                                           .bytes = bytes},
                                          1);
    egress_.push(stand_in);
    pool_.release(stand_in);
    if (&frame == &theirs[1]) flush();
    push(FrameKind::audio, 100);
  }
  EXPECT_EQ(egress_.leased_frames(), 4u);
  egress_.sent(pool_, sizeof bytes, Instant{2});  // the first of what was flushed
  EXPECT_EQ(egress_.leased_frames(), 3u);
  egress_.drop_media(pool_);
  EXPECT_EQ(egress_.leased_frames(), 1u);  // with the engine
  egress_.clear(pool_);
  EXPECT_EQ(egress_.leased_frames(), 0u);
  Frame* returned[64];
  EXPECT_EQ(returns.pop(returned), 4u);
}

TEST_F(egress, a_send_of_small_frames_is_bounded_by_their_number) {
  for (uint32_t i = 0; i < Egress::send_frames_max + 10; ++i) push(FrameKind::audio, 10);
  const uint64_t queued = egress_.queued_bytes();
  EXPECT_EQ(flush(), 1u);
  EXPECT_EQ(egress_.waiting_bytes(), queued / (Egress::send_frames_max + 10) * 10);
}

/// What the engine was given to send: type, and for an aggregate the types and sizes in it.
std::vector<std::string> messages_of(const std::vector<uint8_t>& sent) {
  std::vector<std::string> found;
  rtmp::ChunkReader reader;
  reader.set_limits(1 << 20, 1 << 22);
  EXPECT_TRUE(reader.set_chunk_size(chunk_bytes_out));
  reader.feed(sent);
  for (auto piece = reader.next(); piece && *piece; piece = reader.next()) {
    const rtmp::Piece& whole = **piece;
    if (!whole.whole()) {
      if (whole.completes()) found.push_back("large");
      continue;
    }
    std::string text = std::to_string(whole.message_type);
    if (whole.message_type == rtmp::message_type::aggregate) {
      rtmp::AggregateReader parts(whole.message_bytes, whole.timestamp);
      parts.feed(whole.bytes);
      for (auto part = parts.next(); part && *part; part = parts.next()) {
        EXPECT_TRUE((*part)->bytes.empty() || (*part)->bytes.size() == (*part)->message_bytes);
        text += " " + std::to_string((*part)->message_type) + ":" +
                std::to_string((*part)->message_bytes);
      }
    }
    found.push_back(text);
  }
  return found;
}

TEST_F(egress, media_that_waits_together_is_one_aggregate_for_who_asked) {
  egress_.use_aggregates();
  push(FrameKind::video, 5, true);  // a header may outlive what is around it
  push(FrameKind::video, 300);
  push(FrameKind::audio, 20);
  push(FrameKind::audio, 1);
  push(FrameKind::control, 9);
  push(FrameKind::audio, 30);
  push(FrameKind::control, 9);
  const uint64_t control = egress_.control_bytes();
  egress_.aggregate(pool_);
  EXPECT_EQ(egress_.control_bytes(), control);
  flush();
  EXPECT_EQ(messages_of(engine_.sent),
            (std::vector<std::string>{"8", "22 8:300 8:20 8:1", "8", "8", "8"}));
  EXPECT_EQ(egress_.queued_bytes(), engine_.sent.size());
  egress_.sent(pool_, static_cast<uint32_t>(engine_.sent.size()), Instant{2});
  EXPECT_TRUE(egress_.idle());
  EXPECT_EQ(egress_.queued_bytes(), 0u);
  EXPECT_EQ(egress_.droppable_bytes(), 0u);
}

TEST_F(egress, aggregate_is_within_a_chunk_and_is_not_nested) {
  egress_.use_aggregates();
  push(FrameKind::video, 70'000);
  push(FrameKind::video, 65'536 - 15);
  for (int i = 0; i < 3; ++i) push(FrameKind::audio, 30'000);
  egress_.aggregate(pool_);
  egress_.aggregate(pool_);
  flush();
  EXPECT_EQ(messages_of(engine_.sent),
            (std::vector<std::string>{"large", "8", "22 8:30000 8:30000", "8"}));
}

TEST_F(egress, aggregate_that_waits_is_dropped_like_media) {
  egress_.use_aggregates();
  push(FrameKind::audio, 40);
  egress_.aggregate(pool_);
  flush();
  push(FrameKind::audio, 40);
  push(FrameKind::audio, 50);
  egress_.aggregate(pool_);  // something is on its way: nothing changes
  egress_.sent(pool_, static_cast<uint32_t>(engine_.sent.size()), Instant{2});
  egress_.aggregate(pool_);
  EXPECT_EQ(egress_.droppable_bytes(), egress_.queued_bytes());
  EXPECT_EQ(egress_.drop_media(pool_), 1u);
  EXPECT_EQ(egress_.queued_bytes(), 0u);
}

TEST_F(egress, headers_of_many_tracks_outlast_a_skip) {
  constexpr uint16_t tracks = 256;
  for (uint16_t i = 0; i < 2 * tracks; ++i) {
    push(FrameKind::video, 20, true, i % tracks);
    push(FrameKind::video, 100);
  }
  EXPECT_EQ(egress_.drop_media(pool_), 3 * tracks) << "of each the newest stays";
}

}  // namespace
}  // namespace penstock::dataplane

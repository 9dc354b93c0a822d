#include "dataplane/frame.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "penstock/base/limits.h"

namespace penstock::dataplane {
namespace {

constexpr size_t arena_bytes = 4 << 20;

class FramePoolTest : public testing::Test {
 protected:
  static rtmp::WireHeader header(uint32_t message_bytes, uint32_t timestamp = 0) {
    return {.chunk_stream_id = 7,
            .message_type = 9,
            .timestamp = timestamp,
            .message_bytes = message_bytes,
            .message_stream_id = 1};
  }

  std::unique_ptr<uint8_t, decltype(&std::free)> arena_{
      static_cast<uint8_t*>(std::aligned_alloc(block_bytes_min, arena_bytes)), &std::free};
  FramePool pool_{MutableBytes{arena_.get(), arena_bytes}};
  FrameLog log_;
};

using frame_log = FramePoolTest;
using frame_pool = FramePoolTest;

TEST_F(frame_log, consecutive_frames_lie_side_by_side) {
  Frame* first = log_.begin(pool_, header(1000), chunk_bytes_out);
  Frame* second = log_.begin(pool_, header(1000), chunk_bytes_out);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(first->length, 1012u);
  EXPECT_EQ(first->bytes + first->length, second->bytes);
  pool_.release(first);
  pool_.release(second);
  log_.clear(pool_);
  EXPECT_EQ(pool_.frames_in_use(), 0u);
}

TEST_F(frame_log, a_declared_length_takes_no_memory_before_bytes_arrive) {
  const size_t before = pool_.blocks().bytes_in_use();
  Frame* frame = log_.begin(pool_, header(3'000'000), chunk_bytes_out);
  ASSERT_NE(frame, nullptr);
  EXPECT_LE(pool_.blocks().bytes_in_use() - before,
            2 * FrameLog::frame_bytes_at_once + 2 * block_bytes_min + 65'536);
  pool_.release(frame);
}

TEST_F(frame_log, a_growing_frame_keeps_its_bytes) {
  const rtmp::WireHeader large = header(500'000, 0x1000000);
  std::vector<uint8_t> payload(large.message_bytes);
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<uint8_t>(i * 31 + i / 251);
  Frame* frame = log_.begin(pool_, large, chunk_bytes_out);
  ASSERT_NE(frame, nullptr);
  uint32_t offset = 0;
  while (offset < payload.size()) {
    const auto count = static_cast<uint32_t>(std::min<size_t>(7777, payload.size() - offset));
    ASSERT_TRUE(
        FrameLog::grow(pool_, frame, rtmp::wire_end(large, chunk_bytes_out, offset + count)));
    rtmp::wire_write(frame->bytes, large, chunk_bytes_out, offset,
                     Bytes(payload).subspan(offset, count));
    offset += count;
  }
  std::vector<uint8_t> whole(rtmp::wire_bytes(large, chunk_bytes_out));
  rtmp::wire_write(whole.data(), large, chunk_bytes_out, 0, payload);
  ASSERT_EQ(frame->length, whole.size());
  EXPECT_TRUE(std::equal(whole.begin(), whole.end(), frame->bytes));
  pool_.release(frame);
  EXPECT_EQ(pool_.frames_in_use(), 0u);
}

TEST_F(frame_log, used_up_memory_is_an_answer_and_not_a_crash) {
  std::vector<Frame*> frames;
  while (Frame* frame = log_.begin(pool_, header(60'000), chunk_bytes_out)) frames.push_back(frame);
  EXPECT_GT(frames.size(), 10u);
  EXPECT_FALSE(FrameLog::grow(pool_, frames[0], arena_bytes));
  for (Frame* frame : frames) pool_.release(frame);
  Frame* again = log_.begin(pool_, header(60'000), chunk_bytes_out);
  EXPECT_NE(again, nullptr);
  pool_.release(again);
}

TEST_F(frame_pool, a_stand_in_gives_its_lease_back_exactly_once) {
  const auto returns = std::make_unique<ReturnRing>(16U);
  pool_.set_return_ring(3, returns.get());
  Frame owners{};
  const uint8_t bytes[4] = {1, 2, 3, 4};
  const Lease lease{.length = 4, .frame = &owners, .bytes = bytes};
  Frame* stand_in = pool_.make_stand_in(lease, 3);
  FramePool::add_reference(stand_in);
  pool_.release(stand_in);
  EXPECT_TRUE(returns->empty());
  pool_.release(stand_in);
  Frame* out[2] = {};
  EXPECT_EQ(returns->pop(out), 1u);
  EXPECT_EQ(out[0], &owners);
}

TEST_F(frame_pool, the_body_of_a_configuration_is_found_behind_either_header) {
  for (const uint32_t timestamp : {0u, 0xFFFFFEu, 0xFFFFFFu, 0xFFFFFFFFu}) {
    const uint8_t payload[5] = {0x17, 0, 0, 0, 0};
    const rtmp::WireHeader small = header(5, timestamp);
    Frame* frame = log_.begin(pool_, small, chunk_bytes_out);
    rtmp::wire_write(frame->bytes, small, chunk_bytes_out, 0, payload);
    frame->timestamp = timestamp;
    const Bytes body = first_chunk_body(*frame);
    EXPECT_TRUE(std::equal(body.begin(), body.end(), payload, payload + 5)) << timestamp;
    pool_.release(frame);
  }
}

}  // namespace
}  // namespace penstock::dataplane

#include <gtest/gtest.h>

#include <cstdlib>

#include "penstock/base/prng.h"
#include "tests/unit/tcp/script.h"

// Whatever comes, in whatever order: nothing asserts, memory stays within its bounds and comes
// back, and what is sent is always something that may be sent.
namespace penstock::engine::tcp {
namespace {

class Noise {
 public:
  explicit Noise(uint64_t seed) : prng_(seed), options_(options()), parts_(options_, counters_) {
    bytes_.resize(20'000);
  }

  void run() {
    open();
    for (int i = 0; i < 600 && !connection_.done(); ++i) {
      now_ = now_.after_ns(prng_.below(prng_.chance(100) ? 3 * ns_per_s : 20 * ns_per_ms));
      parts_.memory.recycle();
      if (!connection_.gone()) {
        for (uint64_t n = prng_.below(4); n > 0; --n) arrive();
        if (connection_.deadline() <= now_) connection_.expire(now_);
      }
      if (prng_.chance(800)) take_events();
      call();
      take_output();
      if (prng_.chance(700)) parts_.packets_transmitted = parts_.packets_out;
      check();
    }
    connection_.abort(EndReason::ours);
    parts_.packets_transmitted = parts_.packets_out;
    take_events();
    take_output();
    EXPECT_TRUE(connection_.done());
    parts_.memory.recycle();
    EXPECT_EQ(parts_.memory.packets_held(), 0u);
    EXPECT_EQ(parts_.memory.blocks_used(), 0u);
    EXPECT_EQ(parts_.records.in_use(), 0u);
    EXPECT_EQ(parts_.blocks.in_use(), 0u);
    EXPECT_EQ(parts_.memory.released().size(), kept_);
  }

 private:
  StackOptions options() {
    StackOptions options;
    options.connections_max = 1;
    options.sent_segments_max = 1 + static_cast<uint32_t>(prng_.below(100));
    options.held_packets_max = 1 + static_cast<uint32_t>(prng_.below(100));
    options.receive_blocks = static_cast<uint32_t>(prng_.below(30));
    options.out_of_order_bytes_max = static_cast<uint32_t>(prng_.below(100'000));
    options.receive_window_max = 1 + static_cast<uint32_t>(prng_.below(3'000'000));
    options.user_timeout_ns = prng_.below(100 * ns_per_s);
    options.keepalive_ns = prng_.chance(500) ? 0 : prng_.below(100 * ns_per_s);
    options.congestion = prng_.chance(500) ? "cubic" : "reno";
    return options;
  }

  void open() {
    own_ = prng_.chance(500) ? 0xffff'fff0 : static_cast<uint32_t>(prng_.next());
    peer_ = prng_.chance(500) ? 0xffff'f000 : static_cast<uint32_t>(prng_.next());
    if (prng_.chance(250)) {
      connection_.open_active(parts_, {.own_first = own_, .segment_bytes_max = 1460}, now_);
      return;
    }
    connection_.open_passive(
        parts_,
        {.own_first = own_,
         .peer_first = peer_,
         .peer_window = static_cast<uint32_t>(prng_.below(65536)),
         .negotiated = {.segment_bytes_max = static_cast<uint16_t>(prng_.below(65536)),
                        .window_scaling = prng_.chance(700),
                        .peer_window_scale = static_cast<uint8_t>(prng_.below(256)),
                        .own_window_scale = static_cast<uint8_t>(prng_.below(15)),
                        .sack = prng_.chance(700),
                        .timestamps = prng_.chance(500),
                        .ecn = prng_.chance(500)}},
        now_);
  }

  /// Mostly near what is expected, so that it gets somewhere.
  uint32_t near(uint32_t number) {
    switch (prng_.below(8)) {
      case 0:
        return static_cast<uint32_t>(prng_.next());
      case 1:
        return number - static_cast<uint32_t>(prng_.below(3000));
      case 2:
        return number + static_cast<uint32_t>(prng_.below(70'000));
      case 3:
        return number + static_cast<uint32_t>(prng_.below(20)) * 1000;
      default:
        return number;
    }
  }

  void arrive() {
    SegmentIn segment;
    segment.sequence = near(last_acknowledgment_ != 0 ? last_acknowledgment_ : peer_ + 1);
    segment.acknowledgment = near(last_end_ != 0 ? last_end_ : own_ + 1);
    segment.window = static_cast<uint16_t>(prng_.chance(700) ? 60000 : prng_.below(65536));
    segment.flags = prng_.chance(900) ? flag::ack : static_cast<uint8_t>(prng_.next());
    // Few, or nothing lives long.
    if (!prng_.chance(50)) segment.flags &= static_cast<uint8_t>(~flag::rst);
    if (prng_.chance(3)) segment.flags |= flag::fin;
    segment.ecn = static_cast<Ecn>(prng_.below(4));
    TcpOptions& option = segment.options;
    option.has_timestamps = prng_.chance(700);
    option.timestamp =
        static_cast<uint32_t>(prng_.chance(900) ? now_.ns / ns_per_ms : prng_.next());
    option.timestamp_echo = static_cast<uint32_t>(
        prng_.chance(700) ? now_.ns / ns_per_ms - prng_.below(500) : prng_.next());
    option.sack_count = static_cast<uint8_t>(prng_.chance(500) ? 0 : prng_.below(5));
    for (SequenceRange& range : option.sacks) {
      range.begin = near(last_end_) - static_cast<uint32_t>(prng_.below(10)) * 1000;
      range.end = range.begin + static_cast<uint32_t>(prng_.below(5000));
    }
    option.segment_bytes_max = static_cast<uint16_t>(prng_.next());
    option.window_scale = static_cast<uint8_t>(prng_.next());
    option.sack_permitted = prng_.chance(500);
    segment.payload =
        Bytes(bytes_).first(prng_.chance(300) ? 0 : prng_.below(prng_.chance(50) ? 9000 : 1461));
    if (connection_.gone()) return;
    kept_ += connection_.receive(segment, now_) ? 1 : 0;
  }

  void take_events() {
    StackEvent event;
    while (connection_.next_event(event, now_)) {
    }
  }

  void take_output() {
    SegmentOut out;
    int segments = 0;
    while (connection_.wants_output() && connection_.transmit(out, now_)) {
      ++parts_.packets_out;
      ASSERT_LT(++segments, 10'000);
      uint32_t bytes = 0;
      for (size_t i = 0; i < out.slice_count; ++i) {
        bytes += static_cast<uint32_t>(out.slices[i].size());
      }
      ASSERT_LE(out.options.sack_count, out.options.has_timestamps ? 3 : 4);
      if (out.flags & flag::ack) last_acknowledgment_ = out.acknowledgment;
      if (bytes > 0) last_end_ = out.sequence + bytes;
    }
  }

  void call() {
    switch (prng_.below(60)) {
      case 0:
        connection_.set_reading(prng_.chance(700), now_);
        break;
      case 1:
        connection_.set_low_water(static_cast<uint32_t>(prng_.next()));
        break;
      case 2:
        if (prng_.chance(100)) connection_.finish(now_), finished_ = true;
        break;
      case 3:
        if (prng_.chance(100)) connection_.close(now_), finished_ = true;
        break;
      case 4:
        connection_.lower_segment_bytes(static_cast<uint16_t>(prng_.below(1500)), now_);
        break;
      case 5:
        if (prng_.chance(50)) connection_.unreachable(EndReason::unreachable);
        break;
      default:
        if (finished_ || prng_.chance(700)) break;
        const Bytes slices[] = {Bytes(bytes_).first(prng_.below(3000)),
                                Bytes(bytes_).first(prng_.below(20'000))};
        connection_.send(slices, now_);
    }
  }

  void check() {
    EXPECT_LE(parts_.memory.blocks_used(), options_.receive_blocks);
    EXPECT_LE(parts_.records.in_use(), options_.sent_segments_max);
  }

  Prng prng_;
  StackOptions options_;
  StackCounters counters_;
  ConnectionParts parts_;
  Connection connection_;
  Instant now_{1000 * ns_per_s};
  std::vector<uint8_t> bytes_;
  uint32_t own_ = 0;
  uint32_t peer_ = 0;
  uint32_t last_acknowledgment_ = 0;
  uint32_t last_end_ = 0;
  uint64_t kept_ = 0;
  bool finished_ = false;
};

TEST(ConnectionNoiseTest, nothing_that_comes_can_hurt) {
  const char* many = std::getenv("PENSTOCK_TCP_SEEDS");
  const uint64_t count = many != nullptr ? std::strtoull(many, nullptr, 10) : 300;
  for (uint64_t seed = 1; seed <= count && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Noise(seed).run();
  }
}

}  // namespace
}  // namespace penstock::engine::tcp

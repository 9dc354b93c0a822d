#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rtmp/session_probe.h"

namespace penstock::rtmp {
namespace {

using test::command_body;
using test::connect_body;
using test::named_command;
using test::SessionProbe;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr Instant start = SessionProbe::start;

Fault expired(SessionProbe& peer) {
  const Instant due = peer.session.deadline();
  EXPECT_TRUE(peer.session.expire({due.ns - 1})) << "nothing is due before its time";
  const auto fault = peer.session.expire(due);
  EXPECT_FALSE(fault);
  return fault ? Fault::count_ : fault.error();
}

TEST(SessionDeadlines, handshake) {
  SessionProbe peer;
  EXPECT_EQ(peer.session.deadline(), start.after_ns(peer.settings.handshake_ns));
  peer.now = start.after_ms(4000);
  peer.feed(Bytes(test::simple_handshake()).first(100));
  EXPECT_EQ(peer.session.deadline(), start.after_ns(peer.settings.handshake_ns))
      << "dripping bytes wins no time";
  EXPECT_EQ(expired(peer), Fault::handshake_timeout);
}

TEST(SessionDeadlines, connect_and_then_publish_or_play) {
  SessionProbe peer;
  peer.now = start.after_ms(1000);
  peer.shaken();
  EXPECT_EQ(peer.session.deadline(), peer.now.after_ns(peer.settings.connect_to_publish_ns));
  EXPECT_EQ(expired(peer), Fault::connect_timeout);
  peer.now = start.after_ms(2000);
  peer.command(connect_body("live"));
  EXPECT_EQ(peer.session.deadline(), peer.now.after_ns(peer.settings.connect_to_publish_ns));
  EXPECT_EQ(expired(peer), Fault::publish_timeout);
  peer.command(command_body("createStream", 2));
  EXPECT_EQ(expired(peer), Fault::publish_timeout);
}

TEST(SessionDeadlines, nothing_is_due_while_a_verdict_is_awaited) {
  SessionProbe peer;
  peer.connected();
  peer.command(named_command("publish", 0, "cam"), 1);
  EXPECT_EQ(peer.session.deadline(), Instant::never());
  peer.session.answer_publish(1, {}, start.after_ms(7000));
  EXPECT_EQ(peer.session.deadline(), start.after_ms(7000).after_ns(peer.settings.first_media_ns));
  EXPECT_EQ(expired(peer), Fault::first_media_timeout);
}

TEST(SessionDeadlines, silence_of_a_publisher_counts_from_its_last_media) {
  SessionProbe peer;
  peer.publishing();
  peer.now = start.after_ms(3000);
  peer.audio(0, test::filler(4, 1));
  EXPECT_EQ(peer.session.deadline(), peer.now.after_ns(peer.settings.silent_publisher_ns));
  const Instant last = peer.now;
  peer.now = start.after_ms(5000);
  peer.control(ping_request(1));
  EXPECT_EQ(peer.session.deadline(), last.after_ns(peer.settings.silent_publisher_ns))
      << "a ping is no media";
  peer.video(0, test::filler(4, 1));
  EXPECT_EQ(peer.session.deadline(), peer.now.after_ns(peer.settings.silent_publisher_ns));
  EXPECT_EQ(expired(peer), Fault::silent_publisher);
}

TEST(SessionDeadlines, a_message_that_trickles_holds_a_name_for_a_minute_at_most) {
  SessionProbe peer;
  peer.publishing();
  // Type 0 header of a video message of 1 MiB on chunk stream 6, and then a byte every 5 s.
  const uint8_t header[] = {6, 0, 0, 0, 0x10, 0, 0, 9, 1, 0, 0, 0};
  const Instant began = peer.now;
  peer.feed(header);
  const uint8_t byte[] = {0x17};
  while (peer.now < began.after_ms(100'000) && peer.session.deadline() > peer.now) {
    peer.feed(byte);
    peer.now = peer.now.after_ms(5000);
  }
  EXPECT_GE(peer.now, began.after_ms(60'000));
  EXPECT_LE(peer.now, began.after_ms(70'000));
  EXPECT_EQ(expired(peer), Fault::silent_publisher);
}

TEST(SessionDeadlines, a_message_whose_rest_was_taken_in_one_go_is_whole) {
  for (const bool skips : {false, true}) {
    SessionProbe peer;
    peer.publishing();
    const test::Octets video = test::chunked(
        {.chunk_stream_id = 6, .message_type = 9, .message_stream_id = 1}, test::filler(1000, 1));
    // Parts that come 5 s apart: never silent, and the last one completes the message.
    for (size_t at = 0; at < 600; at += 40) {
      peer.feed(Bytes(video).subspan(at, 40));
      peer.now = peer.now.after_ms(5000);
    }
    EXPECT_LE(peer.session.deadline(), peer.now) << "more than a minute without a whole message";
    peer.session.feed(Bytes(video).subspan(600), peer.now);
    const auto event = peer.session.next();
    ASSERT_TRUE(event && std::holds_alternative<MediaPiece>(*event));
    const auto& piece = std::get<MediaPiece>(*event);
    const size_t rest = piece.message_bytes - piece.offset - piece.bytes.size();
    test::Octets room(rest);
    ASSERT_GT(rest, 0u);
    EXPECT_EQ(skips ? peer.session.skip_rest(piece.slot) : peer.session.take_rest(piece.slot, room),
              rest);
    EXPECT_EQ(peer.session.deadline(), peer.now.after_ns(peer.settings.silent_publisher_ns));
  }
}

TEST(SessionDeadlines, media_before_the_verdict_counts_as_first_media) {
  SessionProbe peer;
  peer.connected();
  peer.command(named_command("publish", 0, "cam"), 1);
  peer.audio(0, test::filler(4, 1));
  EXPECT_EQ(peer.session.deadline(), Instant::never());
  peer.session.answer_publish(1, {}, start.after_ms(500));
  EXPECT_EQ(peer.session.deadline(),
            start.after_ms(500).after_ns(peer.settings.silent_publisher_ns));
}

TEST(SessionDeadlines, player_has_none) {
  SessionProbe peer;
  peer.playing();
  EXPECT_EQ(peer.session.deadline(), Instant::never());
  EXPECT_TRUE(peer.session.expire({UINT64_MAX - 1}));
}

TEST(SessionDeadlines, peer_that_ended_its_publish_has_to_begin_another_in_time) {
  SessionProbe peer;
  peer.publishing();
  peer.now = start.after_ms(60'000);
  peer.command(named_command("FCUnpublish", 0, "cam"));
  EXPECT_EQ(peer.session.deadline(), peer.now.after_ns(peer.settings.connect_to_publish_ns));
  EXPECT_EQ(expired(peer), Fault::publish_timeout);
}

TEST(SessionDeadlines, settings_are_read_on_every_use) {
  SessionProbe peer;
  peer.publishing();
  peer.audio(0, test::filler(4, 1));
  peer.settings.silent_publisher_ns = 123;
  EXPECT_EQ(peer.session.deadline(), start.after_ns(123));
}

TEST(SessionLimits, message_bytes_max_takes_effect_at_the_next_input) {
  SessionProbe peer;
  peer.publishing();
  peer.settings.message_bytes_max = 100;
  EXPECT_TRUE(peer.video(0, test::filler(100, 1)));
  EXPECT_FALSE(peer.video(0, test::filler(101, 1)));
  EXPECT_EQ(peer.fault, Fault::message_too_large);
}

TEST(SessionLimits, commands_data_and_control_have_bounds_of_their_own) {
  const struct {
    uint8_t type;
    size_t bytes_max;
  } cases[] = {{message_type::command, command_bytes_max},
               {message_type::command_amf3, command_bytes_max},
               {message_type::data, data_bytes_max},
               {message_type::data_amf3, data_bytes_max},
               {message_type::user_control, 64}};
  for (const auto& one : cases) {
    SessionProbe peer;
    peer.publishing();
    const test::WholeMessage unused;
    // The header alone is enough: nothing is kept for what was only declared.
    test::Octets body(one.bytes_max + 1);
    test::Octets wire = test::chunked(
        {.chunk_stream_id = 3, .message_type = one.type, .message_stream_id = 1}, body);
    EXPECT_FALSE(peer.feed(Bytes(wire).first(200 < wire.size() ? 200 : wire.size())));
    EXPECT_EQ(peer.fault, Fault::message_too_large) << int{one.type};
  }
}

TEST(SessionLimits, commands_per_second) {
  SessionProbe peer;
  peer.connected();
  peer.now = start.after_ms(2000);
  for (uint32_t i = 0; i < commands_per_second_max; ++i)
    ASSERT_TRUE(peer.command(command_body("x", 0)));
  peer.now = start.after_ms(3000);
  for (uint32_t i = 0; i < commands_per_second_max; ++i)
    ASSERT_TRUE(peer.command(command_body("x", 0)));
  EXPECT_FALSE(peer.command(command_body("x", 0)));
  EXPECT_EQ(peer.fault, Fault::command_flood);
}

TEST(SessionLimits, pings_are_answered_at_most_ten_times_a_second_and_counted_as_commands) {
  SessionProbe peer;
  peer.publishing();
  peer.now = start.after_ms(2000);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(peer.control(ping_request(7)));
    peer.now = peer.now.after_ms(10);
  }
  EXPECT_THAT(peer.sent(), ElementsAre("control 4 000700000007", "control 4 000700000007"));
  while (peer.control(ping_request(7))) {
  }
  EXPECT_EQ(peer.fault, Fault::command_flood);
}

TEST(SessionLimits, small_messages_per_second) {
  SessionProbe peer;
  peer.publishing();
  peer.now = start.after_ms(5000);
  uint32_t count = 0;
  while (peer.audio(0, test::filler(1, 1)) && count < 2 * messages_per_second_max) ++count;
  EXPECT_EQ(peer.fault, Fault::message_flood);
  EXPECT_EQ(count, messages_per_second_max);
}

TEST(SessionLimits, file_that_is_pushed_as_fast_as_it_goes_is_no_flood) {
  SessionProbe peer;
  peer.publishing();
  peer.now = start.after_ms(5000);
  for (uint32_t i = 0; i < 3 * messages_per_second_max; ++i)
    ASSERT_TRUE(peer.video(i, test::filler(200, 1)));
}

TEST(SessionLimits, message_streams) {
  SessionProbe peer;
  peer.connected();
  for (size_t i = 0; i < message_streams_max; ++i)
    ASSERT_TRUE(peer.command(command_body("createStream", 2)));
  EXPECT_EQ(peer.sent().back(), "_result[0] 2 " + std::to_string(message_streams_max));
  EXPECT_FALSE(peer.command(command_body("createStream", 2)));
  EXPECT_EQ(peer.fault, Fault::message_streams_exceeded);
}

TEST(SessionLimits, metadata_per_second) {
  SessionProbe peer;
  peer.publishing();
  peer.now = start.after_ms(5000);
  test::Octets body;
  amf::Amf0Writer w(body);
  w.string("onMetaData");
  w.ecma_array_begin(0);
  w.object_end();
  for (int i = 0; i < 11; ++i) ASSERT_TRUE(peer.send(4, message_type::data, 1, body));
  EXPECT_EQ(peer.data.size(), 10u);
  EXPECT_THAT(peer.take_events(), Contains("tolerated metadata_flood"));
}

TEST(SessionLimits, window_acknowledgement) {
  SessionProbe peer;
  peer.publishing();
  peer.chunk_bytes = 1 << 20;
  peer.control(set_chunk_size(1 << 20));
  peer.control(window_ack_size(100'000));
  const test::Octets frame = test::filler(50'000, 1);
  peer.video(0, frame);
  EXPECT_THAT(peer.sent(), IsEmpty());
  peer.video(1, frame);
  char expected[32];
  std::snprintf(expected, sizeof expected, "control 3 %08x",
                static_cast<unsigned>(peer.session.bytes_received()));
  EXPECT_THAT(peer.sent(), ElementsAre(expected));
}

TEST(SessionLimits, tiny_window_acknowledges_every_64_kib_only) {
  SessionProbe peer;
  peer.publishing();
  peer.control(window_ack_size(1));
  for (uint32_t i = 0; i < 1000; ++i) peer.video(i, test::filler(1024, 1));
  const size_t acknowledged = peer.sent().size();
  EXPECT_GE(acknowledged, 14u);
  EXPECT_LE(acknowledged, 17u);
}

TEST(SessionLimits, acknowledged_bytes_wrap_at_32_bits) {
  SessionProbe peer;
  peer.publishing();
  peer.control(set_chunk_size(0xFFFFFF));
  peer.control(window_ack_size(0x7FFFFFFF));
  peer.quiet();
  peer.chunk_bytes = 0xFFFFFF;
  peer.settings.message_bytes_max = 0xFFFFFF;
  // One buffer of frames, fed again and again: 4.3 GB would be too much to make.
  const test::Octets frames =
      test::chunked({.chunk_stream_id = 6, .message_type = 9, .message_stream_id = 1},
                    test::Octets(8'000'000), 0xFFFFFF);
  std::vector<std::string> sent;
  while (peer.session.bytes_received() < (uint64_t{1} << 32) + 3'000'000'000) {
    peer.session.feed(frames, peer.now);
    while (true) {
      const auto event = peer.session.next();
      ASSERT_TRUE(event);
      if (std::holds_alternative<NeedInput>(*event)) break;
    }
    for (const std::string& line : peer.sent()) {
      sent.push_back(line);
      char expected[32];
      std::snprintf(expected, sizeof expected, "control 3 %08x",
                    static_cast<unsigned>(peer.session.bytes_received() & 0xFFFFFFFF));
      EXPECT_EQ(line, expected);
    }
  }
  EXPECT_EQ(sent.size(), 3u);
}

TEST(SessionLimits, peer_bandwidth_is_answered_when_it_differs) {
  SessionProbe peer;
  peer.publishing();
  peer.control(set_peer_bandwidth(2'500'000, BandwidthLimit::dynamic));
  EXPECT_THAT(peer.sent(), IsEmpty());
  peer.control(set_peer_bandwidth(1'000'000, BandwidthLimit::hard));
  peer.control(set_peer_bandwidth(1'000'000, BandwidthLimit::hard));
  EXPECT_THAT(peer.sent(), ElementsAre("control 5 000f4240"));
}

struct Fatal {
  const char* name;
  uint8_t type;
  test::Octets body;
  Fault fault;
};

TEST(SessionFaults, what_ends_a_connection) {
  const std::vector<Fatal> cases = {
      {"chunk size 0", 1, test::from_hex("00000000"), Fault::chunk_size_zero},
      {"short set chunk size", 1, test::from_hex("000000"), Fault::control_malformed},
      {"short abort", 2, test::from_hex("00"), Fault::control_malformed},
      {"short acknowledgement", 3, test::from_hex("0000"), Fault::control_malformed},
      {"short user control", 4, test::from_hex("00"), Fault::control_malformed},
      {"short ping", 4, test::from_hex("0006000000"), Fault::control_malformed},
      {"short window", 5, {}, Fault::control_malformed},
      {"short bandwidth", 6, test::from_hex("000000"), Fault::control_malformed},
      {"empty command", 20, {}, Fault::command_malformed},
      {"name only", 20, test::from_hex("02000178"), Fault::command_malformed},
      {"name is no string", 20, test::from_hex("000000000000000000000000000000000000"),
       Fault::command_malformed},
      {"truncated", 20, test::from_hex("02ffff"), Fault::amf_truncated},
      {"unknown marker", 20, test::from_hex("0200017800000000000000000004"), Fault::amf_marker},
      {"second connect", 20, connect_body("live"), Fault::command_unexpected},
      {"publish of a number", 20,
       command_body("publish", 1, [](amf::Amf0Writer& w) { w.number(3); }),
       Fault::command_malformed},
      {"play of nothing", 20, command_body("play", 1), Fault::command_malformed},
      {"publish of ..", 20, named_command("publish", 1, "a/../b"), Fault::name_invalid},
      {"publish of control characters", 20, named_command("publish", 1, "a\nb"),
       Fault::name_invalid},
      {"publish of a long name", 20, named_command("publish", 1, std::string(256, 'x')),
       Fault::name_invalid},
      {"publish with a long query", 20, named_command("publish", 1, "x?" + std::string(3000, 'x')),
       Fault::name_invalid},
      {"play of ..", 20, named_command("play", 1, ".."), Fault::name_invalid},
  };
  for (const Fatal& one : cases) {
    SCOPED_TRACE(one.name);
    SessionProbe peer;
    peer.connected();
    EXPECT_FALSE(peer.send(3, one.type, 0, one.body));
    EXPECT_EQ(peer.fault, one.fault);
  }
}

TEST(SessionFaults, peer_with_a_bad_name_is_told_so_before_the_end) {
  SessionProbe peer;
  peer.connected();
  EXPECT_FALSE(peer.command(named_command("publish", 1, ".."), 1));
  EXPECT_THAT(peer.sent(), ElementsAre("onStatus[1] 0 error NetStream.Publish.BadName"));
}

TEST(SessionFaults, bad_app_is_told_so_before_the_end) {
  SessionProbe peer;
  peer.shaken();
  EXPECT_FALSE(peer.command(connect_body("a/../b")));
  EXPECT_EQ(peer.fault, Fault::name_invalid);
  EXPECT_THAT(peer.sent(), ElementsAre("_error[0] 1 error NetConnection.Connect.InvalidApp"));
}

TEST(SessionFaults, stream_commands_need_a_connect) {
  for (const char* name : {"createStream", "publish", "play"}) {
    SessionProbe peer;
    peer.shaken();
    EXPECT_FALSE(peer.command(named_command(name, 2, "cam"), 1));
    EXPECT_EQ(peer.fault, Fault::command_unexpected);
  }
}

TEST(SessionFaults, garbage_never_passes_an_assertion) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SessionProbe peer;
    if (seed % 3 == 0) peer.publishing();
    if (seed % 3 == 1) peer.shaken();
    Prng prng(seed);
    for (int i = 0; i < 20; ++i) {
      test::Octets bytes = test::filler(prng.below(600), seed * 100 + static_cast<uint64_t>(i));
      // Mostly headers that begin a message, or the first one ends it all.
      if (!bytes.empty()) bytes[0] = static_cast<uint8_t>(2 + prng.below(6));
      if (bytes.size() > 8) bytes[4] = bytes[5] = 0;
      if (bytes.size() > 8) bytes[7] = static_cast<uint8_t>(prng.below(24));
      if (!peer.feed(bytes)) break;
    }
  }
}

}  // namespace
}  // namespace penstock::rtmp

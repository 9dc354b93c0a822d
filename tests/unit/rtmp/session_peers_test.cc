// What encoders and players were seen to send, in their order and on their chunk streams.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rtmp/session_probe.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

using test::command_body;
using test::connect_body;
using test::Media;
using test::named_command;
using test::Octets;
using test::SessionProbe;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

Octets metadata() {
  Octets body;
  amf::Amf0Writer w(body);
  w.string("@setDataFrame");
  w.string("onMetaData");
  w.ecma_array_begin(20);
  w.property("width", 1280.0);
  w.object_end();
  return body;
}

Octets named_publish(double transaction) {
  return command_body("publish", transaction, [](amf::Amf0Writer& w) {
    w.string("cam");
    w.string("live");
  });
}

const Octets avc_header = test::from_hex("170000000001640014ffe100046764001401000468ebe3cb");
const Octets aac_header = test::from_hex("af001190");

TEST(SessionPeers, ffmpeg_publisher) {
  SessionProbe peer;
  const auto captured = test::load_vectors("handshake_digest.json", "captured")[0];
  peer.feed(test::from_hex(captured["c0c1"].get<std::string>()));
  const Octets answer = peer.session.outbox().take();
  ASSERT_EQ(answer.size(), 3073u);
  peer.feed(Bytes(answer).subspan(1, 1536));  // an echo, although C1 was signed
  EXPECT_THAT(peer.take_events(), ElementsAre("handshake digest"));
  peer.command(connect_body("live"));
  EXPECT_THAT(peer.sent(), Contains("control 1 00010000"));
  // Takes our chunk size over, echoes it, and sends the rest without waiting.
  peer.control(set_chunk_size(chunk_bytes_out));
  peer.chunk_bytes = chunk_bytes_out;
  peer.command(named_command("releaseStream", 2, "cam"));
  peer.command(named_command("FCPublish", 3, "cam"));
  peer.command(command_body("createStream", 4));
  peer.command(command_body("_checkbw", 5));
  peer.send(8, message_type::command, 1, named_publish(6));
  EXPECT_THAT(peer.sent(),
              ElementsAre("_result[0] 2", "_result[0] 3", "_result[0] 4 1", "_result[0] 5"));
  peer.session.answer_publish(1, {});
  peer.send(4, message_type::data, 1, metadata());
  peer.send(6, message_type::video, 1, avc_header);
  peer.send(4, message_type::audio, 1, aac_header);
  const Octets frame = test::filler(90'000, 1);
  peer.send(6, message_type::video, 1, frame, 23);
  peer.send(3, message_type::command, 0, named_command("FCUnpublish", 6, "cam"));
  peer.send(3, message_type::command, 0,
            command_body("deleteStream", 7, [](amf::Amf0Writer& w) { w.number(1); }));
  EXPECT_EQ(peer.media,
            (std::vector<Media>{{1, 9, 0, avc_header}, {1, 8, 0, aac_header}, {1, 9, 23, frame}}));
  EXPECT_THAT(
      peer.take_events(),
      ElementsAre("connected live | FMLE/3.0 (compatible; FMSc/1.0) | rtmp://localhost/live",
                  "publish asked 1 live/cam ? ", "data 18 metadata at 0", "publish ended 1"));
  EXPECT_EQ(peer.fault, std::nullopt);
}

TEST(SessionPeers, obs_publisher_shares_one_chunk_stream_and_one_delta_chain) {
  SessionProbe peer;
  peer.shaken();
  peer.control(set_chunk_size(4096));  // before connect
  peer.chunk_bytes = 4096;
  peer.command(connect_body("live"));
  peer.command(named_command("releaseStream", 2, "key"));
  peer.command(named_command("FCPublish", 3, "key"));
  peer.command(command_body("createStream", 4));
  EXPECT_THAT(peer.sent(), Contains("_result[0] 4 1"));
  peer.send(4, message_type::command, 1, named_command("publish", 5, "key"));
  peer.session.answer_publish(1, {});
  EXPECT_THAT(peer.sent(),
              ElementsAre("control 4 000000000001", "onStatus[1] 0 status NetStream.Publish.Start",
                          "onFCPublish[0] 0 status NetStream.Publish.Start"));
  peer.send(4, message_type::data, 1, metadata());
  peer.send(4, message_type::audio, 1, aac_header);
  peer.send(4, message_type::video, 1, avc_header);
  // Video at 33, audio at 23 (a delta of -10), audio at 46, another at 69 by type 3.
  peer.feed(
      test::from_hex("44000021000003 09 170101"
                     "44ffffff000003 08 fffffff6 af0101"));
  peer.feed(
      test::from_hex("84000017 af0102"
                     "c4 af0103"));
  std::vector<uint32_t> timestamps;
  for (const Media& media : peer.media) timestamps.push_back(media.timestamp);
  EXPECT_THAT(timestamps, ElementsAre(0, 0, 33, 23, 46, 69));
  EXPECT_EQ(peer.media[5].payload, test::from_hex("af0103"));
  EXPECT_EQ(peer.fault, std::nullopt);
}

TEST(SessionPeers, gstreamer_publisher_with_transaction_0_and_a_lone_type_3_metadata) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live"));
  peer.control(window_ack_size(2'500'000));  // its answer to Set Peer Bandwidth
  peer.command(named_command("releaseStream", 0, "cam"));
  peer.command(named_command("FCPublish", 0, "cam"));
  peer.command(command_body("createStream", 2));
  EXPECT_EQ(peer.sent().back(), "_result[0] 2 1");
  peer.send(3, message_type::command, 1, named_publish(0));
  peer.session.answer_publish(1, {});
  EXPECT_THAT(peer.sent(), Contains("onStatus[1] 0 status NetStream.Publish.Start"));
  peer.control(set_chunk_size(4096));
  peer.chunk_bytes = 4096;
  peer.send(4, message_type::data, 1, metadata());
  Octets again{0xC4};
  test::append(again, metadata());
  peer.feed(again);
  peer.send(5, message_type::audio, 1, aac_header);
  peer.send(6, message_type::video, 1, avc_header);
  peer.command(named_command("FCUnpublish", 0, "cam"));
  peer.command(named_command("deleteStream", 0, "cam"));
  EXPECT_EQ(peer.media.size(), 2u);
  EXPECT_EQ(peer.data.size(), 2u);
  EXPECT_EQ(peer.data[0], peer.data[1]);
  EXPECT_EQ(peer.take_events().back(), "publish ended 1");
  EXPECT_EQ(peer.fault, std::nullopt);
}

TEST(SessionPeers, librtmp_publisher_stays_at_128_bytes_and_names_little) {
  SessionProbe peer;
  peer.shaken();
  Octets connect;
  amf::Amf0Writer w(connect);
  w.string("connect");
  w.number(1);
  w.object_begin();
  w.property("app", "live");
  w.property("type", "nonprivate");
  w.property("tcUrl", "rtmp://127.0.0.1:1935/live");
  w.object_end();
  peer.command(connect);
  peer.command(command_body("_checkbw", 0));
  peer.command(command_body("createStream", 3));
  peer.send(4, message_type::command, 1, named_publish(4));
  peer.session.answer_publish(1, {});
  peer.send(4, message_type::data, 1, metadata());
  const Octets frame = test::filler(5000, 1);
  peer.send(4, message_type::video, 1, frame);
  ASSERT_EQ(peer.media.size(), 1u);
  EXPECT_EQ(peer.media[0].payload, frame);
  EXPECT_EQ(peer.fault, std::nullopt);
}

TEST(SessionPeers, librtmp_player_answers_a_ping_with_a_type_1_header) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live"));
  peer.control(window_ack_size(2'500'000));
  peer.control(set_buffer_length(0, 300));
  peer.command(command_body("createStream", 2));
  peer.send(8, message_type::command, 1, named_command("play", 0, "cam"));
  peer.control(set_buffer_length(1, 36'000'000));
  EXPECT_EQ(peer.take_events().back(), "play asked 1 live/cam ? ");
  peer.session.answer_play(1, {});
  EXPECT_TRUE(peer.feed(test::from_hex("4200000000000604000700003039")));
  peer.command(command_body("deleteStream", 0, [](amf::Amf0Writer& writer) { writer.number(1); }));
  EXPECT_THAT(peer.take_events(), ElementsAre("play ended 1"));
}

TEST(SessionPeers, ffmpeg_player) {
  SessionProbe peer;
  peer.connected();
  peer.command(command_body("createStream", 2));
  peer.command(named_command("getStreamLength", 3, "cam"));
  EXPECT_THAT(peer.sent(), ElementsAre("_result[0] 2 1", "_result[0] 3 0"));
  peer.send(8, message_type::command, 1, command_body("play", 4, [](amf::Amf0Writer& w) {
              w.string("cam");
              w.number(-2000);
            }));
  peer.control(set_buffer_length(1, 3000));
  EXPECT_THAT(peer.take_events(), ElementsAre("play asked 1 live/cam ? "));
}

TEST(SessionPeers, flash_publisher_in_amf3) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live", [](amf::Amf0Writer& w) { w.property("objectEncoding", 3.0); }));
  peer.quiet();
  const auto amf3 = [&](const Octets& command, uint32_t message_stream_id) {
    Octets body{0};
    test::append(body, command);
    return peer.send(3, message_type::command_amf3, message_stream_id, body);
  };
  EXPECT_TRUE(amf3(command_body("createStream", 2), 0));
  EXPECT_THAT(peer.sent(), ElementsAre("amf3 _result[0] 2 1"));
  EXPECT_TRUE(amf3(named_publish(0), 1));
  EXPECT_THAT(peer.take_events(), ElementsAre("publish asked 1 live/cam ? "));
}

TEST(SessionPeers, peer_that_closes_without_a_word_needs_no_call) {
  SessionProbe peer;
  peer.publishing();
  peer.video(0, test::filler(10'000, 1));
}

TEST(SessionPeers, http_and_tls_on_the_rtmp_port_are_refused_at_the_first_byte) {
  for (const char* hello : {"GET / HTTP/1.1\r\n", "POST /open/1", "\x16\x03\x01", "PROXY TCP4",
                            "\x06", "\x08", "\x09"}) {
    SessionProbe peer;
    EXPECT_FALSE(peer.feed(as_bytes(hello)));
    EXPECT_EQ(peer.fault, Fault::handshake_version);
    EXPECT_TRUE(peer.session.outbox().empty());
  }
}

TEST(SessionPeers, strange_c2_is_noted_and_what_follows_it_in_the_same_input_is_read) {
  SessionProbe peer;
  Octets stream = test::simple_handshake();
  test::append(stream, test::filler(1536, 3));
  test::append(stream,
               test::chunked({.chunk_stream_id = 3, .message_type = 20}, connect_body("live")));
  peer.feed(stream);
  EXPECT_THAT(
      peer.take_events(),
      ElementsAre("handshake simple", "tolerated handshake_echo",
                  "connected live | FMLE/3.0 (compatible; FMSc/1.0) | rtmp://localhost/live"));
}

}  // namespace
}  // namespace penstock::rtmp

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rtmp/session_probe.h"

namespace penstock::rtmp {
namespace {

using test::command_body;
using test::Media;
using test::named_command;
using test::SessionProbe;
using testing::ElementsAre;
using testing::IsEmpty;

TEST(SessionMedia, messages_come_out_with_kind_timestamp_and_payload) {
  SessionProbe peer;
  peer.publishing();
  const test::Octets audio = test::filler(200, 1), video = test::filler(1000, 2);
  peer.audio(0xFFFFFF, audio);
  peer.video(0x1000005, video);
  EXPECT_EQ(peer.media, (std::vector<Media>{{1, 8, 0xFFFFFF, audio}, {1, 9, 0x1000005, video}}));
  EXPECT_THAT(peer.take_events(), IsEmpty());
}

TEST(SessionMedia, message_stream_0_or_another_one_means_the_only_publish) {
  SessionProbe peer;
  peer.publishing();
  for (const uint32_t id : {0u, 1u, 2u, 77u}) peer.audio(id, test::filler(4, 1), id);
  ASSERT_EQ(peer.media.size(), 4u);
  for (const Media& media : peer.media) EXPECT_EQ(media.message_stream_id, 1u);
}

TEST(SessionMedia, media_before_the_verdict_is_reported_too) {
  SessionProbe peer;
  peer.connected();
  peer.command(named_command("publish", 0, "cam"), 1);
  peer.video(0, test::filler(5, 1));
  EXPECT_EQ(peer.media.size(), 1u);
}

TEST(SessionMedia, media_without_publish_is_counted_and_skipped) {
  SessionProbe peer;
  peer.connected();
  peer.video(0, test::filler(500, 1));
  peer.send(4, message_type::data, 0, test::from_hex("02000178"));
  EXPECT_THAT(peer.take_events(),
              ElementsAre("tolerated media_without_publish", "tolerated media_without_publish"));
  EXPECT_THAT(peer.media, IsEmpty());
}

TEST(SessionMedia, message_without_payload_is_reported) {
  SessionProbe peer;
  peer.publishing();
  peer.audio(9, {});
  EXPECT_EQ(peer.media, (std::vector<Media>{{1, 8, 9, {}}}));
}

TEST(SessionMedia, interleaved_messages_keep_apart) {
  SessionProbe peer;
  peer.publishing();
  const test::Octets audio = test::filler(200, 1), video = test::filler(300, 2);
  const test::Octets a = test::chunked(
      {.chunk_stream_id = 4, .message_type = 8, .timestamp = 1, .message_stream_id = 1}, audio);
  const test::Octets v = test::chunked(
      {.chunk_stream_id = 6, .message_type = 9, .timestamp = 2, .message_stream_id = 1}, video);
  test::Octets mixed(v.begin(), v.begin() + 140);
  test::append(mixed, Bytes(a).first(140));
  test::append(mixed, Bytes(v).subspan(140, 129));
  test::append(mixed, Bytes(a).subspan(140));
  test::append(mixed, Bytes(v).subspan(269));
  for (const size_t run_bytes : {SIZE_MAX, size_t{1}, size_t{50}}) {
    peer.run_bytes = run_bytes;
    peer.media.clear();
    peer.feed(mixed);
    EXPECT_EQ(peer.media, (std::vector<Media>{{1, 8, 1, audio}, {1, 9, 2, video}}));
  }
}

TEST(SessionMedia, replaced_and_aborted_messages_are_given_up) {
  SessionProbe peer;
  peer.publishing();
  const test::Octets v = test::chunked(
      {.chunk_stream_id = 6, .message_type = 9, .message_stream_id = 1}, test::filler(300, 2));
  peer.feed(Bytes(v).first(140));
  peer.feed(v);
  EXPECT_THAT(peer.take_events(), ElementsAre("aborted", "tolerated chunk_state_reset"));
  EXPECT_EQ(peer.media.size(), 1u);
  peer.feed(Bytes(v).first(140));
  peer.control(abort_message(6));
  peer.control(abort_message(6));
  peer.control(abort_message(60));
  EXPECT_THAT(peer.take_events(), ElementsAre("aborted"));
  peer.feed(v);
  EXPECT_EQ(peer.media.size(), 2u);
}

TEST(SessionMedia, replaced_command_is_given_up_without_a_word_to_the_owner) {
  SessionProbe peer;
  peer.publishing();
  const test::Octets c = test::chunked({.chunk_stream_id = 3, .message_type = 20},
                                       command_body(std::string(300, 'x'), 0));
  peer.feed(Bytes(c).first(140));
  peer.command(command_body("createStream", 5));
  EXPECT_THAT(peer.take_events(), ElementsAre("tolerated chunk_state_reset"));
  EXPECT_THAT(peer.sent(), ElementsAre("_result[0] 5 2"));
}

TEST(SessionMedia, rest_of_a_message_does_not_outlive_its_publish) {
  SessionProbe peer;
  peer.publishing();
  const test::Octets v = test::chunked(
      {.chunk_stream_id = 6, .message_type = 9, .message_stream_id = 1}, test::filler(300, 2));
  peer.feed(Bytes(v).first(140));
  peer.command(named_command("FCUnpublish", 0, "cam"));
  peer.command(named_command("publish", 0, "next"), 1);
  peer.feed(Bytes(v).subspan(140));
  EXPECT_THAT(peer.take_events(), ElementsAre("publish ended 1", "publish asked 1 live/next ? "));
  EXPECT_THAT(peer.media, IsEmpty());
  peer.feed(v);
  EXPECT_EQ(peer.media.size(), 1u);
}

TEST(SessionMedia, rest_is_there_for_media_of_the_publish_alone) {
  SessionProbe peer;
  const test::Octets v = test::chunked(
      {.chunk_stream_id = 6, .message_type = 9, .message_stream_id = 1}, test::filler(300, 2));
  // An aggregate whose first inner message is a video message of 200 bytes.
  test::Octets inner(11 + 200 + 4);
  inner[0] = 9;
  inner[3] = 200;
  const test::Octets aggregate = test::chunked(
      {.chunk_stream_id = 5, .message_type = message_type::aggregate, .message_stream_id = 1},
      inner);
  const auto rest_after_next = [&](const test::Octets& wire) {
    peer.session.feed(wire, peer.now);
    (void)peer.session.next();
    size_t rest = 0;
    test::Octets room(300);
    for (uint8_t slot = 0; slot < partial_messages_max; ++slot) {
      rest += peer.session.take_rest(slot, room) + peer.session.skip_rest(slot);
    }
    while (!std::holds_alternative<NeedInput>(*peer.session.next())) {
    }
    return rest;
  };
  EXPECT_EQ(rest_after_next(test::simple_handshake()), 0u);
  peer.feed(test::filler(1536, 1));
  peer.command(test::connect_body("live"));
  EXPECT_EQ(rest_after_next(v), 0u) << "media without a publish";
  peer.command(command_body("createStream", 2));
  peer.command(named_command("publish", 3, "cam"), 1);
  peer.session.answer_publish(1, {}, peer.now);
  EXPECT_EQ(rest_after_next(v), 172u);
  EXPECT_EQ(rest_after_next(aggregate), 0u);
  peer.session.end_publish(1, "enough");
  EXPECT_EQ(rest_after_next(v), 0u) << "muted";
}

TEST(SessionMedia, unknown_message_types_are_counted_and_known_idle_ones_ignored) {
  SessionProbe peer;
  peer.publishing();
  for (const uint8_t type : std::initializer_list<uint8_t>{0, 10, 14, 21, 23, 255})
    peer.send(3, type, 0, test::filler(200, 1));
  EXPECT_EQ(peer.take_events(), std::vector<std::string>(6, "tolerated message_type_unknown"));
  peer.send(3, 7, 0, test::filler(200, 1));
  EXPECT_THAT(peer.take_events(), IsEmpty());
}

TEST(SessionMedia, unknown_user_control_is_ignored) {
  SessionProbe peer;
  peer.publishing();
  const std::string swf_answer = "001b0101" + std::string(80, '5');  // with its 40 bytes
  for (const char* body : {"0003000000010000", "001a", "001b", "001b0101", swf_answer.c_str(),
                           "ffff", "0008", "0003"}) {
    EXPECT_TRUE(peer.send(2, message_type::user_control, 0, test::from_hex(body)));
  }
  EXPECT_THAT(peer.sent(), IsEmpty());
}

test::Octets data_body(std::initializer_list<std::string_view> names, const test::Write& value) {
  test::Octets body;
  amf::Amf0Writer w(body);
  for (const std::string_view name : names) w.string(name);
  if (value) value(w);
  return body;
}

const test::Write array = [](amf::Amf0Writer& w) {
  w.ecma_array_begin(20);  // what OBS declares, whatever it holds
  w.property("width", 1280.0);
  w.property("videocodecid", "avc1");
  w.object_end();
};

TEST(SessionData, metadata_goes_to_players_without_set_data_frame) {
  const test::Octets expected = data_body({"onMetaData"}, array);
  SessionProbe peer;
  peer.publishing();
  peer.send(4, message_type::data, 1, data_body({"@setDataFrame", "onMetaData"}, array), 5);
  peer.send(4, message_type::data, 0, data_body({"onMetaData"}, array), 6);
  EXPECT_THAT(peer.take_events(), ElementsAre("data 18 metadata at 5", "data 18 metadata at 6"));
  EXPECT_EQ(peer.data, (std::vector<test::Octets>{expected, expected}));
}

TEST(SessionData, metadata_that_says_nothing_is_dropped) {
  SessionProbe peer;
  peer.publishing();
  peer.send(4, message_type::data, 1,
            data_body({"@setDataFrame", "onMetaData"}, [](amf::Amf0Writer& w) { w.null(); }));
  peer.send(4, message_type::data, 1,
            data_body({"@setDataFrame", "onMetaData"}, [](amf::Amf0Writer& w) { w.undefined(); }));
  peer.send(4, message_type::data, 1, data_body({"onMetaData"}, {}));
  EXPECT_THAT(peer.take_events(), IsEmpty());
}

TEST(SessionData, other_data_and_clear_data_frame) {
  SessionProbe peer;
  peer.publishing();
  peer.send(4, message_type::data, 1, data_body({"onTextData"}, array), 7);
  peer.send(4, message_type::data, 1, data_body({"@clearDataFrame", "onMetaData"}, {}), 8);
  EXPECT_THAT(peer.take_events(), ElementsAre("data 18 at 7", "data 18 clears at 8"));
}

TEST(SessionData, type_15_becomes_type_18_where_it_holds_no_amf3) {
  SessionProbe peer;
  peer.publishing();
  test::Octets body{0};
  test::append(body, data_body({"@setDataFrame", "onMetaData"}, array));
  peer.send(4, message_type::data_amf3, 1, body);
  peer.send(4, message_type::data_amf3, 1, data_body({"@setDataFrame", "onMetaData"}, array));
  EXPECT_THAT(peer.take_events(), ElementsAre("data 18 metadata at 0", "data 18 metadata at 0"));
  EXPECT_EQ(peer.data, std::vector<test::Octets>(2, data_body({"onMetaData"}, array)));
}

TEST(SessionData, amf3_is_said_in_amf0_for_players_that_read_nothing_else) {
  const test::Octets expected = data_body({"onMetaData"}, [](amf::Amf0Writer& w) {
    w.object_begin();
    w.property("a", 1.0);
    w.object_end();
  });
  // 0x11: an AMF3 object, anonymous and dynamic, with a = 1. And the same with the name in AMF3.
  const test::Octets object = test::from_hex("110a0b01036104 0101");
  const test::Octets names[] = {data_body({"@setDataFrame", "onMetaData"}, {}),
                                test::from_hex("1106156f6e4d65746144617461")};
  for (const test::Octets& name : names) {
    for (const uint8_t type : {message_type::data_amf3, message_type::data}) {
      SessionProbe peer;
      peer.publishing();
      test::Octets body(type == message_type::data_amf3 ? 1 : 0, 0);
      test::append(body, name);
      test::append(body, object);
      peer.send(4, type, 1, body);
      EXPECT_THAT(peer.take_events(), ElementsAre("data 18 metadata at 0"));
      EXPECT_EQ(peer.data, std::vector<test::Octets>{expected});
    }
  }
}

TEST(SessionData, what_amf0_cannot_say_stays_in_type_15_with_its_format_byte) {
  SessionProbe peer;
  peer.publishing();
  // A byte array, behind a name and inside an object.
  for (const char* value : {"110c0501ff", "110a0b0103610c05010201"}) {
    test::Octets body{0};
    test::append(body, data_body({"onCuePoint"}, {}));
    test::append(body, test::from_hex(value));
    peer.data.clear();
    peer.send(4, message_type::data_amf3, 1, body, 7);
    EXPECT_THAT(peer.take_events(), ElementsAre("data 15 at 7"));
    EXPECT_EQ(peer.data, std::vector<test::Octets>{body});
  }
}

TEST(SessionData, text_that_amf3_says_once_and_amf0_many_times_has_a_bound) {
  // 5000 times a string of 100 bytes is half a megabyte; here it is said once.
  test::Octets body{0};
  test::append(body, data_body({"onTextData"}, {}));
  test::append(body, test::from_hex("1109 ce11 01 06 8149"));  // an array of 5000, a string of 100
  test::append(body, test::Octets(100, 'x'));
  for (int i = 1; i < 5000; ++i) test::append(body, test::from_hex("0600"));
  SessionProbe peer;
  peer.publishing();
  peer.send(4, message_type::data_amf3, 1, body);
  EXPECT_THAT(peer.take_events(), ElementsAre("data 15 at 0"));
  EXPECT_EQ(peer.data, std::vector<test::Octets>{body});
}

TEST(SessionAmf3, statuses_and_data_come_as_the_peer_calls) {
  for (const double encoding : {0.0, 3.0}) {
    SessionProbe peer;
    peer.shaken();
    peer.command(test::connect_body(
        "live", [&](amf::Amf0Writer& w) { w.property("objectEncoding", encoding); }));
    EXPECT_EQ(peer.sent().back(), "onBWDone[0] 0") << "it has not called in AMF3 yet";
    test::Octets call{0};
    test::append(call, named_command("play", 3, "cam"));
    peer.send(8, message_type::command_amf3, 1, call);
    peer.session.answer_play(1, {});
    const std::string form = encoding == 3 ? "amf3 " : "";
    EXPECT_THAT(peer.sent(), ElementsAre("control 4 000000000001",
                                         form + "onStatus[1] 0 status NetStream.Play.Reset",
                                         form + "onStatus[1] 0 status NetStream.Play.Start",
                                         form + "|RtmpSampleAccess[1] data",
                                         form + "onStatus[1] data NetStream.Data.Start"));
    peer.command(command_body("pause", 4), 1);
    EXPECT_THAT(peer.sent(), ElementsAre("onStatus[1] 0 status NetStream.Pause.Notify"));
  }
}

TEST(SessionAmf3, arguments_in_amf3_are_understood) {
  SessionProbe peer;
  peer.shaken();
  peer.command(
      test::connect_body("live", [](amf::Amf0Writer& w) { w.property("objectEncoding", 3.0); }));
  peer.quiet();
  // createStream, 2, null; then publish with its transaction, null and name as AMF3 values.
  peer.send(3, message_type::command_amf3, 0,
            test::from_hex("00 02000c63726561746553747265616d 110402 1101"));
  EXPECT_THAT(peer.sent(), ElementsAre("amf3 _result[0] 2 1"));
  peer.send(3, message_type::command_amf3, 1,
            test::from_hex("00 0200077075626c697368 110400 1101 1106 0763616d 1106 096c697665"));
  EXPECT_THAT(peer.take_events().back(), "publish asked 1 live/cam ? ");
  peer.session.answer_publish(1, {}, peer.now);
  EXPECT_THAT(peer.sent(), ElementsAre("control 4 000000000001",
                                       "amf3 onStatus[1] 0 status NetStream.Publish.Start"));
}

// ---- shared objects ----

const std::string chat = "000463686174 00000001 00000000 00000000";  // name, version, flags

TEST(SessionShared, whatever_a_peer_asks_of_its_object_is_granted) {
  const struct {
    const char* what;
    const char* asked;
    std::optional<const char*> answer;
  } cases[] = {
      {"use", "0100000000", "0b00000000 0800000000"},
      {"release", "0200000000", {}},
      {"change", "030000000c 0001780040140000 00000000", "0500000003 000178"},
      {"change without a whole key", "0300000003 000578", {}},
      {"change without a key", "0300000001 00", {}},
      {"remove", "0a00000003 000178", "0900000003 000178"},
      {"message", "0600000011 02000568656c6c6f 003ff0000000000000",
       "0600000011 02000568656c6c6f 003ff0000000000000"},
      {"what servers say", "0500000003 000178 0800000000 0b00000000", {}},
      {"several", "0100000000 030000000c 000178 004014000000000000 0200000000",
       "0b00000000 0800000000 0500000003 000178"},
      {"unknown", "2a00000000", {}},
      {"nothing", "", {}},
  };
  for (const auto& one : cases) {
    for (const uint8_t type : {message_type::shared_object, message_type::shared_object_amf3}) {
      SCOPED_TRACE(one.what);
      const std::string format = type == message_type::shared_object_amf3 ? "00" : "";
      SessionProbe peer;
      peer.publishing();
      EXPECT_TRUE(peer.send(3, type, 0, test::from_hex(format + chat + one.asked)));
      std::vector<std::string> expected;
      if (one.answer) {
        expected.push_back("shared " + std::to_string(type) + " " +
                           test::to_hex(test::from_hex(format + chat + *one.answer)));
      }
      EXPECT_EQ(peer.sent(), expected);
      EXPECT_THAT(peer.take_events(), IsEmpty());
    }
  }
}

TEST(SessionShared, nothing_about_one_ends_a_stream) {
  SessionProbe peer;
  peer.publishing();
  for (const uint8_t type : {message_type::shared_object, message_type::shared_object_amf3}) {
    for (const char* hex : {"00", "00ff41", "0000", "ffff"}) {
      EXPECT_TRUE(peer.send(3, type, 0, test::from_hex(hex)));
      EXPECT_THAT(peer.take_events(), ElementsAre("tolerated shared_object_malformed")) << hex;
    }
    EXPECT_TRUE(peer.send(3, type, 0, test::Octets(command_bytes_max + 1)));
  }
  for (uint32_t i = 0; i < 3 * commands_per_second_max; ++i) {
    EXPECT_TRUE(peer.send(3, message_type::shared_object, 0, test::from_hex(chat + "0100000000")));
  }
  EXPECT_LE(peer.sent().size(), commands_per_second_max) << "more are not answered";
  peer.audio(0, test::filler(4, 1));
  EXPECT_EQ(peer.media.size(), 1u);
  EXPECT_EQ(peer.fault, std::nullopt);
}

TEST(SessionShared, before_connect_there_is_none) {
  SessionProbe peer;
  peer.shaken();
  EXPECT_TRUE(peer.send(3, message_type::shared_object, 0, test::from_hex(chat + "0100000000")));
  EXPECT_THAT(peer.sent(), IsEmpty());
}

TEST(SessionData, garbage_in_data_is_counted_and_not_relayed) {
  for (const char* hex : {"", "ff", "02", "020004", "05", "0000", "02000003",
                          "02000d40736574446174614672616d65", "02000a6f6e4d657461446174610300"}) {
    SessionProbe peer;
    peer.publishing();
    EXPECT_TRUE(peer.send(4, message_type::data, 1, test::from_hex(hex))) << hex;
    EXPECT_THAT(peer.take_events(), ElementsAre("tolerated metadata_malformed")) << hex;
  }
}

/// An aggregate of tags: type, timestamp, payload.
struct Tag {
  uint8_t type;
  uint32_t timestamp;
  test::Octets payload;
};
test::Octets aggregate(const std::vector<Tag>& tags) {
  test::Octets body;
  for (const Tag& tag : tags) {
    uint8_t header[11] = {tag.type};
    store_u24(header + 1, static_cast<uint32_t>(tag.payload.size()));
    store_u24(header + 4, tag.timestamp & 0xFFFFFF);
    header[7] = static_cast<uint8_t>(tag.timestamp >> 24);
    test::append(body, header);
    test::append(body, tag.payload);
    uint8_t back[4];
    store_u32(back, static_cast<uint32_t>(11 + tag.payload.size()));
    test::append(body, back);
  }
  return body;
}

TEST(SessionAggregate, is_split_on_arrival_at_any_cut) {
  const test::Octets audio = test::filler(300, 1), video = test::filler(700, 2);
  const test::Octets body = aggregate({{8, 100, audio},
                                       {18, 110, data_body({"@setDataFrame", "onMetaData"}, array)},
                                       {9, 120, video},
                                       {8, 130, {}},
                                       {22, 140, audio},
                                       {9, 90, video}});
  for (const size_t run_bytes : {SIZE_MAX, size_t{1}, size_t{7}, size_t{129}}) {
    SessionProbe peer;
    peer.publishing();
    peer.run_bytes = run_bytes;
    peer.send(4, message_type::aggregate, 1, body, 1000);
    EXPECT_EQ(peer.media,
              (std::vector<Media>{
                  {1, 8, 1000, audio}, {1, 9, 1020, video}, {1, 8, 1030, {}}, {1, 9, 990, video}}));
    EXPECT_THAT(peer.take_events(), ElementsAre("data 18 metadata at 1010"));
  }
}

TEST(SessionAggregate, truncated_one_gives_its_whole_messages) {
  const test::Octets audio = test::filler(30, 1);
  test::Octets body = aggregate({{8, 100, audio}, {9, 110, test::filler(90, 2)}});
  body.resize(body.size() - 10);
  SessionProbe peer;
  peer.publishing();
  peer.send(4, message_type::aggregate, 1, body, 100);
  EXPECT_EQ(peer.media, (std::vector<Media>{{1, 8, 100, audio}}));
  EXPECT_THAT(peer.take_events(), ElementsAre("tolerated aggregate_malformed"));
}

TEST(SessionAggregate, given_up_inside_a_message_tells_the_owner) {
  const test::Octets body =
      aggregate({{8, 100, test::filler(30, 1)}, {9, 110, test::filler(300, 2)}});
  const test::Octets wire =
      test::chunked({.chunk_stream_id = 4, .message_type = 22, .message_stream_id = 1}, body);
  SessionProbe peer;
  peer.publishing();
  peer.feed(Bytes(wire).first(140));
  peer.control(abort_message(4));
  EXPECT_THAT(peer.take_events(), ElementsAre("aborted"));
  peer.feed(wire);
  EXPECT_EQ(peer.media.size(), 3u);
}

TEST(SessionAggregate, rest_of_one_does_not_outlive_its_publish) {
  const test::Octets body =
      aggregate({{9, 110, test::filler(300, 2)}, {8, 120, test::filler(30, 1)}});
  const test::Octets wire =
      test::chunked({.chunk_stream_id = 4, .message_type = 22, .message_stream_id = 1}, body);
  SessionProbe peer;
  peer.publishing();
  peer.feed(Bytes(wire).first(140));
  peer.command(named_command("FCUnpublish", 0, "cam"));
  peer.command(named_command("publish", 0, "next"), 1);
  peer.feed(Bytes(wire).subspan(140));
  EXPECT_THAT(peer.media, IsEmpty());
}

TEST(SessionAggregate, without_publish_is_counted_once) {
  SessionProbe peer;
  peer.connected();
  peer.send(4, message_type::aggregate, 1,
            aggregate({{8, 100, test::filler(300, 1)}, {8, 100, test::filler(30, 1)}}));
  EXPECT_THAT(peer.take_events(), ElementsAre("tolerated media_without_publish"));
}

}  // namespace
}  // namespace penstock::rtmp

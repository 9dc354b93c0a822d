#include "penstock/rtmp/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rtmp/session_probe.h"

namespace penstock::rtmp {
namespace {

using test::command_body;
using test::connect_body;
using test::named_command;
using test::SessionProbe;
using test::Write;
using testing::ElementsAre;
using testing::IsEmpty;

using Lines = std::vector<std::string>;

TEST(Session, connect_is_answered_in_the_order_that_every_peer_accepts) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live"));
  EXPECT_THAT(peer.sent(),
              ElementsAre("control 5 002625a0", "control 6 002625a002", "control 4 000000000000",
                          "control 1 00010000", "_result[0] 1 status NetConnection.Connect.Success",
                          "onBWDone[0] 0"));
  EXPECT_THAT(
      peer.take_events(),
      ElementsAre("connected live | FMLE/3.0 (compatible; FMSc/1.0) | rtmp://localhost/live"));
}

TEST(Session, object_encoding_is_echoed) {
  for (const double encoding : {0.0, 3.0}) {
    SessionProbe peer;
    peer.shaken();
    peer.command(
        connect_body("live", [&](amf::Amf0Writer& w) { w.property("objectEncoding", encoding); }));
    peer.sent();
    const auto values = amf::read_amf0(peer.last_sent[4].payload);
    ASSERT_TRUE(values);
    EXPECT_EQ(values->at(3).find_number("objectEncoding"), encoding);
    EXPECT_EQ(values->at(3).find("capsEx"), nullptr)
        << "a peer that declares nothing is told nothing";
  }
}

TEST(Session, enhanced_capabilities_are_answered_in_kind) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live", [&](amf::Amf0Writer& w) {
    w.property("fourCcList");
    w.strict_array_begin(2);
    w.string("av01");
    w.string("hvc1");
    w.property("videoFourCcInfoMap");
    w.object_begin();
    w.property("*", 7.0);
    w.object_end();
    w.property("audioFourCcInfoMap");
    w.object_begin();
    w.object_end();
    w.property("capsEx", 15.0);
  }));
  peer.sent();
  const auto values = amf::read_amf0(peer.last_sent[4].payload);
  ASSERT_TRUE(values);
  const amf::Value& info = values->at(3);
  ASSERT_NE(info.find("fourCcList"), nullptr);
  EXPECT_EQ(info.find("fourCcList")->items.size(), 2u);
  EXPECT_EQ(info.find("fourCcList")->items[1].as_string(), "hvc1");
  EXPECT_EQ(info.find("videoFourCcInfoMap")->find_number("*"), 4);
  EXPECT_EQ(info.find("audioFourCcInfoMap")->find_number("*"), 4);
  EXPECT_EQ(info.find_number("capsEx"), 0x0F);
}

TEST(Session, whoever_knows_enhanced_rtmp_is_told_all_of_it) {
  const Write declarations[] = {
      [](amf::Amf0Writer& w) {
        w.property("fourCcList");
        w.strict_array_begin(1);
        w.string("*");
      },
      [](amf::Amf0Writer& w) { w.property("capsEx", 0.0); },
      [](amf::Amf0Writer& w) {
        w.property("audioFourCcInfoMap");
        w.object_begin();
        w.property("Opus", 3.0);
        w.object_end();
      },
  };
  for (const Write& declare : declarations) {
    SessionProbe peer;
    peer.shaken();
    peer.command(connect_body("live", declare));
    peer.sent();
    const auto values = amf::read_amf0(peer.last_sent[4].payload);
    ASSERT_TRUE(values);
    const amf::Value& info = values->at(3);
    for (const char* map : {"videoFourCcInfoMap", "audioFourCcInfoMap"}) {
      ASSERT_NE(info.find(map), nullptr);
      EXPECT_EQ(info.find(map)->find_number("*"), 4) << "forwards any codec";
    }
    EXPECT_EQ(info.find_number("capsEx"), 0x0F);
    const bool listed = &declare == &declarations[0];
    ASSERT_EQ(info.find("fourCcList") != nullptr, listed);
    if (listed) {
      EXPECT_EQ(info.find("fourCcList")->items[0].as_string(), "*");
    }
  }
}

TEST(Session, who_can_reconnect_is_asked_to_and_nobody_else) {
  const struct {
    std::optional<double> caps_ex;
    const char* to;
    std::optional<const char*> expected;  // tcUrl
  } cases[] = {
      {std::nullopt, "rtmp://other/x", {}},
      {14, "rtmp://other/x", {}},
      {1, "", ""},
      {15, "rtmp://other:1936/app", "rtmp://other:1936/app"},
      {15, "/app", "/app"},
      {1, "rtmp://other:1936", "rtmp://other:1936/live/inst?key=1"},
      {1, "//other/", "//other/live/inst?key=1"},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.to);
    SessionProbe peer;
    EXPECT_FALSE(peer.session.ask_to_reconnect(one.to, "why"));
    peer.shaken();
    EXPECT_FALSE(peer.session.ask_to_reconnect(one.to, "why"));
    peer.command(connect_body("live/inst?key=1", [&](amf::Amf0Writer& w) {
      if (one.caps_ex) w.property("capsEx", *one.caps_ex);
    }));
    peer.quiet();
    EXPECT_EQ(peer.session.ask_to_reconnect(one.to, "server is draining"),
              one.expected.has_value());
    if (!one.expected) {
      EXPECT_THAT(peer.sent(), IsEmpty());
      continue;
    }
    EXPECT_THAT(peer.sent(),
                ElementsAre("onStatus[0] 0 status NetConnection.Connect.ReconnectRequest"));
    const auto values = amf::read_amf0(peer.last_sent[0].payload);
    ASSERT_TRUE(values);
    EXPECT_TRUE(values->at(2).is_null());
    EXPECT_EQ(values->at(3).find_string("tcUrl").value_or(""), *one.expected);
    EXPECT_EQ(values->at(3).find("tcUrl") != nullptr, **one.expected != 0);
    EXPECT_EQ(values->at(3).find_string("description"), "server is draining");
  }
}

TEST(Session, asked_to_reconnect_a_publish_goes_on) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live", [](amf::Amf0Writer& w) { w.property("capsEx", 1.0); }));
  peer.command(named_command("publish", 3, "cam"), 1);
  peer.session.answer_publish(1, {}, peer.now);
  peer.quiet();
  EXPECT_TRUE(peer.session.ask_to_reconnect({}, "server is draining"));
  peer.video(0, test::filler(10, 1));
  EXPECT_EQ(peer.media.size(), 1u);
}

TEST(Session, player_that_asks_for_aggregates) {
  const auto asked = [](std::string_view app, std::string_view name, bool in_connect) {
    bool aggregates = false;
    SessionProbe peer;
    peer.shaken();
    peer.command(connect_body(app, [&](amf::Amf0Writer& w) {
      if (in_connect) w.property("aggregate", true);
    }));
    peer.on_play_asked = [&](const PlayAsked& e) { aggregates = e.aggregates; };
    peer.command(named_command("play", 3, name), 1);
    return aggregates;
  };
  EXPECT_FALSE(asked("live", "cam", false));
  EXPECT_FALSE(asked("live", "cam?aggregate=0&x=aggregate=1", false));
  EXPECT_TRUE(asked("live", "cam?aggregate=1", false));
  EXPECT_TRUE(asked("live?key=2&aggregate=1", "cam?x=1", false));
  EXPECT_TRUE(asked("live", "cam", true));
}

TEST(Session, key_and_query_come_with_the_question_and_never_in_the_name) {
  const struct {
    const char* app;
    const char* tc_url;
    const char* name;
    const char* expected;
  } cases[] = {
      {"live", "rtmp://h/live", "cam", "live/cam ? "},
      {"live", "rtmp://h/live", "cam?key=1", "live/cam ? key=1"},
      {"live?key=2", "rtmp://h/live?key=2", "cam", "live/cam ? key=2"},
      {"live?key=2&a=b", "rtmp://h/live?key=3&c=d", "cam?key=1", "live/cam ? key=1&a=b&c=d"},
      {"/live//inst/", "", "//cam/", "live/inst/cam ? "},
      {"live/key", "", "", "live/key ? "},
      {"", "rtmp://h", "cam", "cam ? "},
      {"live", "", "mp4:cam.mp4", "live/cam.mp4 ? "},
      {"live", "", "key with space&x=y", "live/key with space&x=y ? "},
      {"live", "", "cam?token?with?marks", "live/cam ? token?with?marks"},
  };
  for (const auto& one : cases) {
    SessionProbe peer;
    peer.shaken();
    test::Octets body;
    amf::Amf0Writer w(body);
    w.string("connect");
    w.number(1);
    w.object_begin();
    w.property("app", one.app);
    w.property("tcUrl", one.tc_url);
    w.object_end();
    peer.command(body);
    peer.command(command_body("createStream", 2));
    peer.take_events();
    peer.command(named_command("publish", 0, one.name), 1);
    EXPECT_THAT(peer.take_events(), ElementsAre(std::string("publish asked 1 ") + one.expected))
        << one.app;
  }
}

TEST(Session, connected_event_has_no_query) {
  SessionProbe peer;
  peer.shaken();
  peer.command(connect_body("live?key=secret"));
  EXPECT_THAT(
      peer.take_events(),
      ElementsAre("connected live | FMLE/3.0 (compatible; FMSc/1.0) | rtmp://localhost/live"));
}

TEST(Session, app_may_be_missing_and_keys_may_be_in_another_case) {
  SessionProbe peer;
  peer.shaken();
  test::Octets body;
  amf::Amf0Writer w(body);
  w.string("connect");
  w.number(1);
  w.ecma_array_begin(1);
  w.property("tcurl", "'rtmp://h:1935/live?x=1'");
  w.object_end();
  peer.command(body);
  EXPECT_THAT(peer.take_events(), ElementsAre("connected live |  | rtmp://h:1935/live"));
}

TEST(Session, publish_is_answered_on_its_message_stream) {
  SessionProbe peer;
  peer.connected();
  peer.command(named_command("releaseStream", 2, "cam"));
  peer.command(named_command("FCPublish", 3, "cam"));
  peer.command(command_body("createStream", 4));
  EXPECT_THAT(peer.sent(), ElementsAre("_result[0] 2", "_result[0] 3", "_result[0] 4 1"));
  peer.command(named_command("publish", 5, "cam"), 1);
  EXPECT_THAT(peer.take_events(), ElementsAre("publish asked 1 live/cam ? "));
  EXPECT_THAT(peer.sent(), IsEmpty());
  peer.session.answer_publish(1, {});
  EXPECT_THAT(peer.sent(),
              ElementsAre("control 4 000000000001", "onStatus[1] 0 status NetStream.Publish.Start",
                          "onFCPublish[0] 0 status NetStream.Publish.Start"));
}

TEST(Session, refused_publish_gets_the_code_that_peers_stop_on) {
  const struct {
    Refusal refusal;
    const char* code;
  } cases[] = {{Refusal::bad_name, "NetStream.Publish.BadName"},
               {Refusal::denied, "NetStream.Publish.Denied"},
               {Refusal::stream_not_found, "NetStream.Publish.BadName"}};
  for (const auto& one : cases) {
    SessionProbe peer;
    peer.connected();
    peer.command(command_body("createStream", 2));
    peer.command(named_command("publish", 3, "cam"), 1);
    peer.quiet();
    peer.session.answer_publish(1, {.refusal = one.refusal, .text = "stream key not valid"});
    EXPECT_THAT(peer.sent(), ElementsAre(std::string("onStatus[1] 0 error ") + one.code));
    const auto values = amf::read_amf0(peer.last_sent[0].payload);
    EXPECT_EQ(values->at(3).find_string("description"), "stream key not valid");
    peer.video(0, test::filler(10, 1));
    EXPECT_THAT(peer.media, IsEmpty());
    EXPECT_THAT(peer.take_events(), IsEmpty()) << "its media is expected for a while, and ignored";
  }
}

TEST(Session, publish_needs_no_create_stream) {
  for (const uint32_t id : {0u, 1u, 5u}) {
    SessionProbe peer;
    peer.connected();
    peer.command(named_command("publish", 0, "cam"), id);
    const std::string given = std::to_string(id == 0 ? 1 : id);
    EXPECT_THAT(peer.take_events(), ElementsAre("publish asked " + given + " live/cam ? "));
    peer.session.answer_publish(id == 0 ? 1 : id, {});
    EXPECT_THAT(peer.sent().back(), "onStatus[" + given + "] 0 status NetStream.Publish.Start");
  }
}

TEST(Session, publish_on_message_stream_0_uses_the_only_stream) {
  SessionProbe peer;
  peer.connected();
  peer.command(command_body("createStream", 2));
  peer.quiet();
  peer.command(named_command("publish", 0, "cam"), 0);
  EXPECT_THAT(peer.take_events(), ElementsAre("publish asked 1 live/cam ? "));
}

TEST(Session, second_publish_on_a_connection_is_refused_and_the_first_goes_on) {
  SessionProbe peer;
  peer.publishing();
  peer.command(command_body("createStream", 4));
  peer.command(named_command("publish", 5, "other"), 2);
  peer.command(named_command("publish", 6, "again"), 1);
  EXPECT_THAT(peer.take_events(), IsEmpty());
  EXPECT_THAT(peer.sent(),
              ElementsAre("_result[0] 4 2", "onStatus[2] 0 error NetStream.Publish.BadName",
                          "onStatus[1] 0 error NetStream.Publish.BadName"));
  peer.audio(5, test::filler(4, 1));
  EXPECT_EQ(peer.media.size(), 1u);
}

TEST(Session, publish_ends_in_every_way_that_peers_know) {
  const struct {
    const char* what;
    test::Octets body;
    uint32_t message_stream_id;
    Lines sent;
  } cases[] = {
      {"FCUnpublish",
       named_command("FCUnpublish", 7, "cam"),
       0,
       {"_result[0] 7", "onFCUnpublish[0] 0 status NetStream.Unpublish.Success"}},
      {"deleteStream",
       command_body("deleteStream", 0, [](amf::Amf0Writer& w) { w.number(1); }),
       0,
       {}},
      {"deleteStream with the name, as GStreamer", named_command("deleteStream", 0, "cam"), 0, {}},
      {"closeStream",
       command_body("closeStream", 0),
       1,
       {"onStatus[1] 0 status NetStream.Unpublish.Success"}},
      {"publish false",
       command_body("publish", 0, [](amf::Amf0Writer& w) { w.boolean(false); }),
       1,
       {"onStatus[1] 0 status NetStream.Unpublish.Success"}},
      {"publish null",
       command_body("publish", 0, [](amf::Amf0Writer& w) { w.null(); }),
       1,
       {"onStatus[1] 0 status NetStream.Unpublish.Success"}},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.what);
    SessionProbe peer;
    peer.publishing();
    ASSERT_TRUE(peer.command(one.body, one.message_stream_id));
    EXPECT_THAT(peer.take_events(), ElementsAre("publish ended 1"));
    EXPECT_EQ(peer.sent(), one.sent);
    peer.command(named_command("FCUnpublish", 0, "cam"));
    EXPECT_THAT(peer.take_events(), IsEmpty()) << "it ends once";
  }
}

TEST(Session, peer_may_publish_again_on_the_same_connection) {
  SessionProbe peer;
  peer.publishing();
  peer.command(named_command("FCUnpublish", 0, "cam"));
  peer.command(command_body("deleteStream", 0, [](amf::Amf0Writer& w) { w.number(1); }));
  peer.quiet();
  peer.command(command_body("createStream", 8));
  EXPECT_THAT(peer.sent(), ElementsAre("_result[0] 8 1")) << "the first stream is always 1";
  peer.command(named_command("publish", 0, "second"), 1);
  EXPECT_THAT(peer.take_events(), ElementsAre("publish asked 1 live/second ? "));
  peer.session.answer_publish(1, {});
  peer.audio(0, test::filler(3, 1));
  EXPECT_EQ(peer.media.size(), 1u);
}

TEST(Session, late_verdict_for_what_was_taken_back_changes_nothing) {
  SessionProbe peer;
  peer.connected();
  peer.command(named_command("publish", 0, "cam"), 1);
  peer.command(named_command("FCUnpublish", 0, "cam"));
  EXPECT_THAT(peer.take_events(), ElementsAre("publish asked 1 live/cam ? ", "publish ended 1"));
  peer.quiet();
  peer.session.answer_publish(1, {});
  peer.session.answer_play(1, {});
  EXPECT_THAT(peer.sent(), IsEmpty());
}

TEST(Session, play_is_answered_with_reset_start_and_data_start) {
  SessionProbe peer;
  peer.connected();
  peer.command(command_body("createStream", 2));
  peer.quiet();
  peer.command(named_command("play", 3, "cam?token=x"), 1);
  EXPECT_THAT(peer.take_events(), ElementsAre("play asked 1 live/cam ? token=x"));
  peer.session.answer_play(1, {});
  EXPECT_THAT(peer.sent(),
              ElementsAre("control 4 000000000001", "onStatus[1] 0 status NetStream.Play.Reset",
                          "onStatus[1] 0 status NetStream.Play.Start", "|RtmpSampleAccess[1] data",
                          "onStatus[1] data NetStream.Data.Start"));
}

TEST(Session, play_without_reset_sends_no_reset) {
  SessionProbe peer;
  peer.connected();
  peer.command(command_body("play", 3,
                            [](amf::Amf0Writer& w) {
                              w.string("cam");
                              w.number(-2000);
                              w.number(-1);
                              w.boolean(false);
                            }),
               1);
  peer.session.answer_play(1, {});
  EXPECT_THAT(peer.sent(),
              testing::Not(testing::Contains("onStatus[1] 0 status NetStream.Play.Reset")));
}

TEST(Session, refused_play_gets_the_code_that_players_stop_on) {
  for (const auto& [refusal, code] :
       {std::pair{Refusal::stream_not_found, "NetStream.Play.StreamNotFound"},
        std::pair{Refusal::denied, "NetStream.Play.Failed"}}) {
    SessionProbe peer;
    peer.connected();
    peer.command(named_command("play", 3, "cam"), 1);
    peer.quiet();
    peer.session.answer_play(1, {.refusal = refusal, .text = "no"});
    EXPECT_THAT(peer.sent(), ElementsAre(std::string("onStatus[1] 0 error ") + code));
  }
}

TEST(Session, player_is_told_when_its_publisher_goes_and_comes) {
  SessionProbe peer;
  peer.playing();
  peer.session.publisher_went(1);
  EXPECT_THAT(peer.sent(), ElementsAre("control 4 000100000001",
                                       "onStatus[1] 0 status NetStream.Play.UnpublishNotify"));
  peer.session.publisher_came(1);
  EXPECT_THAT(peer.sent(), ElementsAre("control 4 000000000001",
                                       "onStatus[1] 0 status NetStream.Play.PublishNotify"));
  peer.session.publisher_went(2);
  EXPECT_THAT(peer.sent(), IsEmpty());
}

TEST(Session, player_commands) {
  const auto flag = [](std::string_view name, bool value) {
    return command_body(name, 0, [=](amf::Amf0Writer& w) { w.boolean(value); });
  };
  const struct {
    test::Octets body;
    Lines events;
    Lines sent;
  } cases[] = {
      {flag("pause", true), {"paused"}, {"onStatus[1] 0 status NetStream.Pause.Notify"}},
      {flag("pauseRaw", false), {"resumed"}, {"onStatus[1] 0 status NetStream.Unpause.Notify"}},
      {command_body("seek", 0, [](amf::Amf0Writer& w) { w.number(1000); }),
       {},
       {"onStatus[1] 0 status NetStream.Seek.Notify", "onStatus[1] 0 status NetStream.Play.Start"}},
      {flag("receiveAudio", false), {"no audio"}, {}},
      {flag("receiveVideo", false), {"no video"}, {}},
      {flag("receiveVideo", true),
       {"wants video"},
       {"onStatus[1] 0 status NetStream.Seek.Notify", "onStatus[1] 0 status NetStream.Play.Start"}},
      {named_command("getStreamLength", 9, "cam"), {}, {"_result[0] 9 0"}},
      {command_body("play2", 9), {}, {"_error[0] 9 error NetConnection.Call.Failed"}},
      {named_command("FCSubscribe", 0, "cam"),
       {},
       {"onFCSubscribe[0] 0 status NetStream.Play.Start"}},
      {command_body("closeStream", 0), {"play ended 1"}, {}},
      {named_command("play", 0, "other"), {"play ended 1", "play asked 1 live/other ? "}, {}},
      {command_body("deleteStream", 0, [](amf::Amf0Writer& w) { w.number(1); }),
       {"play ended 1"},
       {}},
      {command_body("deleteStream", 0, [](amf::Amf0Writer& w) { w.number(2); }), {}, {}},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(test::to_hex(one.body));
    SessionProbe peer;
    peer.playing();
    ASSERT_TRUE(peer.command(one.body, 1));
    EXPECT_EQ(peer.take_events(), one.events);
    EXPECT_EQ(peer.sent(), one.sent);
  }
}

TEST(Session, calls_that_nobody_knows_get_an_error_and_are_never_fatal) {
  SessionProbe peer;
  peer.connected();
  peer.command(command_body("makeCoffee", 7));
  EXPECT_THAT(peer.sent(), ElementsAre("_error[0] 7 error NetConnection.Call.Failed"));
  const auto values = amf::read_amf0(peer.last_sent[0].payload);
  EXPECT_EQ(values->at(3).find_string("description"), "Method not found (makeCoffee).");
  peer.command(command_body("makeCoffee", 0));
  peer.command(command_body("_result", 4));
  peer.command(command_body("_error", 4));
  peer.command(command_body("onStatus", 4));
  EXPECT_THAT(peer.sent(), IsEmpty());
  peer.command(command_body("_checkbw", 8));
  EXPECT_THAT(peer.sent(), ElementsAre("_result[0] 8"));
  EXPECT_EQ(peer.fault, std::nullopt);
}

TEST(Session, calls_with_transaction_0_get_no_answer) {
  SessionProbe peer;
  peer.connected();
  for (const char* name :
       {"releaseStream", "FCPublish", "_checkbw", "getStreamLength", "createStream"}) {
    peer.command(named_command(name, 0, "cam"));
  }
  EXPECT_THAT(peer.sent(), IsEmpty());
}

TEST(Session, command_in_an_amf3_message_is_answered_in_one) {
  for (const char* prefix : {"00", ""}) {  // some old senders leave the format byte out
    SessionProbe peer;
    peer.connected();
    test::Octets body = test::from_hex(prefix);
    test::append(body, command_body("createStream", 2));
    peer.send(3, message_type::command_amf3, 0, body);
    EXPECT_THAT(peer.sent(), ElementsAre("amf3 _result[0] 2 1"));
  }
}

TEST(Session, ended_publish_is_told_why_and_its_media_is_ignored) {
  SessionProbe peer;
  peer.publishing();
  peer.audio(0, test::filler(5, 1));
  peer.session.end_publish(1, "kicked by the operator");
  EXPECT_THAT(peer.sent(), ElementsAre("onStatus[1] 0 error NetStream.Publish.Denied"));
  peer.audio(1, test::filler(5, 1));
  EXPECT_EQ(peer.media.size(), 1u);
  EXPECT_THAT(peer.take_events(), IsEmpty());
  peer.session.end_publish(1, "twice");
  EXPECT_THAT(peer.sent(), IsEmpty());
}

TEST(Session, muted_publish_that_ends_late_does_not_end_the_next_one) {
  SessionProbe peer;
  peer.publishing();
  peer.session.end_publish(1, "kicked");
  peer.command(command_body("createStream", 5));
  peer.command(named_command("publish", 0, "next"), 2);
  peer.session.answer_publish(2, {});
  peer.quiet();
  peer.command(command_body("closeStream", 0), 1);
  EXPECT_THAT(peer.take_events(), IsEmpty());
  peer.audio(0, test::filler(4, 2), 2);
  ASSERT_EQ(peer.media.size(), 1u);
  EXPECT_EQ(peer.media[0].message_stream_id, 2u);
}

TEST(Session, every_cut_of_the_input_gives_the_same_conversation) {
  const auto talk = [](size_t run_bytes) {
    SessionProbe peer;
    peer.run_bytes = run_bytes;
    peer.feed(test::simple_handshake());
    std::ignore = peer.session.outbox().take();
    peer.feed(test::filler(1536, 2));
    peer.command(connect_body("live?a=b"));
    peer.command(command_body("createStream", 2));
    peer.command(named_command("publish", 3, "cam?key=1"), 1);
    peer.session.answer_publish(1, {});
    for (uint32_t i = 0; i < 5; ++i) {
      peer.audio(i * 20, test::filler(i * 40, i));
      peer.video(i * 40, test::filler(i * 500, i));
    }
    peer.command(named_command("FCUnpublish", 6, "cam"));
    EXPECT_EQ(peer.fault, std::nullopt);
    return std::tuple(peer.take_events(), peer.sent(), peer.media);
  };
  const auto whole = talk(SIZE_MAX);
  EXPECT_EQ(std::get<2>(whole).size(), 10u);
  for (const size_t run_bytes : {1, 2, 3, 5, 11, 64, 127, 129, 1000})
    EXPECT_EQ(talk(run_bytes), whole) << run_bytes;
}

TEST(Session, unread_input_can_be_held_while_a_verdict_is_on_its_way) {
  SessionProbe peer;
  peer.connected();
  test::Octets stream =
      test::chunked({.chunk_stream_id = 3, .message_type = 20, .message_stream_id = 1},
                    named_command("publish", 0, "cam"));
  const test::Octets frame = test::chunked(
      {.chunk_stream_id = 6, .message_type = 9, .message_stream_id = 1}, test::filler(300, 1));
  test::append(stream, frame);
  const uint64_t before = peer.session.bytes_received();
  peer.pause_at_asked = true;
  peer.feed(stream);
  EXPECT_THAT(peer.take_events(), ElementsAre("publish asked 1 live/cam ? "));
  const test::Octets unread = test::octets(peer.session.take_unread());
  EXPECT_EQ(unread, frame);
  EXPECT_EQ(peer.session.bytes_received() - before, stream.size() - frame.size());
  EXPECT_TRUE(peer.pull());
  EXPECT_THAT(peer.media, IsEmpty());
  peer.session.answer_publish(1, {});
  peer.feed(unread);
  ASSERT_EQ(peer.media.size(), 1u);
  EXPECT_EQ(peer.media[0].payload, test::filler(300, 1));
}

}  // namespace
}  // namespace penstock::rtmp

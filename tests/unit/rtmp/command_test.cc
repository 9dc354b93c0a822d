#include "penstock/rtmp/command.h"

#include <gtest/gtest.h>

#include "penstock/amf/amf0.h"
#include "penstock/rtmp/message.h"
#include "tests/unit/rtmp/session_probe.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

using test::command_body;
using test::named_command;

Command parsed(const test::Octets& body) {
  auto command = parse_command(message_type::command, body);
  EXPECT_TRUE(command);
  return command.value_or(Command{});
}

TEST(Command, every_command_of_the_vectors_parses) {
  size_t commands = 0;
  for (const auto& one : test::load_vectors("amf0.json", "commands")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    auto decoded = one["decoded"];
    if (decoded[0] == "@setDataFrame") continue;  // a data message
    if (decoded[0] == "(00)") decoded.erase(0);
    const test::Octets body = test::from_hex(one["hex"].get<std::string>());
    const uint8_t type = body[0] == 0 ? message_type::command_amf3 : message_type::command;
    const auto command = parse_command(type, body);
    ASSERT_TRUE(command);
    EXPECT_EQ(command->name, decoded[0].get<std::string>());
    EXPECT_EQ(command->transaction, decoded[1].get<double>());
    EXPECT_EQ(command->arguments.size(), decoded.size() - 2);
    ++commands;
  }
  EXPECT_EQ(commands, 14u);
}

TEST(Command, connect_of_the_vectors) {
  for (const auto& one : test::load_vectors("amf0.json", "commands")) {
    if (one["decoded"][0] != "connect") continue;
    const Command command = parsed(test::from_hex(one["hex"].get<std::string>()));
    const ConnectCommand connect = parse_connect(command);
    const auto& object = one["decoded"][2];
    EXPECT_EQ(connect.app, object["app"].get<std::string>());
    EXPECT_EQ(connect.tc_url, object.value("tcUrl", ""));
    EXPECT_EQ(connect.capabilities.caps_ex.has_value(), object.contains("capsEx"));
    EXPECT_EQ(connect.capabilities.video_info_map, object.contains("videoFourCcInfoMap"));
  }
}

TEST(Command, play_arguments) {
  const auto play = [](const test::Write& more) {
    return *parse_play(parsed(command_body("play", 0, [&](amf::Amf0Writer& w) {
      w.string("cam");
      if (more) more(w);
    })));
  };
  EXPECT_EQ(play({}).start, -2);
  EXPECT_TRUE(play({}).reset);
  EXPECT_EQ(play([](amf::Amf0Writer& w) { w.number(-1000); }).start, -1000);
  const auto with_reset = [&](const test::Write& reset) {
    return play([&](amf::Amf0Writer& w) {
      w.number(0);
      w.number(-1);
      reset(w);
    });
  };
  EXPECT_FALSE(with_reset([](amf::Amf0Writer& w) { w.boolean(false); }).reset);
  EXPECT_FALSE(with_reset([](amf::Amf0Writer& w) { w.number(0); }).reset);
  EXPECT_TRUE(with_reset([](amf::Amf0Writer& w) { w.number(1); }).reset);
  EXPECT_FALSE(with_reset([](amf::Amf0Writer& w) { w.number(2); }).reset);
  EXPECT_TRUE(with_reset([](amf::Amf0Writer& w) { w.number(3); }).reset);
}

TEST(Command, publish_arguments) {
  EXPECT_EQ(parse_publish(parsed(named_command("publish", 0, "cam")))->name, "cam");
  EXPECT_EQ(parse_publish(parsed(command_body("publish", 0)))->name, "");
  EXPECT_TRUE(parse_publish(parsed(command_body("publish", 0, [](amf::Amf0Writer& w) {
                w.boolean(false);
              })))->stop);
  EXPECT_FALSE(parse_publish(
      parsed(command_body("publish", 0, [](amf::Amf0Writer& w) { w.boolean(true); }))));
}

TEST(Command, connect_without_an_object_is_an_empty_one) {
  const Command command = parsed(command_body("connect", 1));
  const ConnectCommand connect = parse_connect(command);
  EXPECT_EQ(connect.app, "");
  EXPECT_FALSE(connect.amf3);
}

TEST(Command, four_cc_list_is_bounded_and_odd_items_are_left_out) {
  test::Octets body = test::connect_body("live", [](amf::Amf0Writer& w) {
    w.property("fourCcList");
    w.strict_array_begin(102);
    w.number(5);
    w.string("longer than four");
    for (int i = 0; i < 100; ++i) w.string("av01");
  });
  EXPECT_EQ(parse_connect(parsed(body)).capabilities.four_cc_list.size(), 32u);
}

TEST(Command, answers_are_as_peers_expect_them) {
  const struct {
    Body body;
    const char* hex;
  } cases[] = {
      {result(2),
       "0200075f726573756c74"
       "004000000000000000"
       "05"
       "06"},
      {result(4, 1),
       "0200075f726573756c74"
       "004010000000000000"
       "05"
       "003ff0000000000000"},
      {notice("onBWDone"),
       "0200086f6e4257446f6e65"
       "000000000000000000"
       "05"},
      {sample_access(),
       "0200117c52746d7053616d706c65416363657373"
       "0101"
       "0101"},
  };
  for (const auto& one : cases) EXPECT_EQ(test::to_hex(one.body), one.hex);
}

}  // namespace
}  // namespace penstock::rtmp

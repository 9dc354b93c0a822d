#include "penstock/rtmp/shared_object.h"

#include <gtest/gtest.h>

#include "penstock/rtmp/message.h"
#include "tests/unit/rtmp/support.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

TEST(SharedObject, vectors_parse_and_are_written_back_the_same) {
  for (const auto& one : test::load_vectors("shared_object.json", "cases")) {
    const std::string name = one["name"];
    SCOPED_TRACE(name);
    const uint8_t type = name.find("AMF3") == std::string::npos ? message_type::shared_object
                                                                : message_type::shared_object_amf3;
    const auto body = test::from_hex(one["hex"].get<std::string>());
    const auto message = parse_shared_object(type, body);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->name, "chat");
    EXPECT_EQ(message->version, 1u);
    EXPECT_EQ(message->persistent, name.find("persistent") == 0);
    EXPECT_FALSE(message->events.empty());
    EXPECT_EQ(shared_object_body(type, *message), body);
    for (size_t cut = 0; cut < body.size(); ++cut) {
      const auto part = parse_shared_object(type, Bytes(body).first(cut));
      if (part) {
        EXPECT_LT(part->events.size(), message->events.size()) << "cut between two events";
      }
    }
  }
}

TEST(SharedObject, events_of_the_vectors_are_recognised) {
  const auto cases = test::load_vectors("shared_object.json", "cases");
  const auto event = [&](size_t index) {
    const auto body = test::from_hex(cases[index]["hex"].get<std::string>());
    return parse_shared_object(message_type::shared_object, body)->events.at(0);
  };
  EXPECT_EQ(event(0).type, shared_object_event::use);
  EXPECT_EQ(event(1).type, shared_object_event::release);
  EXPECT_EQ(event(2).type, shared_object_event::request_change);
  EXPECT_EQ(test::to_hex(event(2).content), "000178004014000000000000");
  EXPECT_EQ(event(5).type, shared_object_event::send_message);
}

TEST(SharedObject, answers_are_those_of_the_vectors) {
  const auto cases = test::load_vectors("shared_object.json", "cases");
  const auto body = [&](size_t index) {
    return test::from_hex(cases[index]["hex"].get<std::string>());
  };
  const auto answer = [&](size_t index) {
    const auto asked = parse_shared_object(message_type::shared_object, body(index));
    const auto made = answer_shared_object(*asked);
    return made ? shared_object_body(message_type::shared_object, *made) : test::Octets{};
  };
  EXPECT_EQ(answer(0), body(7)) << "use: use success and clear";
  EXPECT_EQ(answer(1), test::Octets{}) << "release";
  EXPECT_EQ(answer(2), body(3)) << "request change: success";
  EXPECT_EQ(answer(5), body(5)) << "send message: to all, and it is alone";
  EXPECT_EQ(answer(9), body(8)) << "request remove: remove";
}

TEST(SharedObject, events_are_bounded_and_never_allocated_by_a_declared_length) {
  auto body = test::from_hex(
      "0004636861740000000100000000"
      "00000000");
  auto huge = body;
  test::append(huge, test::from_hex("04ffffffff00"));
  EXPECT_EQ(parse_shared_object(19, huge).error(), Fault::amf_truncated);
  for (size_t i = 0; i <= shared_object_events_max; ++i)
    test::append(body, test::from_hex("0800000000"));
  EXPECT_EQ(parse_shared_object(19, body).error(), Fault::amf_size);
}

}  // namespace
}  // namespace penstock::rtmp

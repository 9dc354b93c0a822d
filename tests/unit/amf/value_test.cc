#include "penstock/amf/value.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "penstock/amf/amf0.h"

namespace penstock::amf {
namespace {

TEST(Value, find_prefers_the_name_as_written) {
  Value value = object();
  value.add("TCURL", string("upper")).add("tcUrl", string("exact")).add("tcurl", string("lower"));
  EXPECT_EQ(value.find_string("tcUrl"), "exact");
}

TEST(Value, find_falls_back_to_any_case) {
  Value value = object();
  value.add("tcurl", string("lower"));
  EXPECT_EQ(value.find_string("tcUrl"), "lower");
  EXPECT_EQ(value.find("tcUr"), nullptr);
  EXPECT_EQ(value.find("tcUrl2"), nullptr);
}

TEST(Value, in_amf0_is_the_same_without_the_switch) {
  Value value = object();
  value.amf3 = true;
  value.add("list", strict_array({number(1), string("x")})).add("when", date(5));
  const auto plain = in_amf0(value);
  ASSERT_TRUE(plain);
  std::vector<uint8_t> body;
  Amf0Writer(body).write(*plain);
  const auto read = read_amf0(body);
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->at(0).amf3);
  EXPECT_EQ(read->at(0).find("list")->items.size(), 2u);
  EXPECT_EQ(read->at(0).find("when")->numeric, 5);
}

TEST(Value, in_amf0_is_nothing_for_what_amf0_cannot_say) {
  for (const Type type : {Type::byte_array, Type::external, Type::vector_int, Type::vector_object,
                          Type::dictionary, Type::reference}) {
    Value inner;
    inner.type = type;
    Value value = object();
    value.add("fine", number(1)).add("not", strict_array({inner}));
    EXPECT_FALSE(in_amf0(value));
  }
}

TEST(Value, last_of_equal_names_wins) {
  Value value = ecma_array();
  value.add("width", number(1)).add("width", number(2));
  EXPECT_EQ(value.find_number("width"), 2);
  Value folded = object();
  folded.add("WIDTH", number(1)).add("Width", number(2));
  EXPECT_EQ(folded.find_number("width"), 2);
}

TEST(Value, find_in_what_has_no_members_finds_nothing) {
  EXPECT_EQ(null().find("a"), nullptr);
  EXPECT_EQ(string("a").find("a"), nullptr);
  EXPECT_EQ(string("a").find_string("a"), std::nullopt);
}

TEST(Value, lookups_do_not_convert_between_kinds) {
  Value value = object();
  value.add("text", string("1")).add("number", number(1)).add("flag", boolean(true));
  EXPECT_EQ(value.find_number("text"), std::nullopt);
  EXPECT_EQ(value.find_string("number"), std::nullopt);
  EXPECT_EQ(value.find_boolean("number"), std::nullopt);
  EXPECT_EQ(value.find_number("flag"), std::nullopt);
  EXPECT_EQ(value.find_boolean("flag"), true);
}

TEST(Value, u32_only_from_whole_numbers_in_range) {
  const struct {
    double number;
    std::optional<uint32_t> expected;
  } cases[] = {
      {0, 0},
      {1, 1},
      {-0.0, 0},
      {4294967295.0, 4294967295U},
      {4294967296.0, std::nullopt},
      {-1, std::nullopt},
      {1.5, std::nullopt},
      {std::numeric_limits<double>::quiet_NaN(), std::nullopt},
      {std::numeric_limits<double>::infinity(), std::nullopt},
      {-std::numeric_limits<double>::infinity(), std::nullopt},
      {1e300, std::nullopt},
  };
  for (const auto& c : cases) EXPECT_EQ(number(c.number).as_u32(), c.expected) << c.number;
  EXPECT_EQ(string("1").as_u32(), std::nullopt);
}

TEST(Value, equality_is_by_bits) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(number(nan), number(nan));
  EXPECT_FALSE(number(0.0) == number(-0.0));
  EXPECT_FALSE(object() == ecma_array());
  Value left = object();
  Value right = object();
  left.add("a", null());
  right.add("a", undefined());
  EXPECT_FALSE(left == right);
}

TEST(Value, reference_of_amf0_counts_over_the_whole_body_outermost_first) {
  // {a: {b: [] }}, {c: reference}
  Value first = object();
  first.add("a", object().add("b", strict_array({null()})));
  Value reference;
  reference.type = Type::reference;
  const std::vector<Value> values = {first, object()};
  const Type expected[] = {Type::object, Type::object, Type::array, Type::object};
  for (uint32_t i = 0; i < 4; ++i) {
    reference.index = i;
    const Value* found = referenced(values, reference);
    ASSERT_NE(found, nullptr) << i;
    EXPECT_EQ(found->type, expected[i]) << i;
  }
  EXPECT_EQ(referenced(values, reference), &values[1]);
  reference.index = 4;
  EXPECT_EQ(referenced(values, reference), nullptr);
  EXPECT_EQ(referenced(values, null()), nullptr);
}

}  // namespace
}  // namespace penstock::amf

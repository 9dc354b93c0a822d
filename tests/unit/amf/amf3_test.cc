#include "penstock/amf/amf3.h"

#include <gtest/gtest.h>

#include "vectors.h"

namespace penstock::amf {
namespace {

using Json = nlohmann::json;

std::expected<Value, Fault> read_one(const std::string& hex) {
  const std::vector<uint8_t> bytes = from_hex(hex);
  return Amf3Reader(bytes).next();
}

std::string written(const Value& value) {
  std::vector<uint8_t> out;
  Amf3Writer(out).write(value);
  return to_hex(out);
}

std::string fault_of(const std::string& hex) {
  const auto value = read_one(hex);
  return value ? "none" : std::string{fault_info(value.error()).name};
}

std::string u29_hex(uint32_t value) {
  for (const Json& row : vectors("amf3.json", "u29")) {
    if (row["value"] == value) return row["hex"];
  }
  return {};
}

TEST(Amf3, reads_every_value_of_the_vectors) {
  for (const Json& vector : vectors("amf3.json", "values")) {
    SCOPED_TRACE(vector["name"]);
    Json expected = vector["value"];
    if (vector["name"] == "array containing itself") expected = {"reference 0"};
    const std::vector<uint8_t> bytes = from_hex(vector["hex"]);
    Amf3Reader reader(bytes);
    const auto value = reader.next();
    ASSERT_TRUE(value);
    EXPECT_EQ(to_json(*value), expected);
    EXPECT_TRUE(reader.at_end());
  }
}

TEST(Amf3, writes_every_value_of_the_vectors_as_it_was) {
  for (const Json& vector : vectors("amf3.json", "values")) {
    SCOPED_TRACE(vector["name"]);
    std::string hex = vector["hex"];
    const auto value = read_one(hex);
    ASSERT_TRUE(value);
    EXPECT_EQ(written(*value), hex);
  }
}

TEST(Amf3, integers_of_every_length_as_in_the_table) {
  for (const Json& row : vectors("amf3.json", "u29")) {
    SCOPED_TRACE(row["hex"]);
    const uint32_t bits = row["value"];
    const auto value = read_one("04" + row["hex"].get<std::string>());
    ASSERT_TRUE(value);
    const double expected = bits < 0x1000'0000 ? bits : static_cast<double>(bits) - 0x2000'0000;
    EXPECT_EQ(value->as_number(), expected);
    EXPECT_EQ(written(*value), "04" + row["hex"].get<std::string>());
  }
}

TEST(Amf3, integer_outside_29_bits_is_written_as_double) {
  Value value;
  value.type = Type::integer;
  for (const double outside : {268435456.0, -268435457.0, 1e18}) {
    value.numeric = outside;
    std::vector<uint8_t> out;
    Amf3Writer(out).write(value);
    ASSERT_EQ(out[0], 5);
    EXPECT_EQ(Amf3Reader(out).next()->as_number(), outside);
  }
}

TEST(Amf3, faults_name_what_is_wrong) {
  const struct {
    const char* name;
    const char* hex;
    const char* fault;
  } cases[] = {
      {"nothing", "", "amf_truncated"},
      {"integer cut", "0480", "amf_truncated"},
      {"integer cut before its fourth byte", "04808080", "amf_truncated"},
      {"double cut", "053ff8", "amf_truncated"},
      {"string longer than the rest", "0609616263", "amf_truncated"},
      {"string reference to nothing", "0600", "amf_reference"},
      {"empty string is not in the table", "090501 0601 0600", "amf_reference"},
      {"object reference to nothing", "0a00", "amf_reference"},
      {"object reference to itself and beyond", "09030109 02", "amf_reference"},
      {"traits reference to nothing", "0a01", "amf_reference"},
      {"array of 2^28 - 1", "09ffffffff01", "amf_truncated"},
      {"array without end of names", "0901", "amf_truncated"},
      {"sealed names beyond the rest", "0aff7301", "amf_truncated"},
      {"sealed without value", "0a13010361", "amf_truncated"},
      {"vector of ints cut", "0d05000000000100", "amf_truncated"},
      {"vector of 2^28 - 1 doubles", "0fffffffff00", "amf_truncated"},
      {"vector without flag", "0d05", "amf_truncated"},
      {"dictionary without value", "1103000403", "amf_truncated"},
      {"byte array cut", "0c0901", "amf_truncated"},
      {"date cut", "080100", "amf_truncated"},
      {"unknown marker", "12", "amf_marker"},
      {"unknown externalizable with a body", "0a070941724f6201", "amf_marker"},
      {"small message without flags", "0a0707445341", "amf_truncated"},
  };
  for (const auto& c : cases) {
    std::string hex = c.hex;
    std::erase(hex, ' ');
    EXPECT_EQ(fault_of(hex), c.fault) << c.name;
  }
}

TEST(Amf3, flex_collections_are_their_one_value) {
  const std::string name = "flex.messaging.io.ArrayCollection";
  std::string hex = "0a07" + to_hex({static_cast<uint8_t>(name.size() << 1 | 1)}) +
                    to_hex({name.begin(), name.end()}) + "0903010401";
  const auto value = read_one(hex);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->type, Type::external);
  ASSERT_EQ(value->items.size(), 1U);
  EXPECT_EQ(value->items[0].items[0].as_number(), 1);
  EXPECT_EQ(written(*value), hex);
}

TEST(Amf3, flex_small_messages_read_their_flagged_values) {
  // DSK: three groups. Body and timeToLive (41), none, bits 0 and 6 of a last byte after a
  // continued one: bit 6 carries nothing there.
  const std::string hex =
      "0a070744534b"
      "41"
      "04010402"
      "00"
      "8041"
      "0403";
  const auto value = read_one(hex);
  ASSERT_TRUE(value);
  ASSERT_EQ(value->items.size(), 3U);
  EXPECT_EQ(value->items[2].as_number(), 3);
  EXPECT_EQ(written(*value), hex);
}

TEST(Amf3, strings_after_a_flex_message_are_in_step) {
  const std::string hex =
      "090501"
      "0a0707445341"
      "01060361"
      "00"
      "0602";
  const auto value = read_one(hex);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->items[1].as_string(), "a");
  EXPECT_EQ(written(*value), hex);
}

TEST(Amf3, traits_may_be_added_inside_an_object_of_other_traits) {
  // {a: {b: 1}} with one sealed member each, many times over, so that the table of traits moves.
  Value inner = number(1);
  for (int i = 0; i < 30; ++i) {
    Value outer = object();
    outer.dynamic = false;
    outer.sealed = 2;
    outer.add("member" + std::to_string(i), inner).add("tail", null());
    inner = outer;
  }
  std::vector<uint8_t> out;
  Amf3Writer(out).write(inner);
  const auto value = Amf3Reader(out).next();
  ASSERT_TRUE(value);
  EXPECT_EQ(*value, inner);
}

TEST(Amf3, references_find_their_target) {
  // [date, {x: reference 1}, reference 2]: the array is 0.
  const auto value = read_one(
      "090701"
      "08010000000000000000"
      "0a0b0103780802"
      "01"
      "0a04");
  ASSERT_TRUE(value);
  const Value* inner = value->items[1].find("x");
  ASSERT_NE(inner, nullptr);
  EXPECT_EQ(referenced_amf3(*value, *inner), &value->items[0]);
  EXPECT_EQ(referenced_amf3(*value, value->items[2]), &value->items[1]);
}

TEST(Amf3, reference_is_written_with_the_marker_of_its_target) {
  EXPECT_EQ(written(*read_one("09050108010000000000000000"
                              "0902")),
            "09050108010000000000000000"
            "0802");
}

TEST(Amf3, reference_to_nothing_is_written_as_null) {
  Value reference;
  reference.type = Type::reference;
  EXPECT_EQ(written(reference), "01");
}

TEST(Amf3, depth_is_bounded) {
  const auto nested = [](size_t depth) {
    std::string hex;
    for (size_t i = 0; i < depth; ++i) hex += "090301";
    return hex + "01";
  };
  EXPECT_EQ(fault_of(nested(amf_depth_max)), "none");
  EXPECT_EQ(fault_of(nested(amf_depth_max + 1)), "amf_depth");
}

TEST(Amf3, text_by_reference_is_bounded) {
  // One string of 1000 bytes and 9000 references to it would be 9 MB.
  std::vector<uint8_t> out;
  Amf3Writer(out).write(strict_array(std::vector<Value>(9000, string(std::string(1000, 'x')))));
  EXPECT_LT(out.size(), 25'000U);
  EXPECT_EQ(Amf3Reader(out).next().error(), Fault::amf_size);
}

TEST(Amf3, names_by_traits_reference_are_bounded) {
  std::vector<Value> objects;
  for (int i = 0; i < 3000; ++i) {
    Value value = object();
    value.sealed = 1;
    value.add(std::string(1000, 'n'), null());
    objects.push_back(value);
  }
  std::vector<uint8_t> out;
  Amf3Writer(out).write(strict_array(objects));
  EXPECT_EQ(Amf3Reader(out).next().error(), Fault::amf_size);
}

TEST(Amf3, nodes_of_vectors_are_bounded) {
  std::vector<uint8_t> bytes = from_hex("0d");
  const std::string count = u29_hex(16383);  // 8191 items
  for (const uint8_t byte : from_hex(count)) bytes.push_back(byte);
  bytes.resize(bytes.size() + 1 + 4 * 8191);
  EXPECT_TRUE(Amf3Reader(bytes).next());
  EXPECT_EQ(Amf3Reader(bytes, {.nodes = 8191}).next().error(), Fault::amf_size);
}

TEST(Amf3Writer, member_without_name_is_left_out_unless_sealed) {
  Value value = object();
  value.sealed = 1;
  value.add("", number(1)).add("", number(2)).add("a", number(3));
  std::vector<uint8_t> out;
  Amf3Writer(out).write(value);
  const auto read = Amf3Reader(out).next();
  ASSERT_TRUE(read);
  ASSERT_EQ(read->members.size(), 2U);
  EXPECT_EQ(read->find_number(""), 1);
  EXPECT_EQ(read->find_number("a"), 3);
}

}  // namespace
}  // namespace penstock::amf

#include "penstock/amf/amf0.h"

#include <gtest/gtest.h>

#include <set>

#include "vectors.h"

namespace penstock::amf {
namespace {

using Json = nlohmann::json;

std::expected<Value, Fault> read_one(const std::vector<uint8_t>& body) {
  return Amf0Reader(body).next();
}

std::string written(const std::vector<Value>& values) {
  std::vector<uint8_t> out;
  Amf0Writer writer(out);
  for (const Value& value : values) writer.write(value);
  return to_hex(out);
}

std::string fault_of(const std::string& hex) {
  const auto values = read_amf0(from_hex(hex));
  return values ? "none" : std::string{fault_info(values.error()).name};
}

TEST(Amf0, reads_every_value_of_the_vectors) {
  for (const Json& vector : vectors("amf0.json", "values")) {
    SCOPED_TRACE(vector["name"]);
    std::vector<uint8_t> body = from_hex(vector["hex"]);
    Json expected = vector["value"];
    if (vector["name"].get<std::string>().starts_with("long string")) {
      body.insert(body.end(), 65536, 'a');
      expected = std::string(65536, 'a');
    }
    if (vector["name"] == "reference to complex value 0") expected["r"] = "reference 0";
    const auto value = read_one(body);
    if (expected == "error") {
      EXPECT_EQ(value.error(), Fault::amf_marker);
      continue;
    }
    ASSERT_TRUE(value);
    EXPECT_EQ(to_json(*value), expected);
  }
}

TEST(Amf0, writes_every_value_of_the_vectors_as_it_was) {
  // These are read, and written the way they should have come.
  const std::set<std::string> written_otherwise = {
      "boolean nonzero byte", "ecma array wrong count 0", "ecma array without end marker",
      "object end as a value (invalid)"};
  for (const Json& vector : vectors("amf0.json", "values")) {
    SCOPED_TRACE(vector["name"]);
    if (written_otherwise.contains(vector["name"])) continue;
    std::vector<uint8_t> body = from_hex(vector["hex"]);
    if (vector["name"].get<std::string>().starts_with("long string"))
      body.insert(body.end(), 65536, 'a');
    const auto value = read_one(body);
    ASSERT_TRUE(value);
    EXPECT_EQ(written({*value}), to_hex(body));
  }
}

TEST(Amf0, reads_and_writes_every_command_of_the_vectors) {
  for (const Json& vector : vectors("amf0.json", "commands")) {
    SCOPED_TRACE(vector["name"]);
    const std::vector<uint8_t> body = from_hex(vector["hex"]);
    Json expected = vector["decoded"];
    const bool wrapped = expected[0] == "(00)";
    if (wrapped) expected.erase(0);
    const Bytes amf0_part = wrapped ? skip_format_byte(body) : Bytes{body};
    const auto values = read_amf0(amf0_part);
    ASSERT_TRUE(values);
    Json decoded = Json::array();
    for (const Value& value : *values) decoded.push_back(to_json(value));
    EXPECT_EQ(decoded, expected);
    EXPECT_EQ(written(*values), to_hex({amf0_part.begin(), amf0_part.end()}));
  }
}

TEST(Amf0, faults_name_what_is_wrong) {
  const struct {
    const char* name;
    const char* hex;
    const char* fault;
  } cases[] = {
      {"number cut", "003ff00000", "amf_truncated"},
      {"boolean cut", "01", "amf_truncated"},
      {"string length cut", "0200", "amf_truncated"},
      {"string cut", "020005616263", "amf_truncated"},
      {"long string of 4 GiB", "0cffffffff61", "amf_truncated"},
      {"date without zone", "0b4278cc251f400000", "amf_truncated"},
      {"date without time", "0b42", "amf_truncated"},
      {"reference cut", "030001720700", "amf_truncated"},
      {"strict array of 2^32 - 1", "0affffffff05", "amf_truncated"},
      {"strict array short of one", "0a0000000205", "amf_truncated"},
      {"ECMA array without count", "080000", "amf_truncated"},
      {"name without value", "03000161", "amf_truncated"},
      {"nested object not ended", "0300016103000162", "amf_truncated"},
      {"movieclip", "04", "amf_marker"},
      {"recordset", "0e", "amf_marker"},
      {"object end in an array", "0a0000000109", "amf_marker"},
      {"object end as a named value", "0300016109", "amf_marker"},
      {"unknown marker", "12", "amf_marker"},
      {"reference before any complex value", "070000", "amf_reference"},
      {"reference beyond", "0300017207000100 0009", "amf_reference"},
      {"AMF3 switch at the end", "11", "amf_truncated"},
      {"unknown AMF3 marker", "1112", "amf_marker"},
  };
  for (const auto& c : cases) {
    std::string hex = c.hex;
    std::erase(hex, ' ');
    EXPECT_EQ(fault_of(hex), c.fault) << c.name;
  }
}

TEST(Amf0, reader_that_failed_gives_the_same_fault_again) {
  const std::vector<uint8_t> body = from_hex("0405");
  Amf0Reader reader(body);
  EXPECT_EQ(reader.next().error(), Fault::amf_marker);
  EXPECT_EQ(reader.next().error(), Fault::amf_marker);
}

TEST(Amf0, end_of_an_object_may_lack_where_the_body_ends) {
  const struct {
    const char* name;
    const char* hex;
    const char* fault;
  } cases[] = {
      {"outermost object", "0300016105", "none"},
      {"outermost ECMA array short of its count", "080000000500016105", "none"},
      {"ECMA array in an object, count reached", "030001610800000001000162 05", "none"},
      {"ECMA array in an object, count not reached", "030001610800000002000162 05",
       "amf_truncated"},
      {"object in an object", "0300016103000162 05", "amf_truncated"},
      {"object, only half of the end", "03000161050000", "amf_truncated"},
  };
  for (const auto& c : cases) {
    std::string hex = c.hex;
    std::erase(hex, ' ');
    EXPECT_EQ(fault_of(hex), c.fault) << c.name;
  }
}

TEST(Amf0, empty_name_without_end_marker_is_a_member) {
  const auto value =
      read_one(from_hex("03"
                        "0000"
                        "02000178"
                        "000161"
                        "05"
                        "000009"));
  ASSERT_TRUE(value);
  ASSERT_EQ(value->members.size(), 2U);
  EXPECT_EQ(value->find_string(""), "x");
  EXPECT_TRUE(value->find("a")->is_null());
}

TEST(Amf0, ecma_count_is_only_a_hint) {
  for (const char* count : {"00000000", "00000001", "00000007", "ffffffff"}) {
    const auto value =
        read_one(from_hex(std::string("08") + count + "00016105" + "00016206" + "000009"));
    ASSERT_TRUE(value) << count;
    EXPECT_EQ(value->members.size(), 2U) << count;
  }
}

TEST(Amf0, reference_may_be_to_a_typed_object_and_to_arrays) {
  EXPECT_EQ(fault_of("0a00000000"
                     "0800000000000009"
                     "10000158000009"
                     "070003"),
            "amf_reference");
  const auto good =
      read_amf0(from_hex("0a00000000"
                         "0800000000000009"
                         "10000158000009"
                         "070002"));
  ASSERT_TRUE(good);
  const Value* target = referenced(*good, good->back());
  ASSERT_NE(target, nullptr);
  EXPECT_EQ(target->class_name, "X");
}

TEST(Amf0, switch_to_amf3_lasts_for_one_value_and_has_tables_of_its_own) {
  // "abc" in AMF3, AMF0 null, then AMF3 string reference 0: dangling in its own context, so null.
  const auto values =
      read_amf0(from_hex("110607616263"
                         "05"
                         "110600"));
  ASSERT_TRUE(values);
  ASSERT_EQ(values->size(), 3U);
  EXPECT_EQ((*values)[0].as_string(), "abc");
  EXPECT_TRUE((*values)[0].amf3);
  EXPECT_FALSE((*values)[1].amf3);
  EXPECT_TRUE((*values)[2].is_null());
  // In the first context of a body nothing can have been shared.
  EXPECT_EQ(fault_of("110600"), "amf_reference");
}

TEST(Amf0, depth_is_bounded) {
  const auto nested = [](size_t depth) {
    std::string hex;
    for (size_t i = 0; i < depth; ++i) hex += "0a00000001";
    return hex + "05";
  };
  EXPECT_EQ(fault_of(nested(amf_depth_max)), "none");
  EXPECT_EQ(fault_of(nested(amf_depth_max + 1)), "amf_depth");
  EXPECT_EQ(fault_of(nested(50'000)), "amf_depth");
}

TEST(Amf0, depth_counts_through_the_switch) {
  std::string hex;
  for (size_t i = 0; i < amf_depth_max; ++i) hex += "0a00000001";
  EXPECT_EQ(fault_of(hex + "110401"), "none");
  EXPECT_EQ(fault_of(hex + "11090101"), "amf_depth");
}

TEST(Amf0, nodes_are_bounded_over_the_body) {
  std::string hex;
  for (size_t i = 0; i < amf_nodes_max; ++i) hex += "05";
  EXPECT_EQ(fault_of(hex), "none");
  EXPECT_EQ(fault_of(hex + "05"), "amf_size");
  EXPECT_EQ(fault_of(hex + "1101"), "amf_size");
}

TEST(Amf0, nodes_within_the_switch_count_too) {
  std::string hex;
  for (size_t i = 0; i < amf_nodes_max / 2; ++i) hex += "1101";
  EXPECT_EQ(fault_of(hex), "none");  // the switch itself and its value
  EXPECT_EQ(fault_of(hex + "05"), "amf_size");
}

TEST(Amf0, text_is_bounded) {
  std::vector<uint8_t> body;
  Amf0Writer writer(body);
  writer.string(std::string(amf_text_bytes_max, 'a'));
  EXPECT_TRUE(read_amf0(body));
  writer.string("a");
  EXPECT_EQ(read_amf0(body).error(), Fault::amf_size);
}

TEST(Amf0, format_byte_is_skipped_only_where_it_is) {
  const std::vector<uint8_t> with = from_hex("0002000161");
  const std::vector<uint8_t> without = from_hex("02000161");
  EXPECT_EQ(skip_format_byte(with).size(), with.size() - 1);
  EXPECT_EQ(skip_format_byte(without).size(), without.size());
  EXPECT_TRUE(skip_format_byte({}).empty());
}

TEST(Amf0Writer, writes_commands_piece_by_piece) {
  std::vector<uint8_t> out;
  Amf0Writer writer(out);
  writer.string("_result");
  writer.number(1);
  writer.null();
  writer.object_begin();
  writer.property("code", "NetConnection.Connect.Success");
  writer.property("n", 2.0);
  writer.property("flag", true);
  writer.property("list");
  writer.strict_array_begin(1);
  writer.undefined();
  writer.property("map");
  writer.ecma_array_begin(0);
  writer.object_end();
  writer.object_end();
  const auto values = read_amf0(out);
  ASSERT_TRUE(values);
  ASSERT_EQ(values->size(), 4U);
  EXPECT_EQ((*values)[0].as_string(), "_result");
  const Value& info = (*values)[3];
  EXPECT_EQ(info.find_string("code"), "NetConnection.Connect.Success");
  EXPECT_EQ(info.find_number("n"), 2);
  EXPECT_EQ(info.find_boolean("flag"), true);
  EXPECT_EQ(info.find("list")->items.size(), 1U);
  EXPECT_EQ(info.find("map")->type, Type::ecma_array);
}

TEST(Amf0Writer, string_becomes_long_when_it_must) {
  for (const size_t bytes : {size_t{65535}, size_t{65536}}) {
    std::vector<uint8_t> out;
    Amf0Writer(out).string(std::string(bytes, 'x'));
    EXPECT_EQ(out[0], bytes > 65535 ? 0x0C : 0x02);
    const auto value = read_one(out);
    ASSERT_TRUE(value);
    EXPECT_EQ(value->text.size(), bytes);
  }
}

TEST(Amf0Writer, names_too_long_for_the_wire_are_cut) {
  std::vector<uint8_t> out;
  Amf0Writer(out).write(object().add(std::string(70'000, 'n'), number(1)));
  const auto value = read_one(out);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->members[0].name.size(), 65535U);
}

TEST(Amf0Writer, what_amf0_cannot_say_goes_through_the_switch) {
  Value bytes;
  bytes.type = Type::byte_array;
  bytes.text = "ab";
  EXPECT_EQ(written({object().add("b", bytes)}), "03000162110c056162000009");
}

TEST(Amf0Writer, amf3_array_with_names_and_items_becomes_an_ecma_array) {
  Value array = strict_array({number(7)});
  array.add("a", null());
  std::vector<uint8_t> out;
  Amf0Writer(out).write(array);
  const auto value = read_one(out);
  ASSERT_TRUE(value);
  EXPECT_EQ(value->type, Type::ecma_array);
  EXPECT_EQ(value->find_number("0"), 7);
}

}  // namespace
}  // namespace penstock::amf

#include "controlplane/cli/fields.h"

#include <gtest/gtest.h>

namespace penstock::controlplane::cli {
namespace {

TEST(Fields, missing_or_mistyped_field_reads_as_nothing) {
  const Json row = {{"text", "a"}, {"number", 3}, {"list", {1, 2}}, {"negative", -4}};
  for (const char* key : {"absent", "number", "list"}) EXPECT_EQ(text_of(row, key), "") << key;
  for (const char* key : {"absent", "text", "list", "negative"}) {
    EXPECT_EQ(count_of(row, key), 0U) << key;
  }
  EXPECT_FALSE(flag_of(row, "number"));
  EXPECT_TRUE(part_of(row, "list").is_object());
  EXPECT_TRUE(part_of(row, "absent").empty());
  EXPECT_TRUE(rows_of(row, "text").is_array());
  EXPECT_EQ(number_of(row, "text"), 0.0);
  for (const Json& other : {Json("text"), Json(nullptr), Json::array({1})}) {
    EXPECT_EQ(text_of(other, "x"), "");
    EXPECT_TRUE(rows_of(other, "x").empty());
  }
}

TEST(Fields, values_are_read_with_their_sign_and_width) {
  const Json row = {{"drift", -12}, {"bytes", UINT64_MAX}, {"fps", 29.97}, {"on", true}};
  EXPECT_EQ(signed_of(row, "drift"), -12);
  EXPECT_EQ(count_of(row, "bytes"), UINT64_MAX);
  EXPECT_DOUBLE_EQ(number_of(row, "fps"), 29.97);
  EXPECT_TRUE(flag_of(row, "on"));
}

// A publisher chooses its encoder name; printed raw, it could retitle or clear the operator's
// terminal.
TEST(Fields, escape_sequences_of_a_peer_do_not_reach_the_terminal) {
  const Json row = {{"encoder", "OBS\x1b[2J\r\n\x7f\xC2\x9B"}};
  EXPECT_EQ(text_of(row, "encoder"), "OBS?[2J?????");
  EXPECT_EQ(printable("café \xE2\x9C\x93"), "café \xE2\x9C\x93");
}

}  // namespace
}  // namespace penstock::controlplane::cli

#include "controlplane/cli/table.h"

#include <gtest/gtest.h>

namespace penstock::controlplane::cli {
namespace {

TEST(Table, columns_are_aligned_and_lines_have_no_trailing_space) {
  Table table({{"NAME"}, {"COUNT", Align::right}, {"NOTE"}});
  table.add({"live/a", "7", ""});
  table.add({"b", "12345", "x"});
  EXPECT_EQ(table.render(Paint(false)),
            "NAME    COUNT  NOTE\n"
            "live/a      7\n"
            "b       12345  x\n");
}

TEST(Table, short_row_is_filled_up) {
  Table table({{"A"}, {"B"}});
  table.add({"1"});
  EXPECT_EQ(table.render(Paint(false)), "A  B\n1\n");
}

TEST(Table, empty_field_keeps_the_column_after_it_in_place) {
  Table table({{"A"}, {"B"}, {"C"}});
  table.add({"1", "", "3"});
  table.add({"1", "22", "3"});
  EXPECT_EQ(table.render(Paint(false)), "A  B   C\n1      3\n1  22  3\n");
}

TEST(Table, colour_takes_no_width) {
  Table plain({{"A"}, {"B"}});
  plain.add({{"1", Colour::red}, "2"});
  const std::string painted = plain.render(Paint(true));
  EXPECT_EQ(painted, "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[31m1\x1b[0m  2\n");
}

TEST(Table, lines_are_cut_at_the_screen) {
  Table table({{"NAME"}, {"COUNT", Align::right}});
  table.add({"live/camera", "12345"});
  EXPECT_EQ(table.render(Paint(false), 13), "NAME\nlive/camera\n");
  EXPECT_EQ(table.render(Paint(false), 16), "NAME         CO~\nlive/camera  12~\n");
  EXPECT_EQ(table.render(Paint(false), 6), "NAME\nlive/~\n");
}

TEST(Table, wide_and_combining_characters_count_as_they_show) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("caf\xC3\xA9"), 4U);
  EXPECT_EQ(display_width("e\xCC\x81"), 1U);         // e and a combining acute
  EXPECT_EQ(display_width("\xE6\x9D\xB1"), 2U);      // a CJK ideograph
  EXPECT_EQ(display_width("\xF0\x9F\x8E\xA5"), 2U);  // a film camera
  EXPECT_EQ(display_width("\xFF\xFE"), 2U);          // not UTF-8: a column for each byte
  EXPECT_EQ(display_width("\xE6\x9D"), 2U);          // cut short
}

TEST(Table, fit_never_exceeds_and_never_splits_a_character) {
  EXPECT_EQ(fit("abcdef", 6), "abcdef");
  EXPECT_EQ(fit("abcdef", 5), "abcd~");
  EXPECT_EQ(fit("abcdef", 0), "");
  EXPECT_EQ(fit("\xE6\x9D\xB1\xE4\xBA\xAC", 3), "\xE6\x9D\xB1~");
  EXPECT_EQ(fit("\xE6\x9D\xB1\xE4\xBA\xAC", 2), "~");
}

TEST(Facts, values_stand_in_one_column) {
  Facts facts;
  facts.add("name", "live/a");
  facts.add("subscribers", "3");
  facts.add("encoder", "");
  EXPECT_EQ(facts.render(Paint(false)),
            "name         live/a\n"
            "subscribers  3\n"
            "encoder\n");
}

TEST(TableDeathTest, more_fields_than_columns_is_a_bug_of_ours) {
  Table table({{"A"}});
  EXPECT_DEATH(table.add({"1", "2"}), "assertion failed");
}

}  // namespace
}  // namespace penstock::controlplane::cli

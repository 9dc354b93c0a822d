#include "controlplane/text.h"

#include <gtest/gtest.h>

#include "controlplane/clock.h"

namespace penstock::controlplane {
namespace {

struct TextCase {
  std::string_view given;
  std::string_view clean;
};

TEST(clean_text, replaces_what_no_output_may_carry) {
  const TextCase cases[] = {
      {"live/cam", "live/cam"},
      {"Zürich 東京 🎥", "Zürich 東京 🎥"},
      {"a\nb\x1b[2Jc\x7f", "a?b?[2Jc?"},
      {"\xC2\x9B"
       "31m",
       "?31m"},                                                  // C1 control, in UTF-8
      {"\xFF\xFE", "\xEF\xBF\xBD\xEF\xBF\xBD"},                  // no UTF-8 at all
      {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                  // overlong "/"
      {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // surrogate
      {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},  // beyond U+10FFFF
      {"cut \xE6\x9D", "cut \xEF\xBF\xBD\xEF\xBF\xBD"},
  };
  for (const TextCase& one : cases) EXPECT_EQ(clean_text(one.given), one.clean);
}

TEST(clean_text, never_cuts_within_a_character) { EXPECT_EQ(clean_text("aü", 2), "a"); }

TEST(equal_in_constant_time, is_equality) {
  EXPECT_TRUE(equal_in_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secreT"));
  EXPECT_FALSE(equal_in_constant_time("secret", "secre"));
  EXPECT_TRUE(equal_in_constant_time("", ""));
}

TEST(parse_number, takes_whole_decimal_numbers_only) {
  EXPECT_EQ(parse_number("18446744073709551615"), UINT64_MAX);
  for (const char* bad : {"", "-1", "+1", "1 ", " 1", "0x1", "18446744073709551616", "1.0"}) {
    EXPECT_FALSE(parse_number(bad).has_value()) << bad;
  }
}

TEST(rfc3339, takes_any_number) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(rfc3339(1'795'406'400'789), "2026-11-23T04:00:00.789Z");
  EXPECT_EQ(rfc3339(UINT64_MAX), "9999-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace penstock::controlplane

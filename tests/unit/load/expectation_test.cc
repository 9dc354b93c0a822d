#include "bench/load/expectation.h"

#include <gtest/gtest.h>

#include "bench/load/quantity.h"

namespace penstock::load {
namespace {

TEST(Expectation, every_relation_is_read) {
  struct Case {
    const char* text;
    double holds;
    double fails;
  };
  for (const Case& one :
       {Case{"gaps=0", 0, 1}, Case{"gaps==0", 0, 1}, Case{"gaps!=0", 1, 0},
        Case{"p99_ms<20", 19.9, 20}, Case{"p99_ms<=20", 20, 20.1},
        Case{"publishers_held>=100", 100, 99}, Case{"bytes_sent>1.5M", 1'500'001, 1'500'000}}) {
    const auto parsed = parse_expectation(one.text);
    ASSERT_TRUE(parsed) << one.text << ": " << parsed.error();
    EXPECT_TRUE(parsed->holds(one.holds)) << one.text;
    EXPECT_FALSE(parsed->holds(one.fails)) << one.text;
    EXPECT_EQ(parsed->text, one.text);
  }
}

TEST(Expectation, what_is_wrong_says_what_would_be_accepted) {
  const auto unknown = parse_expectation("lag<5");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().find("lag_p99_ms"), std::string::npos);
  for (const char* text : {"gaps", "gaps=", "gaps=many", "=0", "", "gaps!0", "gaps=0x", "gaps=-"})
    EXPECT_FALSE(parse_expectation(text)) << text;
}

TEST(Quantity, multiples_and_fractions) {
  EXPECT_EQ(parse_quantity("1M"), 1e6);
  EXPECT_EQ(parse_quantity("2.5k"), 2500);
  EXPECT_EQ(parse_quantity("0"), 0);
  EXPECT_EQ(parse_quantity("2G"), 2e9);
  for (const char* text : {"", "M", "-1", "1m", "1Mb", "fast", "inf", "nan"})
    EXPECT_EQ(parse_quantity(text), std::nullopt) << text;
  EXPECT_EQ(quantity_text(1'250'000, "bit/s"), "1.25 Mbit/s");
  EXPECT_EQ(quantity_text(12, "B"), "12 B");
}

}  // namespace
}  // namespace penstock::load

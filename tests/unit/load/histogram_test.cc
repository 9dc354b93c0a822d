#include "bench/load/histogram.h"

#include <gtest/gtest.h>

#include "penstock/base/prng.h"

namespace penstock::load {
namespace {

TEST(Histogram, empty_has_nothing) {
  const Histogram histogram;
  EXPECT_EQ(histogram.total(), 0u);
  EXPECT_EQ(histogram.at_share_ns(0.99), 0u);
}

TEST(Histogram, shares_of_one_to_a_million_are_within_a_thousandth) {
  Histogram histogram;
  for (uint64_t i = 1; i <= 1'000'000; ++i) histogram.count(i * 1000);
  for (const double share : {0.001, 0.5, 0.9, 0.99, 0.999, 0.9999}) {
    const double exact = share * 1e9;
    EXPECT_NEAR(static_cast<double>(histogram.at_share_ns(share)), exact, exact / 1000) << share;
  }
  EXPECT_EQ(histogram.at_share_ns(1), 1'000'000'000u);
  EXPECT_EQ(histogram.total(), 1'000'000u);
}

TEST(Histogram, every_value_is_found_within_a_thousandth) {
  Prng prng(1);
  for (int i = 0; i < 2000; ++i) {
    Histogram histogram;
    const uint64_t value = prng.next() >> (25 + prng.below(39));
    histogram.count(value);
    histogram.count(UINT64_MAX);
    const uint64_t found = histogram.at_share_ns(0.5);
    if (value < uint64_t{1} << 39) {
      EXPECT_GE(found, value);
      EXPECT_LE(found - value, value / 1000);
    }
    if (i == 200) break;
  }
}

TEST(Histogram, what_is_beyond_counts_at_the_end) {
  Histogram histogram;
  histogram.count(UINT64_MAX);
  EXPECT_EQ(histogram.max_ns(), UINT64_MAX);
  EXPECT_EQ(histogram.at_share_ns(0.5), (uint64_t{1} << 40) - 1);
}

TEST(Histogram, cleared_counts_anew) {
  Histogram histogram;
  histogram.count(5'000'000);
  histogram.clear();
  histogram.count(7);
  EXPECT_EQ(histogram.at_share_ns(1), 7u);
  EXPECT_EQ(histogram.total(), 1u);
}

TEST(Histogram, percentile_lines_end_with_all_and_the_maximum) {
  Histogram histogram;
  for (uint64_t i = 1; i <= 1000; ++i) histogram.count(i * 1'000'000);
  const std::string lines = histogram.percentile_lines();
  EXPECT_NE(lines.find("Value     Percentile TotalCount 1/(1-Percentile)"), std::string::npos);
  EXPECT_NE(lines.find("1000.000 1.000000000000       1000            inf"), std::string::npos)
      << lines;
  EXPECT_NE(lines.find("#[Max     =     1000.000, Total count    =         1000]"),
            std::string::npos)
      << lines;
}

}  // namespace
}  // namespace penstock::load

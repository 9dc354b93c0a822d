#include "controlplane/cli/units.h"

#include <gtest/gtest.h>

#include <limits>

namespace penstock::controlplane::cli {
namespace {

TEST(Units, bytes_are_powers_of_1024_with_one_decimal) {
  struct Case {
    uint64_t bytes;
    std::string_view text;
  };
  const Case cases[] = {{0, "0 B"},
                        {1023, "1023 B"},
                        {1024, "1.0 KiB"},
                        {1536, "1.5 KiB"},
                        {1024 * 1024 - 1, "1.0 MiB"},
                        {2'097'152, "2.0 MiB"},
                        {5'000'000'000, "4.7 GiB"},
                        {std::numeric_limits<uint64_t>::max(), "16.0 EiB"}};
  for (const Case& c : cases) EXPECT_EQ(human_bytes(c.bytes), c.text);
}

TEST(Units, bits_are_powers_of_1000) {
  struct Case {
    uint64_t bits;
    std::string_view text;
  };
  const Case cases[] = {{0, "0 bit/s"},
                        {999, "999 bit/s"},
                        {1000, "1 kbit/s"},
                        {640'400, "640 kbit/s"},
                        {999'499, "999 kbit/s"},
                        {999'500, "1.00 Mbit/s"},
                        {2'400'000, "2.40 Mbit/s"},
                        {999'994'999, "999.99 Mbit/s"},
                        {999'995'000, "1.00 Gbit/s"},
                        {25'000'000'000, "25.00 Gbit/s"}};
  for (const Case& c : cases) EXPECT_EQ(human_bits_per_second(c.bits), c.text);
}

TEST(Units, durations_show_two_units) {
  struct Case {
    uint64_t seconds;
    std::string_view text;
  };
  const Case cases[] = {
      {0, "0s"},         {59, "59s"},        {60, "1m00s"},           {185, "3m05s"},
      {3599, "59m59s"},  {3600, "1h00m"},    {3720, "1h02m"},         {86'399, "23h59m"},
      {86'400, "1d00h"}, {183'600, "2d03h"}, {86'400'000, "1000d00h"}};
  for (const Case& c : cases) EXPECT_EQ(human_duration(c.seconds), c.text);
}

TEST(Units, counts_are_grouped_by_three) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(1000), "1,000");
  EXPECT_EQ(human_count(1'234'567), "1,234,567");
  EXPECT_EQ(human_count(123'456), "123,456");
}

TEST(Units, decimals_end_without_zeros) {
  EXPECT_EQ(human_decimal(30), "30");
  EXPECT_EQ(human_decimal(29.97), "29.97");
  EXPECT_EQ(human_decimal(44.1), "44.1");
  EXPECT_EQ(human_decimal(100), "100");
  EXPECT_EQ(human_decimal(std::numeric_limits<double>::infinity()), "-");
}

TEST(Units, tunables_are_read_in_their_unit) {
  EXPECT_EQ(human_tunable(2'097'152, "bytes"), "2097152 (2.0 MiB)");
  EXPECT_EQ(human_tunable(0, "bytes"), "0");
  EXPECT_EQ(human_tunable(8000, "ms"), "8000 (8s)");
  EXPECT_EQ(human_tunable(500, "ms"), "500");
  EXPECT_EQ(human_tunable(16384, "connections"), "16384");
}

TEST(Units, tunable_is_typed_plain_or_with_a_suffix_of_its_unit) {
  struct Case {
    std::string_view text;
    std::string_view unit;
    std::optional<uint64_t> value;
  };
  const Case cases[] = {{"0", "bytes", 0},
                        {"4194304", "bytes", 4'194'304},
                        {"4MiB", "bytes", 4'194'304},
                        {"4m", "bytes", 4'194'304},
                        {"4MB", "bytes", 4'000'000},
                        {"500k", "bytes", 512'000},
                        {"1TiB", "bytes", 1'099'511'627'776},
                        {"8s", "ms", 8000},
                        {"2m", "ms", 120'000},
                        {"500ms", "ms", 500},
                        {"1ms", "us", 1000},
                        {"18446744073709551615", "ms", UINT64_MAX},
                        {"18446744073709551616", "ms", std::nullopt},
                        {"18446744073709551615k", "bytes", std::nullopt},
                        {"", "bytes", std::nullopt},
                        {"-1", "bytes", std::nullopt},
                        {"1.5MiB", "bytes", std::nullopt},
                        {"4MiB", "ms", std::nullopt},
                        {"8s", "bytes", std::nullopt},
                        {"8s", "connections", std::nullopt},
                        {"8 s", "ms", std::nullopt},
                        {"off", "ms", std::nullopt}};
  for (const Case& c : cases) EXPECT_EQ(parse_tunable(c.text, c.unit), c.value) << c.text;
}

}  // namespace
}  // namespace penstock::controlplane::cli

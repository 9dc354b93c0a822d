#include "penstock/base/prng.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace penstock {
namespace {

std::vector<uint64_t> first(uint64_t seed, size_t count) {
  Prng prng(seed);
  std::vector<uint64_t> values;
  for (size_t i = 0; i < count; ++i) values.push_back(prng.next());
  return values;
}

TEST(Prng, one_seed_gives_one_sequence_and_another_seed_another) {
  EXPECT_EQ(first(42, 100), first(42, 100));
  EXPECT_NE(first(42, 4), first(43, 4));
}

// A replayed simulation must not change because the generator did. The numbers come from a separate
// implementation of splitmix64 and xoshiro256** after the authors' description.
TEST(Prng, sequence_is_the_published_one) {
  EXPECT_EQ(first(0, 3),
            (std::vector<uint64_t>{0x99EC5F36CB75F2B4, 0xBF6E1F784956452A, 0x1A5F849D4933E6E0}));
  EXPECT_EQ(first(42, 3),
            (std::vector<uint64_t>{0x15780B2E0C2EC716, 0x6104D9866D113A7E, 0xAE17533239E499A1}));
}

TEST(Prng, below_stays_below_and_reaches_everything) {
  Prng prng(1);
  for (const uint64_t bound : {1, 2, 3, 7, 10}) {
    std::set<uint64_t> seen;
    for (int i = 0; i < 1000; ++i) {
      const uint64_t value = prng.below(bound);
      ASSERT_LT(value, bound);
      seen.insert(value);
    }
    EXPECT_EQ(seen.size(), bound);
  }
}

TEST(Prng, chance_is_per_thousand) {
  Prng prng(2);
  int hits = 0;
  for (int i = 0; i < 100'000; ++i) hits += prng.chance(250) ? 1 : 0;
  // Mean 25,000, standard deviation sqrt(100,000 * 0.25 * 0.75) = 137; seven of them.
  EXPECT_NEAR(hits, 25'000, 960);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(prng.chance(0));
    EXPECT_TRUE(prng.chance(1000));
  }
}

TEST(Prng, fill_writes_words_little_end_first_and_stops_at_the_end) {
  std::array<uint8_t, 24> bytes{};
  Prng(7).fill(std::span(bytes).first(19));
  const std::vector<uint64_t> words = first(7, 3);
  for (size_t i = 0; i < 19; ++i) {
    EXPECT_EQ(bytes[i], static_cast<uint8_t>(words[i / 8] >> (i % 8 * 8))) << "byte " << i;
  }
  for (size_t i = 19; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], 0);
}

TEST(Prng, runs_at_compile_time) {
  constexpr uint64_t value = Prng(42).next();
  EXPECT_EQ(value, first(42, 1)[0]);
}

}  // namespace
}  // namespace penstock

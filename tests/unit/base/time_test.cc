#include "penstock/base/time.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Instant, after_adds_and_never_passes_never) {
  EXPECT_EQ(Instant{5}.after_ns(7), Instant{12});
  EXPECT_EQ(Instant{5}.after_ms(2), Instant{2'000'005});
  EXPECT_EQ(Instant::never().after_ns(1), Instant::never());
  EXPECT_EQ(Instant{UINT64_MAX - 1}.after_ns(1), Instant::never());
  EXPECT_EQ(Instant{UINT64_MAX - 1}.after_ns(2), Instant::never());
}

TEST(Instant, since_is_zero_when_the_other_clock_is_ahead) {
  EXPECT_EQ(Instant{12}.since(Instant{5}), 7U);
  EXPECT_EQ(Instant{5}.since(Instant{5}), 0U);
  EXPECT_EQ(Instant{5}.since(Instant{12}), 0U);
}

TEST(Instant, never_comes_after_everything) {
  EXPECT_LT(Instant{UINT64_MAX - 1}, Instant::never());
  EXPECT_LT(Instant{}, Instant{1});
  EXPECT_LT(Instant{1}, Instant{1}.after_ns(1));
}

}  // namespace
}  // namespace penstock

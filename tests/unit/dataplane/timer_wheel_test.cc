#include "dataplane/timer_wheel.h"

#include <gtest/gtest.h>

#include <vector>

#include "penstock/base/prng.h"

namespace penstock::dataplane {
namespace {

constexpr Instant at_ms(uint64_t ms) { return Instant{}.after_ms(ms); }

TEST(timer_wheel, never_fires_early_and_at_most_a_slot_late) {
  Prng prng(3);
  TimerWheel wheel(at_ms(1000));
  std::vector<uint64_t> deadline_ms;
  for (uint32_t i = 0; i < 500; ++i) {
    deadline_ms.push_back(1000 + prng.below(16'000));
    wheel.add({i, 0}, at_ms(deadline_ms.back()));
  }
  std::vector<uint64_t> fired_ms(500, 0);
  for (uint64_t ms = 1000; ms < 18'000; ++ms) {
    std::vector<TimerWheel::Entry> due;
    wheel.expire(at_ms(ms), due);
    for (const auto& entry : due) fired_ms[entry.id.index] = ms;
  }
  for (uint32_t i = 0; i < 500; ++i) {
    EXPECT_GE(fired_ms[i], deadline_ms[i]);
    EXPECT_LE(fired_ms[i], deadline_ms[i] + 2 * TimerWheel::slot_ns / ns_per_ms);
  }
}

TEST(timer_wheel, next_says_when_to_wake) {
  TimerWheel wheel(at_ms(0));
  EXPECT_EQ(wheel.next(), Instant::never());
  wheel.add({1, 0}, at_ms(5000));
  const Instant next = wheel.next();
  EXPECT_GE(next, at_ms(5000));
  EXPECT_LE(next, at_ms(5032));
  std::vector<TimerWheel::Entry> due;
  wheel.expire(next, due);
  EXPECT_EQ(due.size(), 1u);
  EXPECT_EQ(wheel.next(), Instant::never());
}

TEST(timer_wheel, next_is_right_wherever_the_wheel_stands) {
  for (uint64_t start = 0; start < 40'000; start += 777) {
    for (const uint64_t delay : {1u, 100u, 1000u, 8000u, 15'000u}) {
      TimerWheel wheel(at_ms(start));
      wheel.add({1, 0}, at_ms(start + delay));
      EXPECT_GE(wheel.next(), at_ms(start + delay)) << start << "+" << delay;
      EXPECT_LE(wheel.next(), at_ms(start + delay + 32)) << start << "+" << delay;
    }
  }
}

TEST(timer_wheel, what_is_beyond_the_horizon_passes_by_and_is_set_again) {
  TimerWheel wheel(at_ms(0));
  wheel.add({1, 0}, at_ms(600'000));
  EXPECT_LT(wheel.next(), at_ms(17'000));
}

TEST(timer_wheel, a_clock_that_jumps_fires_everything_once) {
  TimerWheel wheel(at_ms(0));
  for (uint32_t i = 0; i < 100; ++i) wheel.add({i, 0}, at_ms(i * 100));
  std::vector<TimerWheel::Entry> due;
  wheel.expire(at_ms(3'600'000), due);
  EXPECT_EQ(due.size(), 100u);
  due.clear();
  wheel.expire(at_ms(3'600'100), due);
  EXPECT_TRUE(due.empty());
}

}  // namespace
}  // namespace penstock::dataplane

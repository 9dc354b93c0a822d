#include "dataplane/engine/tcp/deadline_wheel.h"

#include <gtest/gtest.h>

#include <vector>

#include "penstock/base/prng.h"

namespace penstock::engine::tcp {
namespace {

TEST(deadline_wheel, says_never_while_empty) {
  DeadlineWheel wheel(300);
  EXPECT_EQ(wheel.next(), Instant::never());
  EXPECT_EQ(wheel.take_due({1000 * ns_per_s}), DeadlineWheel::none);
}

TEST(deadline_wheel, fires_within_a_millisecond_and_never_early) {
  // Uptime of some months: the wheel must not walk there.
  const Instant start{uint64_t{100} * 24 * 3600 * ns_per_s + 17};
  for (const uint64_t delay :
       {uint64_t{0}, uint64_t{1}, ns_per_ms, 255 * ns_per_ms, 256 * ns_per_ms, ns_per_s,
        65 * ns_per_s, 66 * ns_per_s, 3600 * ns_per_s, uint64_t{3} * 3600 * ns_per_s}) {
    DeadlineWheel wheel(300);
    wheel.add(0, start.after_ns(delay), start);
    EXPECT_EQ(wheel.take_due(start), DeadlineWheel::none);
    Instant now = start;
    uint32_t fired = DeadlineWheel::none;
    for (int wakes = 0; fired == DeadlineWheel::none; ++wakes) {
      ASSERT_LT(wakes, 10) << delay;
      ASSERT_GE(wheel.next(), now);
      now = wheel.next();
      fired = wheel.take_due(now);
    }
    EXPECT_EQ(fired, 0u);
    EXPECT_GE(now, start.after_ns(delay));
    EXPECT_LE(now, start.after_ns(delay + 2 * ns_per_ms)) << delay;
    EXPECT_EQ(wheel.next(), Instant::never());
  }
}

TEST(deadline_wheel, keeps_the_earlier_deadline_when_asked) {
  DeadlineWheel wheel(300);
  wheel.add_or_keep(0, {50 * ns_per_ms}, {0});
  wheel.add_or_keep(0, {90 * ns_per_ms}, {0});
  EXPECT_EQ(wheel.next(), (Instant{50 * ns_per_ms}));
  wheel.add_or_keep(0, {20 * ns_per_ms}, {0});
  EXPECT_EQ(wheel.take_due({20 * ns_per_ms}), 0u);
  EXPECT_FALSE(wheel.waits(0));
}

TEST(deadline_wheel, does_not_spin_on_what_is_always_due) {
  DeadlineWheel wheel(300);
  wheel.add(0, {0}, {5 * ns_per_ms});
  int fired = 0;
  while (wheel.take_due({7 * ns_per_ms}) != DeadlineWheel::none) {
    ++fired;
    wheel.add(0, {0}, {7 * ns_per_ms});
    ASSERT_LT(fired, 5);
  }
  EXPECT_LE(fired, 2);
}

TEST(deadline_wheel, lets_go_of_what_is_due_but_not_taken_yet) {
  DeadlineWheel wheel(3);
  for (uint32_t thing = 0; thing < 3; ++thing) wheel.add(thing, {10 * ns_per_ms}, {0});
  const uint32_t first = wheel.take_due({10 * ns_per_ms});
  ASSERT_LT(first, 3u);
  wheel.remove((first + 1) % 3);
  EXPECT_EQ(wheel.take_due({10 * ns_per_ms}), (first + 2) % 3);
  EXPECT_EQ(wheel.take_due({10 * ns_per_ms}), DeadlineWheel::none);
}

TEST(deadline_wheel, equals_a_list_under_random_use) {
  Prng prng(5);
  constexpr uint32_t things = 300;
  DeadlineWheel wheel(things);
  std::vector<Instant> due(things, Instant::never());
  Instant now{123456789};
  for (int step = 0; step < 20000; ++step) {
    const auto thing = static_cast<uint32_t>(prng.below(things));
    if (wheel.waits(thing) && prng.chance(300)) {
      wheel.remove(thing);
      due[thing] = Instant::never();
    } else if (!wheel.waits(thing)) {
      const uint64_t most = uint64_t{1} << (10 + prng.below(34));
      due[thing] = now.after_ns(prng.below(most));
      wheel.add(thing, due[thing], now);
    }
    now = now.after_ns(prng.below(prng.chance(20) ? 100 * ns_per_s : 3 * ns_per_ms));
    const Instant next = wheel.next();
    for (uint32_t fired; (fired = wheel.take_due(now)) != DeadlineWheel::none;) {
      ASSERT_GE(now, due[fired]);
      ASSERT_GE(now, next);
      due[fired] = Instant::never();
    }
    for (uint32_t other = 0; other < things; ++other) {
      ASSERT_EQ(wheel.waits(other), due[other] != Instant::never());
      if (due[other] == Instant::never()) continue;
      ASSERT_GT(due[other].after_ms(2), now) << "step " << step;
      ASSERT_LE(wheel.next(), due[other].after_ms(2));
    }
  }
}

}  // namespace
}  // namespace penstock::engine::tcp

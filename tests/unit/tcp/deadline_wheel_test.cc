#include "dataplane/engine/tcp/deadline_wheel.h"

#include <gtest/gtest.h>

#include <deque>
#include <optional>

#include "penstock/base/prng.h"

namespace penstock::engine::tcp {
namespace {

struct Thing {
  DeadlineHook hook;
  Instant due;
  int fired = 0;
};

Thing& thing_of(DeadlineHook& hook) { return reinterpret_cast<Thing&>(hook); }

TEST(deadline_wheel, says_never_while_empty) {
  DeadlineWheel wheel;
  EXPECT_EQ(wheel.next(), Instant::never());
  EXPECT_EQ(wheel.take_due({1000 * ns_per_s}), nullptr);
}

TEST(deadline_wheel, fires_within_a_millisecond_and_never_early) {
  // Uptime of some months: the wheel must not walk there.
  const Instant start{uint64_t{100} * 24 * 3600 * ns_per_s + 17};
  for (const uint64_t delay :
       {uint64_t{0}, uint64_t{1}, ns_per_ms, 255 * ns_per_ms, 256 * ns_per_ms, ns_per_s,
        65 * ns_per_s, 66 * ns_per_s, 3600 * ns_per_s, uint64_t{3} * 3600 * ns_per_s}) {
    DeadlineWheel wheel;
    Thing thing;
    wheel.add(thing.hook, start.after_ns(delay), start);
    EXPECT_EQ(wheel.take_due(start), nullptr);
    Instant now = start;
    DeadlineHook* fired = nullptr;
    for (int wakes = 0; fired == nullptr; ++wakes) {
      ASSERT_LT(wakes, 10) << delay;
      ASSERT_GE(wheel.next(), now);
      now = wheel.next();
      fired = wheel.take_due(now);
    }
    EXPECT_EQ(fired, &thing.hook);
    EXPECT_GE(now, start.after_ns(delay));
    EXPECT_LE(now, start.after_ns(delay + 2 * ns_per_ms)) << delay;
    EXPECT_EQ(wheel.next(), Instant::never());
  }
}

TEST(deadline_wheel, keeps_the_earlier_deadline_when_asked) {
  DeadlineWheel wheel;
  Thing thing;
  wheel.add_or_keep(thing.hook, {50 * ns_per_ms}, {0});
  wheel.add_or_keep(thing.hook, {90 * ns_per_ms}, {0});
  EXPECT_EQ(wheel.next(), (Instant{50 * ns_per_ms}));
  wheel.add_or_keep(thing.hook, {20 * ns_per_ms}, {0});
  EXPECT_EQ(wheel.take_due({20 * ns_per_ms}), &thing.hook);
  EXPECT_FALSE(thing.hook.waits());
}

TEST(deadline_wheel, does_not_spin_on_what_is_always_due) {
  DeadlineWheel wheel;
  Thing thing;
  wheel.add(thing.hook, {0}, {5 * ns_per_ms});
  int fired = 0;
  while (wheel.take_due({7 * ns_per_ms}) != nullptr) {
    ++fired;
    wheel.add(thing.hook, {0}, {7 * ns_per_ms});
    ASSERT_LT(fired, 5);
  }
  EXPECT_LE(fired, 2);
}

TEST(deadline_wheel, lets_go_of_what_is_due_but_not_taken_yet) {
  DeadlineWheel wheel;
  Thing things[3];
  for (Thing& thing : things) wheel.add(thing.hook, {10 * ns_per_ms}, {0});
  DeadlineHook* first = wheel.take_due({10 * ns_per_ms});
  ASSERT_NE(first, nullptr);
  for (Thing& thing : things) {
    if (thing.hook.waits()) {
      wheel.remove(thing.hook);
      break;
    }
  }
  EXPECT_NE(wheel.take_due({10 * ns_per_ms}), nullptr);
  EXPECT_EQ(wheel.take_due({10 * ns_per_ms}), nullptr);
}

TEST(deadline_wheel, equals_a_sorted_list_under_random_use) {
  Prng prng(5);
  DeadlineWheel wheel;
  std::deque<Thing> things(300);
  Instant now{123456789};
  for (int step = 0; step < 20000; ++step) {
    Thing& thing = things[prng.below(things.size())];
    if (thing.hook.waits() && prng.chance(300)) {
      wheel.remove(thing.hook);
    } else if (!thing.hook.waits()) {
      const uint64_t most = uint64_t{1} << (10 + prng.below(34));
      thing.due = now.after_ns(prng.below(most));
      wheel.add(thing.hook, thing.due, now);
    }
    now = now.after_ns(prng.below(prng.chance(20) ? 100 * ns_per_s : 3 * ns_per_ms));
    const Instant next = wheel.next();
    while (DeadlineHook* hook = wheel.take_due(now)) {
      Thing& fired = thing_of(*hook);
      ASSERT_GE(now, fired.due);
      ASSERT_GE(now, next);
      fired.due = Instant::never();
    }
    for (const Thing& waiting : things) {
      if (!waiting.hook.waits()) continue;
      ASSERT_GT(waiting.due.after_ms(2), now) << "step " << step;
      ASSERT_LE(wheel.next(), waiting.due.after_ms(2));
    }
  }
}

}  // namespace
}  // namespace penstock::engine::tcp

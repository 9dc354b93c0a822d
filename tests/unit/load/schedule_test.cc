#include "bench/load/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace penstock::load {
namespace {

constexpr uint64_t slot = Schedule::slot_ns;
constexpr Instant start{1000 * ns_per_s};

std::vector<uint32_t> take_all(Schedule& schedule, Instant now) {
  std::vector<uint32_t> taken;
  for (uint32_t entry = schedule.take_due(now); entry != Schedule::none;
       entry = schedule.take_due(now)) {
    taken.push_back(entry);
  }
  std::ranges::sort(taken);
  return taken;
}

TEST(Schedule, empty_never_wakes) {
  Schedule schedule(4, start);
  EXPECT_EQ(schedule.wake_at(), Instant::never());
  EXPECT_EQ(schedule.take_due(start.after_ms(10)), Schedule::none);
}

TEST(Schedule, gives_each_entry_once_never_early_and_less_than_a_slot_late) {
  Schedule schedule(100, start);
  for (uint32_t i = 0; i < 100; ++i) schedule.put(i, start.after_ns(i * 333'333));
  std::vector<bool> seen(100);
  for (uint64_t at = 0; at <= 40 * ns_per_ms; at += slot) {
    const Instant now = start.after_ns(at);
    for (const uint32_t entry : take_all(schedule, now)) {
      EXPECT_FALSE(seen[entry]);
      seen[entry] = true;
      EXPECT_GE(at, entry * 333'333u);
      EXPECT_LT(at, entry * 333'333u + slot);
    }
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](bool one) { return one; }));
}

TEST(Schedule, wakes_for_the_first_slot_that_is_not_empty) {
  Schedule schedule(4, start);
  schedule.put(1, start.after_ms(20));
  schedule.put(2, start.after_ms(7));
  EXPECT_EQ(schedule.wake_at(), start.after_ms(7));
  EXPECT_EQ(take_all(schedule, start.after_ms(7)), std::vector<uint32_t>{2});
  EXPECT_EQ(schedule.wake_at(), start.after_ms(20));
}

TEST(Schedule, what_is_overdue_comes_with_the_next_slot) {
  Schedule schedule(4, start);
  EXPECT_EQ(schedule.take_due(start.after_ms(50)), Schedule::none);
  schedule.put(3, start.after_ms(10));
  EXPECT_EQ(take_all(schedule, start.after_ms(50).after_ns(slot)), std::vector<uint32_t>{3});
}

TEST(Schedule, what_is_beyond_the_wheel_comes_early_to_be_put_again) {
  Schedule schedule(4, start);
  const Instant due = start.after_ms(60'000);
  schedule.put(0, due);
  uint32_t turns = 0;
  for (Instant now = start; now < due; now = schedule.wake_at()) {
    for (const uint32_t entry : take_all(schedule, now)) schedule.put(entry, due);
    ASSERT_LT(++turns, 100u);
  }
  EXPECT_EQ(take_all(schedule, due), std::vector<uint32_t>{0});
}

TEST(Schedule, entries_of_one_slot_all_come) {
  Schedule schedule(1000, start);
  for (uint32_t i = 0; i < 1000; ++i) schedule.put(i, start.after_ms(5));
  EXPECT_EQ(take_all(schedule, start.after_ms(4)).size(), 0u);
  EXPECT_EQ(take_all(schedule, start.after_ms(5)).size(), 1000u);
}

}  // namespace
}  // namespace penstock::load

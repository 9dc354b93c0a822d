#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "penstock/base/spsc_ring.h"

namespace penstock {
namespace {

TEST(Doorbell, rings_only_while_the_consumer_sleeps) {
  Doorbell doorbell;
  EXPECT_FALSE(doorbell.ring(0));
  doorbell.prepare_sleep();
  EXPECT_TRUE(doorbell.ring(0));
}

TEST(Doorbell, only_the_first_producer_pays_for_the_wake) {
  Doorbell doorbell;
  doorbell.prepare_sleep();
  EXPECT_TRUE(doorbell.ring(1));
  EXPECT_FALSE(doorbell.ring(2));
}

TEST(Doorbell, tells_once_who_rang) {
  Doorbell doorbell;
  EXPECT_FALSE(doorbell.anybody_rang());
  EXPECT_EQ(doorbell.take_rung(), 0U);
  for (const uint32_t ringer : {0U, 5U, 63U, 5U}) (void)doorbell.ring(ringer);
  EXPECT_TRUE(doorbell.anybody_rang());
  EXPECT_EQ(doorbell.take_rung(), uint64_t{1} << 63 | 1U << 5 | 1U);
  EXPECT_FALSE(doorbell.anybody_rang());
  EXPECT_EQ(doorbell.take_rung(), 0U);
}

TEST(Doorbell, keeps_in_mind_who_rang_through_a_sleep) {
  Doorbell doorbell;
  doorbell.prepare_sleep();
  EXPECT_TRUE(doorbell.ring(7));
  doorbell.woke_up();
  EXPECT_TRUE(doorbell.anybody_rang());
  EXPECT_EQ(doorbell.take_rung(), 1U << 7);
}

TEST(Doorbell, does_not_ring_after_the_consumer_woke_by_itself) {
  Doorbell doorbell;
  doorbell.prepare_sleep();
  doorbell.woke_up();
  EXPECT_FALSE(doorbell.ring(0));
}

/// What an engine's wake() is to the worker: a wake that comes before the wait ends the next wait
/// at once.
class Bed {
 public:
  void wake() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    condition_.notify_one();
  }
  /// False: nobody came within a time that no scheduler needs.
  bool wait() {
    std::unique_lock lock(mutex_);
    const bool woken = condition_.wait_for(lock, std::chrono::seconds(20), [&] { return woken_; });
    woken_ = false;
    return woken;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
};

// The protocol of the class comment under contention: two producers with a ring each, who ring
// after batches of varying size; a consumer that looks at nothing but the rings of who rang, takes
// no more than it likes, and sleeps when nobody has anything. A ring that is overlooked leaves it
// asleep with a value in there, and wait() answers false.
TEST(Doorbell, no_push_is_slept_through) {
  constexpr uint32_t values_per_producer = 30'000;
  // So small that a producer soon waits for room, and rings no more: what is overlooked stays so.
  SpscRing<uint32_t, 4> rings[2];
  Doorbell doorbell;
  Bed bed;

  const auto produce = [&](uint32_t index) {
    for (uint32_t value = 0; value < values_per_producer;) {
      uint32_t pushed = 0;
      while (pushed <= value % 5 && value < values_per_producer && rings[index].push(value)) {
        ++pushed;
        ++value;
      }
      if (pushed == 0) {
        std::this_thread::yield();
      } else if (doorbell.ring(index)) {
        bed.wake();
      }
    }
  };
  std::thread first(produce, 0);
  std::thread second(produce, 1);

  uint32_t next[2] = {0, 0};
  uint64_t to_visit = 0;
  uint32_t sleeps = 0;
  bool in_order = true;
  bool woken = true;
  while (woken && in_order && next[0] + next[1] < 2 * values_per_producer) {
    to_visit |= doorbell.take_rung();
    const bool anything = to_visit != 0;
    for (uint32_t index = 0; index < 2; ++index) {
      if ((to_visit >> index & 1) == 0) continue;
      uint32_t values[2];
      const uint32_t count = rings[index].pop(values);
      for (uint32_t i = 0; i < count; ++i) in_order = in_order && values[i] == next[index]++;
      if (count < std::size(values)) to_visit &= ~(uint64_t{1} << index);
    }
    if (anything) continue;
    doorbell.prepare_sleep();
    if (!doorbell.anybody_rang()) {
      ++sleeps;
      woken = bed.wait();
    }
    doorbell.woke_up();
  }
  EXPECT_TRUE(woken) << "slept through a push after " << next[0] + next[1] << " values";
  EXPECT_TRUE(in_order);
  EXPECT_GT(sleeps, 0U);
  // On failure the producers must not hang on full rings that nobody empties.
  uint32_t rest[4];
  while (next[0] + next[1] < 2 * values_per_producer) {
    next[0] += rings[0].pop(rest);
    next[1] += rings[1].pop(rest);
  }
  first.join();
  second.join();
}

TEST(StopFlag, raised_on_one_thread_is_seen_on_another_with_what_came_before) {
  StopFlag stop;
  int reason = 0;
  EXPECT_FALSE(stop.raised());
  std::thread raiser([&] {
    reason = 42;
    stop.raise();
  });
  while (!stop.raised()) std::this_thread::yield();
  EXPECT_EQ(reason, 42);
  raiser.join();
}

}  // namespace
}  // namespace penstock

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
  EXPECT_FALSE(doorbell.should_wake());
  doorbell.prepare_sleep();
  EXPECT_TRUE(doorbell.should_wake());
}

TEST(Doorbell, only_the_first_producer_pays_for_the_wake) {
  Doorbell doorbell;
  doorbell.prepare_sleep();
  EXPECT_TRUE(doorbell.should_wake());
  EXPECT_FALSE(doorbell.should_wake());
}

TEST(Doorbell, does_not_ring_after_the_consumer_woke_by_itself) {
  Doorbell doorbell;
  doorbell.prepare_sleep();
  doorbell.woke_up();
  EXPECT_FALSE(doorbell.should_wake());
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

// The protocol of the class comment under contention: two producers with a ring each, a consumer
// that sleeps whenever both are empty. A missed wake leaves it asleep with a value in a ring, and
// wait() answers false.
TEST(Doorbell, no_push_is_slept_through) {
  constexpr uint32_t values_per_producer = 30'000;
  SpscRing<uint32_t, 64> rings[2];
  Doorbell doorbell;
  Bed bed;

  const auto produce = [&](uint32_t index) {
    for (uint32_t value = 0; value < values_per_producer;) {
      if (!rings[index].push(value)) {
        std::this_thread::yield();
        continue;
      }
      if (doorbell.should_wake()) bed.wake();
      ++value;
    }
  };
  std::thread first(produce, 0);
  std::thread second(produce, 1);

  uint32_t next[2] = {0, 0};
  uint32_t sleeps = 0;
  bool in_order = true;
  bool woken = true;
  while (woken && in_order && next[0] + next[1] < 2 * values_per_producer) {
    uint32_t taken = 0;
    for (uint32_t index = 0; index < 2; ++index) {
      uint32_t values[16];
      const uint32_t count = rings[index].pop(values);
      for (uint32_t i = 0; i < count; ++i) in_order = in_order && values[i] == next[index]++;
      taken += count;
    }
    if (taken > 0) continue;
    doorbell.prepare_sleep();
    if (rings[0].empty() && rings[1].empty()) {
      ++sleeps;
      woken = bed.wait();
    }
    doorbell.woke_up();
  }
  EXPECT_TRUE(woken) << "slept through a push after " << next[0] + next[1] << " values";
  EXPECT_TRUE(in_order);
  EXPECT_GT(sleeps, 0U);
  // On failure the producers must not hang on full rings that nobody empties.
  uint32_t rest[64];
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

#include "dataplane/bell.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <iterator>
#include <thread>

namespace penstock::dataplane {
namespace {

bool is_rung(const Bell& bell) {
  pollfd ready{bell.descriptor(), POLLIN, 0};
  return poll(&ready, 1, 0) == 1;
}

TEST(Bell, is_rung_only_for_one_who_sleeps_and_once) {
  Doorbell doorbell;
  Bell bell(doorbell);
  bell.ring(0);
  EXPECT_FALSE(is_rung(bell));
  bell.woke_up();
  EXPECT_EQ(bell.prepare_sleep(1000), 1000);
  bell.ring(1);
  bell.ring(2);
  EXPECT_TRUE(is_rung(bell));
  bell.woke_up();
  EXPECT_FALSE(is_rung(bell));
  EXPECT_EQ(bell.prepare_sleep(1000), 1000) << "both have been looked at";
}

TEST(Bell, who_rang_since_the_last_look_allows_no_sleep) {
  Doorbell doorbell;
  Bell bell(doorbell);
  bell.woke_up();
  bell.ring(3);
  EXPECT_EQ(bell.prepare_sleep(1000), 0);
}

// A test that hangs is one that has found something.
TEST(Bell, makes_nobody_wait_when_nobody_answers_it) {
  Doorbell doorbell;
  Bell bell(doorbell);
  ASSERT_EQ(eventfd_write(bell.descriptor(), UINT64_MAX - 1), 0) << "as far as it counts";
  for (int i = 0; i < 3; ++i) {
    doorbell.prepare_sleep();
    bell.ring(0);
  }
  EXPECT_TRUE(is_rung(bell));
  bell.woke_up();
  EXPECT_FALSE(is_rung(bell));
}

// Two workers with a ring each against a sleeper that polls for longer than any scheduler needs: a
// push that it sleeps through ends in a poll that nobody ends.
TEST(Bell, no_push_is_slept_through) {
  constexpr uint32_t values_per_worker = 20'000;
  constexpr int wait_ms = 20'000;
  SpscRing<uint32_t, 4> rings[2];
  Doorbell doorbell;
  Bell bell(doorbell);
  const auto work = [&](uint32_t id) {
    for (uint32_t value = 0; value < values_per_worker;) {
      if (rings[id].push(value)) {
        ++value;
        bell.ring(id);
      } else {
        std::this_thread::yield();
      }
    }
  };
  std::thread first(work, 0);
  std::thread second(work, 1);
  uint32_t taken = 0;
  uint32_t sleeps = 0;
  bool woken = true;
  while (taken < 2 * values_per_worker) {
    const int sleep_ms = woken ? bell.prepare_sleep(wait_ms) : 0;  // or the workers never end
    pollfd ready{bell.descriptor(), POLLIN, 0};
    const bool rung = poll(&ready, 1, sleep_ms) == 1;
    if (sleep_ms > 0) {
      ++sleeps;
      woken = woken && rung;
    }
    bell.woke_up();
    for (auto& ring : rings) {
      uint32_t values[4];
      taken += ring.pop(values);
    }
  }
  first.join();
  second.join();
  EXPECT_TRUE(woken) << "slept through a push";
  EXPECT_GT(sleeps, 0U);
}

}  // namespace
}  // namespace penstock::dataplane

#include "dataplane/directory.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::dataplane {
namespace {

TEST(directory, the_first_of_two_claims_wins) {
  Directory directory;
  EXPECT_TRUE(directory.claim("live/a", 1, 0).granted);
  EXPECT_FALSE(directory.claim("live/a", 2, 1).granted);
  EXPECT_TRUE(directory.claim("live/b", 2, 1).granted);
}

TEST(directory, a_released_name_can_be_claimed_again) {
  Directory directory;
  ASSERT_TRUE(directory.claim("live/a", 1, 0).granted);
  directory.release("live/a", 1);
  EXPECT_TRUE(directory.claim("live/a", 2, 1).granted);
}

TEST(directory, a_late_release_does_not_free_a_successors_name) {
  Directory directory;
  ASSERT_TRUE(directory.claim("live/a", 1, 0).granted);
  directory.release("live/a", 1);
  ASSERT_TRUE(directory.claim("live/a", 2, 1).granted);
  directory.release("live/a", 1);
  EXPECT_FALSE(directory.claim("live/a", 3, 0).granted);
}

TEST(directory, a_publisher_is_told_who_waits_for_it) {
  Directory directory;
  EXPECT_EQ(directory.set_interest("live/a", 2, true).stream_id, 0u);
  EXPECT_EQ(directory.set_interest("live/a", 5, true).stream_id, 0u);
  EXPECT_EQ(directory.claim("live/a", 9, 1).interested, 1u << 2 | 1u << 5);
  const Directory::Owner owner = directory.set_interest("live/a", 2, false);
  EXPECT_EQ(owner.stream_id, 9u);
  EXPECT_EQ(owner.worker, 1u);
}

TEST(directory, names_that_nobody_uses_are_forgotten) {
  Directory directory;
  for (int i = 0; i < 100; ++i) {
    const std::string name = "live/" + std::to_string(i);
    directory.set_interest(name, 0, true);
    EXPECT_TRUE(directory.claim(name, 1, 0).granted);
    directory.release(name, 1);
    directory.set_interest(name, 0, false);
    directory.set_interest(name, 1, false);
  }
  EXPECT_EQ(directory.size(), 0u);
}

TEST(directory, homes_are_spread_over_the_workers) {
  int counts[4] = {};
  for (int i = 0; i < 1000; ++i) ++counts[Directory::home_of("live/cam" + std::to_string(i), 4)];
  for (const int count : counts) EXPECT_GT(count, 150);
}

}  // namespace
}  // namespace penstock::dataplane

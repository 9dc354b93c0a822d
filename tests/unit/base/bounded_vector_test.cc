#include "penstock/base/bounded_vector.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <vector>

namespace penstock {
namespace {

std::vector<int> contents(const BoundedVector<int, 4>& values) {
  return {values.begin(), values.end()};
}

TEST(BoundedVector, starts_empty_and_reports_full_at_capacity) {
  BoundedVector<int, 4> values;
  EXPECT_TRUE(values.empty());
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(values.full());
    values.push_back(i);
  }
  EXPECT_TRUE(values.full());
  EXPECT_EQ(values.size(), values.capacity());
  EXPECT_EQ(contents(values), (std::vector<int>{0, 1, 2, 3}));
}

TEST(BoundedVector, push_back_returns_the_stored_value) {
  BoundedVector<int, 4> values;
  values.push_back(7) = 9;
  EXPECT_EQ(values[0], 9);
}

TEST(BoundedVector, erase_unordered_moves_the_last_into_the_gap) {
  struct Case {
    size_t index;
    std::vector<int> left;
  };
  const Case cases[] = {{0, {3, 1, 2}}, {1, {0, 3, 2}}, {3, {0, 1, 2}}};
  for (const Case& c : cases) {
    BoundedVector<int, 4> values;
    for (int i = 0; i < 4; ++i) values.push_back(i);
    values.erase_unordered(c.index);
    EXPECT_EQ(contents(values), c.left) << "index " << c.index;
  }
}

TEST(BoundedVector, what_leaves_is_destroyed_at_once) {
  const auto watched = std::make_shared<int>(1);
  BoundedVector<std::shared_ptr<int>, 3> values;
  for (int i = 0; i < 3; ++i) values.push_back(watched);
  EXPECT_EQ(watched.use_count(), 4);
  values.pop_back();
  EXPECT_EQ(watched.use_count(), 3);
  values.erase_unordered(0);
  EXPECT_EQ(watched.use_count(), 2);
  values.clear();
  EXPECT_EQ(watched.use_count(), 1);
}

TEST(BoundedVector, holds_values_that_only_move) {
  BoundedVector<std::unique_ptr<int>, 2> values;
  values.push_back(std::make_unique<int>(5));
  values.push_back(std::make_unique<int>(6));
  values.erase_unordered(0);
  EXPECT_EQ(*values[0], 6);
}

TEST(BoundedVector, view_covers_exactly_what_is_stored) {
  BoundedVector<int, 4> values;
  values.push_back(2);
  values.push_back(3);
  EXPECT_EQ(std::accumulate(values.view().begin(), values.view().end(), 0), 5);
  EXPECT_EQ(values.view().size(), 2U);
}

TEST(BoundedVectorDeathTest, use_beyond_its_bounds_is_a_bug_of_ours) {
  BoundedVector<int, 1> values;
  EXPECT_DEATH(values.pop_back(), "assertion failed");
  EXPECT_DEATH((void)values[0], "assertion failed");
  EXPECT_DEATH(values.erase_unordered(0), "assertion failed");
  values.push_back(1);
  EXPECT_DEATH(values.push_back(2), "assertion failed");
}

}  // namespace
}  // namespace penstock

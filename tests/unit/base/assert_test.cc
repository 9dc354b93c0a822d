#include "penstock/base/assert.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Assert, assert_that_holds_evaluates_once_and_goes_on) {
  int evaluated = 0;
  PENSTOCK_ASSERT(++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
}

TEST(AssertDeathTest, assert_that_fails_ends_the_process_and_names_expression_and_place) {
  EXPECT_DEATH(PENSTOCK_ASSERT(1 + 1 == 3), "assertion failed: 1 \\+ 1 == 3 at .*assert_test.cc:");
}

}  // namespace
}  // namespace penstock

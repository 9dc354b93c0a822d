#include <gtest/gtest.h>

#include "tests/unit/tcp/network_run.h"

// The short form of tests/unit/tcp/network: a few seeds each.
namespace penstock::engine::tcp {
namespace {

void run_seeds(NetworkPeer against) {
  for (uint64_t seed = 1; seed <= 60 && !testing::Test::HasFailure(); ++seed) {
    EXPECT_EQ(run_network_seed(seed, against), "") << "seed " << seed;
  }
}

TEST(network, bytes_arrive_between_two_stacks_over_any_wire) { run_seeds(NetworkPeer::self); }

TEST(network, bytes_arrive_between_a_stack_and_a_host_like_linux) {
  run_seeds(NetworkPeer::kernel);
}

}  // namespace
}  // namespace penstock::engine::tcp

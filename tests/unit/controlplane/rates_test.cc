#include "controlplane/rates.h"

#include <gtest/gtest.h>

#include "tests/unit/controlplane/fake_dataplane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

TEST(rates, are_measured_over_the_window_per_worker) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  const auto attachment = Attachment::attach(dataplane.path()).value();
  Rates rates;
  EXPECT_TRUE(rates.workers().empty());
  control::WorkerArea& area = dataplane.region().worker(1);
  for (uint64_t step = 0; step < 20; ++step) {
    rates.sample(*attachment, step * second_ns / 2);
    area.counters[static_cast<size_t>(control::Counter::bytes_received)].add(step < 10 ? 1'000'000
                                                                                       : 125'000);
    area.counters[static_cast<size_t>(control::Counter::bytes_sent)].add(250'000);
    area.busy_ns.add(second_ns / 8);
  }
  ASSERT_EQ(rates.workers().size(), 2u);
  EXPECT_EQ(rates.workers()[0].bits_per_second_in, 0u);
  EXPECT_EQ(rates.workers()[1].bits_per_second_in, 2'000'000u)
      << "the fast start has left the window";
  EXPECT_EQ(rates.workers()[1].bits_per_second_out, 4'000'000u);
  EXPECT_DOUBLE_EQ(rates.workers()[1].busy_percent, 25.0);
  rates.forget();
  EXPECT_TRUE(rates.workers().empty());
}

TEST(rates, counters_that_go_wild_are_zero_and_no_more) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  const auto attachment = Attachment::attach(dataplane.path()).value();
  Rates rates;
  control::Cell& received =
      dataplane.region().worker(0).counters[static_cast<size_t>(control::Counter::bytes_received)];
  received.set(100);
  rates.sample(*attachment, 0);
  received.set(50);
  dataplane.region().worker(0).busy_ns.set(UINT64_MAX);
  rates.sample(*attachment, second_ns);
  EXPECT_EQ(rates.workers()[0].bits_per_second_in, 0u);
  EXPECT_LE(rates.workers()[0].busy_percent, 100.0);
  received.set(UINT64_MAX);
  rates.sample(*attachment, 2 * second_ns);
  EXPECT_EQ(rates.workers()[0].bits_per_second_in, 0u);
}

}  // namespace
}  // namespace penstock::controlplane

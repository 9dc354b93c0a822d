#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/engine/uring/uring_engine.h"
#include "tests/conformance/harness.h"
#include "tests/conformance/world.h"

// What the seam leaves open and the io_uring engine keeps: what Rest::may_wait means (others may
// take it for a hint and give everything), and what happens when its slabs run out.
namespace penstock::conformance {
namespace {

using engine::Rest;

constexpr uint32_t mark = 1500;

struct Gathered {
  Harness harness{make_uring({})};
  std::unique_ptr<Peer> peer;
  Connection* connection = nullptr;

  Gathered() {
    std::tie(peer, connection) = harness.connect();
    gather();
  }
  void gather() {
    harness.engine().set_low_water(connection->id, mark, Rest::may_wait);
    harness.run_for(5);  // the receive that takes everything has ended
  }
};

TEST(UringRest, a_rest_stays_until_the_mark_falls) {
  Gathered gathered;
  const std::vector<uint8_t> bytes = pattern(mark, 31);
  gathered.peer->write(bytes);
  ASSERT_TRUE(gathered.harness.run_until([&] { return !gathered.connection->received.empty(); }));
  gathered.harness.run_for(50);
  EXPECT_EQ(gathered.connection->received.size(), mark - 1);
  gathered.harness.engine().set_low_water(gathered.connection->id, 1, Rest::comes_too);
  EXPECT_TRUE(gathered.harness.run_until(
      [&] { return gathered.connection->received.size() == bytes.size(); }));
  EXPECT_TRUE(gathered.connection->received == bytes);
}

// Else a mark per poll were a peer's bandwidth, and polls may take 30 ms.
TEST(UringRest, who_sends_more_than_a_mark_per_poll_is_read_in_larger_gulps) {
  Gathered gathered;
  Exchange exchange{gathered.peer.get(), pattern(1'000'000, 32)};
  const size_t before = gathered.harness.polls();
  ASSERT_TRUE(gathered.harness.run_until([&] {
    exchange.step();
    return gathered.connection->received.size() + mark > exchange.to_write.size();
  }));
  EXPECT_LT(gathered.harness.polls() - before, exchange.to_write.size() / mark / 4);
  // It has caught up: the last large gulp has to wait for its mark, and then a rest stays again.
  gathered.harness.run_for(20);
  const size_t all = exchange.to_write.size();
  for (const size_t written : {all + mark, all + 2 * mark}) {
    gathered.peer->write(pattern(mark, written));
    ASSERT_TRUE(gathered.harness.run_until(
        [&] { return gathered.connection->received.size() + mark > written; }));
  }
  gathered.harness.run_for(50);
  EXPECT_LT(gathered.connection->received.size(), all + 2 * mark);
}

TEST(UringRest, kinds_change_under_load) {
  Gathered gathered;
  Exchange exchange{gathered.peer.get(), pattern(4'000'000, 34)};
  size_t turn = 0;
  EXPECT_TRUE(gathered.harness.run_until([&] {
    exchange.step();
    const bool rest = ++turn % 3 != 0;
    gathered.harness.engine().set_low_water(gathered.connection->id, rest ? mark : turn % 2 + 1,
                                            rest ? Rest::may_wait : Rest::comes_too);
    if (turn % 7 == 0) {
      gathered.harness.engine().set_reading(gathered.connection->id, false);
      gathered.harness.engine().set_reading(gathered.connection->id, true);
    }
    return gathered.connection->received.size() + mark > exchange.to_write.size();
  }));
  gathered.harness.engine().set_low_water(gathered.connection->id, 1, Rest::comes_too);
  EXPECT_TRUE(gathered.harness.run_until(
      [&] { return gathered.connection->received.size() == exchange.to_write.size(); }));
  EXPECT_TRUE(gathered.connection->received == exchange.to_write);
}

// The cancelled receive of the one before must not end that of who has its place now.
TEST(UringRest, a_place_is_used_again_while_its_receive_is_cancelled) {
  Harness harness{make_uring({})};
  for (uint64_t round = 0; round < 200; ++round) {
    auto [peer, connection] = harness.connect();
    harness.engine().set_low_water(connection->id, mark, Rest::may_wait);
    if (round % 3 == 1) harness.poll(1);
    if (round % 4 != 0) harness.close(*connection);
    auto [next_peer, next] = harness.connect();
    const std::vector<uint8_t> bytes = pattern(3000, round);
    next_peer->write(bytes);
    ASSERT_TRUE(harness.run_until([&] { return next->received == bytes; })) << round;
    if (round % 4 == 0) harness.close(*connection);
    harness.close(*next);
    harness.poll(1);
  }
}

// What found no slab is in its socket still. Who waits for more of it gives its sender a pause of a
// gathering per turn: a blast went at a third of what the worker could take.
TEST(UringSlabs, a_turn_that_ran_out_of_slabs_does_not_wait) {
  Harness harness{make_uring_scarce({})};
  constexpr size_t bytes = 4'000'000;  // long enough to count as a load
  harness.engine().set_gather_max(20 * ns_per_ms);
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<Connection*> connections;
  std::vector<Exchange> exchanges;
  for (uint64_t i = 0; i < 4; ++i) {
    auto [peer, connection] = harness.connect();
    connections.push_back(connection);
    exchanges.push_back({peer.get(), pattern(bytes, i)});
    peers.push_back(std::move(peer));
  }
  const auto& counters = static_cast<engine::UringEngine&>(harness.engine()).counters();
  ASSERT_TRUE(harness.run_until([&] {
    for (Exchange& exchange : exchanges) exchange.step();
    return std::ranges::all_of(
        connections, [&](const Connection* one) { return one->received.size() == bytes; });
  }));
  EXPECT_GT(counters.receive_memory_dry, 200U);
  EXPECT_LT(counters.gathered, 20U) << counters.receive_memory_dry;
}

}  // namespace
}  // namespace penstock::conformance

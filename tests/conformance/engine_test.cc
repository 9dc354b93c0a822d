#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <thread>

#include "tests/conformance/harness.h"

// What engine.h promises, asked of every engine. A test that does not fit one of them says why when
// it skips.
namespace penstock::conformance {
namespace {

using engine::CloseReason;
using engine::ConnectionId;
using engine::Rest;

class EngineTest : public ::testing::TestWithParam<WorldKind> {
 protected:
  void SetUp() override {
    if (GetParam().missing == nullptr) return;
    if (const std::string why = GetParam().missing(); !why.empty()) GTEST_SKIP() << why;
  }
  Harness make(WorldOptions options = {}, size_t span = 64) {
    return Harness(GetParam().make(options), span);
  }
};

INSTANTIATE_TEST_SUITE_P(
    engines, EngineTest,
    ::testing::Values(WorldKind{"calm_sim", make_calm_sim}, WorldKind{"rough_sim", make_rough_sim},
                      WorldKind{"uring", make_uring},
                      WorldKind{"uring_single_receive_slabs", make_uring_single_receive_slabs},
                      WorldKind{"uring_scarce", make_uring_scarce},
                      WorldKind{"dpdk", make_dpdk, missing_dpdk},
                      WorldKind{"dpdk_ipv6", make_dpdk_ipv6, missing_dpdk},
                      WorldKind{"dpdk_xdp", make_dpdk_xdp, missing_dpdk_xdp}),
    [](const auto& kind) { return kind.param.name; });

TEST_P(EngineTest, received_bytes_keep_their_order) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  Exchange exchange{peer.get(), pattern(3'000'000, 1)};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return connection->received.size() == exchange.to_write.size();
  }));
  EXPECT_TRUE(connection->received == exchange.to_write);
}

TEST_P(EngineTest, sent_bytes_keep_their_order_over_slices_and_calls) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  const std::vector<uint8_t> bytes = pattern(2'000'003, 2);
  size_t at = 0;
  for (const size_t slices : {1, 16, 3, 7, 16, 16, 2}) {
    const size_t part = slices == 2 ? bytes.size() - at : 250'000;
    harness.send(*connection, Bytes{bytes}.subspan(at, part), slices);
    at += part;
  }
  Exchange exchange{peer.get(), {}};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return exchange.got.size() == bytes.size() && connection->sent == bytes.size();
  }));
  EXPECT_TRUE(exchange.got == bytes);
}

TEST_P(EngineTest, empty_slices_are_as_if_not_there) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  const std::vector<uint8_t> bytes = pattern(10, 3);
  const Bytes slices[] = {{}, Bytes{bytes}.first(4), {}, Bytes{bytes}.subspan(4), {}};
  connection->given += bytes.size();
  harness.engine().send(connection->id, slices);
  harness.engine().send(connection->id, {});
  harness.engine().send(connection->id, std::span{slices}.first(1));
  Exchange exchange{peer.get(), {}};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return exchange.got.size() == bytes.size() && connection->sent == bytes.size();
  }));
  EXPECT_TRUE(exchange.got == bytes);
}

TEST_P(EngineTest, a_peer_that_does_not_read_stops_sent_and_a_reading_one_gets_all) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  const std::vector<uint8_t> bytes = pattern(24'000'000, 4);  // more than both socket buffers
  harness.send(*connection, bytes, 16);
  harness.run_for(100);
  EXPECT_LT(connection->sent, bytes.size());
  EXPECT_GT(connection->sent, 0U);
  Exchange exchange{peer.get(), {}};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return exchange.got.size() == bytes.size() && connection->sent == bytes.size();
  }));
  EXPECT_TRUE(exchange.got == bytes);
}

TEST_P(EngineTest, accepted_tells_the_peers_address) {
  Harness harness = make();
  auto [first, first_connection] = harness.connect();
  auto [second, second_connection] = harness.connect();
  EXPECT_NE(first_connection->peer.port, 0);
  EXPECT_NE(first_connection->peer.address[0], 0);
  EXPECT_NE(first_connection->peer, second_connection->peer);
}

TEST_P(EngineTest, close_is_reported_once_and_the_peer_sees_an_end) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  harness.close(*connection);
  harness.close(*connection);
  Exchange exchange{peer.get(), {}};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return connection->closed > 0 && (peer->at_end() || peer->was_reset());
  }));
  harness.close(*connection);
  harness.run_for(20);
  EXPECT_EQ(connection->closed, 1);
  EXPECT_EQ(connection->reason, CloseReason::ours);
}

TEST_P(EngineTest, a_reset_closes_with_its_reason) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  peer->reset();
  EXPECT_TRUE(harness.run_until([&] { return connection->closed > 0; }));
  EXPECT_EQ(connection->reason, CloseReason::reset);
}

TEST_P(EngineTest, a_reset_while_sending_closes_once) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  const std::vector<uint8_t> bytes = pattern(24'000'000, 5);
  harness.send(*connection, bytes, 16);
  harness.run_for(20);
  peer->reset();
  EXPECT_TRUE(harness.run_until([&] { return connection->closed > 0; }));
  harness.run_for(20);
  EXPECT_EQ(connection->closed, 1);
  EXPECT_EQ(connection->reason, CloseReason::reset);
}

TEST_P(EngineTest, after_the_peers_end_sending_goes_on) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  Exchange exchange{peer.get(), pattern(5000, 6)};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return exchange.written == exchange.to_write.size();
  }));
  peer->finish();
  EXPECT_TRUE(harness.run_until([&] { return connection->ended; }));
  EXPECT_TRUE(connection->received == exchange.to_write);  // all of it before the end
  const std::vector<uint8_t> answer = pattern(300'000, 7);
  harness.send(*connection, answer, 5);
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return exchange.got.size() == answer.size();
  }));
  EXPECT_TRUE(exchange.got == answer);
  EXPECT_EQ(connection->closed, 0);
}

TEST_P(EngineTest, finish_flushes_then_ends_and_reading_goes_on) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  const std::vector<uint8_t> bytes = pattern(6'000'000, 8);
  harness.send(*connection, bytes, 16);
  harness.engine().finish(connection->id);
  harness.engine().finish(connection->id);
  Exchange exchange{peer.get(), pattern(70'000, 9)};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    // An engine with a TCP of its own knows of the last bytes a round trip later than their reader.
    return peer->at_end() && connection->received.size() == exchange.to_write.size() &&
           connection->sent == bytes.size();
  }));
  EXPECT_TRUE(exchange.got == bytes);
  EXPECT_TRUE(connection->received == exchange.to_write);
  EXPECT_EQ(connection->closed, 0);
}

TEST_P(EngineTest, both_ends_finished_closes_by_itself) {
  for (const bool peer_first : {true, false}) {
    Harness harness = make();
    auto [peer, connection] = harness.connect();
    const std::vector<uint8_t> bytes = pattern(200'000, 10);
    Exchange exchange{peer.get(), {}};
    const auto peer_ends = [&, peer_end = peer.get(), record = connection] {
      peer_end->finish();
      return harness.run_until([&] { return record->ended; });
    };
    if (peer_first) {
      EXPECT_TRUE(peer_ends());
    }
    harness.send(*connection, bytes, 4);
    harness.engine().finish(connection->id);
    EXPECT_TRUE(harness.run_until([&, peer_end = peer.get()] {
      exchange.step();
      return peer_end->at_end();
    }));
    if (!peer_first) {
      EXPECT_TRUE(peer_ends());
    }
    EXPECT_TRUE(harness.run_until([&, record = connection] { return record->closed > 0; }));
    EXPECT_EQ(connection->reason, CloseReason::ours);
    EXPECT_TRUE(exchange.got == bytes);
  }
}

TEST_P(EngineTest, reading_off_holds_the_peer_back_and_on_brings_the_rest) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  harness.engine().set_reading(connection->id, false);
  harness.run_for(20);
  Exchange exchange{peer.get(), pattern(24'000'000, 11)};
  // What socket buffers hold still goes out; then the peer is stuck.
  size_t last = SIZE_MAX;
  for (int quiet = 0; quiet < 5; harness.run_for(10)) {
    exchange.step();
    quiet = exchange.written == last ? quiet + 1 : 0;
    last = exchange.written;
  }
  EXPECT_LT(exchange.written, exchange.to_write.size());
  EXPECT_EQ(connection->received.size(), 0U);
  harness.engine().set_reading(connection->id, true);
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return connection->received.size() == exchange.to_write.size();
  }));
  EXPECT_TRUE(connection->received == exchange.to_write);
}

TEST_P(EngineTest, reading_switched_to_and_fro_loses_nothing) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  Exchange exchange{peer.get(), pattern(4'000'000, 12)};
  uint32_t turn = 0;
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    ++turn;
    if (turn % 3 == 0) harness.engine().set_reading(connection->id, false);
    if (turn % 3 == 1) harness.engine().set_reading(connection->id, true);
    if (turn % 5 == 0) {
      harness.engine().set_reading(connection->id, false);
      harness.engine().set_reading(connection->id, true);
    }
    return connection->received.size() == exchange.to_write.size();
  }));
  EXPECT_TRUE(connection->received == exchange.to_write);
}

TEST_P(EngineTest, low_water_gathers_and_lowering_brings_what_is_there) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  harness.engine().set_low_water(connection->id, 4096, Rest::comes_too);
  harness.run_for(
      10);  // the mark is a hint: what comes before the engine waits is reported at once
  const std::vector<uint8_t> bytes = pattern(4200, 13);
  peer->write(Bytes{bytes}.first(100));
  harness.run_for(30);
  EXPECT_EQ(connection->received.size(), 0U);
  harness.engine().set_low_water(connection->id, 1, Rest::comes_too);
  EXPECT_TRUE(harness.run_until([&] { return connection->received.size() == 100; }));

  harness.engine().set_low_water(connection->id, 4096, Rest::comes_too);
  peer->write(Bytes{bytes}.subspan(100, 2000));
  harness.run_for(30);
  EXPECT_EQ(connection->received.size(), 100U);
  peer->write(Bytes{bytes}.subspan(2100));  // now 4100 wait
  EXPECT_TRUE(harness.run_until([&] { return connection->received.size() == bytes.size(); }));
  EXPECT_TRUE(connection->received == bytes);
}

TEST_P(EngineTest, a_rest_that_may_wait_is_less_than_the_mark_and_comes_when_that_is_lowered) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  Exchange exchange{peer.get(), pattern(100'000, 18)};
  harness.engine().set_low_water(connection->id, 4096, Rest::may_wait);
  harness.run_for(10);
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return connection->received.size() + 4096 > exchange.to_write.size();
  }));
  // Other marks, and the same anew, while some is there and while nothing comes.
  for (const uint32_t mark : {60'000U, 30'000U, 30'000U}) {
    harness.engine().set_low_water(connection->id, mark, Rest::may_wait);
    harness.run_for(5);
  }
  harness.engine().set_low_water(connection->id, 1, Rest::comes_too);
  EXPECT_TRUE(
      harness.run_until([&] { return connection->received.size() == exchange.to_write.size(); }));
  EXPECT_TRUE(connection->received == exchange.to_write);
  // From here on all comes at once.
  peer->write(Bytes{exchange.to_write}.first(100));
  EXPECT_TRUE(harness.run_until(
      [&] { return connection->received.size() == exchange.to_write.size() + 100; }));
}

TEST_P(EngineTest, an_end_below_the_low_water_mark_is_reported) {
  for (const Rest rest : {Rest::comes_too, Rest::may_wait}) {
    Harness harness = make();
    auto [peer, connection] = harness.connect();
    harness.engine().set_low_water(connection->id, 65536, rest);
    const std::vector<uint8_t> bytes = pattern(300, 14);
    peer->write(bytes);
    peer->finish();
    EXPECT_TRUE(harness.run_until([&] { return connection->ended; }));
    EXPECT_TRUE(connection->received == bytes);
  }
}

TEST_P(EngineTest, an_end_behind_several_marks_is_reported_after_all_bytes) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  harness.engine().set_low_water(connection->id, 4096, Rest::may_wait);
  harness.run_for(10);
  harness.engine().set_reading(connection->id, false);
  harness.run_for(10);
  const std::vector<uint8_t> bytes = pattern(20'000, 19);
  peer->write(bytes);
  peer->finish();
  harness.run_for(10);
  harness.engine().set_reading(connection->id, true);
  EXPECT_TRUE(harness.run_until([&] { return connection->ended; }));
  EXPECT_TRUE(connection->received == bytes);
}

TEST_P(EngineTest, a_stale_id_does_nothing) {
  Harness harness = make({.connections_max = 1});
  auto [first, first_connection] = harness.connect();
  const ConnectionId stale = first_connection->id;
  harness.close(*first_connection);
  EXPECT_TRUE(harness.run_until([&, record = first_connection] { return record->closed > 0; }));
  auto [second, second_connection] = harness.connect();
  EXPECT_EQ(second_connection->id.index, stale.index);
  EXPECT_NE(second_connection->id.generation, stale.generation);
  const std::vector<uint8_t> wrong = pattern(10, 15);
  const Bytes slices[] = {wrong};
  for (const ConnectionId id : {stale, ConnectionId{}, ConnectionId{12345, 1}}) {
    harness.engine().send(id, slices);
    harness.engine().set_reading(id, false);
    harness.engine().set_low_water(id, 100'000, Rest::comes_too);
    harness.engine().finish(id);
    harness.engine().close(id);
  }
  Exchange exchange{second.get(), pattern(1000, 16)};
  EXPECT_TRUE(harness.run_until([&, record = second_connection] {
    exchange.step();
    return record->received.size() == 1000;
  }));
  harness.run_for(20);
  exchange.step();
  EXPECT_TRUE(exchange.got.empty());
  EXPECT_FALSE(second->at_end());
  EXPECT_EQ(second_connection->closed, 0);
}

TEST_P(EngineTest, many_connections_echo_at_once) {
  for (const size_t span :
       {size_t{64}, size_t{1}}) {  // events that do not fit come with the next poll
    Harness harness = make({}, span);
    harness.echo_all = true;
    std::vector<std::unique_ptr<Peer>> peers;
    std::vector<Exchange> exchanges;
    for (size_t i = 0; i < 100; ++i) {
      peers.push_back(harness.world().connect());
      ASSERT_NE(peers.back(), nullptr);
      exchanges.push_back({peers.back().get(), pattern(20'000 + i, i)});
    }
    EXPECT_TRUE(harness.run_until([&] {
      size_t done = 0;
      for (Exchange& exchange : exchanges) {
        exchange.step();
        done += exchange.got.size() == exchange.to_write.size();
      }
      return done == exchanges.size();
    }));
    for (const Exchange& exchange : exchanges) EXPECT_TRUE(exchange.got == exchange.to_write);
    EXPECT_EQ(harness.connections().size(), exchanges.size());
  }
}

TEST_P(EngineTest, close_while_sends_are_in_flight_lets_go_of_the_bytes) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  std::vector<uint8_t> bytes(24'000'000, 0x11);
  harness.send(*connection, bytes, 16);
  harness.run_for(20);
  EXPECT_LT(connection->sent, bytes.size());
  harness.close(*connection);
  EXPECT_TRUE(harness.run_until([&] { return connection->closed > 0; }));
  for (auto& kept : connection->kept) std::fill(kept.begin(), kept.end(), uint8_t{0x22});
  Exchange exchange{peer.get(), {}};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return peer->at_end() || peer->was_reset();
  }));
  EXPECT_LT(exchange.got.size(), bytes.size());
  EXPECT_EQ(std::count(exchange.got.begin(), exchange.got.end(), 0x22), 0);
  harness.run_for(20);
  EXPECT_EQ(connection->closed, 1);
}

TEST_P(EngineTest, connect_reaches_a_listener_and_bytes_flow_both_ways) {
  Harness harness = make();
  Connection* connection = harness.begin(harness.world().remote());
  ASSERT_NE(connection, nullptr);
  EXPECT_TRUE(harness.run_until([&] { return !connection->connecting; }));
  auto peer = harness.accept();
  connection->echo = true;
  Exchange exchange{peer.get(), pattern(300'000, 21)};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return exchange.got.size() == exchange.to_write.size();
  }));
  EXPECT_TRUE(exchange.got == exchange.to_write);
}

TEST_P(EngineTest, what_is_sent_before_connected_goes_out_once_it_stands) {
  Harness harness = make();
  Connection* connection = harness.begin(harness.world().remote());
  ASSERT_NE(connection, nullptr);
  const std::vector<uint8_t> bytes = pattern(5000, 22);
  harness.send(*connection, bytes, 3);
  harness.engine().finish(connection->id);
  auto peer = harness.accept();
  Exchange exchange{peer.get(), {}};
  EXPECT_TRUE(harness.run_until([&] {
    exchange.step();
    return peer->at_end();
  }));
  EXPECT_TRUE(exchange.got == bytes);
}

TEST_P(EngineTest, a_connect_that_nobody_takes_closes_as_refused) {
  Harness harness = make();
  Connection* connection = harness.begin(harness.world().nobody());
  ASSERT_NE(connection, nullptr);
  EXPECT_TRUE(harness.run_until([&] { return connection->closed > 0; }));
  EXPECT_EQ(connection->reason, CloseReason::refused);
}

TEST_P(EngineTest, close_while_connecting_closes_once) {
  Harness harness = make();
  Connection* at_once = harness.begin(harness.world().remote());
  harness.engine().send(at_once->id, {});
  harness.close(*at_once);
  Connection* later = harness.begin(harness.world().remote());
  harness.poll(0);
  harness.close(*later);
  EXPECT_TRUE(harness.run_until([&] { return at_once->closed > 0 && later->closed > 0; }));
  harness.run_for(20);
  EXPECT_EQ(at_once->closed, 1);
  EXPECT_EQ(later->closed, 1);
  EXPECT_EQ(at_once->reason, CloseReason::ours);
}

TEST_P(EngineTest, many_connects_at_once_all_arrive_and_beyond_connections_max_none_begins) {
  Harness harness = make({.connections_max = 64});
  for (int i = 0; i < 64; ++i) ASSERT_NE(harness.begin(harness.world().remote()), nullptr);
  EXPECT_EQ(harness.begin(harness.world().remote()), nullptr);
  EXPECT_TRUE(harness.run_until(
      [&] { return std::ranges::none_of(harness.connections(), &Connection::connecting); }));
  harness.close(harness.connections().front());
  EXPECT_TRUE(harness.run_until([&] { return harness.connections().front().closed > 0; }));
  EXPECT_NE(harness.begin(harness.world().remote()), nullptr);
}

TEST_P(EngineTest, peers_beyond_connections_max_are_refused_and_places_are_used_again) {
  Harness harness = make({.connections_max = 8});
  std::vector<std::unique_ptr<Peer>> peers;
  for (int round = 0; round < 3; ++round) {
    peers.clear();
    EXPECT_TRUE(harness.run_until([&] {
      size_t open = 0;
      for (Connection& connection : harness.connections()) {
        if (connection.ended && connection.closed == 0) harness.close(connection);
        open += connection.closed == 0;
      }
      return open == 0;
    }));
    const size_t before = harness.connections().size();
    for (int i = 0; i < 40; ++i) {
      peers.push_back(harness.world().connect());
      if (i % 7 == 0) harness.poll(0);
    }
    const auto refused = [&] {
      size_t count = 0;
      for (auto& peer : peers) count += peer == nullptr || peer->was_reset();
      return count;
    };
    EXPECT_TRUE(harness.run_until([&] { return refused() == 32; })) << refused();
    EXPECT_EQ(harness.connections().size() - before, 8U);
  }
}

TEST_P(EngineTest, connect_and_leave_storm_keeps_the_books) {
  Harness harness = make({.connections_max = 64});
  harness.echo_all = true;
  for (uint64_t i = 0; i < 500; ++i) {
    std::unique_ptr<Peer> peer = harness.world().connect();
    if (peer == nullptr) continue;
    const std::vector<uint8_t> bytes = pattern(i * 7 % 900, i);
    peer->write(bytes);
    if (i % 3 == 0) peer->reset();
    if (i % 3 == 1) peer->finish();
    harness.poll(0);
    for (Connection& connection : harness.connections()) {
      if (connection.closed == 0 && connection.ended) harness.close(connection);
    }
  }
  EXPECT_TRUE(harness.run_until([&] {
    size_t open = 0;
    for (Connection& connection : harness.connections()) {
      if (connection.closed == 0 && connection.ended) harness.close(connection);
      open += connection.closed == 0;
    }
    return open == 0;
  }));
  for (const Connection& connection : harness.connections()) EXPECT_EQ(connection.closed, 1);
}

TEST_P(EngineTest, wake_at_ends_a_wait_and_the_past_does_not_wait) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  harness.run_for(5);
  const Instant start = harness.world().now();
  EXPECT_EQ(harness.poll(50), 0U);
  const uint64_t waited = harness.world().now().since(start);
  EXPECT_GE(waited, 50 * ns_per_ms);
  EXPECT_LT(waited, 200 * ns_per_ms);
  engine::EngineEvent events[4];
  const Instant before = harness.world().now();
  for (int i = 0; i < 100; ++i) harness.engine().poll(events, Instant{});
  EXPECT_LT(harness.world().now().since(before), 100 * ns_per_ms);
}

TEST_P(EngineTest, wake_at_holds_while_gathering) {
  Harness harness = make();
  harness.echo_all = true;
  harness.engine().set_gather_max(500 * ns_per_ms);
  auto [peer, connection] = harness.connect();
  Exchange exchange{peer.get(), pattern(1'000'000, 17)};
  const Instant limit = harness.world().now().after_ms(200);
  while (harness.world().now() < limit) {
    exchange.step();
    const Instant start = harness.world().now();
    harness.poll(2);
    EXPECT_LT(harness.world().now().since(start), 250 * ns_per_ms);
    if (exchange.got.size() == exchange.to_write.size()) {
      exchange.written = 0;
      exchange.got.clear();
    }
  }
}

TEST_P(EngineTest, a_wake_before_poll_is_not_lost) {
  Harness harness = make();
  harness.poll(0);
  harness.engine().wake();
  const Instant start = harness.world().now();
  harness.poll(2000);
  EXPECT_LT(harness.world().now().since(start), 1000 * ns_per_ms);
}

TEST_P(EngineTest, another_thread_wakes_a_waiting_poll) {
  Harness harness = make();
  if (!harness.world().is_real()) GTEST_SKIP() << "the simulator has one thread";
  for (int i = 0; i < 50; ++i) {
    std::jthread waker([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(i % 3));
      harness.engine().wake();
    });
    const Instant start = harness.world().now();
    harness.poll(5000);
    EXPECT_LT(harness.world().now().since(start), 2000 * ns_per_ms);
  }
}

TEST_P(EngineTest, a_poll_without_end_sleeps_until_woken) {
  Harness harness = make();
  if (!harness.world().is_real()) GTEST_SKIP() << "the simulator has one thread";
  harness.poll(0);
  std::jthread waker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    harness.engine().wake();
  });
  timespec before{};
  timespec after{};
  engine::EngineEvent events[4];
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  EXPECT_TRUE(harness.engine().poll(events, Instant::never()).empty());
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  EXPECT_LT((after.tv_sec - before.tv_sec) * 1'000'000'000 + after.tv_nsec - before.tv_nsec,
            100'000'000);
}

TEST_P(EngineTest, the_engine_belongs_to_the_thread_that_polls_it_first) {
  auto harness = std::make_unique<Harness>(GetParam().make({}));
  if (!harness->world().is_real()) GTEST_SKIP() << "the simulator has one thread";
  std::jthread([&] {
    harness->echo_all = true;
    auto [peer, connection] = harness->connect();
    Exchange exchange{peer.get(), pattern(1000, 18)};
    EXPECT_TRUE(harness->run_until([&] {
      exchange.step();
      return exchange.got.size() == 1000;
    }));
  }).join();
  harness.reset();  // on this thread, with a connection open
}

TEST_P(EngineTest, without_descriptors_accepting_rests_and_goes_on_by_itself) {
  Harness harness = make();
  if (!harness.world().takes_descriptors()) GTEST_SKIP() << "a connection takes no descriptor";
  auto [old_peer, old_connection] = harness.connect();
  harness.world().set_descriptors_dry(true);
  // A multishot accept keeps the limit of the time when it was armed.
  harness.engine().set_accepting(false);
  harness.run_for(20);
  EXPECT_TRUE(harness.engine().set_accepting(true));
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(harness.world().connect());
    ASSERT_NE(peers.back(), nullptr);
    harness.run_for(10);
  }
  const size_t accepted = harness.connections().size();
  EXPECT_EQ(accepted, 1U);
  timespec cpu_before{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_before);
  const size_t polls_before = harness.polls();
  const Instant limit = harness.world().now().after_ms(400);
  while (harness.world().now() < limit) harness.poll(400);
  timespec cpu_after{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_after);
  EXPECT_EQ(harness.connections().size(), accepted);
  EXPECT_LT(harness.polls() - polls_before, 20U);
  EXPECT_LT((cpu_after.tv_sec - cpu_before.tv_sec) * 1'000'000'000 + cpu_after.tv_nsec -
                cpu_before.tv_nsec,
            200'000'000);  // it does not spin
  Exchange exchange{old_peer.get(), pattern(1000, 19)};
  EXPECT_TRUE(harness.run_until([&, record = old_connection] {
    exchange.step();
    return record->received.size() == 1000;
  }));
  harness.world().set_descriptors_dry(false);
  EXPECT_TRUE(harness.run_until([&] { return harness.connections().size() == 4; }));
}

TEST_P(EngineTest, accepting_can_be_switched_off_and_on) {
  Harness harness = make();
  auto [peer, connection] = harness.connect();
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(harness.engine().set_accepting(false));
    harness.run_for(20);
    const size_t before = harness.connections().size();
    std::unique_ptr<Peer> late = harness.world().connect();
    harness.run_for(20);
    EXPECT_EQ(harness.connections().size(), before);
    EXPECT_TRUE(late == nullptr || late->was_reset() || late->at_end());
    EXPECT_TRUE(harness.engine().set_accepting(true));
    auto [again, again_connection] = harness.connect();
    EXPECT_EQ(again_connection->closed, 0);
  }
  harness.engine().set_accepting(false);
  harness.engine().set_accepting(true);  // at once: the listener never went away
  auto [last, last_connection] = harness.connect();
  Exchange exchange{peer.get(), pattern(1000, 20)};
  EXPECT_TRUE(harness.run_until([&, record = connection] {
    exchange.step();
    return record->received.size() == 1000;
  }));
}

TEST_P(EngineTest, an_engine_can_end_with_everything_open) {
  std::vector<std::unique_ptr<Peer>> peers;
  const std::vector<uint8_t> bytes(8'000'000, 0x33);
  {
    Harness harness = make();
    for (int i = 0; i < 5; ++i) {
      auto [peer, connection] = harness.connect();
      harness.send(*connection, bytes, 16);
      peer->write(Bytes{bytes}.first(1000));
      peers.push_back(std::move(peer));
    }
    harness.poll(0);
    if (!harness.world().is_real()) peers.clear();
  }
  SUCCEED();
}

}  // namespace
}  // namespace penstock::conformance

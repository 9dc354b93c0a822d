#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/engine/uring/listener.h"
#include "dataplane/engine/uring/uring_engine.h"

// How the io_uring engine starts, and what it says when it cannot.
namespace penstock::engine {
namespace {

constexpr Endpoint any_port_v4{.address = {127, 0, 0, 1}};
constexpr Endpoint any_port_v6{.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
                               .ipv6 = true};

UringOptions small(std::vector<Endpoint> listeners) {
  UringOptions options;
  options.listeners = std::move(listeners);
  options.connections_max = 16;
  options.receive_slabs = 4;
  return options;
}

bool can_connect(const Endpoint& endpoint) {
  const SocketAddress address = to_socket_address(endpoint);
  const int fd = socket(endpoint.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  const bool connected = ::connect(fd, address.get(), address.length) == 0;
  ::close(fd);
  return connected;
}

TEST(UringStart, two_engines_share_ports_of_both_families) {
  auto first = make_uring_engine(small({any_port_v4, any_port_v6}));
  ASSERT_TRUE(first.has_value()) << first.error();
  const std::vector<Endpoint> bound((*first)->listeners().begin(), (*first)->listeners().end());
  EXPECT_NE(bound[0].port, 0);
  auto second = make_uring_engine(small(bound));
  ASSERT_TRUE(second.has_value()) << second.error();
  EXPECT_TRUE(can_connect(bound[0]));
  EXPECT_TRUE(can_connect(bound[1]));
}

TEST(UringStart, any_address_of_both_families_stands_on_one_port) {
  auto first = make_uring_engine(small({{.ipv6 = true}}));
  ASSERT_TRUE(first.has_value()) << first.error();
  const uint16_t port = (*first)->listeners()[0].port;
  auto second = make_uring_engine(small({{.port = port}}));
  ASSERT_TRUE(second.has_value()) << second.error();
}

TEST(UringStart, a_port_in_use_is_told_with_the_command_that_shows_by_whom) {
  auto engine = make_uring_engine(small({any_port_v4}));
  ASSERT_TRUE(engine.has_value()) << engine.error();
  const Endpoint bound = (*engine)->listeners()[0];
  const auto in_use = endpoint_in_use(bound);
  ASSERT_TRUE(in_use.has_value());
  EXPECT_THAT(*in_use, ::testing::HasSubstr("127.0.0.1:" + std::to_string(bound.port)));
  EXPECT_THAT(*in_use, ::testing::HasSubstr("ss -ltnp"));
  engine->reset();
  EXPECT_FALSE(endpoint_in_use({.address = {127, 0, 0, 1}, .port = 22001}).has_value());
}

TEST(UringStart, an_address_that_no_interface_has_is_told) {
  auto engine = make_uring_engine(small({{.address = {192, 0, 2, 1}, .port = 22002}}));
  ASSERT_FALSE(engine.has_value());
  EXPECT_THAT(engine.error(), ::testing::HasSubstr("192.0.2.1:22002"));
  EXPECT_THAT(engine.error(), ::testing::HasSubstr("ip address"));
}

TEST(UringStart, impossible_sizes_are_refused) {
  UringOptions options = small({any_port_v4});
  options.receive_slabs = 3;
  EXPECT_FALSE(make_uring_engine(options).has_value());
  options.receive_slabs = 4;
  options.connections_max = 0;
  EXPECT_FALSE(make_uring_engine(options).has_value());
}

TEST(UringStart, tells_its_memory) {
  UringOptions options = small({any_port_v4});
  auto engine = make_uring_engine(options);
  ASSERT_TRUE(engine.has_value()) << engine.error();
  EXPECT_GE((*engine)->memory_bytes(),
            uint64_t{options.receive_slabs} * options.receive_slab_bytes);
}

}  // namespace
}  // namespace penstock::engine

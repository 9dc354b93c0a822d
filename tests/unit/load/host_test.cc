#include "bench/load/host.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "bench/load/server_usage.h"

namespace penstock::load {
namespace {

TEST(Host, a_port_is_1_to_65535) {
  EXPECT_TRUE(resolve("127.0.0.1:1935"));
  EXPECT_TRUE(resolve("[::1]:65535"));
  EXPECT_TRUE(resolve("127.0.0.1"));
  for (const char* server : {"127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:67471", "127.0.0.1:-1",
                             "[::1]:99999", "127.0.0.1:1x", "127.0.0.1:rtmp"}) {
    const auto endpoint = resolve(server);
    ASSERT_FALSE(endpoint) << server;
    EXPECT_NE(endpoint.error().find("1 to 65535"), std::string::npos) << endpoint.error();
  }
}

TEST(ServerUsage, a_process_that_is_named_twice_counts_once) {
  const auto own = static_cast<uint32_t>(::getpid());
  const auto parent = static_cast<uint32_t>(::getppid());
  const uint32_t twice[] = {own, own};
  EXPECT_EQ(std::ranges::count(read_server_usage(twice).pids, own), 1);
  const uint32_t family[] = {own, parent, own};
  EXPECT_EQ(std::ranges::count(read_server_usage(family).pids, own), 1);
}

}  // namespace
}  // namespace penstock::load

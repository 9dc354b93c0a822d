#include "penstock/tunnel/tunnel_name.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "penstock/tunnel/rtmpt.h"

namespace penstock::tunnel {
namespace {

TEST(TunnelName, says_where_its_session_is) {
  for (const TunnelPlace where :
       {TunnelPlace{0, 0}, {1, 61}, {63, 62}, {tunnel_workers_max - 1, tunnel_places_max - 1}}) {
    TunnelName name;
    ASSERT_TRUE(name.make(where.worker, where.place));
    const auto place = tunnel_place(name.text());
    ASSERT_TRUE(place);
    EXPECT_EQ(place->worker, where.worker);
    EXPECT_EQ(place->place, where.place);
    const std::string target = "/send/" + std::string(name.text()) + "/0";
    const auto request = parse_rtmpt_target(target);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->session, name.text());
  }
}

TEST(TunnelName, no_two_are_alike) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    TunnelName name;
    ASSERT_TRUE(name.make(3, 7));
    EXPECT_TRUE(name.matches(name.text()));
    EXPECT_TRUE(seen.insert(std::string(name.text())).second);
    EXPECT_FALSE(name.matches(*seen.begin()) && *seen.begin() != name.text());
  }
}

TEST(TunnelName, others_are_none_of_ours) {
  for (const char* name : {"", "abc", "0000_0000000000000000000000", "_00000000000000000000000000",
                           "00000000000000000000000000", "0000000000000000000000000000"}) {
    EXPECT_FALSE(tunnel_place(name)) << name;
  }
}

}  // namespace
}  // namespace penstock::tunnel

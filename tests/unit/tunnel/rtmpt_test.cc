#include "penstock/tunnel/rtmpt.h"

#include <gtest/gtest.h>

#include "tests/unit/rtmp/vectors.h"

namespace penstock::tunnel {
namespace {

TEST(Rtmpt, requests_of_the_vectors_are_recognised) {
  const RtmptVerb verbs[] = {RtmptVerb::ident, RtmptVerb::open, RtmptVerb::send,
                             RtmptVerb::send,  RtmptVerb::idle, RtmptVerb::close};
  size_t count = 0;
  uint32_t sequence = 0;
  for (const auto& step : test::load_vectors("rtmpt.json", "steps")) {
    if (step["from"] != "C") continue;
    const std::string http = step["http"];
    const size_t start = http.find(' ') + 1;
    const auto request =
        parse_rtmpt_target(std::string_view(http).substr(start, http.find(' ', start) - start));
    ASSERT_TRUE(request) << http;
    EXPECT_EQ(request->verb, verbs[count++]);
    if (request->verb <= RtmptVerb::open) continue;
    EXPECT_EQ(request->session, "Ab12Cd34");
    EXPECT_EQ(request->sequence, sequence++);
  }
  EXPECT_EQ(count, std::size(verbs));
}

TEST(Rtmpt, other_targets_are_none) {
  for (const char* target :
       {"", "/", "/open/2", "/open", "/send", "/send/", "/send//0", "/send/abc", "/send/abc/",
        "/send/abc/x", "/send/abc/-1", "/send/abc/1x", "/send/a.c/1", "/send/../1", "/idle/abc/1/2",
        "/send/abc/4294967296", "/fcs/ident3", "/live/cam.flv"}) {
    EXPECT_FALSE(parse_rtmpt_target(target)) << target;
  }
  EXPECT_FALSE(parse_rtmpt_target("/send/" + std::string(65, 'a') + "/0"));
  EXPECT_TRUE(parse_rtmpt_target("/send/" + std::string(64, 'a') + "/4294967295"));
}

TEST(Rtmpt, interval_grows_as_in_the_vectors_and_falls_back_with_data) {
  const auto table = test::load_vectors("rtmpt.json", "idle_delay_bytes_after_n_empty_polls");
  RtmptInterval interval;
  for (int round = 0; round < 2; ++round) {
    for (int answer = 1; answer <= 40; ++answer) {
      const std::string key = answer <= 10   ? "0-10"
                              : answer >= 15 ? "15 and more"
                                             : std::to_string(answer);
      EXPECT_EQ(interval.next(false), table[key]) << answer;
    }
    EXPECT_EQ(interval.next(true), 1);
  }
}

}  // namespace
}  // namespace penstock::tunnel

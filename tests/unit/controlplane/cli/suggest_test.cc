#include "controlplane/cli/suggest.h"

#include <gtest/gtest.h>

namespace penstock::controlplane::cli {
namespace {

TEST(UnknownCommand, is_named_with_the_nearest_or_with_all) {
  const std::vector<std::string> known = {"status", "streams", "stream", "top"};
  EXPECT_EQ(unknown_command("stauts", "penstockctl", known),
            "unknown command stauts: did you mean penstockctl status?");
  EXPECT_EQ(unknown_command("bogus", "penstockctl", known),
            "unknown command bogus: there are status, streams, stream, top");
  EXPECT_EQ(unknown_command("gett", "penstockctl tune", {"list", "get"}),
            "unknown command gett: did you mean penstockctl tune get?");
}

TEST(StreamName, is_wrong_when_empty_without_a_slash_or_too_long) {
  EXPECT_NE(problem_of_stream_name("").find("missing"), std::string::npos);
  EXPECT_NE(problem_of_stream_name("cam1").find("app/name"), std::string::npos);
  EXPECT_NE(problem_of_stream_name("live/" + std::string(800, 'x')).find("255"), std::string::npos);
  EXPECT_EQ(problem_of_stream_name("live/cam1"), "");
  EXPECT_EQ(problem_of_stream_name("live/" + std::string(250, 'x')), "");
}

}  // namespace
}  // namespace penstock::controlplane::cli

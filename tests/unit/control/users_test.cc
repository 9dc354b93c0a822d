#include "penstock/control/users.h"

#include <gtest/gtest.h>

namespace penstock::control {
namespace {

UserRow row(std::string name, std::vector<std::string> allow = {}) {
  return {.name = std::move(name),
          .salt = "01234567",
          .adobe_hash = "Ybsh3nzU0H66UWQ3hBKWoQ==",
          .llnw_hash = "162b451c06574893ebe39ae4e93213c6",
          .allow = std::move(allow)};
}

TEST(users_text, reads_back_as_it_was) {
  UserList list{.decoy = "0a1b", .users = {row("bob"), row("eve", {"live/*", "a b/c"})}};
  EXPECT_EQ(parse_users(users_text(list)), list);
  list.decoy.clear();
  EXPECT_EQ(parse_users(users_text(list)), list);
  EXPECT_EQ(parse_users(users_text({})), UserList{});
}

TEST(users_text, a_user_may_be_called_as_the_first_line_is) {
  const UserList list{.decoy = "0a1b", .users = {row("decoy")}};
  EXPECT_EQ(parse_users(users_text(list)), list);
}

TEST(parse_users, leaves_out_what_is_no_line_of_ours) {
  const std::string good = users_text({.decoy = {}, .users = {row("bob")}});
  EXPECT_EQ(parse_users("\n\t\t\t\nbob\tsalt\nb b\ta\tb\tc\n" + good).users.size(), 1u);
  EXPECT_EQ(parse_users("bob\ta\tb\tc\t/bad\n").users.size(), 0u)
      << "without its pattern the user might publish everything";
  EXPECT_EQ(parse_users(good.substr(0, good.size() - 1)).users.size(), 1u);
}

struct PatternCase {
  const char* pattern;
  const char* stream;
  bool matches;
};

TEST(allow_patterns, that_no_stream_can_match_are_none) {
  for (const char* pattern : {"", "live", "cam1", "/live", "*/a", "li*ve", "live//a", "live/a?b"}) {
    EXPECT_FALSE(is_allow_pattern(pattern)) << pattern;
  }
  for (const char* pattern : {"*", "live*", "live/*", "live/a", "live/a/b"}) {
    EXPECT_TRUE(is_allow_pattern(pattern)) << pattern;
  }
}

TEST(allow_patterns, match_whole_names_or_their_start) {
  const PatternCase cases[] = {
      {"live/cam", "live/cam", true}, {"live/cam", "live/cam2", false},
      {"live/*", "live/cam", true},   {"live/*", "live/a/b", true},
      {"live/*", "liveb/cam", false}, {"live/cam*", "live/cam2", true},
      {"*", "anything/at/all", true}, {"live/*", "live", false},
      {"Live/*", "live/cam", false},
  };
  for (const PatternCase& one : cases) {
    EXPECT_TRUE(is_allow_pattern(one.pattern)) << one.pattern;
    EXPECT_EQ(allow_pattern_matches(one.pattern, one.stream), one.matches)
        << one.pattern << " " << one.stream;
  }
  EXPECT_TRUE(may_publish(row("bob"), "live/any"));
  EXPECT_FALSE(may_publish(row("bob", {"live/*", "studio/b"}), "studio/c"));
  EXPECT_TRUE(may_publish(row("bob", {"live/*", "studio/b"}), "studio/b"));
}

}  // namespace
}  // namespace penstock::control

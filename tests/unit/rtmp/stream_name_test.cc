#include "penstock/rtmp/stream_name.h"

#include <gtest/gtest.h>

namespace penstock::rtmp {
namespace {

TEST(StreamName, paths_are_joined_and_cleaned) {
  const struct {
    const char* app;
    const char* name;
    const char* expected;
  } cases[] = {
      {"live", "cam", "live/cam"},
      {"live/", "/cam", "live/cam"},
      {"a/b", "c", "a/b/c"},
      {"", "a", "a"},
      {"live", "", "live"},
      {"//live///x//", "//cam//", "live/x/cam"},
      {"live", "mp4:x.mp4", "live/x.mp4"},
      {"live", "flv:x", "live/x"},
      {"live", "a..b", "live/a..b"},
      {"live", "...", "live/..."},
      {"live", "key with space", "live/key with space"},
      {"live", "a&b=c", "live/a&b=c"},
      {"live", "mp4:", "live"},
  };
  for (const auto& one : cases)
    EXPECT_EQ(stream_name(one.app, one.name), std::string(one.expected)) << one.expected;
}

TEST(StreamName, what_cannot_be_a_name_is_refused) {
  const std::string long_name(256, 'x');
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},          {"/", "//"},
      {"live", ".."},    {"live/..", "x"},
      {"live", "."},     {"live", "a\x01"},
      {"live", "a\x7f"}, {"live", std::string("a\0b", 3)},
      {"", long_name},   {long_name.substr(0, 252), "abc"},
  };
  for (const auto& [app, name] : cases)
    EXPECT_EQ(stream_name(app, name).error(), Fault::name_invalid) << app << name;
  EXPECT_TRUE(stream_name(long_name.substr(0, 251), "abc")) << "255 bytes with the slash";
}

TEST(StreamName, query_is_cut_at_the_first_mark) {
  EXPECT_EQ(split_query("a?b?c").path, "a");
  EXPECT_EQ(split_query("a?b?c").query, "b?c");
  EXPECT_EQ(split_query("a").query, "");
  EXPECT_EQ(split_query("?b").path, "");
}

TEST(StreamName, queries_merge_with_the_first_winning) {
  const struct {
    const char* first;
    const char* second;
    const char* expected;
  } cases[] = {
      {"", "", ""},
      {"a=1", "", "a=1"},
      {"", "a=1", "a=1"},
      {"a=1", "a=2", "a=1"},
      {"a=1", "b=2", "a=1&b=2"},
      {"a=1&b=2", "b=3&c=4", "a=1&b=2&c=4"},
      {"token", "token", "token"},
      {"a=1", "&&b=2&", "a=1&b=2"},
      {"a=x==", "b=/+=", "a=x==&b=/+="},
      {"ab=1", "a=2", "ab=1&a=2"},
  };
  for (const auto& one : cases)
    EXPECT_EQ(merged_query(one.first, one.second), std::string(one.expected));
}

TEST(StreamName, query_is_bounded) {
  EXPECT_TRUE(merged_query(std::string(2048, 'x'), ""));
  EXPECT_FALSE(merged_query(std::string(2049, 'x'), ""));
  EXPECT_FALSE(merged_query("", std::string(2049, 'x')));
  EXPECT_FALSE(merged_query(std::string(1024, 'x'), std::string(1024, 'y')));
}

TEST(StreamName, number_of_pairs_is_bounded) {
  std::string pairs = "a";
  for (int i = 1; i < 64; ++i) pairs += "&a";
  EXPECT_TRUE(merged_query("x=1", pairs));
  EXPECT_FALSE(merged_query("x=1", pairs + "&a"));
}

TEST(StreamName, app_of_a_url) {
  const struct {
    const char* url;
    const char* expected;
  } cases[] = {
      {"rtmp://h/live", "live"},
      {"rtmp://h:1935/live/inst?x=/y", "live/inst"},
      {"rtmp://h", ""},
      {"rtmp://h?x", ""},
      {"", ""},
      {"rtmps://[::1]:443/a/b", "a/b"},
      {"h/live", "live"},
  };
  for (const auto& one : cases) EXPECT_EQ(app_of_url(one.url), one.expected) << one.url;
}

TEST(StreamName, a_login_is_not_shown) {
  const struct {
    const char* url;
    const char* expected;
  } cases[] = {
      {"rtmp://bob:secret@h:1935/live", "rtmp://h:1935/live"},
      {"rtmp://bob@h", "rtmp://h"},
      {"rtmps://bob:p@ss@[::1]/a@b", "rtmps://[::1]/a@b"},
      {"bob:secret@h/live", "h/live"},
      {"rtmp://h/live@home", "rtmp://h/live@home"},
      {"rtmp://@", "rtmp://"},
      {"a@://h", "a@://h"},
      {"", ""},
  };
  for (const auto& one : cases) EXPECT_EQ(without_login(one.url), one.expected) << one.url;
}

}  // namespace
}  // namespace penstock::rtmp

#include "controlplane/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace penstock::controlplane {
namespace {

TEST(log_line, text_quotes_what_would_break_a_line) {
  const std::string line = log_line(
      config::LogFormat::text, "refused",
      {{"peer", "127.0.0.1:1"}, {"why", "a \"b\"\nlevel=info"}, {"n", uint64_t{7}}, {"empty", ""}});
  EXPECT_EQ(line, R"(refused peer=127.0.0.1:1 why="a \"b\"?level=info" n=7 empty="")");
}

TEST(log_line, json_is_an_object_whatever_the_text) {
  const std::string line = log_line(config::LogFormat::json, "said \"x\"",
                                    {{"text", "\xFF\x1b\n\\"}, {"n", UINT64_MAX}});
  const auto parsed = nlohmann::json::parse("{" + line + "}");
  EXPECT_EQ(parsed["event"], "said \"x\"");
  EXPECT_EQ(parsed["n"], UINT64_MAX);
  EXPECT_EQ(parsed["text"], "\xEF\xBF\xBD??\\");
}

TEST(log, level_is_switched_live_and_lines_have_time_and_level) {
  Log log(config::LogFormat::text, control::LogLevel::warning);
  testing::internal::CaptureStderr();
  log.write(control::LogLevel::info, "unheard");
  log.set_level(control::LogLevel::debug);
  log.write(control::LogLevel::debug, "heard {} %v", {{"k", "v"}});
  log.set_format(config::LogFormat::json);
  log.write(control::LogLevel::error, "object");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find("unheard"), std::string::npos);
  EXPECT_NE(text.find("Z debug   control heard {} %v k=v\n"), std::string::npos) << text;
  const auto parsed = nlohmann::json::parse(text.substr(text.find('\n') + 1));
  EXPECT_EQ(parsed["level"], "error");
  EXPECT_EQ(parsed["process"], "control");
  EXPECT_EQ(parsed["event"], "object");
}

TEST(find_log_level, is_the_inverse_of_the_name) {
  for (const char* name : {"trace", "debug", "info", "warning", "error"}) {
    ASSERT_TRUE(find_log_level(name).has_value());
    EXPECT_EQ(log_level_name(*find_log_level(name)), name);
  }
  EXPECT_FALSE(find_log_level("loud").has_value());
  EXPECT_EQ(log_level_name(static_cast<control::LogLevel>(77)), "info");
}

}  // namespace
}  // namespace penstock::controlplane

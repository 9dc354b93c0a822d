#include "bench/load/options.h"

#include <gtest/gtest.h>

namespace penstock::load {
namespace {

std::variant<Options, EarlyExit> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "penstock-load");
  return parse_options(static_cast<int>(words.size()), words.data());
}

TEST(Options, without_any_the_canonical_workload) {
  const auto parsed = parse({});
  const auto* options = std::get_if<Options>(&parsed);
  ASSERT_NE(options, nullptr);
  EXPECT_EQ(options->mode, Mode::canonical);
  EXPECT_EQ(options->publishers, 100u);
  EXPECT_EQ(options->players, 100u);
  EXPECT_EQ(options->streams, 100u);
  EXPECT_EQ(options->duration_s, 10);
}

TEST(Options, a_mode_and_its_numbers) {
  const auto parsed = parse({"mixed", "--publishers", "3", "--players", "7", "--bitrate", "2.5M",
                             "--server-pid", "11", "--server-pid", "12", "--expect", "gaps=0"});
  const auto* options = std::get_if<Options>(&parsed);
  ASSERT_NE(options, nullptr);
  EXPECT_EQ(options->mode, Mode::mixed);
  EXPECT_EQ(options->streams, 3u);
  EXPECT_EQ(options->media.bits_per_second, 2'500'000u);
  EXPECT_EQ(options->server_pids, (std::vector<uint32_t>{11, 12}));
  EXPECT_EQ(options->expectations.size(), 1u);
}

TEST(Options, plain_rtmp_unless_a_variant_is_named) {
  const auto plain = parse({"publish"});
  EXPECT_EQ(std::get<Options>(plain).variant, engine::Transport::rtmp);
  const auto named = parse({"publish", "--variant", "rtmpts"});
  EXPECT_EQ(std::get<Options>(named).variant, engine::Transport::rtmpts);
}

TEST(Options, a_pid_does_not_swallow_the_mode) {
  const auto parsed = parse({"--server-pid", "11", "blast"});
  const auto* options = std::get_if<Options>(&parsed);
  ASSERT_NE(options, nullptr);
  EXPECT_EQ(options->mode, Mode::blast);
}

TEST(Options, wrong_ones_exit_with_2_and_say_what_is_accepted) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases = {
      {{"mixd"}, "publish play mixed"},
      {{"--bitrate", "fast"}, "1M"},
      {{"--bitrate", "10k"}, "at least"},
      {{"--chunk-bytes", "64"}, "128"},
      {{"--expect", "gaps"}, "gaps=0"},
      {{"connect", "--players", "5"}, "neither"},
      {{"play", "--players", "0"}, "--players"},
      {{"--bitrate", "1e30"}, "2G at most"},
      {{"--read-bitrate", "1e30"}, "2G at most"},
      {{"--bitrate", "2G", "--gop-s", "60"}, "at most"},
      {{"--bitrate", "1G", "--video-fps", "1", "--gop-s", "1"}, "16 MiB"},
      {{"--duration-s", "nan"}, "seconds from 0.1"},
      {{"--warmup-s", "inf"}, "seconds from 0"},
      {{"churn", "--life-s", "-nan"}, "seconds from 0.05"},
      {{"--name", "cam?key=1"}, "--query"},
      {{"--json", "--percentiles", "-"}, "stdout"},
      {{"--flv", "/"}, "not a regular file"},
      {{"--flv", "/nowhere/x.flv"}, "such file"},
      {{"--frequency", "5"}, "--frequency"},
      {{"publish", "--publishers", "100000"}, "60000"},
      {{"--variant", "rtmfp"}, "rtmp rtmps rtmpt rtmpts rtmpe rtmpte"},
      {{"--variant", "rtmps", "--raw"}, "--variant"},
      {{"--variant", "rtmpte", "--digest"}, "always signed"},
  };
  for (const auto& [words, hint] : cases) {
    const auto parsed = parse(words);
    const auto* early = std::get_if<EarlyExit>(&parsed);
    ASSERT_NE(early, nullptr) << words[0];
    EXPECT_EQ(early->code, 2);
    EXPECT_NE(early->err.find(hint), std::string::npos) << early->err;
  }
}

TEST(Options, help_exits_with_0_on_stdout) {
  const auto parsed = parse({"--help"});
  const auto* early = std::get_if<EarlyExit>(&parsed);
  ASSERT_NE(early, nullptr);
  EXPECT_EQ(early->code, 0);
  EXPECT_NE(early->out.find("Examples:"), std::string::npos);
}

}  // namespace
}  // namespace penstock::load

#include "bench/load/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "bench/load/quantity.h"
#include "bench/load/variant.h"
#include "penstock/rtmp/chunk_reader.h"

namespace penstock::load {
namespace {

struct NamedMode {
  std::string_view name;
  Mode mode;
};
constexpr NamedMode modes[] = {
    {"publish", Mode::publish}, {"play", Mode::play},       {"mixed", Mode::mixed},
    {"blast", Mode::blast},     {"connect", Mode::connect}, {"churn", Mode::churn},
    {"slow", Mode::slow},
};
constexpr const char* mode_list = "publish play mixed blast connect churn slow";

// One address of this host has about 28,000 local ports towards one server; more connections than
// this need more addresses.
constexpr uint32_t connections_max = 60'000;

constexpr double bits_per_second_max = 2e9;
constexpr double seconds_max = 1e6;

// A GOP is in memory twice while it is made.
constexpr uint64_t gop_bytes_max = 512u << 20;

// As given; what was not given is settled by the mode.
struct Given {
  std::string mode;
  std::string variant = "rtmp";
  std::optional<uint32_t> publishers, players, streams, count, concurrency;
  std::optional<double> ramp_s, warmup_s, duration_s, life_s, storm_s;
  std::string bitrate = "1M";
  std::string read_bitrate;
  std::vector<std::string> expects;
};

std::string check_quantity(const std::string& text) {
  const auto value = parse_quantity(text);
  if (!value || *value < 1)
    return fmt::format("'{}' is not a bitrate; expected bits per second like 500k, 1M, 2.5M", text);
  return *value > bits_per_second_max ? fmt::format("'{}' is too much; 2G at most", text) : "";
}

std::string check_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    return fmt::format("'{}': {}", path, error ? error.message() : "there is no such file");
  if (!std::filesystem::is_regular_file(status))
    return fmt::format("'{}' is not a regular file", path);
  return ::access(path.c_str(), R_OK) == 0 ? "" : fmt::format("'{}': {}", path, strerror(errno));
}

/// CLI::Range takes "nan", which is not below and not above anything.
CLI::Validator seconds(double least) {
  const auto check = [least](const std::string& text) {
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc{} && rest == end && value >= least && value <= seconds_max)
      return std::string();
    return fmt::format("'{}': expected seconds from {} to {}", text, least, seconds_max);
  };
  return CLI::Validator(check, "");
}

std::string check_mode(const std::string& text) {
  if (text.empty() || std::ranges::find(modes, text, &NamedMode::name) != std::end(modes))
    return {};
  return fmt::format("there is no mode '{}'; expected one of {}", text, mode_list);
}

void declare_traffic(CLI::App& app, Options& options, Given& given) {
  app.add_option("--publishers", given.publishers, "how many publish")->type_name("N");
  app.add_option("--players", given.players, "how many play; player i takes stream i % streams")
      ->type_name("N");
  app.add_option("--streams", given.streams,
                 "how many streams the players are dealt to (default: as many as publishers)")
      ->type_name("N");
  app.add_option("--bitrate", given.bitrate, "of one stream, audio and video (default 1M)")
      ->type_name("BITS/S")
      ->check(check_quantity);
  app.add_option("--video-fps", options.media.video_fps, "default 30")
      ->check(CLI::Range(1, 240))
      ->type_name("N");
  app.add_option("--audio-fps", options.media.audio_fps, "default 43")
      ->check(CLI::Range(1, 240))
      ->type_name("N");
  app.add_option("--gop-s", options.media.gop_s, "from keyframe to keyframe; default 2")
      ->check(CLI::Range(1, 60))
      ->type_name("S");
  app.add_option("--chunk-bytes", options.chunk_bytes, "chunk size of publishers; default 4096")
      ->check(CLI::Range(128u, rtmp::chunk_bytes_max))
      ->type_name("BYTES");
  app.add_option("--flv", options.flv, "publish this file in a loop instead of synthetic media")
      ->check(check_file)
      ->type_name("FILE");
  app.add_option("--read-bitrate", given.read_bitrate, "slow: how fast players read; default 200k")
      ->type_name("BITS/S")
      ->check(check_quantity);
}

void declare_course(CLI::App& app, Options& options, Given& given) {
  app.add_option("--ramp-s", given.ramp_s, "in which publishers, then players, connect")
      ->check(seconds(0))
      ->type_name("S");
  app.add_option("--warmup-s", given.warmup_s, "between ramp and measurement")
      ->check(seconds(0))
      ->type_name("S");
  app.add_option("--duration-s", given.duration_s, "of the measurement; default 10")
      ->check(seconds(0.1))
      ->type_name("S");
  app.add_option("--count", given.count, "connect: how many connections in all; default 1000")
      ->type_name("N");
  app.add_option("--concurrency", given.concurrency,
                 "connect, churn: how many connect at one time; default 50")
      ->check(CLI::Range(1u, connections_max))
      ->type_name("N");
  app.add_option("--life-s", given.life_s, "churn: mean life of a connection; default 5")
      ->check(seconds(0.05))
      ->type_name("S");
  app.add_option("--storm-s", given.storm_s, "churn: besides, all reconnect at once so often")
      ->check(seconds(0.1))
      ->type_name("S");
  app.add_option("--core", options.core, "pin to this core")->type_name("N");
  app.add_flag("--spin", options.spin,
               "never sleep: on its own core, so that the server does not pay for waking it");
  app.add_option("--congestion", options.congestion, "TCP congestion control, like cubic or bbr")
      ->type_name("NAME");
}

std::string check_variant(const std::string& text) {
  if (variant_named(text)) return {};
  return fmt::format("there is no variant '{}'; expected one of {}", text, variant_list);
}

void declare_server(CLI::App& app, Options& options, Given& given) {
  app.add_option("--server", options.server, "where it listens; default 127.0.0.1:1935")
      ->type_name("HOST:PORT");
  app.add_option("--variant", given.variant,
                 "what carries RTMP: rtmp rtmps rtmpt rtmpts rtmpe rtmpte; default rtmp")
      ->type_name("NAME")
      ->check(check_variant);
  app.add_option("--app", options.app, "default live")->type_name("NAME");
  app.add_option("--name", options.name, "streams are NAME-0, NAME-1, ...; default load")
      ->type_name("NAME");
  app.add_option("--query", options.query, "appended to every name, like key=secret")
      ->type_name("TEXT");
  app.add_flag("--digest", options.digest, "signed handshake");
  app.add_flag("--raw", options.raw, "no protocol, for penstock-floor (bench/compare)");
  app.add_option("--server-pid", options.server_pids,
                 "its processor time and memory are reported, with its descendants'; repeatable")
      ->allow_extra_args(false)
      ->type_name("PID");
}

void declare_report(CLI::App& app, Options& options, Given& given) {
  app.add_option("--expect", given.expects,
                 "exit with 1 unless it holds, like gaps=0 or p99_ms<20; repeatable")
      ->allow_extra_args(false)
      ->type_name("EXPR");
  app.add_flag("--json", options.json, "print one JSON object");
  app.add_option("--percentiles", options.percentiles,
                 "latency in HdrHistogram's percentile layout; - is stdout")
      ->type_name("FILE");
}

constexpr const char* footer =
    "Modes (none: the canonical workload, which prints two numbers):\n"
    "  publish   N publishers at a bitrate, paced as encoders are\n"
    "  play      N players of streams that others publish\n"
    "  mixed     both\n"
    "  blast     publishers send as fast as the server takes it\n"
    "  connect   handshake, publish, reset; again and again\n"
    "  churn     publishers come and go at random, or all at once\n"
    "  slow      players that read too slowly\n"
    "\n"
    "Exit codes: 0 done, 1 an --expect does not hold, 2 wrong usage, 3 could not run.\n"
    "\n"
    "Examples:\n"
    "  penstock-load\n"
    "  penstock-load mixed --publishers 200 --players 200 --server-pid $(pidof penstockd)\n"
    "  penstock-load mixed --publishers 1 --players 500 --bitrate 2M --expect gaps=0\n"
    "  penstock-load connect --count 5000 --concurrency 100 --json\n"
    "  penstock-load publish --flv movie.flv --name cam --publishers 1 --duration-s 60\n"
    "  penstock-load mixed --variant rtmps --server 127.0.0.1:443 --publishers 50 --players 50\n";

/// What a mode does where nothing else was said.
struct Defaults {
  uint32_t publishers;
  uint32_t players;
  double ramp_s;  // at least; see settle()
  double warmup_s;
};

Defaults defaults_of(Mode mode) {
  switch (mode) {
    case Mode::canonical:
    case Mode::mixed:
      return {100, 100, 2, 2};
    case Mode::publish:
      return {100, 0, 2, 1};
    case Mode::play:
      return {0, 100, 1, 2};
    case Mode::slow:
      return {0, 10, 1, 2};
    case Mode::blast:
      return {50, 0, 0.5, 1};
    case Mode::connect:
      return {50, 0, 0, 0};
    case Mode::churn:
      return {100, 0, 2, 0};
  }
  return {};
}

std::optional<std::string> check_size(const SyntheticMedia& media) {
  const uint64_t gop_bytes = media.bits_per_second * media.gop_s / 8;
  if (gop_bytes > gop_bytes_max) {
    return fmt::format("--bitrate and --gop-s make a GOP of {}; {} at most",
                       quantity_text(static_cast<double>(gop_bytes), "B"),
                       quantity_text(static_cast<double>(gop_bytes_max), "B"));
  }
  if (!fits_messages(media))
    return "--bitrate: a message has 16 MiB at most; give a lower one or a higher --video-fps";
  return std::nullopt;
}

std::optional<std::string> settle(Options& options, const Given& given) {
  // Not a check of the option's: an unknown option's value would be taken for a mode first.
  if (const std::string problem = check_mode(given.mode); !problem.empty()) return problem;
  if (!given.mode.empty())
    options.mode = std::ranges::find(modes, given.mode, &NamedMode::name)->mode;
  options.variant = *variant_named(given.variant);
  const Defaults defaults = defaults_of(options.mode);
  options.concurrency = given.concurrency.value_or(50);
  options.count = given.count.value_or(1000);
  options.publishers = options.mode == Mode::connect
                           ? options.concurrency
                           : given.publishers.value_or(defaults.publishers);
  options.players = given.players.value_or(defaults.players);
  options.streams = given.streams.value_or(std::max(options.publishers, 1u));
  // Publishers spread over a GOP, so that their keyframes do; and 1000 connections a second.
  options.ramp_s = given.ramp_s.value_or(
      std::max(defaults.ramp_s, std::max(options.publishers, options.players) / 1000.0));
  options.warmup_s = given.warmup_s.value_or(defaults.warmup_s);
  options.duration_s = given.duration_s.value_or(10);
  options.life_s = given.life_s.value_or(5);
  options.storm_s = given.storm_s.value_or(0);
  options.media.bits_per_second = static_cast<uint64_t>(parse_quantity(given.bitrate).value());
  if (options.mode == Mode::slow || !given.read_bitrate.empty()) {
    options.read_bits_per_second = static_cast<uint64_t>(
        parse_quantity(given.read_bitrate.empty() ? "200k" : given.read_bitrate).value());
  }
  for (const std::string& text : given.expects) {
    auto expectation = parse_expectation(text);
    if (!expectation) return expectation.error();
    options.expectations.push_back(std::move(*expectation));
  }
  if (options.publishers + options.players == 0)
    return "nothing to do: give --publishers or --players";
  if (uint64_t{options.publishers} + options.players > connections_max) {
    return fmt::format("{} connections are too many for one process; {} at most",
                       uint64_t{options.publishers} + options.players, connections_max);
  }
  if (options.streams == 0) return "--streams: expected 1 or more";
  if (options.mode == Mode::connect && (options.count == 0 || options.raw || options.players > 0))
    return "connect takes a --count of 1 or more, and neither --raw nor --players";
  if (options.raw && options.mode == Mode::churn) return "churn does not go with --raw";
  if (options.raw && options.variant != Transport::rtmp)
    return "--raw has no protocol, and so no --variant";
  if (options.digest && has_handshake(options.variant))
    return fmt::format("{} is always signed: leave --digest out", variant_name(options.variant));
  const uint64_t least = bits_per_second_min(options.media);
  if (options.flv.empty() && options.media.bits_per_second < least) {
    return fmt::format("--bitrate {}: at least {} are needed so that each message has its stamp",
                       given.bitrate, quantity_text(static_cast<double>(least), "bit/s"));
  }
  if (options.flv.empty()) {
    if (auto problem = check_size(options.media)) return problem;
  }
  if (options.name.contains('?'))
    return fmt::format("--name {}: no '?' in it; --query appends a query to every name",
                       options.name);
  if (options.json && options.percentiles == "-")
    return "--json and --percentiles - both want stdout; give --percentiles a file";
  return std::nullopt;
}

}  // namespace

std::string_view mode_name(Mode mode) {
  const auto found = std::ranges::find(modes, mode, &NamedMode::mode);
  return found == std::end(modes) ? "canonical" : found->name;
}

std::variant<Options, EarlyExit> parse_options(int argc, const char* const* argv) {
  Options options;
  Given given;
  CLI::App app("Loads an RTMP server with publishers and players, and says how it bears it.",
               "penstock-load");
  app.set_version_flag("--version", std::string(PENSTOCK_VERSION));
  app.add_option("MODE", given.mode, "see below")->type_name("");
  declare_server(app, options, given);
  declare_traffic(app, options, given);
  declare_course(app, options, given);
  declare_report(app, options, given);
  app.footer(footer);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    std::ostringstream out;
    if (wrong.get_exit_code() == 0) {
      app.exit(wrong, out, out);
      return EarlyExit{0, out.str(), {}};
    }
    return EarlyExit{
        2, {}, fmt::format("penstock-load: {}\nTry: penstock-load --help\n", wrong.what())};
  }
  if (const auto problem = settle(options, given)) {
    return EarlyExit{
        2, {}, fmt::format("penstock-load: {}\nTry: penstock-load --help\n", *problem)};
  }
  return options;
}

}  // namespace penstock::load

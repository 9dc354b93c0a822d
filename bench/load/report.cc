#include "bench/load/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "bench/load/quantity.h"
#include "bench/load/variant.h"

namespace penstock::load {
namespace {

using Json = nlohmann::ordered_json;

double share_ms(const Histogram& histogram, double share) {
  return static_cast<double>(histogram.at_share_ns(share)) / 1e6;
}

template <typename Number>
Json or_null(const std::optional<Number>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json options_json(const Options& options) {
  Json json = {{"app", options.app},
               {"name", options.name},
               {"publishers", options.publishers},
               {"players", options.players},
               {"streams", options.streams},
               {"bitrate", options.media.bits_per_second},
               {"video_fps", options.media.video_fps},
               {"audio_fps", options.media.audio_fps},
               {"gop_s", options.media.gop_s},
               {"chunk_bytes", options.chunk_bytes},
               {"flv", options.flv},
               {"ramp_s", options.ramp_s},
               {"warmup_s", options.warmup_s},
               {"duration_s", options.duration_s},
               {"digest", options.digest},
               {"raw", options.raw},
               {"core", options.core ? Json(*options.core) : Json(nullptr)},
               {"congestion", options.congestion},
               {"spin", options.spin}};
  if (options.mode == Mode::connect) json["count"] = options.count;
  if (options.mode == Mode::connect || options.mode == Mode::churn)
    json["concurrency"] = options.concurrency;
  if (options.mode == Mode::churn) {
    json["life_s"] = options.life_s;
    json["storm_s"] = options.storm_s;
  }
  if (options.read_bits_per_second > 0) json["read_bitrate"] = options.read_bits_per_second;
  return json;
}

Json server_json(const Summary& summary) {
  if (!summary.server) return nullptr;
  const Summary::Server& server = *summary.server;
  return {{"pids", server.pids},
          {"cpu_s", server.cpu_s},
          {"cpu_s_per_gb_in", or_null(server.cpu_s_per_gb_in)},
          {"cpu_s_per_gb_out", or_null(server.cpu_s_per_gb_out)},
          {"cpu_us_per_message", or_null(server.cpu_us_per_message)},
          {"cpu_us_per_connection", or_null(server.cpu_us_per_connection)},
          {"resident_bytes_before", server.resident_bytes_before},
          {"resident_bytes", server.resident_bytes},
          {"bytes_per_connection", or_null(server.bytes_per_connection)}};
}

Json latency_json(const Summary& summary, const Histogram& latency) {
  if (!summary.latency_measured) return nullptr;
  return {{"p50", share_ms(latency, 0.5)},
          {"p99", share_ms(latency, 0.99)},
          {"p999", share_ms(latency, 0.999)},
          {"max", share_ms(latency, 1)},
          {"count", latency.total()}};
}

struct Judged {
  const Expectation* expectation;
  std::optional<double> value;
  bool holds;
};

std::vector<Judged> judge(const Options& options, const Summary& summary, const Tally& tally) {
  std::vector<Judged> judged;
  for (const Expectation& expectation : options.expectations) {
    const auto value = measure(expectation.name, summary, tally);
    judged.push_back({&expectation, value, value && expectation.holds(*value)});
  }
  return judged;
}

std::string expectations_text(const Options& options, const Summary& summary, const Tally& tally) {
  std::string out;
  for (const Judged& one : judge(options, summary, tally)) {
    const std::string value = one.value ? fmt::format("{:.6g}", *one.value) : "not measured";
    out += fmt::format("expected {}: {} ({})\n", one.expectation->text,
                       one.holds ? "holds" : "DOES NOT HOLD", value);
  }
  return out;
}

std::string canonical_text(const Summary& summary, const Tally& tally) {
  const std::string streams =
      summary.streams_without_gap
          ? fmt::format("{} of {}", *summary.streams_without_gap, summary.streams_wanted)
          : "not measured";
  const std::string latency = summary.latency_measured
                                  ? fmt::format("{:.2f} ms", share_ms(tally.latency, 0.99))
                                  : "not measured";
  return fmt::format("streams held without a gap: {}\np99 relay latency: {}\n", streams, latency);
}

void gap_line(std::string& out, const Summary& summary, const Tally& tally) {
  if (!summary.gaps) {
    out += "gaps               not measured: no player received media in the window\n";
    return;
  }
  fmt::format_to(std::back_inserter(out),
                 "gaps               {}, at {} of {} players; {} messages missing", *summary.gaps,
                 *summary.players_with_gaps, summary.players_wanted, tally.messages_missing);
  if (summary.players_stalled.value_or(0) > 0)
    out += fmt::format("; {} players stalled", *summary.players_stalled);
  out += '\n';
}

void traffic_lines(std::string& out, const Options& options, const Summary& summary,
                   const Tally& tally) {
  const auto line = std::back_inserter(out);
  const auto rate = [&](uint64_t bytes) {
    return quantity_text(static_cast<double>(bytes) * 8 / std::max(summary.seconds, 1e-9), "bit/s");
  };
  if (options.publishers > 0 && options.mode != Mode::connect) {
    fmt::format_to(line, "publishers         {} of {} held, {} sent ({}), {} messages\n",
                   summary.publishers_held, summary.publishers_wanted,
                   quantity_text(static_cast<double>(tally.bytes_sent), "B"),
                   rate(tally.bytes_sent), tally.messages_sent);
  }
  if (tally.schedule_lag.total() > 0) {
    fmt::format_to(line, "schedule lag       p50 {:.2f} ms, p99 {:.2f} ms, max {:.2f} ms\n",
                   share_ms(tally.schedule_lag, 0.5), share_ms(tally.schedule_lag, 0.99),
                   share_ms(tally.schedule_lag, 1));
  }
  if (options.players > 0) {
    fmt::format_to(line, "players            {} of {} held, {} received ({}), {} messages\n",
                   summary.players_held, summary.players_wanted,
                   quantity_text(static_cast<double>(tally.bytes_received), "B"),
                   rate(tally.bytes_received), tally.messages_received);
    gap_line(out, summary, tally);
  }
  if (summary.latency_measured) {
    fmt::format_to(line,
                   "latency            p50 {:.2f} ms, p99 {:.2f} ms, p99.9 {:.2f} ms, max {:.2f} "
                   "ms\n",
                   share_ms(tally.latency, 0.5), share_ms(tally.latency, 0.99),
                   share_ms(tally.latency, 0.999), share_ms(tally.latency, 1));
  } else if (summary.players_silent > 0) {
    fmt::format_to(line, "latency            not measured: {} of {} players received nothing\n",
                   summary.players_silent, summary.players_wanted);
  }
}

void server_lines(std::string& out, const Options& options, const Summary& summary) {
  if (!summary.server) return;
  const Summary::Server& server = *summary.server;
  const auto line = std::back_inserter(out);
  fmt::format_to(line, "server             {:.3f} CPU-s", server.cpu_s);
  if (server.cpu_s_per_gb_in) fmt::format_to(line, ", {:.3f} per GB in", *server.cpu_s_per_gb_in);
  if (server.cpu_s_per_gb_out)
    fmt::format_to(line, ", {:.3f} per GB out", *server.cpu_s_per_gb_out);
  if (server.cpu_us_per_message)
    fmt::format_to(line, ", {:.2f} us per message", *server.cpu_us_per_message);
  const bool brief = options.mode == Mode::connect || options.mode == Mode::churn;
  if (brief && server.cpu_us_per_connection)
    fmt::format_to(line, ", {:.1f} us per connection", *server.cpu_us_per_connection);
  fmt::format_to(line, "\nserver memory      {}",
                 quantity_text(static_cast<double>(server.resident_bytes), "B"));
  if (server.bytes_per_connection) {
    fmt::format_to(line, ", {} more per connection",
                   quantity_text(*server.bytes_per_connection, "B"));
  }
  out += '\n';
}

}  // namespace

std::string json_report(const Options& options, const Summary& summary, const Tally& tally) {
  Json expectations = Json::array();
  for (const Judged& one : judge(options, summary, tally)) {
    expectations.push_back(
        {{"text", one.expectation->text}, {"value", or_null(one.value)}, {"holds", one.holds}});
  }
  const Json json = {
      {"tool", "penstock-load"},
      {"version", PENSTOCK_VERSION},
      {"mode", mode_name(options.mode)},
      {"variant", variant_name(options.variant)},
      {"server", options.server},
      {"options", options_json(options)},
      {"seconds", summary.seconds},
      {"publishers", {{"wanted", summary.publishers_wanted}, {"held", summary.publishers_held}}},
      {"players", {{"wanted", summary.players_wanted}, {"held", summary.players_held}}},
      {"bytes_sent", tally.bytes_sent},
      {"bytes_received", tally.bytes_received},
      {"messages_sent", tally.messages_sent},
      {"messages_received", tally.messages_received},
      {"schedule_lag_ms",
       {{"p50", share_ms(tally.schedule_lag, 0.5)},
        {"p99", share_ms(tally.schedule_lag, 0.99)},
        {"max", share_ms(tally.schedule_lag, 1)}}},
      {"gaps", or_null(summary.gaps)},
      {"messages_missing", tally.messages_missing},
      {"players_with_gaps", or_null(summary.players_with_gaps)},
      {"players_stalled", or_null(summary.players_stalled)},
      {"streams_without_gap", or_null(summary.streams_without_gap)},
      {"latency_ms", latency_json(summary, tally.latency)},
      {"connections",
       {{"opened", tally.connections_opened},
        {"failed", tally.connections_failed},
        {"closed_by_server", tally.closed_by_server},
        {"per_second", summary.connections_per_second}}},
      {"errors", tally.errors.empty() ? Json::object() : Json(tally.errors)},
      {"server_usage", server_json(summary)},
      {"generator",
       {{"cpu_s", summary.generator_cpu_s},
        {"busy", summary.seconds > 0 ? summary.generator_cpu_s / summary.seconds : 0}}},
      {"expectations", expectations}};
  return json.dump(2) + "\n";
}

std::string text_report(const Options& options, const Summary& summary, const Tally& tally) {
  if (options.mode == Mode::canonical)
    return canonical_text(summary, tally) + expectations_text(options, summary, tally);
  std::string out = fmt::format("penstock-load {} at {}://{}, {:.1f} s\n", mode_name(options.mode),
                                variant_name(options.variant), options.server, summary.seconds);
  traffic_lines(out, options, summary, tally);
  const auto line = std::back_inserter(out);
  fmt::format_to(line, "connections        {} opened", tally.connections_opened);
  if (options.mode == Mode::connect || options.mode == Mode::churn)
    fmt::format_to(line, " ({:.0f} per second)", summary.connections_per_second);
  fmt::format_to(line, ", {} failed, {} closed by the server\n", tally.connections_failed,
                 tally.closed_by_server);
  for (const auto& [kind, count] : tally.errors)
    fmt::format_to(line, "error              {} x {}\n", count, kind);
  server_lines(out, options, summary);
  if (summary.seconds > 0) {
    fmt::format_to(line, "generator          {:.0f} % of a core\n",
                   100 * summary.generator_cpu_s / summary.seconds);
  }
  return out + expectations_text(options, summary, tally);
}

bool all_hold(const Options& options, const Summary& summary, const Tally& tally) {
  return std::ranges::all_of(judge(options, summary, tally), &Judged::holds);
}

}  // namespace penstock::load

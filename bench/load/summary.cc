#include "bench/load/summary.h"

#include <algorithm>

namespace penstock::load {
namespace {

std::optional<double> ratio(double value, double of) {
  if (of <= 0) return std::nullopt;
  return value / of;
}

void count_streams(Summary& summary, const Options& options, Generator& generator) {
  // A stream is well when its publisher and all its players were there and missed nothing. Who
  // only publishes cannot know of gaps; who only plays, of the publisher.
  const uint32_t streams =
      options.publishers > 0 ? options.publishers : std::min(options.streams, options.players);
  std::vector<bool> well(streams, true);
  const auto& publishers = generator.publishers();
  for (uint32_t i = 0; i < publishers.size(); ++i) {
    summary.publishers_held += publishers[i].held ? 1 : 0;
    if (!publishers[i].held) well[i] = false;
  }
  const auto& players = generator.players();
  uint64_t gaps = generator.tally().gaps;
  uint32_t with_gaps = 0;
  uint32_t stalled = 0;
  for (uint32_t i = 0; i < players.size(); ++i) {
    const Player& player = players[i];
    summary.players_held += player.held ? 1 : 0;
    summary.players_silent += player.messages == 0 && !player.stalled ? 1 : 0;
    stalled += player.stalled ? 1 : 0;
    gaps += player.fine() ? 0 : 1;
    if (player.fine() && player.gaps == 0) continue;
    ++with_gaps;
    if (i % options.streams < streams) well[i % options.streams] = false;
  }
  summary.streams_wanted = streams;
  if (summary.players_silent == players.size()) return;  // also where there are no players
  summary.gaps = gaps;
  summary.players_with_gaps = with_gaps;
  if (options.publishers > 0) summary.players_stalled = stalled;
  summary.streams_without_gap = static_cast<uint32_t>(std::ranges::count(well, true));
  summary.latency_measured = summary.players_silent == 0 && generator.tally().latency.total() > 0;
}

Summary::Server server_summary(const Readings& readings, const Options& options,
                               const Tally& tally) {
  Summary::Server server;
  server.pids = readings.server_ended.pids;
  // Threads that ended take their time with them, a server that died all of it.
  const uint64_t before_ns = std::min(readings.server_began.cpu_ns, readings.server_ended.cpu_ns);
  server.cpu_s = static_cast<double>(readings.server_ended.cpu_ns - before_ns) / 1e9;
  server.resident_bytes_before = readings.server_before.resident_bytes;
  server.resident_bytes = readings.server_ended.resident_bytes;
  server.cpu_s_per_gb_in = ratio(server.cpu_s, static_cast<double>(tally.bytes_sent) / 1e9);
  server.cpu_s_per_gb_out = ratio(server.cpu_s, static_cast<double>(tally.bytes_received) / 1e9);
  const uint64_t messages = tally.messages_sent > 0 ? tally.messages_sent : tally.messages_received;
  server.cpu_us_per_message = ratio(server.cpu_s * 1e6, static_cast<double>(messages));
  server.cpu_us_per_connection =
      ratio(server.cpu_s * 1e6, static_cast<double>(tally.connections_opened));
  if (options.mode != Mode::connect && options.mode != Mode::churn) {
    const double grown = static_cast<double>(server.resident_bytes) -
                         static_cast<double>(server.resident_bytes_before);
    server.bytes_per_connection = ratio(grown, static_cast<double>(tally.connections_opened));
  }
  return server;
}

struct NamedValue {
  std::string_view name;
  std::optional<double> value;
};

std::optional<double> find(std::string_view name, std::initializer_list<NamedValue> values) {
  const auto found = std::ranges::find(values, name, &NamedValue::name);
  return found == values.end() ? std::nullopt : found->value;
}

template <typename Number>
std::optional<double> as_double(const std::optional<Number>& value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

std::optional<double> share_ms(const Histogram& histogram, double share) {
  if (histogram.total() == 0) return std::nullopt;
  return static_cast<double>(histogram.at_share_ns(share)) / 1e6;
}

std::optional<double> measure_server(std::string_view name, const Summary::Server& server) {
  return find(name, {{"cpu_s", server.cpu_s},
                     {"cpu_s_per_gb_in", server.cpu_s_per_gb_in},
                     {"cpu_s_per_gb_out", server.cpu_s_per_gb_out},
                     {"cpu_us_per_message", server.cpu_us_per_message},
                     {"cpu_us_per_connection", server.cpu_us_per_connection},
                     {"resident_bytes", static_cast<double>(server.resident_bytes)},
                     {"bytes_per_connection", server.bytes_per_connection}});
}

}  // namespace

Summary summarise(const Options& options, Generator& generator, const Readings& readings) {
  const Tally& tally = generator.tally();
  Summary summary;
  summary.seconds = static_cast<double>(readings.window_ended.since(readings.window_began)) / 1e9;
  summary.publishers_wanted = options.publishers;
  summary.players_wanted = options.players;
  count_streams(summary, options, generator);
  if (options.mode == Mode::connect) {
    summary.publishers_wanted = options.count;
    summary.publishers_held = static_cast<uint32_t>(tally.connections_opened);
  }
  summary.connections_per_second =
      ratio(static_cast<double>(tally.connections_opened), summary.seconds).value_or(0);
  summary.generator_cpu_s = readings.generator_cpu_s;
  // Of a server that has died there is nothing left to read.
  if (!readings.server_ended.pids.empty())
    summary.server = server_summary(readings, options, tally);
  return summary;
}

std::optional<double> measure(std::string_view name, const Summary& summary, const Tally& tally) {
  if (summary.server) {
    if (const auto value = measure_server(name, *summary.server)) return value;
  }
  uint64_t errors = 0;
  for (const auto& [kind, count] : tally.errors) errors += count;
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  const auto latency = [&](double share) {
    return summary.latency_measured ? share_ms(tally.latency, share) : std::nullopt;
  };
  return find(name, {{"gaps", as_double(summary.gaps)},
                     {"players_with_gaps", as_double(summary.players_with_gaps)},
                     {"players_stalled", as_double(summary.players_stalled)},
                     {"streams_without_gap", as_double(summary.streams_without_gap)},
                     {"publishers_held", summary.publishers_held},
                     {"players_held", summary.players_held},
                     {"p50_ms", latency(0.5)},
                     {"p99_ms", latency(0.99)},
                     {"p999_ms", latency(0.999)},
                     {"max_ms", latency(1)},
                     {"lag_p50_ms", share_ms(tally.schedule_lag, 0.5)},
                     {"lag_p99_ms", share_ms(tally.schedule_lag, 0.99)},
                     {"lag_max_ms", share_ms(tally.schedule_lag, 1)},
                     {"bytes_sent", number(tally.bytes_sent)},
                     {"bytes_received", number(tally.bytes_received)},
                     {"messages_sent", number(tally.messages_sent)},
                     {"messages_received", number(tally.messages_received)},
                     {"opened", number(tally.connections_opened)},
                     {"failed", number(tally.connections_failed)},
                     {"closed_by_server", number(tally.closed_by_server)},
                     {"per_second", summary.connections_per_second},
                     {"errors", number(errors)},
                     {"generator_busy",
                      summary.seconds > 0 ? std::optional(summary.generator_cpu_s / summary.seconds)
                                          : std::nullopt}});
}

}  // namespace penstock::load

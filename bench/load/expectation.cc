#include "bench/load/expectation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "bench/load/quantity.h"

namespace penstock::load {
namespace {

struct Sign {
  std::string_view text;
  Expectation::Relation relation;
};

// Longer ones first, so that "<=" is not read as "<".
constexpr Sign signs[] = {
    {"<=", Expectation::Relation::less_or_equal}, {">=", Expectation::Relation::greater_or_equal},
    {"==", Expectation::Relation::equal},         {"!=", Expectation::Relation::not_equal},
    {"<", Expectation::Relation::less},           {">", Expectation::Relation::greater},
    {"=", Expectation::Relation::equal},
};

}  // namespace

bool Expectation::holds(double value) const {
  switch (relation) {
    case Relation::less:
      return value < bound;
    case Relation::less_or_equal:
      return value <= bound;
    case Relation::equal:
      return value == bound;
    case Relation::not_equal:
      return value != bound;
    case Relation::greater_or_equal:
      return value >= bound;
    case Relation::greater:
      return value > bound;
  }
  return false;
}

const std::vector<std::string_view>& measure_names() {
  static const std::vector<std::string_view> names = {
      "gaps",
      "players_with_gaps",
      "players_stalled",
      "streams_without_gap",
      "publishers_held",
      "players_held",
      "p50_ms",
      "p99_ms",
      "p999_ms",
      "max_ms",
      "lag_p50_ms",
      "lag_p99_ms",
      "lag_max_ms",
      "bytes_sent",
      "bytes_received",
      "messages_sent",
      "messages_received",
      "opened",
      "failed",
      "closed_by_server",
      "per_second",
      "errors",
      "cpu_s",
      "cpu_s_per_gb_in",
      "cpu_s_per_gb_out",
      "cpu_us_per_message",
      "cpu_us_per_connection",
      "resident_bytes",
      "bytes_per_connection",
      "generator_busy",
  };
  return names;
}

std::expected<Expectation, std::string> parse_expectation(std::string_view text) {
  const size_t at = text.find_first_of("<>=!");
  const auto sign = at == std::string_view::npos
                        ? std::end(signs)
                        : std::ranges::find_if(signs, [&](const Sign& one) {
                            return text.substr(at).starts_with(one.text);
                          });
  if (sign == std::end(signs)) {
    return std::unexpected(fmt::format(
        "--expect {}: expected NAME, one of < <= = != >= >, and a number; like gaps=0 or p99_ms<20",
        text));
  }
  const std::string_view name = text.substr(0, at);
  if (std::ranges::find(measure_names(), name) == measure_names().end()) {
    return std::unexpected(fmt::format("--expect {}: there is no \"{}\"; known are {}", text, name,
                                       fmt::join(measure_names(), " ")));
  }
  const auto bound = parse_quantity(text.substr(at + sign->text.size()));
  if (!bound) {
    return std::unexpected(
        fmt::format("--expect {}: expected a number behind {}, like 20 or 1.5M", text, sign->text));
  }
  return Expectation{std::string(text), std::string(name), sign->relation, *bound};
}

}  // namespace penstock::load

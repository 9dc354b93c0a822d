#include "bench/load/quantity.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace penstock::load {

std::optional<double> parse_quantity(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || !(value >= 0) || !std::isfinite(value)) return std::nullopt;
  const std::string_view suffix(rest, static_cast<size_t>(end - rest));
  if (suffix.empty()) return value;
  if (suffix == "k" || suffix == "K") return value * 1e3;
  if (suffix == "M") return value * 1e6;
  if (suffix == "G") return value * 1e9;
  return std::nullopt;
}

std::string quantity_text(double value, std::string_view unit) {
  if (value >= 1e9) return fmt::format("{:.3g} G{}", value / 1e9, unit);
  if (value >= 1e6) return fmt::format("{:.3g} M{}", value / 1e6, unit);
  if (value >= 1e3) return fmt::format("{:.3g} k{}", value / 1e3, unit);
  return fmt::format("{:.3g} {}", value, unit);
}

}  // namespace penstock::load

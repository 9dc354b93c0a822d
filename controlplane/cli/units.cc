#include "controlplane/cli/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace penstock::controlplane::cli {

namespace {

struct Suffix {
  std::string_view text;
  uint64_t factor;
};

constexpr uint64_t kibi = 1024;
constexpr std::array<Suffix, 13> byte_suffixes = {{{"b", 1},
                                                   {"k", kibi},
                                                   {"kib", kibi},
                                                   {"kb", 1000},
                                                   {"m", kibi* kibi},
                                                   {"mib", kibi* kibi},
                                                   {"mb", 1000ULL * 1000},
                                                   {"g", kibi* kibi* kibi},
                                                   {"gib", kibi* kibi* kibi},
                                                   {"gb", 1000ULL * 1000 * 1000},
                                                   {"t", kibi* kibi* kibi* kibi},
                                                   {"tib", kibi* kibi* kibi* kibi},
                                                   {"tb", 1000ULL * 1000 * 1000 * 1000}}};
constexpr std::array<Suffix, 4> ms_suffixes = {
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::array<Suffix, 3> us_suffixes = {{{"us", 1}, {"ms", 1000}, {"s", 1'000'000}}};

std::span<const Suffix> suffixes_of(std::string_view unit) {
  if (unit == "bytes") return byte_suffixes;
  if (unit == "ms") return ms_suffixes;
  if (unit == "us") return us_suffixes;
  return {};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  if (bytes < kibi) return fmt::format("{} B", bytes);
  constexpr std::array<std::string_view, 6> units = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 1023.95 would round to "1024.0".
  while (value >= 1023.95 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string human_bits_per_second(uint64_t bits_per_second) {
  if (bits_per_second < 1000) return fmt::format("{} bit/s", bits_per_second);
  if (bits_per_second < 999'500) {
    return fmt::format("{:.0f} kbit/s", static_cast<double>(bits_per_second) / 1e3);
  }
  if (bits_per_second < 999'995'000) {
    return fmt::format("{:.2f} Mbit/s", static_cast<double>(bits_per_second) / 1e6);
  }
  return fmt::format("{:.2f} Gbit/s", static_cast<double>(bits_per_second) / 1e9);
}

std::string human_duration(uint64_t seconds) {
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{}h{:02}m", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{}d{:02}h", seconds / 86'400, seconds % 86'400 / 3600);
}

std::string human_count(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string human_decimal(double value) {
  if (!std::isfinite(value)) return "-";
  std::string text = fmt::format("{:.2f}", value);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string human_tunable(uint64_t value, std::string_view unit) {
  if (unit == "bytes" && value >= kibi) return fmt::format("{} ({})", value, human_bytes(value));
  if (unit == "ms" && value >= 1000 && value % 1000 == 0) {
    return fmt::format("{} ({})", value, human_duration(value / 1000));
  }
  return std::to_string(value);
}

std::string_view forms_of(std::string_view unit) {
  if (unit == "bytes") return "4194304, 4MiB, 500k";
  if (unit == "ms") return "8000, 8s, 1m";
  if (unit == "us") return "500, 2ms";
  return "a whole number";
}

std::optional<uint64_t> parse_tunable(std::string_view text, std::string_view unit) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, fault] = std::from_chars(text.data(), end, number);
  if (fault != std::errc() || rest == text.data()) return std::nullopt;
  const std::string suffix = lower(std::string_view(rest, static_cast<size_t>(end - rest)));
  if (suffix.empty()) return number;
  for (const Suffix& known : suffixes_of(unit)) {
    if (suffix != known.text) continue;
    if (number > UINT64_MAX / known.factor) return std::nullopt;
    return number * known.factor;
  }
  return std::nullopt;
}

}  // namespace penstock::controlplane::cli

#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::load {

/// What must hold of a run: "gaps=0", "p99_ms<20", "publishers_held>=1000", "bytes_sent>1G".
struct Expectation {
  enum class Relation : uint8_t {
    less,
    less_or_equal,
    equal,
    not_equal,
    greater_or_equal,
    greater
  };

  std::string text;
  std::string name;
  Relation relation = Relation::equal;
  double bound = 0;

  [[nodiscard]] bool holds(double value) const;
};

/// Names that may stand in an expectation.
[[nodiscard]] const std::vector<std::string_view>& measure_names();

/// The error says what would be accepted.
[[nodiscard]] std::expected<Expectation, std::string> parse_expectation(std::string_view text);

}  // namespace penstock::load

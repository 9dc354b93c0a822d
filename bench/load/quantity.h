#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::load {

/// "250", "1.5M", "200k", "2G": decimal multiples. Nothing when it is not one, or is negative.
[[nodiscard]] std::optional<double> parse_quantity(std::string_view text);

/// "1.25 Mbit/s", "12.3 GB": three digits and a decimal multiple before the unit.
[[nodiscard]] std::string quantity_text(double value, std::string_view unit);

}  // namespace penstock::load

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Numbers as an operator reads and types them.
namespace penstock::controlplane::cli {

/// "0 B", "999 B", "1.5 KiB", "12.0 MiB": powers of 1024.
[[nodiscard]] std::string human_bytes(uint64_t bytes);
/// "0 bit/s", "640 kbit/s", "2.40 Mbit/s": powers of 1000, as links are sold.
[[nodiscard]] std::string human_bits_per_second(uint64_t bits_per_second);
/// "12s", "3m05s", "1h02m", "2d03h": two units at most.
[[nodiscard]] std::string human_duration(uint64_t seconds);
/// "1,234,567".
[[nodiscard]] std::string human_count(uint64_t count);
/// "29.97", "30": two decimals at most, none that are zero.
[[nodiscard]] std::string human_decimal(double value);
/// In the unit that a tunable has: "bytes" and "ms" get a reading in brackets, "4194304 (4.0 MiB)",
/// "8000 (8s)".
[[nodiscard]] std::string human_tunable(uint64_t value, std::string_view unit);

/// Forms of a value that parse_tunable() takes for the unit, as examples for a message.
[[nodiscard]] std::string_view forms_of(std::string_view unit);

/// What an operator types for a tunable: a plain number, or with a suffix that fits its unit:
/// "4MiB", "500k" for bytes, "8s", "1m" for ms and us. Nothing when it is not a whole number of
/// that unit or does not fit 64 bits.
[[nodiscard]] std::optional<uint64_t> parse_tunable(std::string_view text, std::string_view unit);

}  // namespace penstock::controlplane::cli

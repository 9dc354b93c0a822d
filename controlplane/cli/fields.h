#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace penstock::controlplane::cli {

using Json = nlohmann::json;

// Fields of an answer. penstock-control may be older or newer than this program, so a missing field
// or one of another type reads as nothing and never as an exception.

/// Control characters are replaced: a peer chooses some of these texts, and a terminal obeys escape
/// sequences.
[[nodiscard]] std::string text_of(const Json& row, const char* key);
[[nodiscard]] uint64_t count_of(const Json& row, const char* key);
[[nodiscard]] int64_t signed_of(const Json& row, const char* key);
[[nodiscard]] double number_of(const Json& row, const char* key);
[[nodiscard]] bool flag_of(const Json& row, const char* key);
/// The object under key, or an empty one.
[[nodiscard]] const Json& part_of(const Json& row, const char* key);
/// The array under key, or an empty one.
[[nodiscard]] const Json& rows_of(const Json& row, const char* key);

[[nodiscard]] std::string printable(std::string_view text);

}  // namespace penstock::controlplane::cli

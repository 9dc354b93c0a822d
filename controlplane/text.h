#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::controlplane {

/// Text of a stranger as text that every output takes: valid UTF-8, no control character, at most
/// `bytes_max` bytes. What is neither becomes U+FFFD or '?'.
[[nodiscard]] std::string clean_text(std::string_view text, size_t bytes_max = 4096);

/// Equality in a time that depends on the lengths alone.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b);

/// The number that `text` is, whole, in decimal; or nothing.
[[nodiscard]] std::optional<uint64_t> parse_number(std::string_view text);

}  // namespace penstock::controlplane

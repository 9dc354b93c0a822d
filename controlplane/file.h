#pragma once

#include <cstddef>
#include <expected>
#include <string>

namespace penstock::controlplane {

// The key list is the largest part of a configuration file: 4 MiB of keys, each with quotes, comma
// and newline, and room for comments.
constexpr size_t config_file_bytes_max = 16 * 1024 * 1024;

/// A regular file of at most so many bytes, whole. Nothing else is opened: reading a pipe or a
/// device may never end. The text says what is wrong, and does not repeat the path.
[[nodiscard]] std::expected<std::string, std::string> read_file(const std::string& path,
                                                                size_t bytes_max);

}  // namespace penstock::controlplane

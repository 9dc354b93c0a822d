#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "penstock/base/fault.h"

namespace penstock::rtmp {

/// A path and what followed the first "?" in it.
struct SplitQuery {
  std::string_view path;
  std::string_view query;
};
[[nodiscard]] SplitQuery split_query(std::string_view text);

/// What an encoder is configured with reaches us in up to three places: the app and tcUrl of
/// connect, and the name of publish or play. Encoders differ in where they cut the URL and in where
/// they leave its query.
///
/// Slashes are collapsed and cut at both ends. Faults: name_invalid for more than
/// stream_name_bytes_max, control characters, or a "." or ".." segment.
[[nodiscard]] std::expected<std::string, Fault> normalised_path(std::string_view path);

/// "app/name" of two paths without query; either may be empty, but not both (name_invalid). A file
/// prefix of the name
/// ("mp4:", "flv:") is dropped: FFmpeg's player adds one where its publisher does not.
[[nodiscard]] std::expected<std::string, Fault> stream_name(std::string_view app,
                                                            std::string_view name);

/// The path after the host of a tcUrl, without query: the app of a peer that sends none.
[[nodiscard]] std::string_view app_of_url(std::string_view tc_url);

/// A URL without "user:password@", for people to see.
[[nodiscard]] std::string without_login(std::string_view url);

/// Pairs of both queries; where both have a key, that of `first` counts. Faults: name_invalid above
/// query_bytes_max.
[[nodiscard]] std::expected<std::string, Fault> merged_query(std::string_view first,
                                                             std::string_view second);

/// Whether `pair` ("key=value") is among those of the query, as it is written here.
[[nodiscard]] bool has_parameter(std::string_view query, std::string_view pair);

}  // namespace penstock::rtmp

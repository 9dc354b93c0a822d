#include "penstock/rtmp/stream_name.h"

#include <algorithm>

#include "penstock/base/limits.h"

namespace penstock::rtmp {
namespace {

// Merging looks every pair of one query up in the other; the longest signed URLs have a dozen.
constexpr size_t query_pairs_max = 64;

/// Takes what is before the next `separator` off the front of `rest`.
std::string_view take_until(std::string_view& rest, char separator) {
  const size_t at = rest.find(separator);
  const std::string_view taken = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view{} : rest.substr(at + 1);
  return taken;
}

std::string_view key_of(std::string_view pair) { return pair.substr(0, pair.find('=')); }

bool has_key(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    if (key_of(take_until(query, '&')) == key) return true;
  }
  return false;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

}  // namespace

SplitQuery split_query(std::string_view text) {
  const size_t at = text.find('?');
  if (at == std::string_view::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

std::expected<std::string, Fault> normalised_path(std::string_view path) {
  std::string normal;
  while (!path.empty()) {
    const std::string_view segment = take_until(path, '/');
    if (segment.empty()) continue;
    if (segment == "." || segment == ".." || std::ranges::any_of(segment, is_control)) {
      return std::unexpected(Fault::name_invalid);
    }
    if (!normal.empty()) normal += '/';
    normal += segment;
    if (normal.size() > stream_name_bytes_max) return std::unexpected(Fault::name_invalid);
  }
  return normal;
}

std::expected<std::string, Fault> stream_name(std::string_view app, std::string_view name) {
  for (const std::string_view prefix : {"mp4:", "flv:"}) {
    if (name.starts_with(prefix)) {
      name.remove_prefix(prefix.size());
      break;
    }
  }
  std::string both(app);
  both += '/';
  both += name;
  auto path = normalised_path(both);
  if (path && path->empty()) return std::unexpected(Fault::name_invalid);
  return path;
}

std::string_view app_of_url(std::string_view tc_url) {
  std::string_view url = split_query(tc_url).path;
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const size_t path = url.find('/');
  return path == std::string_view::npos ? std::string_view{} : url.substr(path + 1);
}

std::string without_login(std::string_view url) {
  const size_t scheme = url.find("://");
  const size_t host = scheme == std::string_view::npos ? 0 : scheme + 3;
  // The last "@": a password may have one.
  const size_t at = url.substr(0, url.find('/', host)).rfind('@');
  if (at == std::string_view::npos || at < host) return std::string(url);
  return std::string(url.substr(0, host)) + std::string(url.substr(at + 1));
}

bool has_parameter(std::string_view query, std::string_view pair) {
  while (!query.empty()) {
    if (take_until(query, '&') == pair) return true;
  }
  return false;
}

std::expected<std::string, Fault> merged_query(std::string_view first, std::string_view second) {
  if (first.size() > query_bytes_max || second.size() > query_bytes_max) {
    return std::unexpected(Fault::name_invalid);
  }
  if (std::ranges::count(second, '&') >= static_cast<ptrdiff_t>(query_pairs_max)) {
    return std::unexpected(Fault::name_invalid);
  }
  std::string merged(first);
  while (!second.empty()) {
    const std::string_view pair = take_until(second, '&');
    if (pair.empty() || has_key(first, key_of(pair))) continue;
    if (!merged.empty()) merged += '&';
    merged += pair;
  }
  if (merged.size() > query_bytes_max) return std::unexpected(Fault::name_invalid);
  return merged;
}

}  // namespace penstock::rtmp

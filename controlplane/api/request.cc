#include "controlplane/api/request.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "controlplane/text.h"
#include "penstock/base/limits.h"

namespace penstock::controlplane::api {
namespace {

// A row is about 500 bytes of JSON: 5 MB unless more is asked for.
constexpr size_t rows_unless_told = 10'000;
constexpr size_t rows_max = 100'000;

// ReasonText holds 127 bytes and the zero.
constexpr size_t reason_bytes_max = sizeof(control::ReasonText) - 1;

}  // namespace

std::expected<std::optional<uint64_t>, Answer> query_number(const Request& request,
                                                            const std::string& key) {
  const auto found = request.query.find(key);
  if (found == request.query.end()) return std::optional<uint64_t>{};
  const auto number = parse_number(found->second);
  if (!number)
    return std::unexpected(
        refusal(400, key + " is not a whole number", "for example ?" + key + "=10"));
  return number;
}

std::expected<Page, Answer> page_of(const Request& request) {
  const auto offset = query_number(request, "offset");
  if (!offset) return std::unexpected(offset.error());
  const auto limit = query_number(request, "limit");
  if (!limit) return std::unexpected(limit.error());
  const uint64_t rows = limit->value_or(rows_unless_told);
  if (rows == 0 || rows > rows_max) {
    return std::unexpected(
        refusal(400, "limit is out of range", "accepted: 1 to " + std::to_string(rows_max)));
  }
  return Page{static_cast<size_t>(offset->value_or(0)), static_cast<size_t>(rows)};
}

std::expected<nlohmann::json, Answer> body_object(const Request& request) {
  if (request.body.empty()) return nlohmann::json::object();
  auto body = nlohmann::json::parse(request.body, nullptr, false);
  if (!body.is_object())
    return std::unexpected(
        refusal(400, "the body is not a JSON object", "for example {\"value\": 1}"));
  return body;
}

std::expected<Stream, Answer> find_stream(Parts& parts, const std::string& name) {
  // What a peer sent that is not UTF-8 is shown as U+FFFD, three bytes for one.
  if (name.size() > 3 * stream_name_bytes_max) {
    return std::unexpected(
        refusal(400, fmt::format("a stream's name of {} bytes", name.size()),
                fmt::format("accepted: app/name, at most {} bytes", stream_name_bytes_max)));
  }
  if (!parts.link.current()) return std::unexpected(not_attached());
  look(parts);
  const std::string clean = clean_text(name);
  auto stream = parts.catalog.stream(clean);
  if (stream) return std::move(*stream);
  return std::unexpected(
      refusal(404, "no such stream is live: " + clean,
              "penstockctl streams shows the live ones, penstockctl history those that ended"));
}

std::expected<Connection, Answer> find_connection(Parts& parts, const std::string& id) {
  const auto number = parse_number(id);
  if (!number) {
    return std::unexpected(
        refusal(400, "a connection's id is a number", "see penstockctl connections"));
  }
  if (!parts.link.current()) return std::unexpected(not_attached());
  look(parts);
  auto connection = parts.catalog.connection(*number);
  if (connection) return std::move(*connection);
  return std::unexpected(refusal(404, fmt::format("no such connection is open: {}", *number),
                                 "see penstockctl connections"));
}

std::expected<std::string, Answer> reason_of(const Request& request, std::string_view fallback) {
  const auto body = body_object(request);
  if (!body) return std::unexpected(body.error());
  const auto reason = body->find("reason");
  if (reason == body->end()) return std::string(fallback);
  if (!reason->is_string())
    return std::unexpected(
        refusal(400, "reason is not a text", "for example {\"reason\": \"maintenance\"}"));
  std::string text = clean_text(reason->get<std::string>(), reason_bytes_max);
  return text.empty() ? std::string(fallback) : text;
}

Answer no_tunable(const std::string& key) {
  std::string meant;
  for (const control::TunableInfo& info : control::tunable_table) {
    if (info.key.substr(info.key.find('.') + 1) != key) continue;
    meant += (meant.empty() ? "" : " or ") + std::string(info.key);
  }
  return refusal(404, "no tunable is called " + clean_text(key, 64),
                 meant.empty() ? "see penstockctl tune list" : "did you mean " + meant + "?");
}

}  // namespace penstock::controlplane::api

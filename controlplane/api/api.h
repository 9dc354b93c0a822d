#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "controlplane/parts.h"

namespace penstock::controlplane::api {

/// A request without its transport. Everything in it is a stranger's.
struct Request {
  std::string method;
  std::string path;  // decoded
  std::map<std::string, std::string> query;
  std::string body;
};

struct Answer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow;  // with 405
};

/// A route as openapi.json has it; the last parameter before a fixed end may hold "/" (streams are
/// "app/name", and app too).
struct RouteInfo {
  std::string_view method;
  std::string_view path;
};
[[nodiscard]] std::span<const RouteInfo> routes();

/// Answers anything, and never throws: what nobody thought of is a 500 with a line in the log.
[[nodiscard]] Answer answer(Parts& parts, const Request& request);

/// An Error of the API, for doors that refuse before a route is asked.
[[nodiscard]] Answer refusal(int status, std::string_view error, std::string_view hint);

/// What is answered where there is nothing to look at or to order without a data plane.
[[nodiscard]] Answer not_attached();

/// How long a body may be for this path.
[[nodiscard]] size_t body_bytes_max(std::string_view path);

/// The description of this API, as served.
[[nodiscard]] std::string_view openapi_text();

}  // namespace penstock::controlplane::api

#include "controlplane/api/api.h"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "controlplane/api/orders.h"
#include "controlplane/api/request.h"
#include "controlplane/api/views.h"
#include "controlplane/clock.h"
#include "controlplane/metrics.h"
#include "controlplane/text.h"

namespace penstock::controlplane::api {
namespace {

Answer done(const json& value) { return {.body = to_text(value)}; }
Answer text(int status, std::string body) {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(body)};
}

json page(const char* what, json rows, size_t total) {
  return {{what, std::move(rows)}, {"total", total}};
}

Answer status(Parts& parts, const Request&, const std::string&) {
  look(parts);
  return done(status_view(parts));
}

Answer history(Parts& parts, const Request& request, const std::string&) {
  const auto page_asked = page_of(request);
  if (!page_asked) return page_asked.error();
  json rows = json::array();
  for (const EndedStream& ended : parts.history.newest(page_asked->offset, page_asked->limit))
    rows.push_back(view(ended));
  return done(page("streams", std::move(rows), parts.history.size()));
}

/// The rows of a page; the views are made only of these.
template <typename Row>
json rows_of(const std::vector<Row>& all, const Page& page_asked) {
  json rows = json::array();
  const uint64_t now = unix_ms();
  const size_t from = std::min(page_asked.offset, all.size());
  const size_t to = from + std::min(page_asked.limit, all.size() - from);
  for (size_t i = from; i < to; ++i) rows.push_back(view(all[i], now));
  return rows;
}

Answer streams(Parts& parts, const Request& request, const std::string& none) {
  const auto ended = request.query.find("ended");
  if (ended != request.query.end() && ended->second == "1") return history(parts, request, none);
  const auto page_asked = page_of(request);
  if (!page_asked) return page_asked.error();
  if (!parts.link.current()) return not_attached();
  look(parts);
  const std::vector<Stream> all = parts.catalog.streams();
  return done(page("streams", rows_of(all, *page_asked), all.size()));
}

Answer stream(Parts& parts, const Request&, const std::string& name) {
  const auto found = find_stream(parts, name);
  if (!found) return found.error();
  return done(view(*found, unix_ms()));
}

Answer connections(Parts& parts, const Request& request, const std::string&) {
  const auto page_asked = page_of(request);
  if (!page_asked) return page_asked.error();
  const auto worker = query_number(request, "worker");
  if (!worker) return worker.error();
  const auto name = request.query.find("stream");
  if (!parts.link.current()) return not_attached();
  look(parts);
  std::vector<Connection> all = parts.catalog.connections();
  std::erase_if(all, [&](const Connection& connection) {
    const bool other_worker = *worker && connection.worker != **worker;
    const bool other_stream = name != request.query.end() && connection.stream != name->second;
    return other_worker || other_stream;
  });
  return done(page("connections", rows_of(all, *page_asked), all.size()));
}

Answer connection(Parts& parts, const Request&, const std::string& id) {
  const auto found = find_connection(parts, id);
  if (!found) return found.error();
  return done(view(*found, unix_ms()));
}

Answer workers(Parts& parts, const Request&, const std::string&) {
  if (!parts.link.current()) return not_attached();
  return done(workers_view(parts));
}
Answer counters(Parts& parts, const Request&, const std::string&) {
  if (!parts.link.current()) return not_attached();
  return done(counters_view(parts));
}
Answer config(Parts& parts, const Request&, const std::string&) { return done(config_view(parts)); }
Answer tunables(Parts& parts, const Request&, const std::string&) {
  return done(tunables_view(parts));
}
Answer version(Parts& parts, const Request&, const std::string&) {
  return done(version_view(parts));
}

Answer tunable(Parts& parts, const Request&, const std::string& key) {
  const auto found = control::find_tunable(key);
  if (!found) return no_tunable(key);
  return done(view(parts.reconciler.tunable(*found)));
}

Answer openapi(Parts&, const Request&, const std::string&) {
  return {.body = std::string(openapi_text())};
}

Answer metrics(Parts& parts, const Request&, const std::string&) {
  look(parts);
  Answer answer = text(200, metrics_text(parts));
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return answer;
}

Answer health(Parts& parts, const Request&, const std::string&) {
  const std::string why = ailment(parts);
  return why.empty() ? text(200, "ok\n") : text(503, why + "\n");
}

struct Route {
  RouteInfo info;
  Answer (*serve)(Parts&, const Request&, const std::string& parameter);
};

// The longer end first where two match: "{app}/{name}/kick" before "{app}/{name}".
constexpr Route route_table[] = {
    {{"GET", "/api/v1/status"}, status},
    {{"GET", "/api/v1/streams"}, streams},
    {{"POST", "/api/v1/streams/{app}/{name}/kick"}, kick_stream},
    {{"GET", "/api/v1/streams/{app}/{name}"}, stream},
    {{"GET", "/api/v1/history"}, history},
    {{"GET", "/api/v1/connections"}, connections},
    {{"POST", "/api/v1/connections/{id}/kick"}, kick_connection},
    {{"POST", "/api/v1/connections/{id}/trace"}, trace_connection},
    {{"GET", "/api/v1/connections/{id}"}, connection},
    {{"GET", "/api/v1/workers"}, workers},
    {{"GET", "/api/v1/counters"}, counters},
    {{"GET", "/api/v1/config"}, config},
    {{"POST", "/api/v1/config/reload"}, reload_config},
    {{"POST", "/api/v1/config/check"}, check_config},
    {{"GET", "/api/v1/tunables"}, tunables},
    {{"GET", "/api/v1/tunables/{key}"}, tunable},
    {{"PUT", "/api/v1/tunables/{key}"}, set_tunable},
    {{"DELETE", "/api/v1/tunables/{key}"}, reset_tunable},
    {{"GET", "/api/v1/users"}, users},
    {{"POST", "/api/v1/users"}, add_user},
    {{"PUT", "/api/v1/users/{name}"}, change_user},
    {{"DELETE", "/api/v1/users/{name}"}, remove_user},
    {{"POST", "/api/v1/drain"}, drain},
    {{"DELETE", "/api/v1/drain"}, undrain},
    {{"PUT", "/api/v1/log/level"}, set_log_level},
    {{"DELETE", "/api/v1/log/level"}, reset_log_level},
    {{"GET", "/api/v1/version"}, version},
    {{"GET", "/api/v1/openapi.json"}, openapi},
    {{"GET", "/version"}, version},
    {{"GET", "/metrics"}, metrics},
    {{"GET", "/healthz"}, health},
};

constexpr auto route_infos = [] {
  std::array<RouteInfo, std::size(route_table)> infos;
  for (size_t i = 0; i < infos.size(); ++i) infos[i] = route_table[i].info;
  return infos;
}();

/// The parameter of a path that has this route's form: what stands between the first "{" and the
/// end behind the last "}".
std::optional<std::string> match(const RouteInfo& route, std::string_view path) {
  const size_t open = route.path.find('{');
  if (open == std::string_view::npos)
    return path == route.path ? std::optional<std::string>("") : std::nullopt;
  const std::string_view front = route.path.substr(0, open);
  const std::string_view back = route.path.substr(route.path.rfind('}') + 1);
  if (path.size() <= front.size() + back.size() || !path.starts_with(front) ||
      !path.ends_with(back))
    return std::nullopt;
  const std::string_view parameter =
      path.substr(front.size(), path.size() - front.size() - back.size());
  const bool one_part = route.path.find("{app}") == std::string_view::npos;
  if (one_part && parameter.find('/') != std::string_view::npos) return std::nullopt;
  return std::string(parameter);
}

Answer dispatch(Parts& parts, const Request& request) {
  std::string allowed;
  for (const Route& route : route_table) {
    const auto parameter = match(route.info, request.path);
    if (!parameter) continue;
    if (route.info.method == request.method ||
        (request.method == "HEAD" && route.info.method == "GET")) {
      return route.serve(parts, request, *parameter);
    }
    if (allowed.find(route.info.method) == std::string::npos) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(route.info.method);
    }
  }
  if (allowed.empty())
    return refusal(404, "no such path", "GET /api/v1/openapi.json says which there are");
  Answer refused = refusal(405, "this path does not take that method", "accepted: " + allowed);
  refused.allow = allowed;
  return refused;
}

}  // namespace

std::span<const RouteInfo> routes() { return route_infos; }

Answer refusal(int status, std::string_view error, std::string_view hint) {
  return {.status = status, .body = to_text({{"error", error}, {"hint", hint}})};
}

Answer not_attached() { return refusal(503, not_attached_text, not_attached_hint); }

size_t body_bytes_max(std::string_view path) {
  // A configuration: as large as a file may be. Anything else is a handful of fields.
  return path == "/api/v1/config/check" ? 16 * 1024 * 1024 : 16 * 1024;
}

Answer answer(Parts& parts, const Request& request) {
  try {
    return dispatch(parts, request);
  } catch (const std::exception& caught) {
    parts.log.write(control::LogLevel::error, "a request failed",
                    {{"method", request.method}, {"why", caught.what()}});
  } catch (...) {
    parts.log.write(control::LogLevel::error, "a request failed", {{"method", request.method}});
  }
  return refusal(500, "the control plane failed to answer",
                 "its log has a line about it; please report it");
}

}  // namespace penstock::controlplane::api

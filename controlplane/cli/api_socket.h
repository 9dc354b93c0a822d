#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "controlplane/cli/fields.h"

namespace penstock::controlplane::cli {

/// Why a request brought nothing: what is wrong, what to do next, and whatever else the other side
/// said.
struct Failure {
  std::string text;
  std::string hint;
  Json body = Json::object();
};

using Answer = std::expected<Json, Failure>;

/// penstock-control's HTTP API over its Unix socket. Each request is a connection of its own: an
/// operator's command comes once, and `top` must outlive a restart of the other side.
class ApiSocket {
 public:
  explicit ApiSocket(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] Answer get(const std::string& target) const;
  [[nodiscard]] Answer post(const std::string& target, const Json& body = Json::object()) const;
  [[nodiscard]] Answer put(const std::string& target, const Json& body) const;
  [[nodiscard]] Answer erase(const std::string& target) const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] Answer request(std::string_view method, const std::string& target,
                               const Json* body) const;
  [[nodiscard]] Failure unreachable() const;

  std::string path_;
};

/// Where the socket is: what was given, else PENSTOCK_SOCKET, else ./state/control.sock where there
/// is one, else /run/penstock/control.sock.
[[nodiscard]] std::string find_socket(const std::string& given);

/// One part of a target: everything but unreserved characters and "/" is escaped, so that any
/// stream name fits.
[[nodiscard]] std::string escaped(std::string_view text);

/// A Problem of the API as one line; without a line where it has none.
[[nodiscard]] std::string problem_text(const Json& problem);

/// What an answer with this status and body says, as a Failure.
[[nodiscard]] Failure failure_of(int status, const std::string& body);

}  // namespace penstock::controlplane::cli

#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "controlplane/parts.h"

namespace penstock::controlplane::api {

/// Who may ask on a TCP door, from what the request's head says; nullopt: go on. Exposed for tests.
struct Caller {
  std::string_view host;           // Host, may be empty
  std::string_view origin;         // Origin, may be empty
  std::string_view authorization;  // Authorization, may be empty
};
struct Admission {
  int status = 200;  // 401, 403
  std::string_view error;
  std::string_view hint;
};
[[nodiscard]] Admission admit(std::string_view token, const Caller& caller);

/// One listening HTTP server with its threads. Ends with the object. Beside `peers` it is the only
/// place that knows the HTTP library.
class Server {
 public:
  /// The error says what is wrong and what to do about it.
  [[nodiscard]] static std::expected<std::unique_ptr<Server>, std::string> listen_tcp(
      Parts& parts, const HttpAddress& address);
  /// A socket that only its owner may use; what an ended process left behind is removed.
  [[nodiscard]] static std::expected<std::unique_ptr<Server>, std::string> listen_unix(
      Parts& parts, const std::string& path);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  struct Door;
  explicit Server(std::unique_ptr<Door> door);

  std::unique_ptr<Door> door_;
};

}  // namespace penstock::controlplane::api

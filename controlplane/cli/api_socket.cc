#include "controlplane/cli/api_socket.h"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace penstock::controlplane::cli {

namespace {

// penstock-control answers from memory, within milliseconds; an order may wait 400 ms for every
// worker to apply it. After three seconds it is stopped, or the machine in deep trouble.
constexpr time_t answer_seconds_max = 3;

bool is_socket(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

}  // namespace

std::string find_socket(const std::string& given) {
  if (!given.empty()) return given;
  if (const char* from_environment = std::getenv("PENSTOCK_SOCKET");
      from_environment != nullptr && *from_environment != 0) {
    return from_environment;
  }
  const std::string system = "/run/penstock/control.sock";
  const std::string local = "./state/control.sock";
  return !exists(local) && exists(system) ? system : local;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') ||
                            std::string_view("-._~/").find(c) != std::string_view::npos;
    if (unreserved) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string problem_text(const Json& problem) {
  const uint64_t line = count_of(problem, "line");
  return text_of(problem, "file") + (line == 0 ? "" : fmt::format(":{}", line)) + ": " +
         text_of(problem, "text");
}

Failure failure_of(int status, const std::string& body) {
  Failure failure;
  failure.body = Json::parse(body, nullptr, false);
  failure.text = text_of(failure.body, "error");
  failure.hint = text_of(failure.body, "hint");
  for (const Json& problem : rows_of(failure.body, "problems")) {
    failure.text += "\n" + problem_text(problem);
  }
  if (failure.text.empty()) {
    failure.text = fmt::format("penstock-control answered with status {} and no reason", status);
  }
  return failure;
}

Failure ApiSocket::unreachable() const {
  if (path_.size() >= sizeof(sockaddr_un::sun_path)) {
    return {.text = fmt::format("--socket (or PENSTOCK_SOCKET) has {} bytes", path_.size()),
            .hint = fmt::format("a socket's path has {} at most; name it from a nearer folder, or "
                                "set a shorter control.socket",
                                sizeof(sockaddr_un::sun_path) - 1)};
  }
  if (exists(path_) && !is_socket(path_)) {
    return {
        .text = fmt::format("{} is not a socket", path_),
        .hint = "--socket (or PENSTOCK_SOCKET) names penstock-control's, <state_dir>/control.sock"};
  }
  if (exists(path_) && ::access(path_.c_str(), R_OK | W_OK) != 0 && errno == EACCES) {
    return {.text = fmt::format("no permission to use {}", path_),
            .hint =
                "the socket is for its owner alone: run penstockctl as the user that runs "
                "penstock-control"};
  }
  return {.text = fmt::format("penstock-control is not running at {}", path_),
          .hint =
              "start it with tools/run, or say where it is with --socket PATH or "
              "PENSTOCK_SOCKET"};
}

Answer ApiSocket::request(std::string_view method, const std::string& target,
                          const Json* body) const {
  if (path_.size() >= sizeof(sockaddr_un::sun_path)) return std::unexpected(unreachable());
  httplib::Client peer(path_);
  peer.set_address_family(AF_UNIX);
  peer.set_url_encode(false);
  peer.set_connection_timeout(answer_seconds_max);
  peer.set_read_timeout(answer_seconds_max);
  peer.set_write_timeout(answer_seconds_max);

  httplib::Request request;
  request.method = method;
  request.path = target;
  // The library would name the socket's path here, and the other side takes no host but its own.
  request.set_header("Host", "localhost");
  if (body != nullptr) {
    request.body = body->dump(-1, ' ', false, Json::error_handler_t::replace);
    request.set_header("Content-Type", "application/json");
  }
  const httplib::Result result = peer.send(request);
  if (!result) {
    if (result.error() == httplib::Error::Read) {
      return std::unexpected(
          Failure{.text = fmt::format("penstock-control at {} gave no answer within {} s", path_,
                                      answer_seconds_max),
                  .hint = "look at its log; kill -9 and a new start of it disturb no stream"});
    }
    return std::unexpected(unreachable());
  }
  if (result->status < 200 || result->status > 299) {
    return std::unexpected(failure_of(result->status, result->body));
  }
  Json answer = Json::parse(result->body, nullptr, false);
  if (answer.is_discarded()) {
    return std::unexpected(
        Failure{.text = fmt::format("what answers at {} is not penstock-control", path_),
                .hint = "say where it is with --socket PATH or PENSTOCK_SOCKET"});
  }
  return answer;
}

Answer ApiSocket::get(const std::string& target) const { return request("GET", target, nullptr); }

Answer ApiSocket::post(const std::string& target, const Json& body) const {
  return request("POST", target, &body);
}

Answer ApiSocket::put(const std::string& target, const Json& body) const {
  return request("PUT", target, &body);
}

Answer ApiSocket::erase(const std::string& target) const {
  return request("DELETE", target, nullptr);
}

}  // namespace penstock::controlplane::cli

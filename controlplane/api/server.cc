#include "controlplane/api/server.h"

#include <httplib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "controlplane/api/api.h"
#include "controlplane/api/peers.h"
#include "controlplane/text.h"
#include "penstock/base/spsc_ring.h"

namespace penstock::controlplane::api {
namespace {

// A console and a scraper need two; the others are for peers that are slow to send. The CLI has a
// door and threads of its own.
constexpr size_t threads_tcp = 32;
constexpr size_t threads_unix = 8;

// The longest path that means something is a name of 255 bytes that is no UTF-8, shown as 255 times
// U+FFFD of three bytes, each as %XX: 2295, and 40 bytes around it.
constexpr size_t target_bytes_max = 2400;

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool names_loopback(std::string_view host) {
  const std::string_view name = without_port(host);
  return name == "localhost" || name == "127.0.0.1" || name == "[::1]" || name.starts_with("127.");
}

Request request_of(const httplib::Request& from, std::string body) {
  Request request{from.method, from.path, {}, std::move(body)};
  for (const auto& [key, value] : from.params) request.query.emplace(key, value);
  return request;
}

void send_answer(const Answer& from, httplib::Response& to) {
  to.status = from.status;
  if (!from.allow.empty()) to.set_header("Allow", from.allow);
  if (from.status == 401) to.set_header("WWW-Authenticate", "Bearer");
  to.set_header("Cache-Control", "no-store");
  to.set_header("X-Content-Type-Options", "nosniff");
  to.set_content(from.body, from.content_type);
}

/// What is refused by its head alone, before a byte of the body is read.
std::optional<Answer> refuse_head(const httplib::Request& request) {
  if (request.target.size() > target_bytes_max)
    return refusal(414, "the path is too long", "a stream's name has 255 bytes at most");
  if (request.method != "GET" && request.method != "HEAD" && request.method != "POST" &&
      request.method != "PUT" && request.method != "DELETE") {
    Answer refused =
        refusal(405, "this method is not used here", "accepted: GET, HEAD, POST, PUT, DELETE");
    refused.allow = "GET, HEAD, POST, PUT, DELETE";
    return refused;
  }
  // The library reads a chunked body without a limit, and makes a copy of the answer for each of a
  // thousand ranges.
  if (request.has_header("Transfer-Encoding"))
    return refusal(411, "a length is needed", "send Content-Length");
  if (request.has_header("Content-Encoding"))
    return refusal(415, "compressed bodies are not taken", "send it plain");
  if (request.has_header("Range"))
    return refusal(400, "ranges are not served", "ask for the whole");
  if (request.get_header_value_count("Content-Length") > 1)
    return refusal(400, "two lengths", "send one Content-Length");
  if (!request.has_header("Content-Length")) return std::nullopt;
  const auto length = parse_number(request.get_header_value("Content-Length"));
  if (!length) return refusal(400, "Content-Length is no number", "");
  const size_t most = body_bytes_max(request.path);
  if (*length > most)
    return refusal(413, "the body is too large", "accepted: " + std::to_string(most) + " bytes");
  return std::nullopt;
}

constexpr std::string_view scheme = "bearer ";

/// The scheme's case means nothing (RFC 9110, 11.1).
bool is_bearer(std::string_view authorization) {
  if (authorization.size() < scheme.size()) return false;
  return std::ranges::equal(authorization.substr(0, scheme.size()), scheme, {}, [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
}

}  // namespace

Admission admit(std::string_view token, const Caller& caller) {
  if (!token.empty()) {
    const bool bearer = is_bearer(caller.authorization) &&
                        equal_in_constant_time(caller.authorization.substr(scheme.size()), token);
    if (bearer) return {};
    return {401, "a bearer token is needed",
            "send Authorization: Bearer and the text in control.token_file"};
  }
  // Without a token whoever reaches the port is trusted, and a browser on this host reaches it: a
  // page that resolves its own name to 127.0.0.1 shows in Host, one that posts across origins shows
  // in Origin.
  if (!caller.host.empty() && !names_loopback(caller.host)) {
    return {403, "this API answers to loopback names only",
            "ask http://127.0.0.1, or set control.token_file"};
  }
  const bool foreign =
      !caller.origin.empty() && caller.origin != "http://" + std::string(caller.host);
  if (foreign)
    return {403, "requests from pages of another origin are refused",
            "set control.token_file and send the token"};
  return {};
}

struct Server::Door {
  Door(Parts& all, bool trusted_peers, size_t threads)
      : parts(all), trusted(trusted_peers), http(threads) {}

  void set_up();
  void serve(const httplib::Request& from, httplib::Response& to, std::string body);
  void serve_with_body(const httplib::Request& from, httplib::Response& to,
                       const httplib::ContentReader& reader);

  Parts& parts;
  const bool trusted;  // the Unix socket: its mode has decided already
  std::string path;    // of the Unix socket
  PeerServer http;
  std::thread thread;
  StopFlag ended;  // raised by the thread when it serves no more
};

void Server::Door::set_up() {
  http.set_payload_max_length(body_bytes_max("/api/v1/config/check"));
  // The library's own choice is SO_REUSEPORT, with which two processes would share the port without
  // noticing.
  http.set_socket_options([](int socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  http.set_pre_routing_handler([this](const httplib::Request& from, httplib::Response& to) {
    if (const auto refused = refuse_head(from)) {
      send_answer(*refused, to);
      return httplib::Server::HandlerResponse::Handled;
    }
    // Without a length there is no body; the library would wait for one until the peer hangs up.
    const bool body_follows =
        from.has_header("Content-Length") && from.method != "GET" && from.method != "HEAD";
    if (body_follows) return httplib::Server::HandlerResponse::Unhandled;
    serve(from, to, {});
    return httplib::Server::HandlerResponse::Handled;
  });
  const auto with_body = [this](const httplib::Request& from, httplib::Response& to,
                                const httplib::ContentReader& reader) {
    serve_with_body(from, to, reader);
  };
  const auto without_body = [this](const httplib::Request& from, httplib::Response& to) {
    serve(from, to, {});
  };
  http.Post(".*", with_body);
  http.Put(".*", with_body);
  http.Delete(".*", with_body);
  http.Delete(".*", without_body);
  http.set_exception_handler(
      [](const httplib::Request&, httplib::Response& to, std::exception_ptr) {
        send_answer(refusal(500, "the control plane failed to answer", "please report it"), to);
      });
  http.set_error_handler([](const httplib::Request&, httplib::Response& to) {
    if (!to.body.empty()) return;
    const int status = to.status;
    send_answer(refusal(status, "the request is malformed or not understood", ""), to);
  });
}

void Server::Door::serve(const httplib::Request& from, httplib::Response& to, std::string body) {
  if (!trusted && from.path != "/healthz") {
    const std::string host = from.get_header_value("Host");
    const std::string origin = from.get_header_value("Origin");
    const std::string authorization = from.get_header_value("Authorization");
    const Admission admission =
        admit(parts.reconciler.settings()->token, {host, origin, authorization});
    if (admission.status != 200) {
      send_answer(refusal(admission.status, admission.error, admission.hint), to);
      return;
    }
  }
  send_answer(answer(parts, request_of(from, std::move(body))), to);
}

void Server::Door::serve_with_body(const httplib::Request& from, httplib::Response& to,
                                   const httplib::ContentReader& reader) {
  if (from.is_multipart_form_data()) {
    send_answer(refusal(415, "forms are not taken", "send JSON"), to);
    return;
  }
  std::string body;
  const size_t most = body_bytes_max(from.path);
  const bool whole = reader([&body, most](const char* data, size_t count) {
    if (body.size() + count > most) return false;
    body.append(data, count);
    return true;
  });
  if (!whole) {
    send_answer(
        refusal(400, "the body did not arrive whole", "send as many bytes as Content-Length says"),
        to);
    return;
  }
  serve(from, to, std::move(body));
}

Server::Server(std::unique_ptr<Door> door) : door_(std::move(door)) {
  door_->thread = std::thread([running = door_.get()] {
    if (!running->http.listen_after_bind()) {
      running->parts.log.write(control::LogLevel::error,
                               "the API stopped accepting; restart penstock-control");
    }
    running->ended.raise();
  });
}

Server::~Server() {
  // The thread may not have come to listen yet; stop() before that would be lost.
  while (!door_->http.is_running() && !door_->ended.raised()) std::this_thread::yield();
  door_->http.stop();
  door_->thread.join();
  if (!door_->path.empty()) ::unlink(door_->path.c_str());
}

std::expected<std::unique_ptr<Server>, std::string> Server::listen_tcp(Parts& parts,
                                                                       const HttpAddress& address) {
  auto door = std::make_unique<Door>(parts, false, threads_tcp);
  door->set_up();
  errno = 0;
  if (!door->http.bind_to_port(address.host, address.port)) {
    const std::string why = errno != 0 ? std::strerror(errno) : "no such address";
    return std::unexpected("cannot listen on control.http " + address.host + " port " +
                           std::to_string(address.port) + ": " + why +
                           "; end what has the port (ss -ltnp), or set another control.http");
  }
  door->http.widen_backlog();
  return std::unique_ptr<Server>(new Server(std::move(door)));
}

namespace {

/// Removes a socket that nobody listens on. The text says why it cannot be used.
std::string clear_socket(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode))
    return path + " is there and is no socket; remove it, or set another control.socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool lives = ::connect(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(probe);
  if (lives) return path + ": another process listens on it; end it, or set another control.socket";
  ::unlink(path.c_str());
  return {};
}

}  // namespace

std::expected<std::unique_ptr<Server>, std::string> Server::listen_unix(Parts& parts,
                                                                        const std::string& path) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return std::unexpected(path + ": longer than 107 bytes");
  if (std::string problem = clear_socket(path); !problem.empty()) return std::unexpected(problem);
  auto door = std::make_unique<Door>(parts, true, threads_unix);
  door->set_up();
  door->http.set_address_family(AF_UNIX);
  errno = 0;
  // The mode is there from the first moment: a chmod after bind leaves a gap. 80: any port will do.
  const mode_t mask = ::umask(0177);
  const bool bound = door->http.bind_to_port(path, 80);
  ::umask(mask);
  if (!bound) {
    return std::unexpected("cannot listen on control.socket " + path + ": " + std::strerror(errno) +
                           "; is the folder there and yours?");
  }
  door->path = path;
  door->http.widen_backlog();
  return std::unique_ptr<Server>(new Server(std::move(door)));
}

}  // namespace penstock::controlplane::api

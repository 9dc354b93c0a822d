#include "dataplane/engine/uring/listener.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "dataplane/engine/uring/uring_engine.h"

namespace penstock::engine {
namespace {

// The kernel takes the smaller of this and net.core.somaxconn (4096 by default since 5.4).
constexpr int backlog = 4096;

// A peer that vanished without a word is found after 30 s + 3 * 10 s = 60 s of silence in both
// directions.
constexpr int keepalive_idle_s = 30;
constexpr int keepalive_interval_s = 10;
constexpr int keepalive_probes = 3;

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

std::string bind_failure(const Endpoint& endpoint, int error) {
  const std::string where = "cannot listen on " + endpoint_text(endpoint) + ": ";
  const std::string port = std::to_string(endpoint.port);
  switch (error) {
    case EADDRINUSE:
      return where + "the port is taken; see by whom with `ss -ltnp 'sport = :" + port + "'`";
    case EACCES:
      return where + "ports below 1024 need a right; give it with `setcap " +
             "cap_net_bind_service=+ep` on the program, or `sysctl -w " +
             "net.ipv4.ip_unprivileged_port_start=" + port + "`";
    case EADDRNOTAVAIL:
      return where + "no interface has this address; see those that are there with `ip address`";
    case EAFNOSUPPORT:
      return where + "the kernel has no " + (endpoint.ipv6 ? "IPv6" : "IPv4") +
             "; remove the address from the listeners, or `sysctl -w "
             "net.ipv6.conf.all.disable_ipv6=0`";
    case ENOENT:
      return where +
             "the kernel does not have this congestion control; see which it has with "
             "`sysctl net.ipv4.tcp_available_congestion_control`";
    case EMFILE:
    case ENFILE:
      return where +
             "no descriptor left; raise the limit (`ulimit -n 65536`, or LimitNOFILE=65536 " +
             "in the unit)";
    default:
      return where + std::strerror(error);
  }
}

int open_socket(const Endpoint& endpoint) {
  // Not SOCK_NONBLOCK: io_uring would then answer EAGAIN instead of waiting.
  const int fd = socket(endpoint.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // V6ONLY: "[::]:1935" and "0.0.0.0:1935" may then stand side by side, whatever bindv6only says.
  if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
      (endpoint.ipv6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))) {
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
  }
  return fd;
}

bool set_options(int fd, const SocketOptions& options) {
  const std::string& congestion = options.congestion_control;
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
         set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_s) &&
         set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_s) &&
         set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes) &&
         set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                    static_cast<int>(options.peer_silent_ms_max)) &&
         (congestion.empty() || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion.data(),
                                           static_cast<socklen_t>(congestion.size())) == 0);
}

bool prepare_listener(int fd, const Endpoint& endpoint, const SocketOptions& options) {
  const SocketAddress address = to_socket_address(endpoint);
  return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) && set_options(fd, options) &&
         bind(fd, address.get(), address.length) == 0 && listen(fd, backlog) == 0;
}

}  // namespace

SocketAddress to_socket_address(const Endpoint& endpoint) {
  SocketAddress address;
  if (endpoint.ipv6) {
    auto& in6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(endpoint.port);
    std::memcpy(&in6.sin6_addr, endpoint.address, 16);
    address.length = sizeof in6;
  } else {
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address, 4);
    address.length = sizeof in;
  }
  return address;
}

Endpoint to_endpoint(const sockaddr_storage& storage) {
  Endpoint endpoint;
  if (storage.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
    endpoint.ipv6 = true;
    endpoint.port = ntohs(in6.sin6_port);
    std::memcpy(endpoint.address, &in6.sin6_addr, 16);
  } else {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    endpoint.port = ntohs(in.sin_port);
    std::memcpy(endpoint.address, &in.sin_addr, 4);
  }
  return endpoint;
}

std::string endpoint_text(const Endpoint& endpoint) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(endpoint.ipv6 ? AF_INET6 : AF_INET, endpoint.address, text, sizeof text);
  const std::string port = std::to_string(endpoint.port);
  return endpoint.ipv6 ? "[" + std::string(text) + "]:" + port : std::string(text) + ":" + port;
}

std::expected<int, std::string> open_listener(Endpoint& endpoint, const SocketOptions& options) {
  const int fd = open_socket(endpoint);
  if (fd < 0) return std::unexpected(bind_failure(endpoint, errno));
  if (!prepare_listener(fd, endpoint, options)) {
    const int error = errno;
    ::close(fd);
    return std::unexpected(bind_failure(endpoint, error));
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) == 0) {
    endpoint = to_endpoint(bound);
  }
  return fd;
}

int open_connecting_socket(const Endpoint& peer, const SocketOptions& options) {
  const int fd = socket(peer.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const linger now{.l_onoff = options.reset_connecting ? 1 : 0, .l_linger = 0};
  if (set_options(fd, options) && setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0) {
    return fd;
  }
  ::close(fd);
  return -1;
}

std::optional<std::string> endpoint_in_use(const Endpoint& endpoint) {
  if (endpoint.port == 0) return std::nullopt;
  const int fd = open_socket(endpoint);
  if (fd < 0) return bind_failure(endpoint, errno);
  const SocketAddress address = to_socket_address(endpoint);
  std::optional<std::string> failure;
  if (bind(fd, address.get(), address.length) != 0 || listen(fd, 1) != 0) {
    failure = bind_failure(endpoint, errno);
  }
  ::close(fd);
  return failure;
}

}  // namespace penstock::engine

#include "bench/load/host.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "dataplane/engine/uring/listener.h"

namespace penstock::load {
namespace {

constexpr std::string_view default_port = "1935";

// Standard streams, the ring, an eventfd, files of /proc.
constexpr uint32_t other_descriptors = 64;

struct HostAndPort {
  std::string host;
  std::string port;
};

HostAndPort split(std::string_view server) {
  const size_t bracket = server.starts_with('[') ? server.find(']') : std::string_view::npos;
  if (bracket != std::string_view::npos) {
    const std::string_view rest = server.substr(bracket + 1);
    return {std::string(server.substr(1, bracket - 1)),
            std::string(rest.starts_with(':') ? rest.substr(1) : default_port)};
  }
  const size_t colon = server.rfind(':');
  if (colon == std::string_view::npos) return {std::string(server), std::string(default_port)};
  return {std::string(server.substr(0, colon)), std::string(server.substr(colon + 1))};
}

/// The host's resolver takes any number and cuts it to 16 bits.
bool is_port(std::string_view text) {
  uint16_t port = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && rest == text.data() + text.size() && port > 0;
}

}  // namespace

std::expected<engine::Endpoint, std::string> resolve(std::string_view server) {
  const HostAndPort parts = split(server);
  if (!parts.port.empty() && !is_port(parts.port)) {
    return std::unexpected(
        fmt::format("--server {}: '{}' is no port; expected 1 to 65535", server, parts.port));
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found);
  if (error != 0 || parts.host.empty() || parts.port.empty()) {
    if (error == 0) freeaddrinfo(found);
    return std::unexpected(
        fmt::format("--server {}: {}; expected HOST:PORT like 127.0.0.1:1935 or [::1]:1935", server,
                    error == 0 ? "host or port is missing" : gai_strerror(error)));
  }
  sockaddr_storage storage{};
  std::memcpy(&storage, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return engine::to_endpoint(storage);
}

std::optional<std::string> allow_connections(uint32_t connections) {
  const rlim_t needed = connections + other_descriptors;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= needed) return std::nullopt;
  const rlimit wanted{needed, std::max(limit.rlim_max, needed)};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return std::nullopt;
  return fmt::format(
      "{} connections need {} descriptors, and the limit is {}; raise it with `ulimit -Hn {}` as "
      "root, or LimitNOFILE={} in the unit",
      connections, needed, limit.rlim_max, needed, needed);
}

std::optional<std::string> check_local_ports(uint32_t connections) {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  uint32_t first = 0;
  uint32_t last = 0;
  if (!(file >> first >> last)) return std::nullopt;
  if (connections <= last - first + 1) return std::nullopt;
  return fmt::format(
      "{} connections need as many local ports, and there are {}; widen the range with `sysctl -w "
      "net.ipv4.ip_local_port_range=\"1024 65535\"`",
      connections, last - first + 1);
}

std::optional<std::string> check_processes(std::span<const uint32_t> pids) {
  for (const uint32_t pid : pids) {
    if (!std::filesystem::exists(fmt::format("/proc/{}/task", pid)))
      return fmt::format("--server-pid {}: there is no such process", pid);
  }
  return std::nullopt;
}

std::optional<std::string> pin_to_core(uint32_t core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (core < CPU_SETSIZE) CPU_SET(core, &cores);
  if (core < CPU_SETSIZE && sched_setaffinity(0, sizeof cores, &cores) == 0) return std::nullopt;
  return fmt::format("--core {}: this process may not run there; see `taskset -p $$`", core);
}

std::optional<std::string> check_congestion_control(const std::string& name) {
  if (name.empty()) return std::nullopt;
  std::ifstream file("/proc/sys/net/ipv4/tcp_available_congestion_control");
  std::string line;
  std::getline(file, line);
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    if (word == name) return std::nullopt;
  }
  return fmt::format("--congestion {}: this kernel has {}; `modprobe tcp_{}` may add it", name,
                     line, name);
}

double thread_cpu_s() {
  timespec at{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

}  // namespace penstock::load

#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <expected>
#include <string>

#include "dataplane/engine/engine.h"

namespace penstock::engine {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

[[nodiscard]] SocketAddress to_socket_address(const Endpoint&);
[[nodiscard]] Endpoint to_endpoint(const sockaddr_storage&);
/// "127.0.0.1:1935" or "[::1]:1935".
[[nodiscard]] std::string endpoint_text(const Endpoint&);

/// A listening socket; connections accepted from it inherit its options. `endpoint` gets the port
/// when it was 0. The error is a line for the operator.
std::expected<int, std::string> open_listener(Endpoint& endpoint, uint32_t peer_silent_ms_max);

}  // namespace penstock::engine

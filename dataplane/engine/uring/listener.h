#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
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

/// What every connection's socket is set to.
struct SocketOptions {
  uint32_t peer_silent_ms_max = 60'000;  // a peer that acknowledges nothing for so long is gone
  std::string congestion_control;        // as the kernel names it; empty: the host's default
  bool reset_connecting = false;         // close() of what connect() made is a reset
};

/// A listening socket; connections accepted from it inherit its options. `endpoint` gets the port
/// when it was 0. The error is a line for the operator.
std::expected<int, std::string> open_listener(Endpoint& endpoint, const SocketOptions&);
/// A socket that can connect to `peer`; -1 when the host has none, or refuses an option.
int open_connecting_socket(const Endpoint& peer, const SocketOptions&);

}  // namespace penstock::engine

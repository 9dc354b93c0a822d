#pragma once

#include <cstdint>
#include <string>

namespace penstock::engine::tcp {

enum class NetworkPeer : uint8_t { self, kernel };

/// Hosts, wires and connections, all from one number. Empty, or what went wrong. `trace`: prints
/// every packet.
[[nodiscard]] std::string run_network_seed(uint64_t seed, NetworkPeer against, bool trace = false);

}  // namespace penstock::engine::tcp

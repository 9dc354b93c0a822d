#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/engine/engine.h"

namespace penstock::load {

// What the generator asks of its host. Each returns what is wrong and what to do about it.

/// "127.0.0.1:1935", "[::1]:1935", "media.example:1935"; the port may lack.
[[nodiscard]] std::expected<engine::Endpoint, std::string> resolve(std::string_view server);

/// Raises the limit of descriptors as far as needed.
[[nodiscard]] std::optional<std::string> allow_connections(uint32_t connections);

/// Local ports towards one server.
[[nodiscard]] std::optional<std::string> check_local_ports(uint32_t connections);

[[nodiscard]] std::optional<std::string> check_processes(std::span<const uint32_t> pids);

[[nodiscard]] std::optional<std::string> pin_to_core(uint32_t core);

[[nodiscard]] std::optional<std::string> check_congestion_control(const std::string& name);

/// Processor time of the calling thread.
[[nodiscard]] double thread_cpu_s();

}  // namespace penstock::load

#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "dataplane/engine/engine.h"

namespace penstock::engine {

/// What can be said of a device before DPDK is asked, by looking at the host: no such interface,
/// bound to a driver of the kernel's, no rights. The error is a line for the operator.
std::expected<void, std::string> check_device_text(const std::string& text, uint16_t mtu);

/// The kernel's interface (but `except`) that has this address as well: it would answer each
/// segment for us with a reset. Empty: none.
[[nodiscard]] std::string kernel_interface_of(const Endpoint& address, const std::string& except);

/// Why DPDK knows no such device, as far as can be guessed.
[[nodiscard]] std::string no_driver_text(const std::string& text);
/// How a device like this gets more queues, or nothing.
[[nodiscard]] std::string more_queues_text(const std::string& text);

}  // namespace penstock::engine

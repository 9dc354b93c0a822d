#pragma once

#include <string>

#include "dataplane/engine/engine.h"

namespace penstock::dataplane {

/// "192.0.2.1:1935" or "[2001:db8::1]:1935" (RFC 5952 for the address part).
[[nodiscard]] std::string address_text(const engine::Endpoint& endpoint);

}  // namespace penstock::dataplane

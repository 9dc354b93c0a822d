#pragma once

#include <functional>

#include "dataplane/transport/transport_engine.h"
#include "penstock/config/config.h"

namespace penstock::transport {

/// Whether anything lies between engines and workers: with plain RTMP alone nothing does.
[[nodiscard]] bool needs_transport(const config::Config& config);

/// RTMPT sessions of a worker: connections of their own, beside those that carry them.
[[nodiscard]] uint32_t tunnels_max(const config::Config& config);

/// What the configuration says of it: listeners, in the order of config::listener_lists(), counts,
/// and who may speak for others. Layers, clock and the other workers are main's.
[[nodiscard]] TransportOptions transport_options(const config::Config& config);

/// Hands tuned values on; nothing to call when there is no engine to tell.
[[nodiscard]] std::function<void(const control::TunableValues&)> rates_of(TransportEngine* engine);

}  // namespace penstock::transport

#include "dataplane/transport/transport_setup.h"

#include <algorithm>

namespace penstock::transport {
namespace {

using control::Tunable;
using control::value_of;

std::vector<Accepts> accepts_of(const config::Config& config) {
  std::vector<Accepts> accepts;
  const auto all = [&](const std::vector<config::ListenAddress>& list, const Accepts& one) {
    accepts.insert(accepts.end(), list.size(), one);
  };
  const bool sniff = config.sniff;
  // Where the first bytes decide, TLS carries whatever it is told to: an encoder that was given the
  // port of the other listener still gets through. Certificates may come later, by a reload.
  all(config.rtmp, {.rtmp = true,
                    .rtmpe = config.rtmpe_enabled,
                    .http = sniff,
                    .tls_rtmp = sniff,
                    .tls_http = sniff});
  all(config.rtmps, {.tls_rtmp = true, .tls_http = sniff});
  all(config.rtmpt, {.http = true});
  all(config.rtmpts, {.tls_rtmp = sniff, .tls_http = true});
  return accepts;
}

}  // namespace

bool needs_transport(const config::Config& config) {
  return config.sniff || config.rtmpe_enabled || !config.proxy_from.empty() ||
         !config.rtmps.empty() || !config.rtmpt.empty() || !config.rtmpts.empty();
}

uint32_t tunnels_max(const config::Config& config) {
  if (!needs_transport(config)) return 0;
  return static_cast<uint32_t>(value_of(config.tunables, Tunable::rtmpt_sessions_max));
}

TransportOptions transport_options(const config::Config& config) {
  TransportOptions options;
  options.listeners = accepts_of(config);
  options.connections_max =
      static_cast<uint32_t>(value_of(config.tunables, Tunable::connections_max));
  options.tunnels_max = tunnels_max(config);
  if (!config.proxy_from.empty()) {
    options.may_proxy = [prefixes = config.proxy_from](const engine::Endpoint& peer) {
      return std::ranges::any_of(prefixes, [&](const config::AddressPrefix& prefix) {
        return prefix.covers(peer.address, peer.ipv6);
      });
    };
  }
  return options;
}

std::function<void(const control::TunableValues&)> rates_of(TransportEngine* engine) {
  if (engine == nullptr) return {};
  return [engine](const control::TunableValues& values) {
    engine->set_rates(
        {.tls_handshakes_per_second = value_of(values, Tunable::tls_handshakes_per_second),
         .rtmpe_handshakes_per_second = value_of(values, Tunable::rtmpe_handshakes_per_second),
         .tunnels = {.idle_ms = value_of(values, Tunable::rtmpt_idle_ms),
                     .handshake_ms = value_of(values, Tunable::handshake_ms),
                     .tunnels_per_address = static_cast<uint32_t>(
                         value_of(values, Tunable::rtmpt_sessions_per_address))}});
  };
}

}  // namespace penstock::transport

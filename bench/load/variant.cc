#include "bench/load/variant.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "dataplane/engine/uring/ring.h"
#include "dataplane/tls/tls_layer.h"
#include "penstock/tunnel/rtmpe_layer.h"

namespace penstock::load {
namespace {

constexpr std::pair<std::string_view, Transport> variants[] = {
    {"rtmp", Transport::rtmp},     {"rtmps", Transport::rtmps}, {"rtmpt", Transport::rtmpt},
    {"rtmpts", Transport::rtmpts}, {"rtmpe", Transport::rtmpe}, {"rtmpte", Transport::rtmpte},
};

/// The name to ask a certificate for: none for an address.
std::string server_name_of(std::string_view server) {
  const std::string_view host = server.substr(0, server.rfind(':'));
  const bool address =
      server.starts_with('[') || host.find_first_not_of("0123456789.") == std::string_view::npos;
  return address ? std::string() : std::string(host);
}

}  // namespace

std::string_view variant_name(Transport variant) {
  return std::ranges::find(variants, variant, [](const auto& row) { return row.second; })->first;
}

std::optional<Transport> variant_named(std::string_view name) {
  const auto found = std::ranges::find(variants, name, [](const auto& row) { return row.first; });
  return found == std::end(variants) ? std::nullopt : std::optional(found->second);
}

std::unique_ptr<engine::Engine> layered_for(Transport variant, engine::Engine& inner,
                                            std::string_view server) {
  if (variant == Transport::rtmp) return nullptr;
  const bool secure = variant == Transport::rtmps || variant == Transport::rtmpts;
  const bool tunnel =
      variant == Transport::rtmpt || variant == Transport::rtmpts || variant == Transport::rtmpte;
  const auto context = secure ? std::make_shared<tls::InitiatorContext>() : nullptr;
  uint64_t seed = 0;
  return std::make_unique<LayeredEngine>(
      inner, engine::monotonic_now,
      [=, host = std::string(server), name = server_name_of(server)]() mutable {
        Layers layers;
        if (secure) layers.all.push_back(tls::TlsLayer::initiate(*context, name));
        if (tunnel) {
          auto requests = std::make_unique<RtmptLayer>(host, engine::monotonic_now);
          layers.tunnel = requests.get();
          layers.tunnel_depth = layers.all.size();
          layers.all.push_back(std::move(requests));
        }
        if (has_handshake(variant)) {
          layers.all.push_back(std::make_unique<tunnel::RtmpeLayer>(
              tunnel::RtmpeSettings{.initiates = true, .random_seed = ++seed}));
        }
        return layers;
      });
}

}  // namespace penstock::load

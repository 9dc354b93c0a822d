#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "bench/load/layered_engine.h"
#include "dataplane/engine/engine.h"

namespace penstock::load {

using engine::Transport;

/// Also the scheme of its URLs.
[[nodiscard]] std::string_view variant_name(Transport variant);
[[nodiscard]] std::optional<Transport> variant_named(std::string_view name);
constexpr const char* variant_list = "rtmp rtmps rtmpt rtmpts rtmpe rtmpte";

/// RTMP's handshake is a layer's: what its session sees begins with chunks.
[[nodiscard]] constexpr bool has_handshake(Transport variant) {
  return variant == Transport::rtmpe || variant == Transport::rtmpte;
}

/// An engine over `inner` that speaks the variant to everybody; none for plain RTMP, which needs
/// none.
[[nodiscard]] std::unique_ptr<engine::Engine> layered_for(Transport variant, engine::Engine& inner,
                                                          std::string_view server);

}  // namespace penstock::load

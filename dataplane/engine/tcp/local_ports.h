#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/siphash.h"

namespace penstock::engine::tcp {

/// Ports of our own for connections that we begin: not to be foreseen by others, and not soon used
/// again towards the same peer (RFC 6056: 3.3.4, double-hash port selection).
class LocalPorts {
 public:
  // As Linux has them: below are services, and 61000 on is what masquerading routers take.
  static constexpr uint16_t first = 32768;
  static constexpr uint32_t count = 60999 - first + 1;

  explicit LocalPorts(const Secret& secret) {
    const uint8_t one[1] = {'o'};
    const uint8_t two[1] = {'t'};
    offsets_ = {{siphash(secret, one), siphash(secret, two)}};
    tables_ = {{siphash(offsets_, one), siphash(offsets_, two)}};
  }

  /// Sets flow.local_port to one that `usable(flow)` accepts; false when none is.
  template <typename Usable>
  [[nodiscard]] bool choose(FlowKey& flow, const Usable& usable) {
    flow.local_port = 0;
    const uint64_t words[3] = {flow.remote[0], flow.remote[1], flow.third_word()};
    const Bytes destination{reinterpret_cast<const uint8_t*>(words), sizeof(words)};
    const auto offset = static_cast<uint32_t>(siphash(offsets_, destination));
    uint32_t& next = next_[siphash(tables_, destination) % next_.size()];
    for (uint32_t tries = 0; tries < count; ++tries) {
      flow.local_port = static_cast<uint16_t>(first + (offset + next++) % count);
      if (usable(flow)) return true;
    }
    return false;
  }

 private:
  Secret offsets_;
  Secret tables_;
  std::array<uint32_t, 64> next_{};
};

}  // namespace penstock::engine::tcp

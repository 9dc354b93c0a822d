#pragma once

#include <cstdint>

#include "dataplane/engine/tcp/flow_key.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// Numbers that peers get to see and must not be able to foresee for flows of others: each is a
/// clock plus a keyed hash of the flow (RFC 6528, 7323: 5.4).
class FlowNumbers {
 public:
  explicit FlowNumbers(const Secret& secret) {
    for (uint8_t i = 0; i < 4; ++i) {
      const uint8_t low[2] = {'n', i};
      const uint8_t high[2] = {'m', i};
      secrets_[i] = {{siphash(secret, low), siphash(secret, high)}};
    }
  }

  /// The initial sequence number: a tick each 4 us, so that those of one flow grow (RFC 6528: 3).
  [[nodiscard]] uint32_t isn(const FlowKey& key, Instant now) const {
    return static_cast<uint32_t>(now.ns / 4000) + static_cast<uint32_t>(hash(0, key));
  }
  /// What is added to the millisecond clock of a flow's timestamps: so they do not tell how long
  /// this host has been up, nor which flows are of the same host.
  [[nodiscard]] uint32_t timestamp_offset(const FlowKey& key) const {
    return static_cast<uint32_t>(hash(1, key));
  }
  /// For cookies: of one SYN, and of a time.
  [[nodiscard]] uint32_t cookie_of_syn(const FlowKey& key, uint32_t peer_first) const {
    return static_cast<uint32_t>(hash(2, key, peer_first));
  }
  [[nodiscard]] uint32_t cookie_of_period(const FlowKey& key, uint32_t period) const {
    return static_cast<uint32_t>(hash(3, key, period));
  }

 private:
  [[nodiscard]] uint64_t hash(uint32_t which, const FlowKey& key, uint32_t more = 0) const {
    const uint64_t words[4] = {key.remote[0], key.remote[1], key.third_word(), more};
    return siphash(secrets_[which], {reinterpret_cast<const uint8_t*>(words), sizeof(words)});
  }

  Secret secrets_[4];
};

}  // namespace penstock::engine::tcp

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/engine/address_key.h"
#include "penstock/base/time.h"

namespace penstock::dataplane {

/// Failed logins by address, so that a password cannot be tried out. Failures alone count: a studio
/// whose encoders all come back at once behind one address is let in. A network of IPv6 (/64) is
/// one address. Owner: one worker.
class LoginAttempts {
 public:
  // A person who types it wrong has ten tries at once and then one each six seconds: 14,400 a day,
  // where a password of eight random letters and digits has 2 * 10^14.
  static constexpr uint64_t burst = 10;
  static constexpr uint64_t interval_ns = 6 * ns_per_s;

  explicit LoginAttempts(uint64_t random_seed) : seed_(random_seed) {}

  [[nodiscard]] bool allowed(const engine::Endpoint& peer, Instant now) const;
  void failed(const engine::Endpoint& peer, Instant now);

 private:
  // 4096 addresses that failed within a minute, 96 KiB. More push out those that owe least, eight
  // of which share a place.
  static constexpr size_t places = 512;
  static constexpr size_t ways = 8;
  struct Debt {
    engine::AddressKey address{};
    Instant until;  // when the last failure is forgotten; in the past: the entry is free
  };

  [[nodiscard]] size_t place_of(const engine::AddressKey& address) const;

  const uint64_t seed_;
  std::vector<Debt> debts_;  // empty until somebody fails
};

}  // namespace penstock::dataplane

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/engine/address_key.h"
#include "penstock/base/time.h"

namespace penstock::dataplane {

/// Failed logins by address, so that a password cannot be tried out. Failures alone count: a studio
/// whose encoders all come back at once behind one address is let in. A network of IPv6 (/64) is
/// one address. Owner: one worker. A peer cannot choose the worker, but by many connections it has
/// all of them: each gives its part of what an address has.
class LoginAttempts {
 public:
  // A person who types it wrong has ten tries at once and then one each six seconds: 14,400 a day,
  // where a password of eight random letters and digits has 2 * 10^14.
  static constexpr uint64_t burst = 10;
  static constexpr uint64_t interval_ns = 6 * ns_per_s;
  // With one, a single wrong try would shut that worker's door for as long as all the others' turns
  // take (64 workers: six minutes). 64 workers so give 128 at once, and no more each day.
  static constexpr uint64_t worker_burst_min = 2;

  LoginAttempts(uint64_t random_seed, uint32_t workers)
      : seed_(random_seed),
        worker_burst_(std::max<uint64_t>((burst + workers - 1) / workers, worker_burst_min)),
        worker_interval_ns_(interval_ns * workers) {}

  [[nodiscard]] bool allowed(const engine::Endpoint& peer, Instant now) const;
  void failed(const engine::Endpoint& peer, Instant now);

 private:
  // 4096 addresses that owe something, 96 KiB: each for a minute after ten failures, and for 13 by
  // the two of 64 workers. More push out those that owe least, eight of which share a place.
  static constexpr size_t places = 512;
  static constexpr size_t ways = 8;
  struct Debt {
    engine::AddressKey address{};
    Instant until;  // when the last failure is forgotten; in the past: the entry is free
  };

  [[nodiscard]] size_t place_of(const engine::AddressKey& address) const;

  const uint64_t seed_;
  const uint64_t worker_burst_;
  const uint64_t worker_interval_ns_;
  std::vector<Debt> debts_;  // empty until somebody fails
};

}  // namespace penstock::dataplane

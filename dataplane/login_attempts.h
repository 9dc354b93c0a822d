#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/engine/address_key.h"
#include "penstock/base/time.h"

namespace penstock::dataplane {

/// Failed logins by address, and there by user, so that a password cannot be tried out. Failures
/// alone count: a studio whose encoders all come back at once behind one address is let in. One of
/// them with an old password, which tries again every second, shuts the door for its own user
/// alone. A network of IPv6 (/64) is one address. Owner: one worker. A peer cannot choose the
/// worker, but by many connections it has all of them: each gives its part of what an address has.
class LoginAttempts {
 public:
  // A person who types it wrong has ten tries at once and then one each six seconds: 14,400 a day,
  // where a password of eight random letters and digits has 2 * 10^14.
  static constexpr uint64_t burst = 10;
  static constexpr uint64_t interval_ns = 6 * ns_per_s;
  // An address has ten times that for all users, so that nine of its encoders may be wrong for good
  // and hurt no other: each of them fails once per interval in the long run. Ten would use all of
  // it up, and keep it used up.
  static constexpr uint64_t users_share = 10;
  // With one, a single wrong try would shut that worker's door for as long as all the others' turns
  // take (64 workers: six minutes). 64 workers so give 128 at once, and no more each day.
  static constexpr uint64_t worker_burst_min = 2;

  LoginAttempts(uint64_t random_seed, uint32_t workers);

  [[nodiscard]] bool allowed(const engine::Endpoint& peer, std::string_view user,
                             Instant now) const;
  void failed(const engine::Endpoint& peer, std::string_view user, Instant now);

 private:
  // 4096 that owe something, 128 KiB: each for a minute after ten failures, and for 13 by the two
  // of 64 workers. More push out those that owe least, eight of which share a place.
  static constexpr size_t places = 512;
  static constexpr size_t ways = 8;
  /// An address, or one user at an address.
  struct Who {
    engine::AddressKey address{};
    uint64_t user = 0;  // a hash of the name; 0: all users
    bool operator==(const Who&) const = default;
  };
  struct Debt {
    Who who;
    Instant until;  // when the last failure is forgotten; in the past: the entry is free
  };
  /// As of a worker: its part of what all have.
  struct Budget {
    uint64_t burst;
    uint64_t interval_ns;
  };

  [[nodiscard]] static Who one_user(const engine::Endpoint& peer, std::string_view user);
  [[nodiscard]] static Who all_users(const engine::Endpoint& peer);
  [[nodiscard]] size_t place_of(const Who& who) const;
  [[nodiscard]] bool can_owe(const Who& who, const Budget& budget, Instant now) const;
  void owe(const Who& who, const Budget& budget, Instant now);

  const uint64_t seed_;
  const Budget of_user_;
  const Budget of_address_;
  std::vector<Debt> debts_;  // empty until somebody fails
};

}  // namespace penstock::dataplane

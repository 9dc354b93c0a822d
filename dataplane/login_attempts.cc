#include "dataplane/login_attempts.h"

#include <algorithm>
#include <functional>

#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"

namespace penstock::dataplane {

LoginAttempts::LoginAttempts(uint64_t random_seed, uint32_t workers)
    : seed_(random_seed),
      of_user_{.burst = std::max<uint64_t>((burst + workers - 1) / workers, worker_burst_min),
               .interval_ns = interval_ns * workers},
      of_address_{.burst = of_user_.burst * users_share,
                  .interval_ns = of_user_.interval_ns / users_share} {}

LoginAttempts::Who LoginAttempts::one_user(const engine::Endpoint& peer, std::string_view user) {
  const uint64_t hash = std::hash<std::string_view>{}(user);
  return {.address = engine::address_key(peer), .user = hash != 0 ? hash : 1};
}

LoginAttempts::Who LoginAttempts::all_users(const engine::Endpoint& peer) {
  return {.address = engine::address_key(peer)};
}

bool LoginAttempts::allowed(const engine::Endpoint& peer, std::string_view user,
                            Instant now) const {
  if (debts_.empty()) return true;
  return can_owe(one_user(peer, user), of_user_, now) && can_owe(all_users(peer), of_address_, now);
}

void LoginAttempts::failed(const engine::Endpoint& peer, std::string_view user, Instant now) {
  if (debts_.empty()) debts_.resize(places * ways);
  owe(one_user(peer, user), of_user_, now);
  owe(all_users(peer), of_address_, now);
}

size_t LoginAttempts::place_of(const Who& who) const {
  const uint64_t mixed = load_u64(&who.address[1]) ^ who.address[0] ^ who.user ^ seed_;
  return Prng(mixed).below(places) * ways;
}

bool LoginAttempts::can_owe(const Who& who, const Budget& budget, Instant now) const {
  const size_t place = place_of(who);
  for (size_t i = place; i < place + ways; ++i) {
    const Debt& debt = debts_[i];
    if (debt.who != who) continue;
    return debt.until <= now.after_ns((budget.burst - 1) * budget.interval_ns);
  }
  return true;
}

void LoginAttempts::owe(const Who& who, const Budget& budget, Instant now) {
  const auto place = debts_.begin() + static_cast<ptrdiff_t>(place_of(who));
  const auto end = place + ways;
  auto debt = std::find_if(place, end, [&](const Debt& one) { return one.who == who; });
  if (debt == end) {
    debt = std::min_element(place, end,
                            [](const Debt& a, const Debt& b) { return a.until < b.until; });
    *debt = {.who = who, .until = now};
  }
  debt->until = std::max(debt->until, now).after_ns(budget.interval_ns);
}

}  // namespace penstock::dataplane

#include "dataplane/login_attempts.h"

#include <algorithm>

#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"

namespace penstock::dataplane {

uint64_t LoginAttempts::address_of(const engine::Endpoint& peer) {
  if (peer.ipv6) return load_u64(peer.address);
  // 0::/64 is nobody's network (RFC 4291, 2.5).
  return load_u32(peer.address);
}

size_t LoginAttempts::place_of(uint64_t address) const {
  return Prng(address ^ seed_).below(places) * ways;
}

bool LoginAttempts::allowed(const engine::Endpoint& peer, Instant now) const {
  if (debts_.empty()) return true;
  const uint64_t address = address_of(peer);
  const size_t place = place_of(address);
  for (size_t i = place; i < place + ways; ++i) {
    const Debt& debt = debts_[i];
    if (debt.address != address) continue;
    return debt.until <= now.after_ns((burst - 1) * interval_ns);
  }
  return true;
}

void LoginAttempts::failed(const engine::Endpoint& peer, Instant now) {
  if (debts_.empty()) debts_.resize(places * ways);
  const uint64_t address = address_of(peer);
  const auto place = debts_.begin() + static_cast<ptrdiff_t>(place_of(address));
  const auto end = place + ways;
  auto debt = std::find_if(place, end, [&](const Debt& one) { return one.address == address; });
  if (debt == end) {
    debt = std::min_element(place, end,
                            [](const Debt& a, const Debt& b) { return a.until < b.until; });
    *debt = {.address = address, .until = now};
  }
  debt->until = std::max(debt->until, now).after_ns(interval_ns);
}

}  // namespace penstock::dataplane

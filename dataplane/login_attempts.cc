#include "dataplane/login_attempts.h"

#include <algorithm>

#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"

namespace penstock::dataplane {

size_t LoginAttempts::place_of(const engine::AddressKey& address) const {
  return Prng(load_u64(&address[1]) ^ address[0] ^ seed_).below(places) * ways;
}

bool LoginAttempts::allowed(const engine::Endpoint& peer, Instant now) const {
  if (debts_.empty()) return true;
  const engine::AddressKey address = engine::address_key(peer);
  const size_t place = place_of(address);
  for (size_t i = place; i < place + ways; ++i) {
    const Debt& debt = debts_[i];
    if (debt.address != address) continue;
    return debt.until <= now.after_ns((worker_burst_ - 1) * worker_interval_ns_);
  }
  return true;
}

void LoginAttempts::failed(const engine::Endpoint& peer, Instant now) {
  if (debts_.empty()) debts_.resize(places * ways);
  const engine::AddressKey address = engine::address_key(peer);
  const auto place = debts_.begin() + static_cast<ptrdiff_t>(place_of(address));
  const auto end = place + ways;
  auto debt = std::find_if(place, end, [&](const Debt& one) { return one.address == address; });
  if (debt == end) {
    debt = std::min_element(place, end,
                            [](const Debt& a, const Debt& b) { return a.until < b.until; });
    *debt = {.address = address, .until = now};
  }
  debt->until = std::max(debt->until, now).after_ns(worker_interval_ns_);
}

}  // namespace penstock::dataplane

#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>

#include "dataplane/engine/address_key.h"
#include "dataplane/engine/engine.h"
#include "penstock/base/assert.h"
#include "penstock/base/time.h"

namespace penstock::transport {

/// Key exchanges cost a core a millisecond each: so many per second are begun, one after the other,
/// and who comes in between waits in line, so that a storm of handshakes does not stall media. When
/// more than a second's worth waits the newest is first: peers give up after some seconds, and in
/// their order everybody would be served just before that. One address has a part of the line.
class Ration {
 public:
  void set_rate(uint64_t per_second) { per_second_ = std::max<uint64_t>(per_second, 1); }

  /// Joins the line; its turn comes from next(), unless it leaves. False: too many of its address
  /// are there.
  [[nodiscard]] bool wait(engine::ConnectionId id, const engine::Endpoint& peer) {
    const engine::AddressKey address = engine::address_key(peer);
    uint64_t& of_address = by_address_[address];
    if (of_address >= seconds_per_address * per_second_) return false;
    ++of_address;
    const bool is_new = places_.emplace(id.index, line_.insert(line_.end(), {id, address})).second;
    PENSTOCK_ASSERT(is_new);
    return true;
  }
  void leave(engine::ConnectionId id) {
    const auto place = places_.find(id.index);
    PENSTOCK_ASSERT(place != places_.end());
    remove(place->second);
  }

  /// When next() gives something at the earliest; never() while nobody waits.
  [[nodiscard]] Instant due() const { return line_.empty() ? Instant::never() : next_at_; }

  /// Takes one from the line, when it is time.
  [[nodiscard]] std::optional<engine::ConnectionId> next(Instant now) {
    if (line_.empty() || now < next_at_) return std::nullopt;
    const auto place = line_.size() > per_second_ ? std::prev(line_.end()) : line_.begin();
    const engine::ConnectionId id = place->id;
    remove(place);
    const uint64_t interval_ns = ns_per_s / per_second_;
    // What was not used while nobody came adds up to a burst of this many at most.
    const Instant earliest{now.ns - std::min(now.ns, burst * interval_ns)};
    next_at_ = std::max(next_at_, earliest).after_ns(interval_ns);
    return id;
  }

 private:
  static constexpr uint64_t burst = 4;
  // An encoder waits 5 s and more: a studio behind one address that comes back at once is let in as
  // fast as can be, and a flood from there fills no more of the line.
  static constexpr uint64_t seconds_per_address = 4;

  struct Waiting {
    engine::ConnectionId id;
    engine::AddressKey address;
  };
  using Line = std::list<Waiting>;

  void remove(Line::iterator place) {
    const auto of_address = by_address_.find(place->address);
    if (--of_address->second == 0) by_address_.erase(of_address);
    places_.erase(place->id.index);
    line_.erase(place);
  }

  uint64_t per_second_ = 1;
  Instant next_at_;
  Line line_;
  std::unordered_map<uint32_t, Line::iterator> places_;  // by index
  std::map<engine::AddressKey, uint64_t> by_address_;
};

}  // namespace penstock::transport

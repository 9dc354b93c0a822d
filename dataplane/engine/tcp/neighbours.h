#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/deadline_wheel.h"
#include "dataplane/engine/tcp/siphash.h"
#include "dataplane/engine/tcp/types.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// A place in the table; stale when the generation does not fit any more.
struct NeighbourRef {
  static constexpr uint16_t none = 0xffff;
  uint16_t index = none;
  uint16_t generation = 0;
};

/// The Ethernet addresses of the hosts on the link, as RFC 4861 (7.3) has it, for ARP as well.
///
/// Whoever is on the link can lie in both protocols. So nothing unasked makes an entry that
/// anything is sent by before it was probed, a claim of another address for an entry in use is
/// checked with the old one first (which costs a fail-over about a second), own addresses are never
/// learnt, and floods push out only entries that nobody uses.
class Neighbours {
 public:
  static constexpr uint32_t entries_max = 32768;

  // Times of RFC 4861 (10). Doubts are settled faster than a resolution: peers are waiting.
  static constexpr uint64_t reachable_ns = 30 * ns_per_s;
  static constexpr uint64_t delay_ns = 5 * ns_per_s;
  static constexpr uint64_t retransmit_ns = ns_per_s;
  static constexpr uint64_t doubt_ns = 300 * ns_per_ms;
  static constexpr uint8_t queries_max = 3;
  // After nobody answered: so long nothing is sent and nobody asked.
  static constexpr uint64_t failed_ns = 3 * ns_per_s;

  struct Query {
    IpAddress target;
    std::optional<MacAddress> mac;  // asked directly; otherwise everybody is
  };

  Neighbours(uint32_t count_max, const Secret& secret, StackCounters& counters);

  /// The entry of an address of the link, made when it is not there; nothing is asked yet. No
  /// reference when all entries are in use.
  [[nodiscard]] NeighbourRef entry_of(const IpAddress& address, Instant now);
  /// Where to send what goes to it. Null while that is not known; the question is then on its way.
  /// A call is what keeps an entry in use.
  [[nodiscard]] const MacAddress* use(NeighbourRef ref, Instant now);
  [[nodiscard]] bool valid(NeighbourRef ref) const {
    return ref.index < count_ && entries_[ref.index].generation == ref.generation &&
           entries_[ref.index].state != State::free;
  }
  /// Nobody answered lately.
  [[nodiscard]] bool failed(NeighbourRef ref) const {
    return !valid(ref) || entries_[ref.index].state == State::failed;
  }
  /// A peer behind it got what we sent (RFC 4861: 7.3.1), so it needs no probe.
  void confirm(NeighbourRef ref, Instant now) {
    if (!valid(ref)) return;
    Entry& entry = entries_[ref.index];
    if (entry.state >= State::reachable) confirm_entry(entry, now);
  }
  /// `asks_us`: it asks for one of our addresses, and will be answered (RFC 826: so it is learnt).
  void heard(const NeighbourNews& news, bool asks_us, Instant now);

  /// Questions to send; call until there is none.
  [[nodiscard]] std::optional<Query> next_query();
  /// Whether entries became usable or failed since the last call: who waits may look again.
  [[nodiscard]] bool take_changed() {
    const bool changed = changed_;
    changed_ = false;
    return changed;
  }
  [[nodiscard]] Instant deadline() const { return wheel_.next(); }
  void expire(Instant now);
  [[nodiscard]] size_t memory_bytes() const;

 private:
  // In this order: from `reachable` on packets are sent.
  enum class State : uint8_t { free, fresh, incomplete, failed, reachable, stale, delay, probe };
  struct Entry {
    IpAddress address;
    MacAddress mac;
    State state = State::free;
    uint8_t queries = 0;
    bool doubted = false;      // somebody claims another address for it
    bool query_waits = false;  // in queries_
    uint16_t generation = 0;
    uint32_t used_s = 0;  // when packets were last sent by it, for who is pushed out
  };

  [[nodiscard]] uint32_t index_of(const Entry& entry) const {
    return static_cast<uint32_t>(&entry - entries_.data());
  }
  [[nodiscard]] uint32_t hash_of(const IpAddress& address) const;
  [[nodiscard]] Entry* find(const IpAddress& address);
  Entry* make(const IpAddress& address, Instant now, bool for_use);
  [[nodiscard]] Entry* idle_entry(Instant now, bool for_use);
  void forget(Entry& entry);
  void confirm_entry(Entry& entry, Instant now);
  void become_known(Entry& entry, const MacAddress& mac, State state, Instant now);
  void set_timer(Entry& entry, uint64_t delay, Instant now);
  void ask(Entry& entry, uint64_t retry_ns, Instant now);
  void expire_entry(Entry& entry, Instant now);

  uint32_t count_;
  uint32_t mask_;
  Secret secret_;
  StackCounters& counters_;
  std::vector<Entry> entries_;
  std::vector<uint16_t> slots_;  // open addressing: index + 1
  std::vector<uint16_t> queries_;
  DeadlineWheel wheel_;
  uint32_t scan_ = 0;
  bool changed_ = false;
};

}  // namespace penstock::engine::tcp

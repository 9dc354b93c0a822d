#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/engine/tcp/flow_key.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// Paths that let less through than our own link (RFC 1191, RFC 8201), by destination. What is
/// learnt was checked against a segment in flight before it comes here.
class PathMtus {
 public:
  // RFC 1191 allows 68 and RFC 8201 1280. 552 is what Linux goes down to: nobody runs less, and a
  // forged message would make us send eight times the packets.
  static constexpr uint16_t ipv4_min = 552;
  static constexpr uint16_t ipv6_min = 1280;
  // Two times the least that RFC 8201 (4) wants; there is no probing upwards before.
  static constexpr uint64_t age_ns = 600 * ns_per_s;
  // One path of 24 bytes; peers behind tunnels are few, and those pushed out learn it again.
  static constexpr uint32_t paths_max = 1024;

  PathMtus(uint16_t link_mtu, const Secret& secret)
      : link_mtu_(link_mtu), hash_(secret), paths_(paths_max) {}

  [[nodiscard]] uint16_t of(const FlowKey& flow, Instant now) const {
    const Path& path = paths_[place(flow)];
    return path.matches(flow) && now < path.until ? path.mtu : link_mtu_;
  }

  /// `said` is the router's word, 0 when it has none; `used` what we send at present. The new
  /// value, or `used` when nothing gets smaller by it: it never grows by a message.
  uint16_t learn(const FlowKey& flow, uint16_t said, uint16_t used, Instant now) {
    const uint16_t least = flow.ipv6() ? ipv6_min : ipv4_min;
    // Routers before RFC 1191 name no size. One step down its table of common ones.
    const uint16_t wanted = said != 0 ? said : used > 1006 ? 1006 : least;
    const uint16_t mtu = wanted < least ? least : wanted;
    if (mtu >= used) return used;
    Path& path = paths_[place(flow)];
    path = {{flow.remote[0], flow.remote[1]}, now.after_ns(age_ns), mtu};
    return mtu;
  }

  /// How many were forgotten since the last call because of their age.
  uint32_t expire(Instant now) {
    uint32_t aged = 0;
    for (Path& path : paths_) {
      if (path.mtu == 0 || now < path.until) continue;
      path = {};
      ++aged;
    }
    return aged;
  }

  [[nodiscard]] uint16_t link_mtu() const { return link_mtu_; }

 private:
  struct Path {
    uint64_t remote[2] = {};
    Instant until;
    uint16_t mtu = 0;  // 0: free
    [[nodiscard]] bool matches(const FlowKey& flow) const {
      return mtu != 0 && remote[0] == flow.remote[0] && remote[1] == flow.remote[1];
    }
  };

  // One place each: two destinations that share one take turns, which costs a lost segment.
  [[nodiscard]] uint32_t place(const FlowKey& flow) const {
    FlowKey destination;
    destination.remote[0] = flow.remote[0];
    destination.remote[1] = flow.remote[1];
    return hash_.of(destination) % paths_max;
  }

  uint16_t link_mtu_;
  FlowHash hash_;
  std::vector<Path> paths_;
};

}  // namespace penstock::engine::tcp

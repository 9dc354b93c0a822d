#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/engine/tcp/isn.h"
#include "dataplane/engine/tcp/segment.h"
#include "penstock/base/time.h"

// Handshakes without memory (Bernstein 1996, RFC 4987: 3.6): the initial sequence number of the
// SYN-ACK says that it was ours, when, and roughly the peer's MSS; the low bits of its timestamp
// say the rest, and come back with the last ACK.
namespace penstock::engine::tcp {

/// What the peer's SYN had that the connection will need.
struct SynOptions {
  uint16_t segment_bytes_max = 536;  // RFC 9293 (3.7.1): what holds when nothing is said
  uint8_t window_scale = TcpOptions::no_window_scale;
  bool sack = false;
  bool timestamps = false;
  bool ecn = false;
};

class SynCookies {
 public:
  explicit SynCookies(const FlowNumbers& numbers) : numbers_(numbers) {}

  /// The peer's number is hashed and not added, as others have it: an ACK that is off by a few
  /// bytes would otherwise pass for one with another MSS, and those bytes would be missing for
  /// ever.
  [[nodiscard]] uint32_t make(const FlowKey& flow, uint32_t peer_first, uint16_t peer_segment_bytes,
                              Instant now) const {
    uint32_t index = 0;
    while (index + 1 < sizes.size() && sizes[index + 1] <= peer_segment_bytes) ++index;
    const uint32_t period = period_of(now);
    return numbers_.cookie_of_syn(flow, peer_first) + (period << 24) +
           ((numbers_.cookie_of_period(flow, period) + index) & 0xffffff);
  }

  /// The peer's MSS, rounded down; nothing when this is no cookie of the last 64 to 128 s. A guess
  /// is right with 2 * 8 / 2^32.
  [[nodiscard]] std::optional<uint16_t> check(const FlowKey& flow, uint32_t peer_first,
                                              uint32_t cookie, Instant now) const {
    const uint32_t rest = cookie - numbers_.cookie_of_syn(flow, peer_first);
    const uint32_t age = (period_of(now) - (rest >> 24)) & 0xff;
    if (age > 1) return std::nullopt;
    const uint32_t period = (period_of(now) - age) & 0xff;
    const uint32_t index = (rest - numbers_.cookie_of_period(flow, period)) & 0xffffff;
    if (index >= sizes.size()) return std::nullopt;
    return sizes[index];
  }

  /// A timestamp not later than `timestamp` whose low six bits say what was agreed on. It is up to
  /// 64 ms off, once.
  [[nodiscard]] static uint32_t timestamp_with(uint32_t timestamp, const SynOptions& options) {
    const uint32_t bits =
        (options.window_scale == TcpOptions::no_window_scale ? no_scale : options.window_scale) |
        (options.sack ? sack_bit : 0) | (options.ecn ? ecn_bit : 0);
    const uint32_t with = (timestamp & ~option_bits) | bits;
    return static_cast<int32_t>(with - timestamp) > 0 ? with - (option_bits + 1) : with;
  }
  /// Without timestamps a cookie stands for neither window scale nor SACK nor ECN.
  static void read_timestamp(uint32_t echo, SynOptions& options) {
    const uint32_t scale = echo & no_scale;
    options.timestamps = true;
    options.window_scale =
        scale == no_scale ? TcpOptions::no_window_scale : static_cast<uint8_t>(scale);
    options.sack = (echo & sack_bit) != 0;
    options.ecn = (echo & ecn_bit) != 0;
  }

 private:
  // Ethernet with and without options, PPPoE, tunnels, the least of IPv6 and of IPv4, jumbo.
  static constexpr std::array<uint16_t, 8> sizes = {536, 1220, 1360, 1400, 1440, 1452, 1460, 8940};
  static constexpr uint32_t no_scale = 0x0f;  // scales end at 14
  static constexpr uint32_t sack_bit = 0x10;
  static constexpr uint32_t ecn_bit = 0x20;
  static constexpr uint32_t option_bits = 0x3f;

  static uint32_t period_of(Instant now) {
    return static_cast<uint32_t>(now.ns / (64 * ns_per_s)) & 0xff;
  }

  const FlowNumbers& numbers_;
};

}  // namespace penstock::engine::tcp

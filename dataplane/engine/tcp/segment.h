#pragma once

#include <array>
#include <cstdint>

#include "dataplane/engine/tcp/types.h"

namespace penstock::engine::tcp {

namespace flag {
constexpr uint8_t fin = 0x01;
constexpr uint8_t syn = 0x02;
constexpr uint8_t rst = 0x04;
constexpr uint8_t psh = 0x08;
constexpr uint8_t ack = 0x10;
constexpr uint8_t urg = 0x20;
constexpr uint8_t ece = 0x40;
constexpr uint8_t cwr = 0x80;
}  // namespace flag

/// IP's two bits for congestion (RFC 3168: 5).
enum class Ecn : uint8_t { not_capable = 0, capable_1 = 1, capable_0 = 2, experienced = 3 };

/// From `begin` up to and without `end`, modulo 2^32.
struct SequenceRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  constexpr bool operator==(const SequenceRange&) const = default;
};

/// Options that are known (RFC 9293: 3.2, 7323, 2018); others are skipped.
struct TcpOptions {
  static constexpr uint8_t no_window_scale = 0xff;
  // 40 bytes of options hold four ranges, three beside timestamps.
  static constexpr size_t sack_ranges_max = 4;

  uint16_t segment_bytes_max = 0;  // MSS; 0: not there
  uint8_t window_scale = no_window_scale;
  bool sack_permitted = false;
  bool has_timestamps = false;
  uint32_t timestamp = 0;       // TSval
  uint32_t timestamp_echo = 0;  // TSecr
  uint8_t sack_count = 0;
  std::array<SequenceRange, sack_ranges_max> sacks;
};

/// One segment as it came, with everything checked that is checked without its connection: lengths
/// and checksums.
struct SegmentIn {
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
  uint16_t window = 0;  // not scaled
  uint8_t flags = 0;
  Ecn ecn = Ecn::not_capable;
  TcpOptions options;
  Bytes payload;
  PacketToken token;

  [[nodiscard]] bool has(uint8_t bits) const { return (flags & bits) == bits; }
  /// What it takes of the sequence space.
  [[nodiscard]] uint32_t sequence_bytes() const {
    return static_cast<uint32_t>(payload.size()) + (has(flag::syn) ? 1 : 0) +
           (has(flag::fin) ? 1 : 0);
  }
};

/// One segment as a connection wants it sent.
struct SegmentOut {
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
  uint16_t window = 0;  // scaled already
  uint8_t flags = 0;
  Ecn ecn = Ecn::not_capable;
  TcpOptions options;
  uint8_t slice_count = 0;
  std::array<Bytes, PacketOut::slices_max> slices;
};

}  // namespace penstock::engine::tcp

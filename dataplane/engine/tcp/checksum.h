#pragma once

#include <cstdint>

#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// The internet checksum (RFC 1071) of what comes in parts of any length. The sum is kept unfolded
/// and in the machine's byte order, which the ones' complement does not mind: it is swapped once,
/// at the end.
class Checksum {
 public:
  void add(Bytes part);
  /// Fields of a pseudo header, in host order. Only while all parts so far had even lengths.
  void add_u16(uint16_t value) { sum_ += swapped(value); }
  void add_u32(uint32_t value) {
    add_u16(static_cast<uint16_t>(value >> 16));
    add_u16(static_cast<uint16_t>(value));
  }

  /// Folded, for store_u16: what goes into a checksum field. 0 over anything with a right one.
  [[nodiscard]] uint16_t value() const { return static_cast<uint16_t>(~sum()); }
  /// Folded, not complemented: what a device wants to find in the field that it fills in.
  [[nodiscard]] uint16_t sum() const;

 private:
  static uint64_t swapped(uint16_t value) { return static_cast<uint16_t>(value << 8 | value >> 8); }

  uint64_t sum_ = 0;
  bool odd_ = false;
};

/// The pseudo header of IPv4 or IPv6; addresses of 4 or 16 bytes.
[[nodiscard]] Checksum pseudo_header(Bytes source, Bytes destination, uint8_t protocol,
                                     uint32_t length);

}  // namespace penstock::engine::tcp

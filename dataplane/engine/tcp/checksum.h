#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

// A big-endian machine would need no swap at the end.
static_assert(std::endian::native == std::endian::little);

/// The internet checksum (RFC 1071) of what comes in parts of any length. The sum is kept unfolded
/// and in the machine's byte order, which the ones' complement does not mind: it is swapped once,
/// at the end.
class Checksum {
 public:
  void add(Bytes part);
  /// Headers: a few words of 32 bits, in place. Only while all parts so far had even lengths.
  void add_words(const uint8_t* at, size_t words) {
    for (size_t i = 0; i < words; ++i) {
      uint32_t word;
      std::memcpy(&word, at + i * 4, 4);
      sum_ += word;
    }
  }
  /// Fields of a pseudo header, in host order. Only while all parts so far had even lengths.
  void add_u16(uint16_t value) { sum_ += swapped(value); }
  void add_u32(uint32_t value) {
    add_u16(static_cast<uint16_t>(value >> 16));
    add_u16(static_cast<uint16_t>(value));
  }

  /// Folded, for store_u16: what goes into a checksum field. 0 over anything with a right one.
  [[nodiscard]] uint16_t value() const { return static_cast<uint16_t>(~sum()); }
  /// Folded, not complemented: what a device wants to find in the field that it fills in.
  [[nodiscard]] uint16_t sum() const { return static_cast<uint16_t>(swapped(folded(sum_))); }

 private:
  static uint16_t folded(uint64_t sum) {
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<uint16_t>(sum);
  }
  static uint64_t swapped(uint16_t value) { return static_cast<uint16_t>(value << 8 | value >> 8); }

  uint64_t sum_ = 0;
  bool odd_ = false;
};

/// The pseudo header of IPv4 or IPv6, whose addresses have 4 or 16 bytes.
[[nodiscard]] inline Checksum pseudo_header(Bytes source, Bytes destination, uint8_t protocol,
                                            uint32_t length) {
  Checksum checksum;
  checksum.add_words(source.data(), source.size() / 4);
  checksum.add_words(destination.data(), destination.size() / 4);
  checksum.add_u16(protocol);
  checksum.add_u32(length);
  return checksum;
}

}  // namespace penstock::engine::tcp

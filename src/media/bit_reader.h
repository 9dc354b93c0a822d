#pragma once

#include <cstdint>

#include "penstock/base/bytes.h"

namespace penstock::media {

enum class Emulation : uint8_t { none, prevented };

/// Takes bits from untrusted bytes, most significant first. Past the end it gives zeros and good()
/// is false, so that a parser may go on to its end and ask once.
class BitReader {
 public:
  /// Emulation::prevented: a NAL unit, where 00 00 03 stands for 00 00 (H.264, 7.4.1).
  explicit BitReader(Bytes bytes, Emulation emulation = Emulation::none)
      : bytes_(bytes), emulation_(emulation) {}

  [[nodiscard]] bool good() const { return good_; }

  uint32_t bit() {
    if (bits_left_ == 0 && !load()) return 0;
    --bits_left_;
    return current_ >> bits_left_ & 1U;
  }

  /// count <= 32.
  uint32_t bits(uint32_t count) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < count; ++i) value = value << 1 | bit();
    return value;
  }

  void skip(uint32_t count) {
    for (uint32_t i = 0; i < count && good_; ++i) bit();
  }

  /// Exp-Golomb, unsigned: ue(v) of H.264 9.1. More than 32 bits is no value.
  uint32_t ue() {
    uint32_t zeros = 0;
    while (good_ && bit() == 0) {
      if (++zeros == 32) good_ = false;
    }
    if (!good_) return 0;
    return static_cast<uint32_t>((uint64_t{1} << zeros) - 1) + bits(zeros);
  }

  /// se(v).
  int32_t se() {
    const uint32_t code = ue();
    const auto magnitude = static_cast<int32_t>(code / 2 + (code & 1));
    return (code & 1) != 0 ? magnitude : -magnitude;
  }

 private:
  bool load() {
    if (emulation_ == Emulation::prevented && zeros_ >= 2 && at_ < bytes_.size() &&
        bytes_[at_] == 3) {
      ++at_;
      zeros_ = 0;
    }
    if (at_ >= bytes_.size()) {
      good_ = false;
      return false;
    }
    current_ = bytes_[at_++];
    zeros_ = current_ == 0 ? zeros_ + 1 : 0;
    bits_left_ = 8;
    return true;
  }

  Bytes bytes_;
  size_t at_ = 0;
  uint32_t zeros_ = 0;
  uint32_t bits_left_ = 0;
  uint8_t current_ = 0;
  Emulation emulation_;
  bool good_ = true;
};

}  // namespace penstock::media

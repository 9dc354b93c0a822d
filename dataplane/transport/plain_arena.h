#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/base/bytes.h"

namespace penstock::transport {

/// Where layers write what they have opened, until the next poll. Blocks are taken when first
/// needed and kept. Owner: one TransportEngine.
class PlainArena {
 public:
  // A TLS record holds 16 KiB, and opens into one run.
  static constexpr size_t run_bytes_min = 17 * 1024;

  /// At least run_bytes_min of room, or none when all of the arena is in use.
  [[nodiscard]] MutableBytes room() {
    if (block_bytes - used_ < run_bytes_min) {
      if (current_ + 1 == blocks_max) return {};
      ++current_;
      used_ = 0;
    }
    if (current_ == blocks_.size()) {
      blocks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(block_bytes));
    }
    return {blocks_[current_].get() + used_, block_bytes - used_};
  }
  /// The first `bytes` of room() are in use now.
  void take(size_t bytes) { used_ += bytes; }
  void clear() { current_ = used_ = 0; }

  // At 1 Gbit/s of ciphered input what comes in 32 ms. What does not fit waits for the next poll.
  static constexpr size_t bytes_max = size_t{4} * 1024 * 1024;
  static constexpr size_t block_bytes = 256 * 1024;
  static constexpr size_t blocks_max = bytes_max / block_bytes;

 private:
  std::vector<std::unique_ptr<uint8_t[]>> blocks_;
  size_t current_ = 0;
  size_t used_ = 0;
};

}  // namespace penstock::transport

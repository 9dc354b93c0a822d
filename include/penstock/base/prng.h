#pragma once

#include <cstdint>
#include <span>

namespace penstock {

/// xoshiro256** seeded through splitmix64 (Blackman and Vigna). One seed, one sequence, on every
/// machine: the simulator replays from it. Not for keys; handshake filler may use it, because
/// nothing secret depends on those bytes.
class Prng {
 public:
  explicit constexpr Prng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9E3779B97F4A7C15;
      uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
      word = mixed ^ (mixed >> 31);
    }
  }

  constexpr uint64_t next() {
    const uint64_t result = rotate(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  /// In [0, bound); bound > 0. The bias of the modulus is below 2^-32 for every bound that is used
  /// here.
  constexpr uint64_t below(uint64_t bound) { return next() % bound; }
  constexpr bool chance(uint32_t per_thousand) { return below(1000) < per_thousand; }

  constexpr void fill(std::span<uint8_t> out) {
    uint64_t word = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      if (i % 8 == 0) word = next();
      out[i] = static_cast<uint8_t>(word >> (i % 8 * 8));
    }
  }

 private:
  static constexpr uint64_t rotate(uint64_t value, int by) {
    return value << by | value >> (64 - by);
  }

  uint64_t state_[4] = {};
};

}  // namespace penstock

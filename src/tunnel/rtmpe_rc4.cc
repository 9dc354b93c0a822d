#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "penstock/tunnel/rtmpe.h"

namespace penstock::tunnel {
namespace {

// RC4's first bytes tell most of its key; both sides throw away as many as a handshake packet has.
constexpr size_t discarded_bytes = 1536;

constexpr size_t word_bytes = sizeof(uint64_t);
static_assert(std::endian::native == std::endian::little, "the first byte of a word is its lowest");

}  // namespace

Rc4Stream::Rc4Stream(const Rc4Key& key) {
  std::iota(state_.begin(), state_.end(), uint8_t{0});
  uint8_t j = 0;
  for (size_t i = 0; i < state_.size(); ++i) {
    j = static_cast<uint8_t>(j + state_[i] + key[i % key.size()]);
    std::swap(state_[i], state_[j]);
  }
  std::array<uint8_t, discarded_bytes> discarded{};
  apply(discarded);
}

/// Everything in locals, because a byte that is written might be a member for all that the compiler
/// knows; a word at a time with its eight steps in a row, and the next value read before the swap
/// that might move it: together twice as fast as the plain loop.
void Rc4Stream::apply(Bytes from, uint8_t* to) {
  uint8_t* const state = state_.data();
  uint32_t i = uint8_t(i_ + 1);
  uint32_t j = j_;
  uint32_t value = state[i];
  const auto step = [&]() __attribute__((always_inline))->uint64_t {
    j = uint8_t(j + value);
    const uint32_t next = uint8_t(i + 1);
    const uint32_t ahead = state[next];
    const uint32_t other = state[j];
    state[i] = uint8_t(other);
    state[j] = uint8_t(value);
    const uint8_t key = state[uint8_t(value + other)];
    value = next == j ? value : ahead;
    i = next;
    return key;
  };
  size_t left = from.size();
  const uint8_t* at = from.data();
  for (; left >= word_bytes; left -= word_bytes, at += word_bytes, to += word_bytes) {
    uint64_t word;
    std::memcpy(&word, at, word_bytes);
    word ^= step();
    word ^= step() << 8;
    word ^= step() << 16;
    word ^= step() << 24;
    word ^= step() << 32;
    word ^= step() << 40;
    word ^= step() << 48;
    word ^= step() << 56;
    std::memcpy(to, &word, word_bytes);
  }
  for (; left > 0; --left) *to++ = static_cast<uint8_t>(*at++ ^ step());
  i_ = uint8_t(i - 1);
  j_ = uint8_t(j);
}

}  // namespace penstock::tunnel

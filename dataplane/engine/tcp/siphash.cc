#include "dataplane/engine/tcp/siphash.h"

#include <bit>

namespace penstock::engine::tcp {
namespace {

struct SipState {
  uint64_t a, b, c, d;

  void round() {
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b;
    a += d;
    b = std::rotl(b, 17) ^ c;
    d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  }
  void take(uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
};

uint64_t load_le(const uint8_t* at, size_t bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes; ++i) word |= uint64_t{at[i]} << (i * 8);
  return word;
}

}  // namespace

uint64_t siphash(const Secret& secret, Bytes message) {
  SipState state{0x736f6d6570736575 ^ secret.words[0], 0x646f72616e646f6d ^ secret.words[1],
                 0x6c7967656e657261 ^ secret.words[0], 0x7465646279746573 ^ secret.words[1]};
  size_t at = 0;
  for (; message.size() - at >= 8; at += 8) state.take(load_le(message.data() + at, 8));
  const size_t rest = message.size() - at;
  const uint64_t last = rest == 0 ? 0 : load_le(message.data() + at, rest);
  state.take(uint64_t{message.size() & 0xff} << 56 | last);
  state.c ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

}  // namespace penstock::engine::tcp

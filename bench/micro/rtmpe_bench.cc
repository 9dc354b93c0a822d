// RTMPE: every byte of a connection goes through RC4, and every handshake through two modular
// exponentiations. TLS has no bench yet: there is no TLS in the data plane yet.

#include <benchmark/benchmark.h>

#include <vector>

#include "penstock/base/assert.h"
#include "penstock/tunnel/rtmpe.h"

namespace {

using namespace penstock;

/// A message in place, as it lies in a receive slab; 16 KiB is what one receive brings.
void rc4(benchmark::State& state) {
  const tunnel::Rc4Key key{1, 2, 3};
  tunnel::Rc4Stream stream(key);
  std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0x5A);
  for (auto _ : state) {
    stream.apply(bytes);
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(rc4)->ArgName("bytes")->Arg(370)->Arg(1712)->Arg(16'384);

/// Key schedule and the 1536 bytes that are thrown away, once per direction.
void rc4_begin(benchmark::State& state) {
  const tunnel::Rc4Key key{1, 2, 3};
  for (auto _ : state) {
    tunnel::Rc4Stream stream(key);
    benchmark::DoNotOptimize(&stream);
  }
}
BENCHMARK(rc4_begin);

/// Our half of the key agreement: the public key, and the secret that both share.
void key_agreement(benchmark::State& state) {
  const std::vector<uint8_t> secret(32, 7);
  const std::vector<uint8_t> secret_of_peer(32, 9);
  const tunnel::DhKey peer(secret_of_peer);
  for (auto _ : state) {
    const tunnel::DhKey own(secret);
    PENSTOCK_ASSERT(own.shared_secret(peer.public_key()).has_value());
  }
}
BENCHMARK(key_agreement)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();

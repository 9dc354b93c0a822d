// RTMPE: every byte of a connection goes through RC4, and every handshake through two modular
// exponentiations. The bar for the layer is a quarter more than RC4 alone, so OpenSSL's RC4 runs
// beside ours.

#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <memory>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/rtmp/handshake_digest.h"
#include "penstock/tunnel/rtmpe_layer.h"

namespace {

using namespace penstock;
using rtmp::handshake_packet_bytes;

const tunnel::Rc4Key key{1, 2, 3};

// A message of sound, one of video, and what one receive brings.
void message_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("bytes")->Arg(370)->Arg(1712)->Arg(16'384);
}

/// From a receive slab into an arena, as the layer does it.
void rc4(benchmark::State& state) {
  tunnel::Rc4Stream stream(key);
  const std::vector<uint8_t> from(static_cast<size_t>(state.range(0)), 0x5A);
  std::vector<uint8_t> to(from.size());
  for (auto _ : state) {
    stream.apply(from, to.data());
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(rc4)->Apply(message_sizes);

void rc4_of_openssl(benchmark::State& state) {
  OSSL_LIB_CTX* const library = OSSL_LIB_CTX_new();
  OSSL_PROVIDER* const provider = OSSL_PROVIDER_load(library, "legacy");
  EVP_CIPHER* const cipher = EVP_CIPHER_fetch(library, "RC4", nullptr);
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  PENSTOCK_ASSERT(EVP_EncryptInit_ex2(context, cipher, key.data(), nullptr, nullptr) == 1);
  const std::vector<uint8_t> from(static_cast<size_t>(state.range(0)), 0x5A);
  std::vector<uint8_t> to(from.size());
  int written = 0;
  for (auto _ : state) {
    EVP_EncryptUpdate(context, to.data(), &written, from.data(), static_cast<int>(from.size()));
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
  OSSL_PROVIDER_unload(provider);
  OSSL_LIB_CTX_free(library);
}
BENCHMARK(rc4_of_openssl)->Apply(message_sizes);

/// Key schedule and the 1536 bytes that are thrown away, once per direction.
void rc4_begin(benchmark::State& state) {
  for (auto _ : state) {
    tunnel::Rc4Stream stream(key);
    benchmark::DoNotOptimize(&stream);
  }
}
BENCHMARK(rc4_begin);

tunnel::DhExponent exponent_of(uint8_t byte) {
  tunnel::DhExponent exponent;
  exponent.fill(byte);
  return exponent;
}

tunnel::RtmpeSettings settings_of_peer(uint8_t version) {
  return {.initiates = true, .version = version, .random_seed = 2, .exponent = exponent_of(9)};
}

void open_all(tunnel::Layer& layer, Bytes input, MutableBytes room, std::vector<uint8_t>& to_peer) {
  for (;;) {
    const auto opened = layer.open(input, room, to_peer);
    PENSTOCK_ASSERT(opened.has_value());
    if (opened->input_bytes == 0 && opened->output_bytes == 0) return;
    input = input.subspan(opened->input_bytes);
  }
}

/// An accepting side behind its handshake.
std::unique_ptr<tunnel::RtmpeLayer> established() {
  auto layer = std::make_unique<tunnel::RtmpeLayer>(tunnel::RtmpeSettings{});
  tunnel::RtmpeLayer peer(settings_of_peer(tunnel::version_rtmpe));
  std::vector<uint8_t> up, down;
  open_all(peer, {}, {}, up);
  open_all(*layer, up, {}, down);
  up.clear();
  open_all(peer, down, {}, up);
  open_all(*layer, up, {}, down);
  PENSTOCK_ASSERT(layer->established() && peer.established());
  return layer;
}

void open(benchmark::State& state) {
  const auto layer = established();
  const std::vector<uint8_t> input(static_cast<size_t>(state.range(0)), 0x5A);
  std::vector<uint8_t> room(1 << 16);
  std::vector<uint8_t> to_peer;
  for (auto _ : state) {
    open_all(*layer, input, room, to_peer);
    benchmark::DoNotOptimize(room.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(open)->Apply(message_sizes);

void seal(benchmark::State& state) {
  const auto layer = established();
  const std::vector<uint8_t> plain(static_cast<size_t>(state.range(0)), 0x5A);
  std::vector<uint8_t> to_peer;
  for (auto _ : state) {
    to_peer.clear();
    layer->seal(plain, to_peer);
    benchmark::DoNotOptimize(to_peer.data());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(seal)->Apply(message_sizes);

/// Our half of the key agreement: the public key, and the secret that both share.
void key_agreement(benchmark::State& state) {
  const tunnel::DhKey peer(exponent_of(9));
  for (auto _ : state) {
    const tunnel::DhKey own(exponent_of(7));
    PENSTOCK_ASSERT(own.shared_secret(peer.public_key()).has_value());
  }
}
BENCHMARK(key_agreement)->Unit(benchmark::kMicrosecond);

/// The accepting side from C0 until both streams are ready: what the tick of a worker spends on it.
void handshake(benchmark::State& state) {
  const auto version = static_cast<uint8_t>(state.range(0));
  tunnel::RtmpeLayer peer(settings_of_peer(version));
  std::vector<uint8_t> first, answer;
  open_all(peer, {}, {}, first);
  const std::vector<uint8_t> second(handshake_packet_bytes);
  for (auto _ : state) {
    tunnel::RtmpeLayer layer({.random_seed = 1});
    answer.clear();
    open_all(layer, first, {}, answer);
    open_all(layer, second, {}, answer);
    PENSTOCK_ASSERT(layer.established());
  }
}
BENCHMARK(handshake)->ArgName("form")->Arg(6)->Arg(8)->Arg(9)->Unit(benchmark::kMicrosecond);

/// What a C1 costs that has no digest, or a public key out of range: no exponentiation.
void handshake_refused(benchmark::State& state) {
  tunnel::RtmpeLayer peer(settings_of_peer(tunnel::version_rtmpe));
  std::vector<uint8_t> first, answer;
  open_all(peer, {}, {}, first);
  first[100] ^= 1;
  for (auto _ : state) {
    tunnel::RtmpeLayer layer({.random_seed = 1});
    PENSTOCK_ASSERT(!layer.open(first, {}, answer).has_value());
  }
}
BENCHMARK(handshake_refused)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();

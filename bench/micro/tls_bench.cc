// TLS: what sealing and opening records costs beside AES-128-GCM alone (the bar for ingest over
// RTMPS is a quarter more than the cipher and plain RTMP together), and what a handshake costs.

#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <vector>

#include "dataplane/tls/tls_layer.h"
#include "penstock/base/assert.h"
#include "tests/unit/tls/layer_pair.h"

namespace {

using namespace penstock;
using namespace penstock::tls;

// What an encoder writes at once: a message of sound, one of video, a full record.
void record_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("bytes")->Arg(370)->Arg(1712)->Arg(4096)->Arg(16'384);
}

/// `openssl speed -evp aes-128-gcm -aead`, which is what a record needs at least: a nonce, 13 bytes
/// that are only authenticated, the bytes, and the tag.
void aes_128_gcm(benchmark::State& state) {
  const bool decrypt = state.range(1) != 0;
  const auto bytes = static_cast<size_t>(state.range(0));
  const std::vector<uint8_t> plain(bytes, 0x5A);
  std::vector<uint8_t> out(bytes);
  uint8_t key[16] = {1};
  uint8_t nonce[12] = {};
  const uint8_t header[13] = {};
  uint8_t tag[16] = {};
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  EVP_CipherInit_ex(context, EVP_aes_128_gcm(), nullptr, key, nonce, decrypt ? 0 : 1);
  int written = 0;
  for (auto _ : state) {
    store_u32(nonce, load_u32(nonce) + 1);
    EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce, -1);
    EVP_CipherUpdate(context, nullptr, &written, header, sizeof(header));
    EVP_CipherUpdate(context, out.data(), &written, plain.data(), static_cast<int>(bytes));
    // The tag that comes out is not what a peer sent; what it takes to look at one is the same.
    if (decrypt) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag);
    EVP_CipherFinal_ex(context, out.data() + written, &written);
    if (!decrypt) EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  EVP_CIPHER_CTX_free(context);
}
BENCHMARK(aes_128_gcm)
    ->ArgNames({"bytes", "open"})
    ->ArgsProduct({{370, 1712, 4096, 16'384}, {0, 1}});

void seal(benchmark::State& state) {
  const auto set = make_set();
  Pair pair(*set);
  pair.deliver();
  const ByteVector plain = some_bytes(static_cast<size_t>(state.range(0)));
  ByteVector& out = pair.accepting.to_peer;
  for (auto _ : state) {
    out.clear();
    pair.accepting.seal(plain);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(seal)->Apply(record_sizes);

/// What one receive brings: 64 KiB of records, opened into an arena.
void open(benchmark::State& state) {
  const auto set = make_set();
  Pair pair(*set);
  pair.deliver();
  const ByteVector plain = some_bytes(static_cast<size_t>(state.range(0)));
  ByteVector room(128 * 1024);
  ByteVector answers;
  int64_t opened_bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    ByteVector& wire = pair.initiating.to_peer;
    wire.clear();
    while (wire.size() < 64 * 1024) pair.initiating.seal(plain);
    state.ResumeTiming();
    Bytes input = wire;
    while (true) {
      const auto opened = pair.accepting.layer->open(input, room, answers);
      PENSTOCK_ASSERT(opened.has_value());
      input = input.subspan(opened->input_bytes);
      opened_bytes += static_cast<int64_t>(opened->output_bytes);
      if (opened->input_bytes == 0 && opened->output_bytes == 0) break;
    }
  }
  state.SetBytesProcessed(opened_bytes);
}
BENCHMARK(open)->Apply(record_sizes);

/// The accepting side of a handshake alone. Its peer's share is not timed.
void handshake(benchmark::State& state) {
  using Versions = InitiatorContext::Versions;
  const bool rsa = state.range(0) != 0;
  const auto one = load(make_certificate({.rsa_bits = rsa ? 2048u : 0u}));
  const LoadedCertificate* only = one.get();
  const auto set = std::move(*CertificateSet::make({&only, 1}, {}));
  const InitiatorContext context(state.range(1) == 12 ? Versions::tls_1_2 : Versions::tls_1_3);
  for (auto _ : state) {
    state.PauseTiming();
    Side accepting;
    Side initiating{.layer = TlsLayer::initiate(context)};
    initiating.take({});
    state.ResumeTiming();
    accepting.layer = TlsLayer::accept(*set);
    while (!accepting.layer->established()) {
      const ByteVector up = std::move(initiating.to_peer);
      initiating.to_peer.clear();
      accepting.take(up);
      state.PauseTiming();
      const ByteVector down = std::move(accepting.to_peer);
      accepting.to_peer.clear();
      initiating.take(down);
      state.ResumeTiming();
    }
    accepting.layer.reset();
    state.PauseTiming();
    initiating.layer.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(handshake)->ArgNames({"rsa2048", "version"})->ArgsProduct({{0, 1}, {12, 13}});

}  // namespace

BENCHMARK_MAIN();

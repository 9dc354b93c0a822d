// What a connection costs before its first command: with 10,000 publishers that come back at once
// after an outage, this is what decides how soon they are all there.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/prng.h"
#include "penstock/rtmp/handshake.h"
#include "penstock/rtmp/handshake_digest.h"
#include "penstock/rtmp/hmac.h"
#include "penstock/rtmp/initiator.h"
#include "penstock/rtmp/session.h"

namespace {

using namespace penstock;
using namespace penstock::rtmp;

std::vector<uint8_t> first_packets(bool digest) {
  Initiator initiator({.app = "live", .name = "cam", .digest = digest}, 1);
  return initiator.outbox().take();
}

void shake_once(Bytes first, Bytes second, uint64_t seed) {
  auto handshake = std::make_unique<Handshake>(seed);
  Outbox outbox;
  PENSTOCK_ASSERT(handshake->feed(first, outbox).has_value());
  PENSTOCK_ASSERT(handshake->feed(second, outbox).has_value() && handshake->done());
  benchmark::DoNotOptimize(outbox.take());
}

void shake(benchmark::State& state) {
  const std::vector<uint8_t> first = first_packets(state.range(0) != 0);
  const std::vector<uint8_t> second(handshake_packet_bytes);
  uint64_t seed = 0;
  for (auto _ : state) shake_once(first, second, ++seed);
}
BENCHMARK(shake)->ArgName("digest")->Arg(0)->Arg(1);

/// What no digest handshake can do without: the HMACs of C1, S1, S2 and C2 (the latter two with a
/// key that is an HMAC itself) over the same bytes, and the random bytes of S1 and S2.
void hmacs_and_random_bytes(Bytes c1, MutableBytes s1, MutableBytes s2, uint64_t seed) {
  Prng prng(seed);
  const auto fill = [&](MutableBytes out) {
    for (size_t at = 0; at + 8 <= out.size(); at += 8) {
      const uint64_t word = prng.next();
      std::memcpy(out.data() + at, &word, sizeof(word));
    }
  };
  constexpr auto scheme = DigestScheme::digest_first;
  benchmark::DoNotOptimize(packet_digest(c1, digest_offset(c1, scheme), flash_player_text()));
  fill(s1);
  benchmark::DoNotOptimize(packet_digest(s1, digest_offset(s1, scheme), media_server_text()));
  fill(s2.first(handshake_signed_bytes));
  const Digest key = hmac_sha256(media_server_key(), c1.first(sizeof(Digest)));
  benchmark::DoNotOptimize(hmac_sha256(key, s2.first(handshake_signed_bytes)));
  const Digest key_of_peer = hmac_sha256(flash_player_key(), s1.first(sizeof(Digest)));
  benchmark::DoNotOptimize(hmac_sha256(key_of_peer, c1.first(handshake_signed_bytes)));
}

/// The bar is a ratio of at most 1.3. Both sides take turns, 16 at a time, and the least of each
/// counts, so that what else the machine does falls on neither.
void digest_over_its_hmacs(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  constexpr int at_once = 16;
  const std::vector<uint8_t> first = first_packets(true);
  const std::vector<uint8_t> second(handshake_packet_bytes);
  std::vector<uint8_t> s1(handshake_packet_bytes);
  std::vector<uint8_t> s2(handshake_packet_bytes);
  const Bytes c1 = Bytes{first}.subspan(1, handshake_packet_bytes);
  uint64_t seed = 0;
  auto shaking = Clock::duration::max();
  auto bare = Clock::duration::max();
  for (auto _ : state) {
    const Clock::time_point start = Clock::now();
    for (int i = 0; i < at_once; ++i) shake_once(first, second, ++seed);
    const Clock::time_point between = Clock::now();
    for (int i = 0; i < at_once; ++i) hmacs_and_random_bytes(c1, s1, s2, ++seed);
    shaking = std::min(shaking, between - start);
    bare = std::min(bare, Clock::now() - between);
  }
  const auto ns = [](Clock::duration span) {
    return static_cast<double>(std::chrono::nanoseconds(span).count()) / at_once;
  };
  state.counters["handshake_ns"] = ns(shaking);
  state.counters["hmacs_ns"] = ns(bare);
  state.counters["ratio"] = ns(shaking) / ns(bare);
}
BENCHMARK(digest_over_its_hmacs)->Unit(benchmark::kMicrosecond);

/// Of one packet; and of the smallest message, which is what an HMAC costs before its first byte.
void hmac(benchmark::State& state) {
  const std::vector<uint8_t> message(static_cast<size_t>(state.range(0)), 0x5A);
  for (auto _ : state) benchmark::DoNotOptimize(hmac_sha256(media_server_text(), message));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(hmac)->ArgName("bytes")->Arg(32)->Arg(handshake_signed_bytes);

void session_until_publish(benchmark::State& state) {
  const SessionSettings settings;
  uint64_t seed = 0;
  for (auto _ : state) {
    Session session(settings, ++seed, Instant{1});
    Initiator initiator(
        {.app = "live", .name = "cam", .tc_url = "rtmp://h/live", .digest = state.range(0) != 0},
        seed);
    while (!initiator.started()) {
      const std::vector<uint8_t> up = initiator.outbox().take();
      session.feed(up, Instant{1});
      for (;;) {
        const auto event = session.next();
        PENSTOCK_ASSERT(event.has_value());
        if (std::holds_alternative<NeedInput>(*event)) break;
        if (std::holds_alternative<PublishAsked>(*event)) session.answer_publish(1, {});
      }
      const std::vector<uint8_t> down = session.outbox().take();
      initiator.feed(down);
      for (;;) {
        const auto event = initiator.next();
        PENSTOCK_ASSERT(event.has_value());
        if (std::holds_alternative<InputUsed>(*event)) break;
      }
    }
  }
}
BENCHMARK(session_until_publish)->ArgName("digest")->Arg(0)->Arg(1);

}  // namespace

BENCHMARK_MAIN();

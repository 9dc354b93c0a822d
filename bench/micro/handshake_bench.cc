// What a connection costs before its first command: with 10,000 publishers that come back at once
// after an outage, this is what decides how soon they are all there.

#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/rtmp/handshake.h"
#include "penstock/rtmp/initiator.h"
#include "penstock/rtmp/session.h"

namespace {

using namespace penstock;
using namespace penstock::rtmp;

std::vector<uint8_t> first_packets(bool digest) {
  Initiator initiator({.app = "live", .name = "cam", .digest = digest}, 1);
  return initiator.outbox().take();
}

void shake(benchmark::State& state) {
  const std::vector<uint8_t> first = first_packets(state.range(0) != 0);
  const std::vector<uint8_t> second(handshake_packet_bytes);
  uint64_t seed = 0;
  for (auto _ : state) {
    auto handshake = std::make_unique<Handshake>(++seed);
    Outbox outbox;
    PENSTOCK_ASSERT(handshake->feed(first, outbox).has_value());
    PENSTOCK_ASSERT(handshake->feed(second, outbox).has_value() && handshake->done());
    benchmark::DoNotOptimize(outbox.take());
  }
}
BENCHMARK(shake)->ArgName("digest")->Arg(0)->Arg(1);

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

// Payload into chunks. wire_write is what every relayed frame goes through, once, on the way from a
// receive slab into a frame: 1 copy, and a header per chunk. ChunkWriter makes a session's answers:
// small, and with an allocation each, because nothing hot goes that way.

#include <benchmark/benchmark.h>

#include <vector>

#include "penstock/rtmp/chunk_writer.h"

namespace {

using namespace penstock;
using namespace penstock::rtmp;

// As much memory as what 1000 connections have in flight, so that it is not always the nearest
// cache that is written to.
constexpr size_t memory_bytes = 2 << 20;

void write_wire(benchmark::State& state) {
  const auto payload_bytes = static_cast<uint32_t>(state.range(0));
  const auto chunk_bytes = static_cast<uint32_t>(state.range(1));
  const WireHeader header{.chunk_stream_id = 7,
                          .message_type = 9,
                          .timestamp = 1000,
                          .message_bytes = payload_bytes,
                          .message_stream_id = 1};
  const std::vector<uint8_t> payload(payload_bytes, 0x5A);
  std::vector<uint8_t> wire(memory_bytes);
  const size_t bytes = wire_bytes(header, chunk_bytes);
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(wire_write(wire.data() + at, header, chunk_bytes, 0, payload));
    benchmark::ClobberMemory();
    at = at + 2 * bytes <= wire.size() ? at + bytes : 0;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
  const auto chunks = static_cast<double>((payload_bytes + chunk_bytes - 1) / chunk_bytes);
  state.counters["per_chunk"] = benchmark::Counter(
      chunks, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(write_wire)
    ->ArgNames({"payload", "chunk"})
    ->ArgsProduct({{370, 1712, 26'000}, {128, 4096, 65536}});

/// An onStatus of 150 bytes through a session's writer, as it is taken by the worker.
void write_answer(benchmark::State& state) {
  const ChunkWriter writer;
  const std::vector<uint8_t> body(150, 'x');
  const WireHeader header{.chunk_stream_id = 3, .message_type = 20, .message_bytes = 150};
  for (auto _ : state) {
    Outbox outbox;
    writer.write(outbox, header, body);
    benchmark::DoNotOptimize(outbox.take());
  }
}
BENCHMARK(write_answer);

}  // namespace

BENCHMARK_MAIN();

// What a worker costs by itself: no socket, no system call. The engine below it moves nothing
// (null_engine.h), so what is measured is the worker, its sessions, frames, queues and timers.

#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "bench/micro/counted_heap.h"
#include "bench/micro/encoder_bytes.h"
#include "bench/micro/worker_rig.h"
#include "penstock/base/assert.h"

namespace {

using namespace penstock;
using namespace penstock::bench;
using control::Counter;
using engine::ConnectionId;

using benchmark::Counter::kAvgIterations;
using benchmark::Counter::kInvert;
using benchmark::Counter::kIsRate;

constexpr uint32_t encoder_chunk_bytes = 4096;

void per(benchmark::State& state, const char* name, double count) {
  state.counters[name] = benchmark::Counter(count, benchmark::Counter::Flags(kIsRate | kInvert));
}

// ---- fan-out ----

/// One stream of 2 Mbit/s to so many subscribers: `frames` messages come in one run, and everybody
/// gets them. With four frames in a run, each subscriber gets them in one send.
void fan_out(benchmark::State& state) {
  const auto subscribers = static_cast<uint64_t>(state.range(0));
  const auto frames = static_cast<size_t>(state.range(1));
  const auto connections_max = static_cast<uint32_t>(subscribers + 8);
  WorkerRig rig({.connections_max = connections_max});
  const ConnectionId publisher = rig.publish(0, "cam0", encoder_chunk_bytes);
  const EncoderBytes encoder(2'000'000, encoder_chunk_bytes);
  rig.play(0, subscribers, 1);
  rig.engine().arrive(publisher, encoder.start());
  rig.settle();
  size_t at = 0;
  const auto one_run = [&] {
    const Bytes bytes = encoder.messages(at, frames);
    at = at + frames >= gop_messages ? 0 : at + frames;
    rig.advance_ms(14 * frames);
    rig.engine().arrive(publisher, bytes);
    const uint64_t everybody = rig.engine().sends() + subscribers;
    while (rig.engine().sends() < everybody) rig.turn();
    rig.turn();  // what was sent is let go of
  };
  for (size_t i = 0; i < gop_messages; ++i) one_run();
  rig.settle();
  const uint64_t queued = rig.counted(Counter::frames_queued);
  const uint64_t sends = rig.engine().sends();
  const uint64_t allocated = heap_count().allocations;
  for (auto _ : state) one_run();
  rig.settle();
  const auto delivered = static_cast<double>(rig.counted(Counter::frames_queued) - queued);
  per(state, "per_delivered_frame", delivered);
  state.counters["frames_per_send"] = delivered / static_cast<double>(rig.engine().sends() - sends);
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(heap_count().allocations - allocated), kAvgIterations);
}
BENCHMARK(fan_out)->ArgNames({"subscribers", "frames"})->ArgsProduct({{1, 100, 10'000}, {1, 4}});

// ---- the tick ----

/// A second of a worker with so many connections that do nothing: players of names that nobody
/// publishes. Time is that of one second's ticks: 1 ms is a thousandth of a core.
void idle_second(benchmark::State& state) {
  const auto connections = static_cast<uint32_t>(state.range(0));
  const auto workers = static_cast<uint32_t>(state.range(1));
  count_heap_bytes(true);
  const int64_t heap_before = heap_count().bytes;
  WorkerRig rig({.workers = workers, .connections_max = connections + 8, .streams_max = 256});
  const int64_t heap_empty = heap_count().bytes;
  rig.play(0, connections, 100);
  const int64_t heap_full = heap_count().bytes;
  count_heap_bytes(false);
  double ticks = 0;
  for (auto _ : state) {
    for (const Instant end = rig.now().after_ms(1000); rig.now() < end;) {
      rig.turn();
      rig.worker().wait(rig.now());  // asks the engine how long it may sleep
      rig.advance_to(std::min(rig.engine().wake_at(), end));
      ++ticks;
    }
  }
  per(state, "per_tick", ticks);
  state.counters["ticks"] = benchmark::Counter(ticks, kAvgIterations);
  state.counters["worker_bytes"] = static_cast<double>(heap_empty - heap_before);
  if (connections > 0) {
    state.counters["bytes_per_connection"] =
        static_cast<double>(heap_full - heap_empty) / connections;
  }
}
BENCHMARK(idle_second)
    ->ArgNames({"connections", "workers"})
    ->Args({0, 1})
    ->Args({1000, 1})
    ->Args({10'000, 1})
    ->Args({0, 8})
    ->Args({0, 64})
    ->Args({10'000, 64})
    ->Unit(benchmark::kMicrosecond);

/// Publishers of 1 Mbit/s, `run` messages of one at a time, ticks of 1 ms; each watched by one
/// player, or by nobody.
void active_tick(benchmark::State& state) {
  const auto publishers = static_cast<size_t>(state.range(0));
  const bool watched = state.range(1) != 0;
  const auto run = static_cast<size_t>(state.range(2));
  const auto chunk_bytes = static_cast<uint32_t>(state.range(3));
  WorkerRig rig({.connections_max = static_cast<uint32_t>(2 * publishers + 8),
                 .streams_max = static_cast<uint32_t>(publishers + publishers / 2 + 8),
                 .frame_memory_bytes = 2U << 30,
                 .gop_cache = watched});
  const EncoderBytes encoder(1'000'000, chunk_bytes);
  struct Source {
    ConnectionId id;
    size_t at;
  };
  std::vector<Source> sources;
  count_heap_bytes(true);
  const int64_t heap_before = heap_count().bytes;
  for (size_t i = 0; i < publishers; ++i) {
    const std::string name = "cam" + std::to_string(i);
    sources.push_back({rig.publish(0, name, chunk_bytes), i * run % gop_messages / run * run});
    rig.engine().arrive(sources.back().id, encoder.start());
    rig.turn();
    // All of them are in the midst of a GOP when the clock starts.
    rig.engine().arrive(sources.back().id, encoder.messages(0, 1));
    rig.turn();
  }
  state.counters["bytes_per_publisher"] =
      static_cast<double>(heap_count().bytes - heap_before) / static_cast<double>(publishers);
  count_heap_bytes(false);
  if (watched) rig.play(0, publishers, publishers);
  rig.settle();
  double due = 0;
  size_t next = 0;
  double messages = 0;
  const auto one_tick = [&] {
    rig.advance_ms(1);
    due += static_cast<double>(publishers * gop_messages) / static_cast<double>(gop_ms * run);
    for (; due >= 1; due -= 1) {
      Source& source = sources[next];
      next = next + 1 == publishers ? 0 : next + 1;
      rig.engine().arrive(source.id, encoder.messages(source.at, run));
      source.at = source.at + run >= gop_messages ? 0 : source.at + run;
      messages += static_cast<double>(run);
    }
    rig.turn();
  };
  for (int i = 0; i < 2000; ++i) one_tick();  // every stream has had a keyframe
  rig.drain_logs();
  messages = 0;
  const uint64_t allocated = heap_count().allocations;
  for (auto _ : state) one_tick();
  per(state, "per_message", messages);
  state.counters["allocations"] =
      benchmark::Counter(static_cast<double>(heap_count().allocations - allocated), kAvgIterations);
  state.SetBytesProcessed(static_cast<int64_t>(
      messages * static_cast<double>(encoder.gop().size()) / double{gop_messages}));
}
BENCHMARK(active_tick)
    ->ArgNames({"publishers", "watched", "run", "chunk"})
    ->Args({1000, 1, 1, 4096})
    ->Args({1000, 1, 1, 128})
    ->Args({1000, 0, 1, 4096})
    ->Args({1000, 0, 7, 4096})
    ->Args({1000, 0, 7, 128})
    ->Args({100, 1, 1, 4096})
    ->Unit(benchmark::kMicrosecond);

// ---- blast ----

/// Publishers as fast as they can, that nobody watches: a whole GOP of each in a turn. It is laid
/// into receive memory outside of the time that counts, as the kernel does it: the worker finds it
/// beyond its first cache. With more publishers at a time the memory of the frames is too large for
/// any cache, and little but its speed is measured.
void blast(benchmark::State& state) {
  constexpr size_t publishers = 10;
  WorkerRig rig({.connections_max = publishers + 8,
                 .streams_max = publishers + 8,
                 .gop_cache = state.range(0) != 0});
  const EncoderBytes encoder(1'000'000, encoder_chunk_bytes);
  std::vector<ConnectionId> sources;
  for (size_t i = 0; i < publishers; ++i) {
    sources.push_back(rig.publish(0, "cam" + std::to_string(i), encoder_chunk_bytes));
    rig.engine().arrive(sources.back(), encoder.start());
    rig.turn();
  }
  const size_t gop_bytes = encoder.gop().size();
  const size_t places = 3 * publishers;
  std::vector<uint8_t> memory(places * gop_bytes);
  size_t place = 0;
  Stopwatch watch;
  const auto one_turn = [&] {
    rig.advance_ms(10);
    for (const ConnectionId source : sources) {
      const MutableBytes received = MutableBytes(memory).subspan(place * gop_bytes, gop_bytes);
      copy_bytes(received.data(), encoder.gop());
      rig.engine().arrive(source, received);
      place = (place + 1) % places;
    }
    watch.start();
    rig.turn();
    watch.stop();
    return watch.take_s();
  };
  for (int i = 0; i < 20; ++i) one_turn();
  double seconds = 0;
  for (auto _ : state) {
    const double turn_s = one_turn();
    seconds += turn_s;
    state.SetIterationTime(turn_s);
  }
  const double messages = static_cast<double>(state.iterations()) * publishers * gop_messages;
  state.counters["ns_per_message"] = seconds * 1e9 / messages;
}
BENCHMARK(blast)
    ->ArgName("gop_cache")
    ->Arg(0)
    ->Arg(1)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

// ---- session bring-up ----

/// From `accepted` until the publish is allowed, and out again: 64 publishers at once, as after an
/// outage. Only the worker's turns count, not the peers' side.
void bring_up(benchmark::State& state) {
  constexpr size_t at_once = 64;
  WorkerRig rig({.connections_max = 2 * at_once, .streams_max = 2 * at_once});
  rig.engine().set_recording(true);
  Stopwatch watch;
  uint64_t allocated = 0;
  uint64_t seed = 0;
  double connections = 0;
  const auto timed_turn = [&] {
    const uint64_t before = heap_count().allocations;
    watch.start();
    rig.turn();
    watch.stop();
    allocated += heap_count().allocations - before;
  };
  for (auto _ : state) {
    std::vector<std::unique_ptr<RigPeer>> peers;
    for (size_t i = 0; i < at_once; ++i) {
      const rtmp::InitiatorSettings settings{.app = "live",
                                             .name = "cam" + std::to_string(i),
                                             .tc_url = "rtmp://127.0.0.1/live",
                                             .flash_ver = "FMLE/3.0 (compatible; bench)",
                                             .digest = state.range(0) != 0};
      peers.push_back(std::make_unique<RigPeer>(rig.engine(), settings, ++seed));
    }
    while (!peers.back()->started()) {
      for (auto& peer : peers) peer->speak();
      timed_turn();
      for (auto& peer : peers) peer->listen();
    }
    for (auto& peer : peers) {
      PENSTOCK_ASSERT(peer->started());
      rig.engine().leave(peer->id());
    }
    timed_turn();
    timed_turn();
    rig.advance_ms(1);
    rig.drain_logs();
    connections += at_once;
    state.SetIterationTime(watch.take_s());
  }
  PENSTOCK_ASSERT(rig.worker().connections() == 0);
  per(state, "per_connection", connections);
  state.counters["allocations"] = static_cast<double>(allocated) / connections;
}
BENCHMARK(bring_up)->ArgName("digest")->Arg(0)->Arg(1)->UseManualTime()->Unit(
    benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();

// The rings between workers: what it costs to hand one thing over, on one core and between two.

#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>

#include <memory>
#include <thread>
#include <vector>

#include "dataplane/mailbox.h"
#include "penstock/base/spsc_ring.h"

namespace {

using namespace penstock;

// As workers take leases.
constexpr uint32_t batch = 64;

/// False where the host has no such core for us.
bool pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

/// One in, one out.
template <typename T>
void same_core_single(benchmark::State& state) {
  const auto ring = std::make_unique<SpscRing<T, sized_at_start>>(4096U);
  T value{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(ring->push(value));
    benchmark::DoNotOptimize(ring->pop({&value, 1}));
  }
  state.SetItemsProcessed(state.iterations());
}

/// A batch in, and out with one pop. There is no push of many: leases of a tick are pushed as their
/// frames complete.
template <typename T>
void same_core_batch(benchmark::State& state) {
  const auto ring = std::make_unique<SpscRing<T, sized_at_start>>(4096U);
  std::vector<T> values(batch);
  for (auto _ : state) {
    for (const T& value : values) benchmark::DoNotOptimize(ring->push(value));
    benchmark::DoNotOptimize(ring->pop(values));
  }
  state.SetItemsProcessed(state.iterations() * batch);
}

/// A thread on core 1 pushes all the time; this one, on core 0, takes up to `range` at a time.
template <typename T>
void cross_core(benchmark::State& state) {
  const auto ring = std::make_unique<SpscRing<T, sized_at_start>>(4096U);
  StopFlag stop;
  std::vector<T> values(static_cast<size_t>(state.range(0)));
  cpu_set_t before;
  pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
  if (std::thread::hardware_concurrency() < 2 || !pin(0)) {
    state.SkipWithError("needs cores 0 and 1");
    return;
  }
  std::jthread other([&] {
    pin(1);
    const T value{};
    while (!stop.raised()) benchmark::DoNotOptimize(ring->push(value));
  });
  int64_t taken = 0;
  for (auto _ : state) {
    uint32_t count = 0;
    while ((count = ring->pop(values)) == 0) {
    }
    taken += count;
  }
  stop.raise();
  other.join();
  pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
  state.SetItemsProcessed(taken);
  state.counters["per_pop"] = static_cast<double>(taken) / static_cast<double>(state.iterations());
}

/// There and back: twice the time until something pushed is seen by an awake worker.
void cross_core_round_trip(benchmark::State& state) {
  using Ring = SpscRing<dataplane::Frame*, sized_at_start>;
  const auto there = std::make_unique<Ring>(4096U);
  const auto back = std::make_unique<Ring>(4096U);
  StopFlag stop;
  cpu_set_t before;
  pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
  if (std::thread::hardware_concurrency() < 2 || !pin(0)) {
    state.SkipWithError("needs cores 0 and 1");
    return;
  }
  std::jthread other([&] {
    pin(1);
    dataplane::Frame* value = nullptr;
    while (!stop.raised()) {
      if (there->pop({&value, 1}) == 1) benchmark::DoNotOptimize(back->push(value));
    }
  });
  for (auto _ : state) {
    dataplane::Frame* value = nullptr;
    benchmark::DoNotOptimize(there->push(value));
    while (back->pop({&value, 1}) == 0) {
    }
  }
  stop.raise();
  other.join();
  pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}

using dataplane::Frame;
using dataplane::Lease;
using dataplane::Mail;
BENCHMARK(same_core_single<Frame*>);
BENCHMARK(same_core_single<Lease>);
BENCHMARK(same_core_single<Mail>);
BENCHMARK(same_core_batch<Frame*>);
BENCHMARK(same_core_batch<Lease>);
BENCHMARK(same_core_batch<Mail>);
BENCHMARK(cross_core<Frame*>)->ArgName("pop_max")->Arg(1)->Arg(batch)->UseRealTime();
BENCHMARK(cross_core<Lease>)->ArgName("pop_max")->Arg(1)->Arg(batch)->UseRealTime();
BENCHMARK(cross_core_round_trip)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();

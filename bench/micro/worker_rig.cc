#include "bench/micro/worker_rig.h"

#include <sys/mman.h>

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::bench {
namespace {

using control::Tunable;

// Bounds of loops that wait for workers to come to rest: a play takes 5 turns.
constexpr int turns_max = 1000;

// Peers that connect at once: a tick takes 512 sends.
constexpr size_t crowd_max = 400;

void* map_zeroed(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PENSTOCK_ASSERT(memory != MAP_FAILED);
  madvise(memory, bytes, MADV_HUGEPAGE);  // as the data plane asks for its frames
  return memory;
}

}  // namespace

WorkerRig::WorkerRig(const RigOptions& options) : options_(options) {
  const control::RegionPlan plan{options.workers, options.streams_max, options.connections_max};
  region_bytes_ = plan.region_bytes();
  region_base_ = map_zeroed(region_bytes_);
  frame_base_ = map_zeroed(options.frame_memory_bytes * options.workers);
  region_ = {region_base_, plan};
  control::WantedState state;
  state.epoch = 1;
  state.tunables = control::tunable_defaults();
  // Nothing waits: a bench counts what one frame costs, and its clock stands still.
  state.tunables[static_cast<size_t>(Tunable::coalesce_ms)] = 0;
  state.keys_hash = control::fnv1a({});
  if (!options.gop_cache) state.tunables[static_cast<size_t>(Tunable::gop_bytes)] = 0;
  region_.wanted().state.write(state);

  mesh_ = std::make_unique<dataplane::Mesh>(options.workers);
  std::vector<engine::Engine*> engines;
  for (uint32_t i = 0; i < options.workers; ++i) {
    engines_.push_back(std::make_unique<NullEngine>());
    engines.push_back(engines_.back().get());
    logs_.push_back(std::make_unique<dataplane::LogRing>());
  }
  for (uint32_t id = 0; id < options.workers; ++id) {
    const dataplane::WorkerParts parts{
        .id = id,
        .engine = engines[id],
        .engines = engines,
        .mesh = mesh_.get(),
        .region = region_,
        .log = logs_[id].get(),
        .frame_memory = {static_cast<uint8_t*>(frame_base_) + id * options.frame_memory_bytes,
                         options.frame_memory_bytes},
        .random_seed = id + 1,
        .unix_minus_monotonic_ms = 1'700'000'000'000};
    workers_.push_back(std::make_unique<dataplane::Worker>(parts, now_));
  }
}

WorkerRig::~WorkerRig() {
  workers_.clear();
  munmap(region_base_, region_bytes_);
  munmap(frame_base_, options_.frame_memory_bytes * options_.workers);
}

uint64_t WorkerRig::counted(control::Counter counter) const {
  uint64_t sum = 0;
  for (uint32_t worker = 0; worker < options_.workers; ++worker) {
    sum += region_.worker(worker).counters[static_cast<size_t>(counter)].get();
  }
  return sum;
}

void WorkerRig::settle() {
  for (int turns = 0; turns < turns_max; ++turns) {
    turn_all();
    bool idle = true;
    for (const auto& engine : engines_) idle = idle && engine->idle();
    if (idle && turns > 2) return;
  }
  PENSTOCK_ASSERT(false);
}

void RigPeer::speak() {
  std::vector<uint8_t> more = initiator_.outbox().take();
  if (more.empty()) return;
  said_ = std::move(more);
  engine_.arrive(id_, said_);
}

void RigPeer::listen() {
  const std::vector<uint8_t> heard = engine_.take_sent(id_);
  initiator_.feed(heard);
  for (;;) {
    const auto event = initiator_.next();
    PENSTOCK_ASSERT(event.has_value());
    if (std::holds_alternative<rtmp::InputUsed>(*event)) return;
  }
}

std::vector<engine::ConnectionId> WorkerRig::begin(
    uint32_t worker, const std::vector<rtmp::InitiatorSettings>& settings) {
  NullEngine& engine = *engines_[worker];
  engine.set_recording(true);
  std::vector<std::unique_ptr<RigPeer>> peers;
  for (const auto& one : settings) peers.push_back(std::make_unique<RigPeer>(engine, one, 1));
  const auto all_started = [&] {
    return std::ranges::all_of(peers, [](const auto& peer) { return peer->started(); });
  };
  for (int turns = 0; !all_started(); ++turns) {
    PENSTOCK_ASSERT(turns < turns_max);
    for (auto& peer : peers) peer->speak();
    turn_all();
    for (auto& peer : peers) peer->listen();
  }
  settle();
  std::vector<engine::ConnectionId> ids;
  for (auto& peer : peers) {
    ids.push_back(peer->id());
    static_cast<void>(engine.take_sent(peer->id()));
  }
  engine.set_recording(false);
  drain_logs();
  return ids;
}

engine::ConnectionId WorkerRig::publish(uint32_t worker, const std::string& name,
                                        uint32_t chunk_bytes) {
  return begin(
      worker,
      {{.app = "live", .name = name, .tc_url = "rtmp://h/live", .chunk_bytes = chunk_bytes}})[0];
}

void WorkerRig::play(uint32_t worker, size_t players, size_t names) {
  std::vector<rtmp::InitiatorSettings> crowd;
  for (size_t i = 0; i < players; ++i) {
    crowd.push_back({.publish = false,
                     .app = "live",
                     .name = "cam" + std::to_string(i % names),
                     .tc_url = "rtmp://h/live"});
    if (crowd.size() < crowd_max && i + 1 < players) continue;
    begin(worker, crowd);
    crowd.clear();
  }
}

void WorkerRig::drain_logs() {
  dataplane::LogRecord records[16];
  for (auto& log : logs_) {
    while (log->pop(records) > 0) {
    }
  }
}

}  // namespace penstock::bench

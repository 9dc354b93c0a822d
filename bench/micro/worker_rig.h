#pragma once

#include <time.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/micro/null_engine.h"
#include "dataplane/worker.h"
#include "penstock/rtmp/initiator.h"

namespace penstock::bench {

struct RigOptions {
  uint32_t workers = 1;
  uint32_t connections_max = 64;
  uint32_t streams_max = 64;
  uint64_t frame_memory_bytes = 256U << 20;  // per worker; touched only when used
  bool gop_cache = true;
};

/// Production workers over null engines on one thread, in virtual time. Without a control plane:
/// the workers decide by their own policy, which admits everybody.
class WorkerRig {
 public:
  explicit WorkerRig(const RigOptions& options);
  ~WorkerRig();
  WorkerRig(const WorkerRig&) = delete;
  WorkerRig& operator=(const WorkerRig&) = delete;

  [[nodiscard]] NullEngine& engine(uint32_t worker = 0) { return *engines_[worker]; }
  [[nodiscard]] dataplane::Worker& worker(uint32_t worker = 0) { return *workers_[worker]; }
  [[nodiscard]] uint64_t counted(control::Counter counter) const;

  void advance_ms(uint64_t ms) { now_ = now_.after_ms(ms); }
  void advance_to(Instant at) { now_ = std::max(now_, at); }
  [[nodiscard]] Instant now() const { return now_; }
  void turn(uint32_t worker = 0) {
    workers_[worker]->wait(now_);
    workers_[worker]->tick(now_);
  }
  void turn_all() {
    for (uint32_t worker = 0; worker < workers_.size(); ++worker) turn(worker);
  }
  /// Until nothing moves any more.
  void settle();

  /// Connects and publishes or plays live/NAME on `worker`; returns when that is allowed.
  engine::ConnectionId publish(uint32_t worker, const std::string& name, uint32_t chunk_bytes);
  /// So many players, player i of live/cam(i % names); they come in crowds, so that 10,000 of them
  /// are there soon.
  void play(uint32_t worker, size_t players, size_t names);
  void drain_logs();

 private:
  /// Until all of them publish or play.
  std::vector<engine::ConnectionId> begin(uint32_t worker,
                                          const std::vector<rtmp::InitiatorSettings>& settings);

  RigOptions options_;
  uint64_t region_bytes_ = 0;
  void* region_base_ = nullptr;
  void* frame_base_ = nullptr;
  control::Region region_;
  std::unique_ptr<dataplane::Mesh> mesh_;
  std::vector<std::unique_ptr<NullEngine>> engines_;
  std::vector<std::unique_ptr<dataplane::LogRing>> logs_;
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  Instant now_{ns_per_s};
};

/// One peer's side of the way to publish or play, against one worker of a rig.
class RigPeer {
 public:
  RigPeer(NullEngine& engine, const rtmp::InitiatorSettings& settings, uint64_t seed)
      : engine_(engine), id_(engine.offer()), initiator_(settings, seed) {}

  /// Gives what the peer has to say to the engine.
  void speak();
  /// Takes what was sent to the peer.
  void listen();
  [[nodiscard]] bool started() const { return initiator_.started(); }
  [[nodiscard]] engine::ConnectionId id() const { return id_; }

 private:
  NullEngine& engine_;
  engine::ConnectionId id_;
  rtmp::Initiator initiator_;
  std::vector<uint8_t> said_;
};

/// Adds up this thread's CPU time between start() and stop(): what else the machine does is not in
/// it.
class Stopwatch {
 public:
  void start() { since_ns_ = now_ns(); }
  void stop() { total_ns_ += now_ns() - since_ns_; }
  [[nodiscard]] double take_s() {
    return static_cast<double>(std::exchange(total_ns_, 0)) / double{ns_per_s};
  }

 private:
  static uint64_t now_ns() {
    timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return static_cast<uint64_t>(at.tv_sec) * ns_per_s + static_cast<uint64_t>(at.tv_nsec);
  }

  uint64_t since_ns_ = 0;
  uint64_t total_ns_ = 0;
};

}  // namespace penstock::bench

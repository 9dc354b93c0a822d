#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/tls/tls_layer.h"
#include "dataplane/transport/transport_engine.h"
#include "dataplane/worker.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/hostile_carrier.h"
#include "tests/sim/peers.h"
#include "tests/sim/sim_engine.h"

namespace penstock::sim {

/// What a seed decides before the run begins.
struct Plan {
  bool calm = false;  // nothing goes wrong: then nothing may be missing either
  uint32_t workers = 1;
  NetworkFaults faults;
  ControlMode control = ControlMode::absent;
  uint64_t frame_memory_bytes = 0;
  uint64_t subscriber_queue_bytes = 0;
  uint64_t gop_bytes = 0;
  uint32_t connections_max = 64;
  uint32_t streams_max = 16;
  uint32_t names = 1;
  uint32_t publishers = 1;
  uint32_t players = 1;
  uint32_t noises = 0;
  uint32_t hostiles = 0;  // at a time, of those that speak HTTP
  uint64_t duration_ms = 0;
  bool clock_jumps = false;
  bool workers_stall = false;  // rings fill
  bool crowd = false;          // many players come at once
  bool coalesces = false;
  bool sniffs = false;                   // layers may lie between engines and workers
  uint64_t handshakes_per_second = 200;  // that a worker begins, of TLS and of RTMPE
  bool ends_by_stop = false;             // the process is told to stop with everybody connected
};

/// What a run came to. Failures empty: every checker is content.
struct Outcome {
  std::vector<std::string> failures;
  uint64_t media_checked = 0;
  uint64_t media_tunneled = 0;  // of these, to players over RTMPT
  uint32_t carriers = 0;        // of all tunnels
  uint64_t steps = 0;
};

/// Production workers, their engines and peers on one thread; everything that happens follows from
/// the seed.
class Scenario {
 public:
  Scenario(uint64_t seed, bool trace);
  ~Scenario();
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;

  Outcome run();
  [[nodiscard]] std::string describe() const;

 private:
  static Plan plan_of(Prng& prng);
  void build();
  void build_transports(const std::vector<engine::Engine*>& engines);
  void come_and_go();
  void add_publisher();
  bool choose_way(RtmpPeer& peer);
  std::unique_ptr<DirectWay> connect_tls();
  std::unique_ptr<TunnelWay> make_tunnel();
  void add_hostile();
  void renew_certificates();
  void add_player();
  SimEngine& some_engine() { return *engines_[prng_.below(engines_.size())]; }
  std::string some_name();
  uint64_t step_ns();
  void step();
  void turn(dataplane::WorkerId worker);
  void everybody_leaves();
  void settle();
  void stop();
  void check_end();
  void check_nothing_missing();
  void check_tunnels();
  void drain_logs();
  [[nodiscard]] bool all_gone() const;
  [[nodiscard]] uint64_t counted(control::Counter counter) const;
  void fail(std::string text) { oracle_.fail(std::move(text)); }

  Prng prng_;
  Plan plan_;
  bool trace_;
  Oracle oracle_;
  SimNetwork network_;
  void* region_base_ = nullptr;
  uint64_t region_bytes_ = 0;
  void* frame_base_ = nullptr;
  control::Region region_;
  std::unique_ptr<dataplane::Mesh> mesh_;
  StopFlag stop_;
  std::vector<std::unique_ptr<dataplane::LogRing>> logs_;
  std::vector<std::unique_ptr<SimEngine>> engines_;
  std::unique_ptr<transport::TunnelMesh> tunnel_mesh_;
  std::unique_ptr<const tls::CertificateSet> certificates_;  // one thread has one set for all
  std::vector<std::unique_ptr<transport::TransportEngine>> transports_;  // empty: none between
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  std::vector<Instant> stalled_until_;
  std::unique_ptr<SimControl> control_;
  std::vector<std::unique_ptr<SimPublisher>> publishers_;
  std::vector<std::unique_ptr<SimPlayer>> players_;
  std::vector<std::unique_ptr<SimNoise>> noises_;
  std::vector<std::unique_ptr<HostileCarrier>> hostiles_;
  uint64_t steps_ = 0;
  bool leaving_ = false;
};

}  // namespace penstock::sim

#include "tests/sim/scenario.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "dataplane/log_record.h"
#include "penstock/tunnel/rtmpe_layer.h"
#include "tests/unit/tls/made_certificate.h"

namespace penstock::sim {
namespace {

using control::Counter;
using control::Tunable;
using dataplane::Worker;
using dataplane::WorkerId;

// Every liveness timer has run out by then: the longest is write_stalled_ms with 30 s, then linger.
constexpr uint64_t settle_ms_max = 120'000;

constexpr uint32_t tunnels_max = 8;

// In a run.
constexpr size_t hostiles_max = 8;

// The end of a connection is there and back by then, where nothing goes wrong.
constexpr uint64_t shown_out_ms_max = 2'000;

// The stop flag gives peers a second.
constexpr uint64_t stop_ms_max = 1'500;

void* map_zeroed(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PENSTOCK_ASSERT(memory != MAP_FAILED);
  return memory;
}

}  // namespace

Plan Scenario::plan_of(Prng& prng) {
  Plan plan;
  plan.calm = prng.chance(250);
  plan.workers = 1 + static_cast<uint32_t>(prng.below(3));
  plan.names = 1 + static_cast<uint32_t>(prng.below(3));
  plan.publishers = 1 + static_cast<uint32_t>(prng.below(4));
  plan.players = 1 + static_cast<uint32_t>(prng.below(8));
  plan.duration_ms = 2000 + prng.below(8000);
  plan.gop_bytes = prng.chance(300) ? 0 : prng.chance(300) ? 100'000 : 2'097'152;
  plan.frame_memory_bytes = 32U << 20;
  plan.subscriber_queue_bytes = 4U << 20;
  plan.faults.window_bytes_min = plan.faults.window_bytes_max = 256 * 1024;
  if (plan.calm) {
    plan.control = prng.chance(500) ? ControlMode::absent : ControlMode::answers;
    plan.sniffs = prng.chance(250);
    plan.hostiles = plan.sniffs ? static_cast<uint32_t>(prng.below(4)) : 0;
    return plan;
  }
  plan.control = static_cast<ControlMode>(prng.below(5));
  plan.faults.short_receive = prng.chance(600) ? static_cast<uint32_t>(prng.below(500)) : 0;
  plan.faults.partial_send = prng.chance(600) ? static_cast<uint32_t>(prng.below(500)) : 0;
  plan.faults.stall = prng.chance(500) ? static_cast<uint32_t>(prng.below(300)) : 0;
  plan.faults.reset = prng.chance(300) ? static_cast<uint32_t>(1 + prng.below(3)) : 0;
  plan.faults.delay_ns_max = prng.chance(600) ? prng.below(80 * ns_per_ms) : 0;
  plan.faults.window_bytes_min = prng.chance(500) ? 4096 : 65536;
  if (prng.chance(250)) plan.frame_memory_bytes = (128 + prng.below(512)) << 12;
  if (prng.chance(500)) plan.subscriber_queue_bytes = 65'536;
  if (prng.chance(150)) plan.connections_max = 6;
  if (prng.chance(150)) plan.streams_max = 4;
  plan.noises = prng.chance(300) ? static_cast<uint32_t>(prng.below(5)) : 0;
  plan.clock_jumps = prng.chance(150);
  plan.workers_stall = prng.chance(250);
  plan.ends_by_stop = prng.chance(200);
  plan.coalesces = prng.chance(500);
  plan.crowd = prng.chance(60);
  plan.sniffs = prng.chance(350);
  plan.hostiles = plan.sniffs ? static_cast<uint32_t>(prng.below(5)) : 0;
  if (prng.chance(300)) plan.handshakes_per_second = 1 + prng.below(4);  // most have to wait
  if (plan.crowd) {  // 40 joiners of a GOP of 150 messages on one other worker: more than a ring
                     // holds
    plan.players = 40 + static_cast<uint32_t>(prng.below(40));
    plan.connections_max = 128;
  }
  return plan;
}

Scenario::Scenario(uint64_t seed, bool trace)
    : prng_(seed), plan_(plan_of(prng_)), trace_(trace), network_(prng_.next(), plan_.faults) {
  oracle_.trace = trace;
  oracle_.calm = plan_.calm;
  build();
}

Scenario::~Scenario() {
  workers_.clear();
  transports_.clear();
  engines_.clear();
  munmap(region_base_, region_bytes_);
  munmap(frame_base_, plan_.frame_memory_bytes * plan_.workers);
}

std::string Scenario::describe() const {
  std::ostringstream out;
  out << (plan_.calm ? "calm " : "rough ") << plan_.workers << " workers, " << plan_.publishers
      << " publishers and " << plan_.players << " players of " << plan_.names << " names, "
      << plan_.duration_ms << " ms, control " << static_cast<int>(plan_.control) << ", frames "
      << (plan_.frame_memory_bytes >> 10) << " KiB, queue " << (plan_.subscriber_queue_bytes >> 10)
      << " KiB, gop " << (plan_.gop_bytes >> 10) << " KiB, connections_max "
      << plan_.connections_max << ", streams_max " << plan_.streams_max << ", delay_ms "
      << plan_.faults.delay_ns_max / ns_per_ms << ", short " << plan_.faults.short_receive
      << ", partial " << plan_.faults.partial_send << ", stall " << plan_.faults.stall << ", reset "
      << plan_.faults.reset << (plan_.clock_jumps ? ", clock jumps" : "")
      << (plan_.workers_stall ? ", workers stall" : "") << (plan_.crowd ? ", a crowd" : "")
      << (plan_.coalesces ? ", coalesces" : "") << (plan_.sniffs ? ", sniffs" : "")
      << (plan_.ends_by_stop ? ", ends by stop" : "") << (plan_.noises > 0 ? ", noise" : "")
      << (plan_.hostiles > 0 ? ", hostile carriers" : "");
  return out.str();
}

void Scenario::build() {
  const control::RegionPlan plan{plan_.workers, plan_.streams_max,
                                 plan_.connections_max + (plan_.sniffs ? tunnels_max : 0)};
  region_bytes_ = plan.region_bytes();
  region_base_ = map_zeroed(region_bytes_);
  frame_base_ = map_zeroed(plan_.frame_memory_bytes * plan_.workers);
  region_ = {region_base_, plan};
  control::TunableValues values = control::tunable_defaults();
  const auto set = [&](Tunable tunable, uint64_t value) {
    values[static_cast<size_t>(tunable)] = value;
  };
  set(Tunable::connections_max, plan_.connections_max);
  set(Tunable::streams_max, plan_.streams_max);
  set(Tunable::gop_bytes, plan_.gop_bytes);
  set(Tunable::subscriber_queue_bytes, plan_.subscriber_queue_bytes);
  if (plan_.coalesces) set(Tunable::coalesce_from, 0);
  control_ = std::make_unique<SimControl>(region_, plan_.control, prng_.next());
  control_->write_state(values);

  mesh_ = std::make_unique<dataplane::Mesh>(plan_.workers);
  std::vector<engine::Engine*> engines;
  for (uint32_t i = 0; i < plan_.workers; ++i) {
    engines_.push_back(
        std::make_unique<SimEngine>(network_, plan_.connections_max, ClockMode::caller_advances));
    engines.push_back(engines_.back().get());
    logs_.push_back(std::make_unique<dataplane::LogRing>());
  }
  if (plan_.sniffs) build_transports(engines);
  for (WorkerId id = 0; id < plan_.workers; ++id) {
    const dataplane::WorkerParts parts{
        .id = id,
        .engine = transports_.empty() ? engines[id] : transports_[id].get(),
        .engines = engines,
        .mesh = mesh_.get(),
        .region = region_,
        .log = logs_[id].get(),
        .frame_memory = {static_cast<uint8_t*>(frame_base_) + id * plan_.frame_memory_bytes,
                         plan_.frame_memory_bytes},
        .random_seed = prng_.next(),
        .unix_minus_monotonic_ms = 1'700'000'000'000,
        .stop = &stop_};
    workers_.push_back(std::make_unique<Worker>(parts, network_.now()));
  }
  stalled_until_.resize(plan_.workers);
}

/// All that a listener may take, in front of every worker. What comes speaks plain RTMP, or noise.
void Scenario::build_transports(const std::vector<engine::Engine*>& engines) {
  renew_certificates();
  tunnel_mesh_ = std::make_unique<transport::TunnelMesh>(plan_.workers, tunnels_max);
  for (WorkerId id = 0; id < plan_.workers; ++id) {
    transport::TransportOptions options;
    options.listeners = {
        {.rtmp = true, .rtmpe = true, .http = true, .tls_rtmp = true, .tls_http = true}};
    options.connections_max = plan_.connections_max;
    options.tunnels_max = tunnels_max;
    options.make_tls = [this] { return tls::TlsLayer::accept(*certificates_); };
    options.make_rtmpe = [seed = prng_.next()]() mutable {
      return std::make_unique<tunnel::RtmpeLayer>(
          tunnel::RtmpeSettings{.random_seed = ++seed, .exponent = tunnel::DhExponent{1, 2, 3}});
    };
    options.may_proxy = [](const engine::Endpoint&) { return true; };
    options.now = [this] { return network_.now(); };
    options.mesh = tunnel_mesh_.get();
    options.id = id;
    options.engines = engines;
    transports_.push_back(
        std::make_unique<transport::TransportEngine>(*engines_[id], std::move(options)));
    transports_.back()->set_rates({.tls_handshakes_per_second = plan_.handshakes_per_second,
                                   .rtmpe_handshakes_per_second = plan_.handshakes_per_second});
  }
}

std::string Scenario::some_name() {
  return std::string(1, static_cast<char>('a' + prng_.below(plan_.names)));
}

/// RTMPE in any of its forms, TLS, or requests. What a key agreement costs is real even here, so
/// only for some. True: TLS, and nothing else.
bool Scenario::choose_way(RtmpPeer& peer) {
  const uint64_t way = plan_.sniffs ? prng_.below(1000) : 1000;
  if (way < 50) {
    peer.travel_by(connect_tls(), false);
    return true;
  }
  if (way < 120) {
    constexpr uint8_t forms[] = {6, 8, 9};
    auto layer = std::make_unique<tunnel::RtmpeLayer>(
        tunnel::RtmpeSettings{.initiates = true,
                              .version = forms[prng_.below(3)],
                              .random_seed = prng_.next(),
                              .exponent = tunnel::DhExponent{4, 5, 6}});
    peer.travel_by(
        std::make_unique<DirectWay>(network_.connect(some_engine()), std::move(layer), false),
        true);
  } else if (way < 300) {
    peer.travel_by(make_tunnel(), false);
  } else {
    peer.travel_by(std::make_unique<DirectWay>(network_.connect(some_engine())), false);
  }
  return false;
}

std::unique_ptr<DirectWay> Scenario::connect_tls() {
  static const tls::InitiatorContext initiators;
  return std::make_unique<DirectWay>(network_.connect(some_engine()),
                                     tls::TlsLayer::initiate(initiators), true);
}

std::unique_ptr<TunnelWay> Scenario::make_tunnel() {
  const bool secure = prng_.chance(200);
  const auto connect = [this, secure] {
    if (secure) return connect_tls();
    return std::make_unique<DirectWay>(network_.connect(some_engine()));
  };
  return std::make_unique<TunnelWay>(
      network_, connect, static_cast<uint32_t>(prng_.below(secure ? 4 : 20)), prng_.next());
}

void Scenario::add_hostile() {
  const auto hostility =
      static_cast<Hostility>(prng_.below(static_cast<uint64_t>(Hostility::count_)));
  const bool secure = hostility == Hostility::spoils || prng_.chance(80);
  auto way = secure ? connect_tls() : std::make_unique<DirectWay>(network_.connect(some_engine()));
  hostiles_.push_back(std::make_unique<HostileCarrier>(std::move(way), hostility, prng_.next()));
}

/// Another set of certificates; connections keep what they began with.
void Scenario::renew_certificates() {
  // RSA, because its signatures are always as long: what OpenSSL draws by itself must not change
  // how many bytes a run has.
  static const auto made = tls::load(tls::make_certificate({.rsa_bits = 2048}));
  const tls::LoadedCertificate* only = made.get();
  certificates_ = std::move(*tls::CertificateSet::make({&only, 1}, {}));
}

void Scenario::add_publisher() {
  rtmp::InitiatorSettings settings;
  settings.publish = true;
  settings.app = "live";
  settings.name = some_name();
  settings.tc_url = "rtmp://sim/live";
  settings.digest = prng_.chance(300);
  constexpr uint32_t chunk_sizes[] = {128, 4096, 65536, 1000};
  settings.chunk_bytes = chunk_sizes[prng_.below(4)];
  const auto ending =
      plan_.calm ? PublisherEnding::orderly : static_cast<PublisherEnding>(prng_.below(4));
  const uint32_t messages = 20 + static_cast<uint32_t>(prng_.below(800));
  publishers_.push_back(std::make_unique<SimPublisher>(network_, SimPeer{}, settings, prng_.next(),
                                                       oracle_, messages, ending));
  // What TLS carries cannot be changed unnoticed: that ends this one's stream and nobody else's.
  if (choose_way(*publishers_.back()) && plan_.calm && prng_.chance(300))
    publishers_.back()->end_by(PublisherEnding::sends_garbage);
}

void Scenario::add_player() {
  rtmp::InitiatorSettings settings;
  settings.publish = false;
  settings.app = "live";
  settings.name = some_name();
  settings.tc_url = "rtmp://sim/live";
  const auto speed = plan_.calm || prng_.chance(500) ? PlayerSpeed::fast
                                                     : static_cast<PlayerSpeed>(prng_.below(3));
  players_.push_back(
      std::make_unique<SimPlayer>(network_, SimPeer{}, settings, prng_.next(), oracle_, speed));
  (void)choose_way(*players_.back());
}

/// Peers come over the first half; those that left are followed by others.
void Scenario::come_and_go() {
  if (plan_.sniffs && prng_.chance(2)) renew_certificates();
  const auto here = [](const auto& peers) {
    return static_cast<size_t>(
        std::ranges::count_if(peers, [](const auto& peer) { return !peer->gone(); }));
  };
  if (here(publishers_) < plan_.publishers && publishers_.size() < 12 && prng_.chance(30))
    add_publisher();
  const size_t players_max = plan_.crowd ? 150 : 24;
  const uint32_t hurry = plan_.crowd ? 1000 : 50;
  for (uint32_t i = 0; i < (plan_.crowd ? 20 : 1); ++i) {
    const bool due = !plan_.crowd || network_.now() > Instant{3 * ns_per_s};
    if (due && here(players_) < plan_.players && players_.size() < players_max &&
        prng_.chance(hurry)) {
      add_player();
    }
  }
  if (!plan_.calm && !players_.empty() && prng_.chance(3))
    players_[prng_.below(players_.size())]->leave();
  if (noises_.size() < plan_.noises && prng_.chance(30)) {
    noises_.push_back(std::make_unique<SimNoise>(network_.connect(some_engine()), prng_.next()));
  }
  if (here(hostiles_) < plan_.hostiles && hostiles_.size() < hostiles_max && prng_.chance(20))
    add_hostile();
}

uint64_t Scenario::step_ns() {
  if (plan_.clock_jumps && prng_.chance(2)) return prng_.below(20 * ns_per_s);
  if (prng_.chance(500)) return prng_.below(ns_per_ms);
  return prng_.below(12 * ns_per_ms);
}

void Scenario::turn(WorkerId worker) {
  workers_[worker]->wait(network_.now());
  workers_[worker]->tick(network_.now());
  if (trace_) drain_logs();
}

void Scenario::step() {
  ++steps_;
  network_.advance_to(network_.now().after_ns(step_ns()));
  control_->step(network_.now());
  for (auto& publisher : publishers_) publisher->step();
  for (auto& player : players_) player->step();
  if (!leaving_) {
    for (auto& noise : noises_) noise->step();
    for (auto& hostile : hostiles_) hostile->step(network_.now());
  }
  for (uint64_t turns = 1 + prng_.below(plan_.workers * 2); turns > 0; --turns) {
    const auto worker = static_cast<WorkerId>(prng_.below(plan_.workers));
    if (plan_.workers_stall && prng_.chance(2))
      stalled_until_[worker] = network_.now().after_ms(prng_.below(3000));
    if (network_.now() >= stalled_until_[worker]) turn(worker);
  }
  if (trace_ || steps_ % 64 == 0) drain_logs();
}

void Scenario::drain_logs() {
  for (auto& log : logs_) {
    dataplane::LogRecord records[16];
    while (const uint32_t count = log->pop(records)) {
      for (uint32_t i = 0; trace_ && i < count; ++i) {
        const auto info = dataplane::log_event_info(records[i].event);
        std::fprintf(stderr, "%10llu ms worker %u: %.*s: %s %s %llu (connection %llx)\n",
                     static_cast<unsigned long long>(records[i].unix_ms - 1'700'000'000'000),
                     records[i].worker, static_cast<int>(info.text.size()), info.text.data(),
                     records[i].name.chars.data(), records[i].detail.chars.data(),
                     static_cast<unsigned long long>(records[i].number),
                     static_cast<unsigned long long>(records[i].connection_id));
      }
    }
  }
}

bool Scenario::all_gone() const {
  return std::ranges::all_of(workers_,
                             [](const auto& worker) { return worker->connections() == 0; }) &&
         std::ranges::all_of(engines_,
                             [](const auto& engine) { return engine->connections_open() == 0; });
}

uint64_t Scenario::counted(Counter counter) const {
  uint64_t sum = 0;
  for (uint32_t worker = 0; worker < plan_.workers; ++worker) {
    sum += region_.worker(worker).counters[static_cast<size_t>(counter)].get();
  }
  return sum;
}

Outcome Scenario::run() {
  const Instant until = network_.now().after_ms(plan_.duration_ms);
  while (network_.now() < until && oracle_.failures.empty()) {
    come_and_go();
    step();
  }
  if (plan_.ends_by_stop) {
    stop();
  } else {
    everybody_leaves();
    settle();
  }
  drain_logs();
  if (oracle_.failures.empty()) check_end();
  Outcome outcome;
  outcome.failures = oracle_.failures;
  for (const auto& player : players_) {
    const auto* tunnel = dynamic_cast<const TunnelWay*>(&player->way());
    for (const auto& [source, got] : player->got()) {
      outcome.media_checked += got.count;
      outcome.media_tunneled += tunnel != nullptr ? got.count : 0;
    }
    outcome.carriers += tunnel != nullptr ? tunnel->carriers() : 0;
  }
  outcome.steps = steps_;
  return outcome;
}

void Scenario::everybody_leaves() {
  leaving_ = true;
  if (plan_.calm) {  // publishers end in order and what is on its way arrives
    for (auto& publisher : publishers_) publisher->leave();
    const Instant until = network_.now().after_ms(3000);
    while (network_.now() < until) step();
    check_nothing_missing();
    check_tunnels();
  }
  for (auto& publisher : publishers_) publisher->leave();
  for (auto& player : players_) player->leave();
  for (auto& noise : noises_) noise->leave();
  for (auto& hostile : hostiles_) hostile->leave();
}

/// Until nobody is connected and nothing is between workers any more.
void Scenario::settle() {
  plan_.workers_stall = false;
  const Instant most_are_gone = network_.now().after_ms(2000);
  const Instant until = network_.now().after_ms(settle_ms_max);
  while (!all_gone() && network_.now() < until) {
    step();
    // Only timers are left to end the rest.
    if (network_.now() > most_are_gone) network_.advance_to(network_.now().after_ms(40));
  }
  if (!all_gone()) {
    for (const auto& worker : workers_) {
      if (worker->connections() > 0)
        fail(std::to_string(worker->connections()) + " connections never ended");
    }
  }
  for (int i = 0; i < 60; ++i) step();
  for (int round = 0; round < 6; ++round) {
    for (WorkerId worker = 0; worker < plan_.workers; ++worker) turn(worker);
  }
}

void Scenario::stop() {
  stop_.raise();
  const Instant until = network_.now().after_ms(stop_ms_max);
  const auto stopped = [&] {
    return std::ranges::all_of(workers_, [](const auto& worker) { return worker->stopped(); });
  };
  plan_.workers_stall = plan_.clock_jumps = false;
  std::ranges::fill(stalled_until_, Instant{});
  while (!stopped() && network_.now() < until) step();
  if (!stopped()) fail("the workers did not stop in time");
  for (auto& publisher : publishers_) publisher->leave();
  for (auto& player : players_) player->leave();
}

void Scenario::check_end() {
  if (plan_.ends_by_stop)
    return;  // destructors take what is left, under the address sanitizer's eyes
  for (WorkerId id = 0; id < plan_.workers; ++id) {
    Worker& worker = *workers_[id];
    const std::string who = "worker " + std::to_string(id) + ": ";
    if (worker.streams() > 0) fail(who + std::to_string(worker.streams()) + " streams left");
    if (worker.leases_out() > 0)
      fail(who + std::to_string(worker.leases_out()) + " leases not returned");
    if (worker.frames().frames_in_use() > 0) {
      fail(who + std::to_string(worker.frames().frames_in_use()) + " frames not let go");
    }
    if (worker.directory().size() > 0) fail(who + "names left in the directory");
    if (engines_[id]->connections_open() > 0) fail(who + "connections left in the engine");
  }
}

/// In a calm run a player misses nothing between the first frame that it got and the end of the
/// source.
void Scenario::check_nothing_missing() {
  for (const Counter loss :
       {Counter::frames_no_memory, Counter::leases_dropped, Counter::subscribers_skipped}) {
    if (counted(loss) > 0)
      return fail("calm, and yet " +
                  std::string(control::counter_table[static_cast<size_t>(loss)].name));
  }
  for (const auto& player : players_) {
    for (const auto& [id, got] : player->got()) {
      const MediaSource& source = *oracle_.sources[id];
      const auto publisher =
          std::ranges::find_if(publishers_, [&](const auto& p) { return p->source() == &source; });
      if (publisher == publishers_.end() || !(*publisher)->ended_orderly() || player->gone())
        continue;
      const uint32_t last = source.numbers_made() - 1;
      if (got.first < 3 || last < 3) continue;
      const std::string what = "calm, and a player of " + player->name() + " got " +
                               std::to_string(got.count) + " messages of source " +
                               std::to_string(id) + " from " + std::to_string(got.first) + " to " +
                               std::to_string(got.last) + " of " + std::to_string(last);
      // A successor on the player's own worker may come before the last leases of the one before
      // it.
      const bool succeeded = std::ranges::any_of(oracle_.names, [&](const auto& other) {
        return other.first > id && other.second == player->name();
      });
      const bool to_the_end = got.last == last || succeeded;
      if (!to_the_end || got.count != got.last - got.first + 1) fail(what);
    }
  }
}

/// In a calm run no tunnel comes to harm by what happens to its carriers, and who sends what TLS
/// does not take is shown out.
void Scenario::check_tunnels() {
  const auto check = [&](const RtmpPeer& peer, const char* what) {
    const auto* tunnel = dynamic_cast<const TunnelWay*>(&peer.way());
    if (tunnel != nullptr && tunnel->ended_by_other_side())
      fail(std::string("calm, and the tunnel of a ") + what + " was ended");
  };
  for (const auto& publisher : publishers_) {
    if (!publisher->refused()) check(*publisher, "publisher");
  }
  for (const auto& player : players_) check(*player, "player");
  for (const auto& hostile : hostiles_) {
    const bool still_here = hostile->spoilt_at() < network_.now() &&
                            hostile->spoilt_at().after_ms(3000 + shown_out_ms_max) < network_.now();
    if (still_here) fail("calm, and a carrier is still here after what TLS does not take");
  }
}

}  // namespace penstock::sim

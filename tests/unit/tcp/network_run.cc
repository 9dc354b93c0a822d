#include "tests/unit/tcp/network_run.h"

#include <memory>

#include "tests/unit/tcp/kernel_peer.h"
#include "tests/unit/tcp/network.h"
#include "tests/unit/tcp/packets.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint64_t limit_ns = 7200 * ns_per_s;

WireOptions random_wire(Prng& prng, bool clean) {
  WireOptions options;
  options.delay_ns = 50 * ns_per_us + prng.below(prng.chance(300) ? 100 : 10) * ns_per_ms;
  if (prng.chance(300)) {
    options.bytes_per_s = 50'000 + prng.below(3'000'000);
    options.queue_bytes = 20'000 + prng.below(200'000);
    if (prng.chance(400)) options.mark_above_bytes = options.queue_bytes / 3;
  }
  if (clean) return options;
  if (prng.chance(400)) options.jitter_ns = prng.below(20) * ns_per_ms;
  if (prng.chance(500)) options.loss_per_10000 = static_cast<uint32_t>(prng.below(1000));
  if (prng.chance(300)) options.duplicates_per_10000 = static_cast<uint32_t>(prng.below(1000));
  if (prng.chance(300)) options.corrupted_per_10000 = static_cast<uint32_t>(prng.below(500));
  if (prng.chance(300)) options.held_per_10000 = static_cast<uint32_t>(prng.below(300));
  return options;
}

SidePlan random_side(Prng& prng, bool may_close) {
  SidePlan side;
  side.send_bytes = Talk::name_bytes + prng.below(prng.chance(200) ? 400'000 : 40'000);
  side.write_bytes_max = 1 + side.send_bytes / 200 + prng.below(30'000);
  if (prng.chance(150)) side.bytes_per_s = 50'000 + prng.below(1'000'000);
  if (prng.chance(200)) side.pauses_per_1000 = static_cast<uint32_t>(prng.below(200));
  if (prng.chance(200)) side.low_water_max = 1 + static_cast<uint32_t>(prng.below(30'000));
  if (may_close && prng.chance(150)) side.close_at = prng.below(20'000);
  return side;
}

std::vector<Plan> random_plans(Prng& prng) {
  std::vector<Plan> plans(1 + prng.below(5));
  uint64_t at = 0;
  for (uint32_t i = 0; i < plans.size(); ++i) {
    Plan& plan = plans[i];
    plan.number = i;
    plan.from_left = prng.chance(500);
    plan.v6 = prng.chance(300);
    plan.begins_ns = at += prng.below(300) * ns_per_ms;
    plan.sides = {random_side(prng, true), random_side(prng, true)};
  }
  return plans;
}

StackOptions random_stack(Prng& prng, uint8_t last, uint16_t mtu, bool clean) {
  StackOptions options = options_of_host(last);
  options.mtu = mtu;
  options.connections_max = 8;
  options.ecn = prng.chance(500);
  options.congestion = prng.chance(700) ? "cubic" : "reno";
  // A cookie stands for what the SYN said and no more: when the last ACK and the first bytes are
  // lost, there is nothing to complete it with.
  if (clean && prng.chance(300)) options.half_open_max = 1;
  // Who leaves TIME_WAIT early resets the FIN that comes again.
  if (clean && prng.chance(300)) options.time_wait_max = 1;
  if (prng.chance(300)) options.held_packets_max = 8 + static_cast<uint32_t>(prng.below(60));
  if (prng.chance(300)) options.receive_blocks = static_cast<uint32_t>(prng.below(40));
  if (prng.chance(300)) options.sent_segments_max = 2 + static_cast<uint32_t>(prng.below(30));
  if (prng.chance(200)) options.out_of_order_bytes_max = 8192;
  if (prng.chance(200)) {
    options.receive_window_max = 4096 + static_cast<uint32_t>(prng.below(200'000));
  }
  return options;
}

StackHostOptions host_options(Prng& prng, const StackOptions& own, const StackOptions& peer) {
  return {.stack = own,
          .peer = *peer.address,
          .peer6 = *peer.address6,
          .device_delay_ns = prng.chance(300) ? prng.below(10) * ns_per_ms : 0};
}

}  // namespace

std::string run_network_seed(uint64_t seed, NetworkPeer against, bool trace) {
  Prng prng(seed);
  const bool clean = prng.chance(200);
  constexpr uint16_t mtus[] = {1500, 1500, 1500, 9000, 1280, 1492};
  const uint16_t mtu = mtus[prng.below(std::size(mtus))];
  StackOptions left = random_stack(prng, 1, mtu, clean);
  StackOptions right = random_stack(prng, 2, mtu, clean);
  if (prng.chance(200)) left.vlan = right.vlan = 42;
  const std::vector<Plan> plans = random_plans(prng);
  Wire there(random_wire(prng, clean), prng.next());
  Wire back(random_wire(prng, clean), prng.next());
  StackHost host(host_options(prng, left, right), plans, prng.next());
  std::unique_ptr<NetworkHost> peer;
  if (against == NetworkPeer::self) {
    peer = std::make_unique<StackHost>(host_options(prng, right, left), plans, prng.next());
  } else {
    peer = std::make_unique<KernelHost>(
        KernelOptions{.addresses = right,
                      .peer_mac = left.mac,
                      .peer = *left.address,
                      .peer6 = *left.address6,
                      .sack = prng.chance(900),
                      .timestamps = prng.chance(900),
                      .scaling = prng.chance(900),
                      .nodelay = prng.chance(800),
                      .merges = prng.chance(700),
                      .prunes = prng.chance(100),
                      .autotunes = prng.chance(800),
                      .window_max = prng.chance(800) ? 3u << 20 : 20'000},
        plans, prng.next());
  }
  return run_network(host, *peer, there, back, plans, limit_ns, trace);
}

}  // namespace penstock::engine::tcp

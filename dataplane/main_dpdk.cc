#include "dataplane/main_dpdk.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "penstock/control/tunables.h"

namespace penstock::dataplane {
namespace {

constexpr uint64_t look_every_ns = 1 * ns_per_s;

engine::Endpoint endpoint_of(const config::AddressPrefix& address) {
  engine::Endpoint endpoint;
  endpoint.ipv6 = address.ipv6;
  std::memcpy(endpoint.address, address.bytes.data(), sizeof(endpoint.address));
  return endpoint;
}

std::optional<engine::DpdkAddress> own_address(const std::optional<config::AddressPrefix>& given) {
  if (!given) return std::nullopt;
  return engine::DpdkAddress{.address = endpoint_of(*given), .prefix_bits = given->bits};
}

std::optional<engine::Endpoint> router(const std::optional<config::AddressPrefix>& given) {
  if (!given) return std::nullopt;
  return endpoint_of(*given);
}

}  // namespace

engine::DpdkOptions dpdk_options(const config::Config& config,
                                 std::span<const engine::Endpoint> listeners,
                                 const uint64_t (&secret)[2]) {
  const config::DpdkConfig& dpdk = config.dpdk;
  engine::DpdkOptions options;
  options.devices = dpdk.devices;
  options.hugepages = dpdk.hugepages;
  options.memory_mb = dpdk.memory_mb;
  options.file_prefix = dpdk.file_prefix;
  options.cores = config.workers;
  options.address = own_address(dpdk.address);
  options.address6 = own_address(dpdk.address6);
  options.gateway = router(dpdk.gateway);
  options.gateway6 = router(dpdk.gateway6);
  if (dpdk.vlan != 0) options.vlan = static_cast<uint16_t>(dpdk.vlan);
  options.mtu = static_cast<uint16_t>(dpdk.mtu);
  for (const engine::Endpoint& listener : listeners) options.ports.push_back(listener.port);
  options.connections_max =
      static_cast<uint32_t>(control::value_of(config.tunables, control::Tunable::connections_max));
  options.exceptions = !dpdk.exception_interface.empty();
  options.exception_interface = dpdk.exception_interface;
  options.secret[0] = secret[0];
  options.secret[1] = secret[1];
  return options;
}

namespace {

void add_numbers(std::span<const engine::DpdkCounter> from, control::LinkNumberKind kind,
                 control::LinkRow& row) {
  for (const engine::DpdkCounter& counter : from) {
    if (row.numbers_used == row.numbers.size()) {
      ++row.numbers_left_out;
      continue;
    }
    control::LinkNumber& number = row.numbers[row.numbers_used++];
    number.value = counter.value;
    number.kind = kind;
    number.name.set(counter.name);
  }
}

}  // namespace

std::expected<std::unique_ptr<engine::DpdkHost>, std::string> start_dpdk(
    const config::Config& config, std::span<const engine::Endpoint> listeners,
    const uint64_t (&secret)[2]) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto host = engine::DpdkHost::start(dpdk_options(config, listeners, secret));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return host;
}

std::string dpdk_line(engine::DpdkHost& host, const config::Config& config) {
  std::string line = "engine dpdk:";
  std::string last;
  for (size_t worker = 0; worker < config.workers.size(); ++worker) {
    const engine::DpdkWorkerStats stats = host.stats(worker);
    if (stats.device == last) continue;
    last = stats.device;
    line += " " + stats.device + " (" + stats.driver + ", link " + (stats.link_up ? "up" : "down") +
            ", offloads: " + stats.offloads + ")";
  }
  for (const auto* address : {&config.dpdk.address, &config.dpdk.address6}) {
    if (*address) line += ", " + config::to_string(**address);
  }
  return line;
}

void fill_link_row(const engine::DpdkWorkerStats& stats, bool with_device, control::LinkRow& row) {
  row = {};
  row.device.set(stats.device);
  row.driver.set(stats.driver);
  row.offloads.set(stats.offloads);
  row.up = stats.link_up ? 1 : 0;
  row.mbps = stats.link_mbps;
  add_numbers(stats.engine, control::LinkNumberKind::engine, row);
  add_numbers(stats.tcp, control::LinkNumberKind::tcp, row);
  if (with_device) add_numbers(stats.driver_counters, control::LinkNumberKind::device, row);
}

std::vector<std::string> LinkReports::look(Instant now) {
  std::vector<std::string> lines;
  if (now < next_) return lines;
  next_ = now.after_ns(look_every_ns);
  std::vector<std::string> devices;
  // 29 KB: off the stack.
  const auto row = std::make_unique<control::LinkRow>();
  for (uint32_t worker = 0; worker < region_.plan().workers; ++worker) {
    const engine::DpdkWorkerStats stats = host_.stats(worker);
    const bool first = std::ranges::find(devices, stats.device) == devices.end();
    if (first) devices.push_back(stats.device);
    if (first && stats.link_up != up_[worker]) {
      lines.push_back(stats.device + (stats.link_up ? ": the link is up again"
                                                    : ": the link is down: cable, switch or peer"));
    }
    up_[worker] = stats.link_up;
    fill_link_row(stats, first, *row);
    region_.worker(worker).link.write(*row);
  }
  return lines;
}

}  // namespace penstock::dataplane

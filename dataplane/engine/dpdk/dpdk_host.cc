#include "dataplane/engine/dpdk/dpdk_host.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "dataplane/engine/dpdk/crossings.h"
#include "dataplane/engine/dpdk/device.h"
#include "dataplane/engine/dpdk/device_text.h"
#include "dataplane/engine/dpdk/dpdk_engine.h"
#include "dataplane/engine/dpdk/environment.h"
#include "dataplane/engine/dpdk/exception_path.h"
#include "dataplane/engine/dpdk/packet_pools.h"
#include "dataplane/engine/dpdk/steering.h"
#include "penstock/base/spsc_ring.h"

namespace penstock::engine {
namespace {

// How soon a link that came back is announced.
constexpr int keeper_link_ms = 250;
// How long a packet of the exception path may wait: it is for pings and logins.
constexpr int keeper_exceptions_ms = 1;

std::optional<tcp::IpAddress> to_stack(const std::optional<Endpoint>& endpoint) {
  if (!endpoint) return std::nullopt;
  tcp::IpAddress address;
  address.ipv6 = endpoint->ipv6;
  std::copy_n(endpoint->address, endpoint->ipv6 ? 16 : 4, address.bytes.begin());
  return address;
}

std::expected<void, std::string> check(const DpdkOptions& options) {
  const size_t workers = options.cores.size();
  if (workers == 0) return std::unexpected("dpdk: no worker is configured");
  if (workers > Crossings::workers_max) {
    return std::unexpected("dpdk: at most " + std::to_string(Crossings::workers_max) +
                           " workers can share a device");
  }
  if (options.devices.empty()) {
    return std::unexpected(
        "dpdk.devices names no device; for example devices = [\"0000:3b:00.0\"] or "
        "[\"net_af_packet0,iface=eth1\"]");
  }
  if (options.devices.size() != 1 && options.devices.size() != workers) {
    return std::unexpected("dpdk.devices: " + std::to_string(options.devices.size()) +
                           " devices and " + std::to_string(workers) +
                           " workers; name one device for all, or one for each");
  }
  const size_t ports = std::set(options.ports.begin(), options.ports.end()).size();
  if (ports > tcp::Stack::ports_max) {
    return std::unexpected("listen: " + std::to_string(ports) +
                           " different ports; the engine dpdk takes at most " +
                           std::to_string(tcp::Stack::ports_max));
  }
  if (!options.address && !options.address6) {
    return std::unexpected("dpdk.address and dpdk.address6 are both empty; one is needed");
  }
  for (const auto& [own, name] : {std::pair(&options.address, "dpdk.address"),
                                  std::pair(&options.address6, "dpdk.address6")}) {
    if (!*own) continue;
    const std::string interface =
        kernel_interface_of((*own)->address, options.exceptions ? options.exception_interface : "");
    if (interface.empty()) continue;
    return std::unexpected(std::string(name) + " is the kernel's as well, on " + interface +
                           ": it would reset every connection; take it away there (ip addr del), "
                           "or choose another");
  }
  if (!options.congestion_control.empty() && options.congestion_control != "cubic" &&
      options.congestion_control != "reno") {
    return std::unexpected("congestion control \"" + options.congestion_control +
                           "\": this engine knows cubic and reno");
  }
  if (options.mtu < 1280 || options.mtu > 9000) {
    return std::unexpected("dpdk.mtu: 1280 to 9000 is accepted");
  }
  return {};
}

class Host final : public DpdkHost {
 public:
  explicit Host(const DpdkOptions& options)
      : options_(options),
        steering_(options.cores.size(), options.secret[0] ^ options.secret[1]),
        crossings_(options.cores.size()) {}
  ~Host() override;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  std::expected<void, std::string> open();

  Engine& engine(size_t worker) override { return *engines_.at(worker); }
  [[nodiscard]] uint64_t memory_bytes() const override;
  [[nodiscard]] DpdkWorkerStats stats(size_t worker) override;
  void offer_memory(MutableBytes memory) override;

 private:
  [[nodiscard]] Device& device_of(size_t worker) {
    return devices_.size() == 1 ? *devices_[0] : *devices_[worker];
  }
  [[nodiscard]] uint16_t queue_of(size_t worker) const {
    return devices_.size() == 1 ? static_cast<uint16_t>(worker) : uint16_t{0};
  }
  std::expected<void, std::string> open_devices();
  std::expected<void, std::string> make_pools();
  std::expected<void, std::string> open_exceptions();
  std::expected<void, std::string> start_devices();
  void make_engines();
  [[nodiscard]] tcp::StackOptions stack_options(size_t worker);
  void keep();

  DpdkOptions options_;
  Steering steering_;
  Crossings crossings_;
  // In the order in which they need each other; engines go before the devices, and those before
  // their memory.
  std::vector<std::unique_ptr<PacketPools>> pools_;
  std::unique_ptr<ExceptionPath> exceptions_;
  std::vector<std::unique_ptr<Device>> devices_;
  std::vector<std::unique_ptr<DpdkEngine>> engines_;
  std::thread keeper_;
  StopFlag stop_;
  int stop_fd_ = -1;
};

Host::~Host() {
  if (keeper_.joinable()) {
    stop_.raise();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof one);
    keeper_.join();
  }
  if (stop_fd_ >= 0) close(stop_fd_);
  for (const auto& engine : engines_) engine->end();
  // Devices give back what they were sending, and engines count it.
  for (const auto& device : devices_) device->stop();
  devices_.clear();
  engines_.clear();
}

std::expected<void, std::string> Host::open() {
  if (auto good = check(options_); !good) return good;
  EnvironmentOptions environment{options_.hugepages, options_.memory_mb, options_.file_prefix, {}};
  std::ranges::copy_if(options_.devices, std::back_inserter(environment.pci_devices),
                       is_pci_address);
  if (auto started = start_environment(environment); !started) return started;
  if (auto opened = open_devices(); !opened) return opened;
  if (auto made = make_pools(); !made) return made;
  if (auto started = start_devices(); !started) return started;
  if (options_.exceptions) {
    if (auto opened = open_exceptions(); !opened) return opened;
  }
  make_engines();
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // Signals are for the thread that waits for them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  keeper_ = std::thread([this] { keep(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

std::expected<void, std::string> Host::open_devices() {
  const size_t workers = options_.cores.size();
  DeviceWants wants;
  wants.queues = static_cast<uint16_t>(options_.devices.size() == 1 ? workers : 1);
  wants.mtu = options_.mtu;
  wants.ipv6 = options_.address6.has_value();
  for (const std::string& text : options_.devices) {
    auto opened = Device::open(text, wants);
    if (!opened) return std::unexpected(opened.error());
    devices_.push_back(std::move(*opened));
    if (devices_.back()->mac() != devices_.front()->mac()) {
      return std::unexpected(text + ": has another Ethernet address than " +
                             devices_.front()->text() +
                             "; devices of several workers must be queues of one interface");
    }
  }
  return {};
}

std::expected<void, std::string> Host::make_pools() {
  for (size_t worker = 0; worker < options_.cores.size(); ++worker) {
    const Device& device = device_of(worker);
    PoolPlan plan;
    plan.workers = static_cast<uint32_t>(options_.cores.size());
    plan.memory_mb = options_.memory_mb;
    plan.mtu = options_.mtu;
    plan.numa_node = device.numa_node();
    plan.receive_descriptors = device.receive_descriptors();
    plan.send_descriptors = device.send_descriptors();
    auto made = PacketPools::make("penstock" + std::to_string(worker), plan);
    if (!made) return std::unexpected(made.error());
    pools_.push_back(std::move(*made));
  }
  return {};
}

std::expected<void, std::string> Host::start_devices() {
  for (size_t i = 0; i < devices_.size(); ++i) {
    std::vector<rte_mempool*> memory;
    if (devices_.size() == 1) {
      for (const auto& pools : pools_) memory.push_back(pools->packets);
    } else {
      memory.push_back(pools_[i]->packets);
    }
    if (auto started = devices_[i]->start(memory); !started) return started;
  }
  if (devices_.size() == 1) steering_.follow_device(devices_[0]->offloads().hash_queues);
  return {};
}

std::expected<void, std::string> Host::open_exceptions() {
  ExceptionOptions wants;
  wants.interface = options_.exception_interface;
  wants.mac = devices_.front()->mac();
  wants.mtu = options_.mtu;
  wants.packets_per_second = options_.exceptions_per_second;
  wants.workers = options_.cores.size();
  auto opened = ExceptionPath::open(wants);
  if (!opened) return std::unexpected(opened.error());
  exceptions_ = std::move(*opened);
  return {};
}

tcp::StackOptions Host::stack_options(size_t worker) {
  const Device& device = device_of(worker);
  const PoolSizes& sizes = pools_[worker]->sizes;
  tcp::StackOptions stack;
  stack.mac = device.mac();
  if (options_.address) {
    stack.address = to_stack(options_.address->address);
    stack.prefix_bits = options_.address->prefix_bits;
  }
  if (options_.address6) {
    stack.address6 = to_stack(options_.address6->address);
    stack.prefix6_bits = options_.address6->prefix_bits;
  }
  stack.gateway = to_stack(options_.gateway);
  stack.gateway6 = to_stack(options_.gateway6);
  stack.vlan = options_.vlan;
  stack.mtu = options_.mtu;
  stack.ip_checksum_offload = device.offloads().checksums_out;
  stack.tcp_checksum_offload = device.offloads().checksums_out;
  stack.connections_max = options_.connections_max;
  // Half of what the device's queue and caches leave; the rest is on its way, or being copied for
  // sending.
  // Where all packets come in one queue, the stacks of all workers hold them of that one's pool.
  const auto workers = static_cast<uint32_t>(options_.cores.size());
  stack.held_packets_max = std::max(
      512u, (sizes.packets - device.receive_descriptors() - sizes.cached_max) / 2 / workers);
  // 2 KiB each: where what waits for its reader is copied when packets run low.
  stack.receive_blocks = std::max(4096u, 4 * options_.connections_max);
  if (options_.congestion_control == "reno") stack.congestion = "reno";
  stack.user_timeout_ns = options_.peer_silent_ms_max * ns_per_ms;
  stack.shares_addresses = options_.cores.size() > 1;
  stack.foreign_ports_are_exceptions = exceptions_ != nullptr;
  // Connections are found and numbered by it; each worker has its own.
  stack.secret[0] = options_.secret[0] + worker;
  stack.secret[1] = options_.secret[1];
  return stack;
}

void Host::make_engines() {
  for (size_t worker = 0; worker < options_.cores.size(); ++worker) {
    DpdkEngineParts parts;
    parts.id = worker;
    parts.device = &device_of(worker);
    parts.queue = queue_of(worker);
    parts.pools = pools_[worker].get();
    parts.steering = &steering_;
    parts.crossings = &crossings_;
    parts.exceptions = exceptions_.get();
    parts.stack = stack_options(worker);
    parts.ports = options_.ports;
    parts.connections_max = options_.connections_max;
    engines_.push_back(std::make_unique<DpdkEngine>(std::move(parts)));
  }
  std::vector<DpdkEngine*> all;
  for (const auto& engine : engines_) all.push_back(engine.get());
  for (const auto& engine : engines_) engine->set_others(all);
}

/// The host's own thread: what takes system calls and is nobody's in particular.
void Host::keep() {
  pthread_setname_np(pthread_self(), "dpdk-keeper");
  bool up = devices_.front()->link().up;
  int since_link_ms = 0;
  while (!stop_.raised()) {
    pollfd waits[2] = {{stop_fd_, POLLIN, 0}, {-1, POLLIN, 0}};
    if (exceptions_ != nullptr) waits[1].fd = exceptions_->descriptor();
    const int wait_ms = exceptions_ != nullptr ? keeper_exceptions_ms : keeper_link_ms;
    poll(waits, 2, wait_ms);
    // The interface was taken away: nothing comes any more, and poll() says so without waiting.
    if ((waits[1].revents & ~POLLIN) != 0) poll(waits, 1, wait_ms);
    if (exceptions_ != nullptr && exceptions_->carry(pools_.front()->packets)) {
      engines_.front()->ring(Crossings::ringer_kernel);
    }
    since_link_ms += wait_ms;
    if (since_link_ms < keeper_link_ms) continue;
    since_link_ms = 0;
    const bool now_up = devices_.front()->link().up;
    if (now_up && !up) engines_.front()->ring(Crossings::ringer_link);
    up = now_up;
  }
}

uint64_t Host::memory_bytes() const {
  uint64_t sum = (uint64_t{options_.memory_mb} << 20) + crossings_.memory_bytes();
  for (const auto& engine : engines_) sum += engine->memory_bytes();
  if (exceptions_ != nullptr) sum += exceptions_->memory_bytes();
  return sum;
}

DpdkWorkerStats Host::stats(size_t worker) {
  const Device& device = device_of(worker);
  DpdkWorkerStats stats;
  stats.device = device.text();
  stats.driver = device.driver();
  const LinkState link = device.link();
  stats.link_up = link.up;
  stats.link_mbps = link.mbps;
  stats.offloads = offloads_text(device.offloads());
  const DpdkEngine::Told told = engines_.at(worker)->told();
  for (const EngineCounterInfo& info : engine_counter_table) {
    stats.engine.push_back({std::string(info.name), info.help, told.engine.*info.value});
  }
  for (const tcp::StackCounterInfo& info : tcp::stack_counter_table) {
    stats.tcp.push_back({std::string(info.name), info.help, told.tcp.*info.value});
  }
  for (auto& [name, value] : device.counters()) {
    stats.driver_counters.push_back({std::move(name), {}, value});
  }
  return stats;
}

void Host::offer_memory(MutableBytes memory) {
  for (const auto& device : devices_) {
    if (!device->map_memory(memory.data(), memory.size())) return;
  }
  for (const auto& engine : engines_) engine->offer_memory(memory);
}

}  // namespace

std::expected<std::unique_ptr<DpdkHost>, std::string> DpdkHost::start(const DpdkOptions& options) {
  auto host = std::make_unique<Host>(options);
  if (auto opened = host->open(); !opened) return std::unexpected(std::move(opened.error()));
  return host;
}

}  // namespace penstock::engine

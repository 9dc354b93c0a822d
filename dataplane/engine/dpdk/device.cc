#include "dataplane/engine/dpdk/device.h"

#include <net/if.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_memory.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>

#include "dataplane/engine/dpdk/device_text.h"
#include "dataplane/engine/dpdk/environment.h"
#include "dataplane/engine/dpdk/steering.h"

namespace penstock::engine {
namespace {

// At 10 Gbit/s of full packets 1024 are 1.2 ms: what a worker's longest tick may take.
constexpr uint16_t descriptors = 1024;

constexpr int queue_attempts = 10;
constexpr useconds_t queue_retry_us = 100'000;

std::string failure(const Device& device, const char* what, int error) {
  return with_complaint(device.text() + ": " + what + ": " + rte_strerror(std::abs(error)));
}

/// Drivers over an interface of the kernel's say "up" from their start on, whatever becomes of it.
bool kernel_sees_carrier(uint16_t port) {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port, &info) != 0 || info.if_index == 0) return true;
  ifreq request{};
  if (if_indextoname(info.if_index, request.ifr_name) == nullptr) return false;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  const bool asked = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  ::close(fd);
  return !asked || (request.ifr_flags & IFF_RUNNING) != 0;
}

}  // namespace

std::string offloads_text(const DeviceOffloads& offloads) {
  std::string text;
  const auto add = [&](bool there, const char* name) {
    if (!there) return;
    if (!text.empty()) text += ", ";
    text += name;
  };
  add(offloads.checksums_in, "checksums in");
  add(offloads.checksums_out, "checksums out");
  add(offloads.slices, "slices");
  add(offloads.interrupts, "interrupts");
  add(!offloads.hash_queues.empty(), "hash");
  return text.empty() ? "none" : text;
}

std::expected<std::unique_ptr<Device>, std::string> Device::open(const std::string& text,
                                                                 const DeviceWants& wants) {
  std::unique_ptr<Device> device(new Device());
  device->text_ = text;
  const size_t comma = text.find(',');
  device->name_ = text.substr(0, comma);
  if (comma != std::string::npos) device->arguments_ = text.substr(comma + 1);
  device->is_virtual_ = !is_pci_address(device->name_);
  if (auto there = check_device_text(text, wants.mtu); !there) {
    return std::unexpected(there.error());
  }
  if (auto attached = device->attach(); !attached) return std::unexpected(attached.error());
  if (auto configured = device->configure(wants); !configured) {
    return std::unexpected(configured.error());
  }
  return device;
}

Device::~Device() {
  if (!attached_) return;
  stop();
  rte_eth_dev_close(port_);
  if (is_virtual_) rte_eal_hotplug_remove("vdev", name_.c_str());
}

void Device::stop() {
  if (started_) rte_eth_dev_stop(port_);
  started_ = false;
}

std::expected<void, std::string> Device::attach() {
  take_dpdk_complaint();
  if (is_virtual_) {
    if (rte_eth_dev_get_port_by_name(name_.c_str(), &port_) == 0) {
      return std::unexpected(text_ + ": this device is there twice; give each a number of its own");
    }
    if (const int error = rte_eal_hotplug_add("vdev", name_.c_str(), arguments_.c_str());
        error != 0) {
      return std::unexpected(with_complaint(no_driver_text(text_)));
    }
  }
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &port_) != 0) {
    // A driver that makes no Ethernet device of it: the name is free again.
    if (is_virtual_) rte_eal_hotplug_remove("vdev", name_.c_str());
    return std::unexpected(with_complaint(no_driver_text(text_)));
  }
  attached_ = true;
  return {};
}

std::expected<void, std::string> Device::configure(const DeviceWants& wants) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(port_, &info); error != 0) {
    return std::unexpected(failure(*this, "tells nothing of itself", error));
  }
  driver_ = info.driver_name != nullptr ? info.driver_name : "unknown";
  queues_ = wants.queues;
  const uint16_t queues_max = std::min(info.max_rx_queues, info.max_tx_queues);
  if (queues_ > queues_max) {
    return std::unexpected(
        text_ + ": this device has " + std::to_string(queues_max) +
        " queue(s), and each worker needs one; use fewer workers (dataplane.workers)" +
        more_queues_text(text_));
  }
  if (wants.mtu > 1500 && info.max_mtu != 0 && info.max_mtu < wants.mtu) {
    return std::unexpected(text_ + ": dpdk.mtu is " + std::to_string(wants.mtu) +
                           ", and this device can at most " + std::to_string(info.max_mtu));
  }
  const int node = rte_eth_dev_socket_id(port_);
  numa_node_ = node < 0 ? 0 : node;

  rte_eth_conf conf{};
  constexpr uint64_t checksums_in = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
  constexpr uint64_t checksums_out = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
  offloads_.checksums_in = (info.rx_offload_capa & checksums_in) == checksums_in;
  offloads_.checksums_out = (info.tx_offload_capa & checksums_out) == checksums_out;
  // A header and at most four slices; some devices take fewer pieces than that.
  const uint16_t pieces_max = info.tx_desc_lim.nb_mtu_seg_max;
  offloads_.slices = (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0 &&
                     (pieces_max == 0 || pieces_max > tcp::PacketOut::slices_max);
  offloads_.own_memory_access = !is_virtual_;
  if (offloads_.checksums_in) conf.rxmode.offloads |= checksums_in;
  if (offloads_.checksums_out) conf.txmode.offloads |= checksums_out;
  if (offloads_.slices) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  if (wants.mtu > 1500) conf.rxmode.mtu = wants.mtu;

  std::vector<uint8_t> key(std::max<size_t>(info.hash_key_size, 40));
  for (size_t i = 0; i + 1 < key.size(); i += 2) store_u16(&key[i], Steering::symmetric_key);
  const uint64_t flows =
      RTE_ETH_RSS_NONFRAG_IPV4_TCP | (wants.ipv6 ? RTE_ETH_RSS_NONFRAG_IPV6_TCP : 0);
  hashes_ = queues_ > 1 && (info.flow_type_rss_offloads & flows) == flows && info.reta_size > 0;
  if (hashes_) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf = {key.data(), static_cast<uint8_t>(key.size()), flows};
    conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
  }
  conf.intr_conf.rxq = 1;
  int error = rte_eth_dev_configure(port_, queues_, queues_, &conf);
  if (error != 0) {
    conf.intr_conf.rxq = 0;
    error = rte_eth_dev_configure(port_, queues_, queues_, &conf);
  }
  if (error != 0) return std::unexpected(failure(*this, "cannot be configured", error));
  receive_descriptors_ = send_descriptors_ = descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(port_, &receive_descriptors_, &send_descriptors_);
  rte_ether_addr mac{};
  if (error = rte_eth_macaddr_get(port_, &mac); error != 0) {
    return std::unexpected(failure(*this, "has no Ethernet address", error));
  }
  std::copy_n(mac.addr_bytes, mac_.bytes.size(), mac_.bytes.begin());
  return {};
}

std::expected<void, std::string> Device::set_up_queues(
    const std::vector<rte_mempool*>& memory_of_queues) {
  const auto node = static_cast<unsigned>(numa_node_);
  for (uint16_t queue = 0; queue < queues_; ++queue) {
    int error = 0;
    // The kernel lets go of an AF_XDP queue a moment after the process that had it has ended.
    for (int i = 0; i < queue_attempts; ++i) {
      if (i > 0) usleep(queue_retry_us);
      error = rte_eth_rx_queue_setup(port_, queue, receive_descriptors_, node, nullptr,
                                     memory_of_queues[queue]);
      if (error == 0 || !name_.starts_with("net_af_xdp")) break;
    }
    if (error == 0) error = rte_eth_tx_queue_setup(port_, queue, send_descriptors_, node, nullptr);
    if (error != 0) return std::unexpected(failure(*this, "a queue cannot be set up", error));
  }
  return {};
}

std::expected<void, std::string> Device::start(const std::vector<rte_mempool*>& memory_of_queues) {
  take_dpdk_complaint();
  if (auto queues = set_up_queues(memory_of_queues); !queues) return queues;
  if (const int error = rte_eth_dev_start(port_); error != 0) {
    return std::unexpected(failure(*this, "cannot be started", error));
  }
  started_ = true;
  // Asked without an epoll descriptor to change nothing; only drivers with interrupts know one.
  offloads_.interrupts =
      rte_eth_dev_rx_intr_ctl_q_get_fd(port_, 0) >= 0 && rte_eth_dev_rx_intr_disable(port_, 0) == 0;
  listen_to_groups();
  if (hashes_) read_hash_table();
  return {};
}

/// Neighbour discovery goes to groups.
void Device::listen_to_groups() const {
  if (rte_eth_allmulticast_enable(port_) != 0) rte_eth_promiscuous_enable(port_);
}

void Device::read_hash_table() {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port_, &info) != 0) return;
  const uint16_t size = info.reta_size;
  std::vector<rte_eth_rss_reta_entry64> groups((size + RTE_ETH_RETA_GROUP_SIZE - 1u) /
                                               RTE_ETH_RETA_GROUP_SIZE);
  for (auto& group : groups) group.mask = UINT64_MAX;
  for (uint16_t i = 0; i < size; ++i) {
    groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] =
        static_cast<uint16_t>(i % queues_);
  }
  if (rte_eth_dev_rss_reta_update(port_, groups.data(), size) != 0) return;
  offloads_.hash_queues.resize(size);
  for (uint16_t i = 0; i < size; ++i) {
    offloads_.hash_queues[i] = static_cast<uint16_t>(i % queues_);
  }
}

LinkState Device::link() const {
  const std::lock_guard asking(asking_);
  rte_eth_link link{};
  if (rte_eth_link_get_nowait(port_, &link) != 0) return {};
  const bool known = link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN;
  const bool up =
      link.link_status == RTE_ETH_LINK_UP && (!is_virtual_ || kernel_sees_carrier(port_));
  return {up, known ? link.link_speed : 0};
}

std::vector<std::pair<std::string, uint64_t>> Device::counters() const {
  const std::lock_guard asking(asking_);
  std::vector<std::pair<std::string, uint64_t>> found;
  const int count = rte_eth_xstats_get_names(port_, nullptr, 0);
  if (count <= 0) return found;
  std::vector<rte_eth_xstat_name> names(static_cast<size_t>(count));
  std::vector<rte_eth_xstat> values(static_cast<size_t>(count));
  if (rte_eth_xstats_get_names(port_, names.data(), static_cast<unsigned>(count)) != count ||
      rte_eth_xstats_get(port_, values.data(), static_cast<unsigned>(count)) != count) {
    return found;
  }
  for (const rte_eth_xstat& value : values) {
    if (value.id < names.size()) found.emplace_back(names[value.id].name, value.value);
  }
  return found;
}

bool Device::map_memory(uint8_t* memory, size_t bytes) {
  if (!offloads_.own_memory_access) return true;
  if (rte_eal_iova_mode() != RTE_IOVA_VA) return false;
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port_, &info) != 0) return false;
  const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (rte_extmem_register(memory, bytes, nullptr, 0, page_bytes) != 0 && rte_errno != EEXIST) {
    return false;
  }
  return rte_dev_dma_map(info.device, memory, reinterpret_cast<uint64_t>(memory), bytes) == 0;
}

}  // namespace penstock::engine

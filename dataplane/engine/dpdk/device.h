#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "dataplane/engine/tcp/types.h"

struct rte_mempool;

namespace penstock::engine {

struct DeviceWants {
  uint16_t queues = 1;
  uint16_t mtu = 1500;
  bool ipv6 = false;
};

/// What a device was found to do; all of it is used then.
struct DeviceOffloads {
  bool checksums_in = false;          // says whether those of received packets are good
  bool checksums_out = false;         // fills them in
  bool slices = false;                // sends packets that lie in several places
  bool interrupts = false;            // says when a packet comes to a queue that is not looked at
  bool own_memory_access = false;     // reads memory by itself (DMA), not through the kernel
  std::vector<uint16_t> hash_queues;  // it spreads connections by Steering's key: its table
};

/// "checksums in, hash"; "none".
[[nodiscard]] std::string offloads_text(const DeviceOffloads&);

struct LinkState {
  bool up = false;
  uint32_t mbps = 0;  // 0: not known
};

/// One Ethernet device, opened by what the configuration calls it. Stopped and let go of at its
/// end.
class Device {
 public:
  static std::expected<std::unique_ptr<Device>, std::string> open(const std::string& text,
                                                                  const DeviceWants& wants);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device();

  /// Then, once with the packet memory of each queue: start it.
  std::expected<void, std::string> start(const std::vector<rte_mempool*>& memory_of_queues);
  void stop();

  /// This and counters(): any thread, but no worker. Drivers answer one at a time.
  [[nodiscard]] LinkState link() const;
  /// The driver's counters (xstats), by name.
  [[nodiscard]] std::vector<std::pair<std::string, uint64_t>> counters() const;
  /// Lets the device read `memory`; false when it cannot.
  [[nodiscard]] bool map_memory(uint8_t* memory, size_t bytes);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::string& driver() const { return driver_; }
  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] int numa_node() const { return numa_node_; }
  [[nodiscard]] const tcp::MacAddress& mac() const { return mac_; }
  [[nodiscard]] const DeviceOffloads& offloads() const { return offloads_; }
  [[nodiscard]] uint16_t receive_descriptors() const { return receive_descriptors_; }
  [[nodiscard]] uint16_t send_descriptors() const { return send_descriptors_; }

 private:
  Device() = default;
  std::expected<void, std::string> attach();
  std::expected<void, std::string> configure(const DeviceWants& wants);
  std::expected<void, std::string> set_up_queues(const std::vector<rte_mempool*>& memory_of_queues);
  void read_hash_table();
  void listen_to_groups() const;

  mutable std::mutex asking_;  // ethdev promises nothing to two who ask at once
  std::string text_;           // as configured
  std::string name_;           // its name in DPDK
  std::string arguments_;      // of a virtual one
  std::string driver_;
  bool is_virtual_ = false;
  bool attached_ = false;
  bool started_ = false;
  uint16_t port_ = 0;
  uint16_t queues_ = 1;
  int numa_node_ = 0;
  tcp::MacAddress mac_;
  DeviceOffloads offloads_;
  bool hashes_ = false;
  uint16_t receive_descriptors_ = 1024;
  uint16_t send_descriptors_ = 1024;
};

/// Whether `text` names a device on the PCI bus.
[[nodiscard]] bool is_pci_address(const std::string& text);

}  // namespace penstock::engine

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "penstock/config/address_prefix.h"

namespace penstock::config {

// One for each worker at most: a device whose driver has a single queue serves one.
constexpr size_t dpdk_devices_max = 64;
// What the name of a network interface may have in Linux (IFNAMSIZ, 16 with its zero).
constexpr size_t interface_name_bytes_max = 15;
// The smallest that IPv6 allows (RFC 8200, 5), and the largest that common switches pass on.
constexpr uint32_t mtu_min = 1280;
constexpr uint32_t mtu_max = 9000;
// 802.1Q: 0 means no VLAN, 4095 is reserved.
constexpr uint32_t vlan_max = 4094;
// Below, not even one worker's packets have room; a TiB would be a slip of the unit.
constexpr uint32_t dpdk_memory_mb_min = 64;
constexpr uint32_t dpdk_memory_mb_max = 1u << 20;

/// [dpdk]: which devices the engine "dpdk" takes, and who it is on the network. All of it is read
/// once, at start.
struct DpdkConfig {
  // "0000:3b:00.0" or "net_af_packet0,iface=eth1": one with a queue for each worker, or as many as
  // there are workers, of the same network.
  std::vector<std::string> devices;
  bool hugepages = true;
  uint32_t memory_mb = 1024;             // for packets, over all workers
  std::string file_prefix = "penstock";  // names what EAL leaves in its run-time folder
  // The engine's own, in its network: bits behind the length are set. The kernel must not have it.
  std::optional<AddressPrefix> address;
  std::optional<AddressPrefix> address6;
  std::optional<AddressPrefix> gateway;  // a single address
  std::optional<AddressPrefix> gateway6;
  uint32_t vlan = 0;  // 0: none
  uint32_t mtu = 1500;
  std::string exception_interface;  // a TAP for what is not ours; empty: none, and that is dropped
  bool operator==(const DpdkConfig&) const = default;
};

}  // namespace penstock::config

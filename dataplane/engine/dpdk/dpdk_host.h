#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/engine/engine.h"

namespace penstock::engine {

/// An address of the engine's own on its link, with the length of the link's prefix.
struct DpdkAddress {
  Endpoint address;  // no port
  uint8_t prefix_bits = 0;
};

/// What the engines of a process are made of. All memory that follows from it is taken in start().
struct DpdkOptions {
  /// PCI addresses ("0000:3b:00.0"), or virtual devices with their arguments
  /// ("net_af_packet0,iface=eth1"). One device with a queue for each worker; or, where a driver has
  /// one queue per device (AF_XDP), one device for each worker, in the order of workers: they then
  /// are queues of one interface and share its addresses.
  std::vector<std::string> devices;
  bool hugepages = true;
  uint32_t memory_mb = 256;              // of DPDK: packets above all, of all workers together
  std::string file_prefix = "penstock";  // keeps the DPDK processes of a machine apart
  std::vector<uint32_t> cores;           // of the workers, in their order; as many engines

  std::optional<DpdkAddress> address;   // IPv4
  std::optional<DpdkAddress> address6;  // beside the link-local one, which is made from the MAC
  std::optional<Endpoint> gateway;
  std::optional<Endpoint> gateway6;
  std::optional<uint16_t> vlan;
  uint16_t mtu = 1500;

  /// What is listened on, on all of the addresses above: the index is the number of the listener in
  /// `accepted`; of a port that is there twice, the first.
  std::vector<uint16_t> ports;
  uint32_t connections_max = 1024;  // per worker
  /// A peer that acknowledges nothing for so long is gone; as UringOptions::peer_silent_ms_max.
  uint32_t peer_silent_ms_max = 60'000;
  std::string congestion_control;  // "cubic" or "reno"; empty: cubic

  /// What is not ours goes to the kernel through a TAP of this name, and back; at most so many
  /// packets per second and worker. Without it, other ports than ours are refused with a reset.
  bool exceptions = false;
  std::string exception_interface = "penstock0";
  uint32_t exceptions_per_second = 2000;

  uint64_t secret[2] = {};  // of sequence numbers, cookies and hashes: from the system's entropy
};

struct DpdkCounter {
  std::string name;       // as in metrics: snake_case
  std::string_view help;  // empty where a driver made the name
  uint64_t value = 0;
};

/// For reports. Counters only grow.
struct DpdkWorkerStats {
  std::string device;
  std::string driver;
  bool link_up = false;
  uint32_t link_mbps = 0;           // 0: not known
  std::string offloads;             // what the device does for us, "checksums in, rss"; or "none"
  std::vector<DpdkCounter> engine;  // packets, bytes, redirections, idling
  std::vector<DpdkCounter> tcp;     // tcp/counters.h
  /// The driver's (xstats). Workers that share a device have the same: sum them up per `device`.
  std::vector<DpdkCounter> driver_counters;
};

/// The DPDK engines of a process: its environment, devices, packet memory, and an engine for each
/// worker. One at a time in a process. The engines must not be polled any more when it ends.
class DpdkHost {
 public:
  /// Needs root, or what README.md says. Fails with one line: the cause and what to do.
  static std::expected<std::unique_ptr<DpdkHost>, std::string> start(const DpdkOptions&);
  virtual ~DpdkHost() = default;

  /// The engine of a worker, by its place in DpdkOptions::cores.
  [[nodiscard]] virtual Engine& engine(size_t worker) = 0;
  /// All that was taken at start, for the sum that is printed.
  [[nodiscard]] virtual uint64_t memory_bytes() const = 0;
  /// May be called by any one thread at a time, while the engines run. What an engine says of
  /// itself is at most 100 ms old, or from its last poll().
  [[nodiscard]] virtual DpdkWorkerStats stats(size_t worker) = 0;
  /// Bytes that will be given to send() lie here, as a rule: a device that fetches them by itself
  /// may do so. Others are copied, which devices of the kernel do anyway. Before the first poll().
  virtual void offer_memory(MutableBytes memory) = 0;
};

}  // namespace penstock::engine

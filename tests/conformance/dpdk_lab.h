#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "dataplane/engine/dpdk/dpdk_host.h"
#include "tests/conformance/network_lab.h"
#include "tests/conformance/socket_peer.h"

namespace penstock::conformance {

constexpr uint16_t dpdk_port = 1935;

/// A pair of namespaces, made once in a process.
struct DpdkLab {
  std::string why;
  std::unique_ptr<NetworkLab> network;
};
/// The one that everything here is about, until another is asked for: with so many queues at each
/// end of the pair.
const DpdkLab& dpdk_lab();
void use_dpdk_lab(uint32_t queues);

engine::Endpoint endpoint_of(const char* text, uint16_t port);
/// One worker, the lab's addresses, no hugepages.
engine::DpdkOptions dpdk_options(const char* device, uint32_t connections_max);

/// Started and ended where its device is: drivers put things into that side's kernel.
class LabHost {
 public:
  static std::expected<std::unique_ptr<LabHost>, std::string> start(
      const engine::DpdkOptions& options);
  ~LabHost();
  engine::DpdkHost& operator*() { return *host_; }
  engine::DpdkHost* operator->() { return host_.get(); }

 private:
  std::unique_ptr<engine::DpdkHost> host_;
};

/// A kernel socket on the peer's side that connects to the engine.
std::unique_ptr<Peer> connect_from_peer_side(bool ipv6, uint16_t port);

}  // namespace penstock::conformance

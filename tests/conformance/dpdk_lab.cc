#include "tests/conformance/dpdk_lab.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <time.h>

#include <cstdlib>
#include <map>

#include "dataplane/engine/uring/listener.h"

/// Asked by LeakSanitizer, where there is one. Of the socket that DPDK leaves open (below).
extern "C" const char* __lsan_default_suppressions() { return "leak:xsk_umem__create\n"; }

namespace penstock::conformance {
namespace {

/// DPDK 22.11 leaves the socket of an AF_XDP device open when it closes the device, and the queue
/// is busy for as long. Nobody but tests starts twice in a process.
void close_xdp_sockets() {
  for (int fd = 3; fd < 256; ++fd) {
    int domain = 0;
    socklen_t length = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_XDP) {
      ::close(fd);
    }
  }
}

uint32_t lab_queues = 1;

const DpdkLab& lab_of(uint32_t queues) {
  static std::map<uint32_t, DpdkLab> labs;
  DpdkLab& lab = labs[queues];
  if (lab.network == nullptr && lab.why.empty()) lab.network = NetworkLab::make(queues, lab.why);
  return lab;
}

}  // namespace

const DpdkLab& dpdk_lab() { return lab_of(lab_queues); }

void use_dpdk_lab(uint32_t queues) { lab_queues = queues; }

engine::Endpoint endpoint_of(const char* text, uint16_t port) {
  engine::Endpoint endpoint;
  endpoint.port = port;
  endpoint.ipv6 = std::string_view(text).find(':') != std::string_view::npos;
  if (inet_pton(endpoint.ipv6 ? AF_INET6 : AF_INET, text, endpoint.address) != 1) std::abort();
  return endpoint;
}

engine::DpdkOptions dpdk_options(const char* device, uint32_t connections_max) {
  engine::DpdkOptions options;
  options.devices = {device};
  options.hugepages = false;
  options.memory_mb = 256;
  options.file_prefix = "penstock_conformance";
  options.cores = {0};
  options.address = engine::DpdkAddress{endpoint_of(NetworkLab::engine4, 0), 24};
  options.address6 = engine::DpdkAddress{endpoint_of(NetworkLab::engine6, 0), 64};
  options.ports = {dpdk_port};
  options.connections_max = connections_max;
  // Other sequence numbers in each run: the other side remembers those of the last one.
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  options.secret[0] = static_cast<uint64_t>(now.tv_sec);
  options.secret[1] = static_cast<uint64_t>(now.tv_nsec);
  return options;
}

std::expected<std::unique_ptr<LabHost>, std::string> LabHost::start(
    const engine::DpdkOptions& options) {
  std::expected<std::unique_ptr<engine::DpdkHost>, std::string> made;
  dpdk_lab().network->in_engine_side([&] { made = engine::DpdkHost::start(options); });
  if (!made) return std::unexpected(made.error());
  auto host = std::make_unique<LabHost>();
  host->host_ = std::move(*made);
  return host;
}

LabHost::~LabHost() {
  dpdk_lab().network->in_engine_side([&] { host_.reset(); });
  close_xdp_sockets();
}

std::unique_ptr<Peer> connect_from_peer_side(bool ipv6, uint16_t port) {
  int fd = -1;
  dpdk_lab().network->in_peer_side([&] {
    fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  });
  const auto address = engine::to_socket_address(
      endpoint_of(ipv6 ? NetworkLab::engine6 : NetworkLab::engine4, port));
  if (::connect(fd, address.get(), address.length) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return nullptr;
  }
  return std::make_unique<SocketPeer>(fd);
}

}  // namespace penstock::conformance

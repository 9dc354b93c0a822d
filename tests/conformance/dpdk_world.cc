#include <netinet/in.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>

#include "dataplane/engine/uring/listener.h"
#include "tests/conformance/dpdk_lab.h"
#include "tests/conformance/world.h"

namespace penstock::conformance {
namespace {

class DpdkWorld final : public World {
 public:
  DpdkWorld(const engine::DpdkOptions& options, bool ipv6) : ipv6_(ipv6) {
    use_dpdk_lab(1);
    auto host = LabHost::start(options);
    if (!host) {
      std::fprintf(stderr, "DpdkHost::start: %s\n", host.error().c_str());
      std::abort();
    }
    host_ = std::move(*host);
    dpdk_lab().network->in_peer_side([&] {
      remote_fd_ = bound_socket(remote_);
      nobody_fd_ = bound_socket(nobody_);
    });
    if (listen(remote_fd_, 128) != 0) std::abort();
  }
  ~DpdkWorld() override {
    ::close(remote_fd_);
    ::close(nobody_fd_);
  }

  engine::Engine& engine() override { return (*host_)->engine(0); }
  Instant now() override {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return {static_cast<uint64_t>(at.tv_sec) * ns_per_s + static_cast<uint64_t>(at.tv_nsec)};
  }
  std::unique_ptr<Peer> connect() override { return connect_from_peer_side(ipv6_, dpdk_port); }
  engine::Endpoint remote() override { return remote_; }
  engine::Endpoint nobody() override { return nobody_; }
  std::unique_ptr<Peer> accept() override {
    const int fd = accept4(remote_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    return fd < 0 ? nullptr : std::make_unique<SocketPeer>(fd);
  }
  void set_descriptors_dry(bool) override {}
  bool is_real() const override { return true; }
  bool takes_descriptors() const override { return false; }

 private:
  int bound_socket(engine::Endpoint& endpoint) const {
    const int fd =
        socket(ipv6_ ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const auto any =
        engine::to_socket_address(endpoint_of(ipv6_ ? NetworkLab::peer6 : NetworkLab::peer4, 0));
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (fd < 0 || bind(fd, any.get(), any.length) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
      std::abort();
    }
    endpoint = engine::to_endpoint(bound);
    return fd;
  }

  std::unique_ptr<LabHost> host_;
  bool ipv6_;
  engine::Endpoint remote_;
  engine::Endpoint nobody_;
  int remote_fd_ = -1;
  int nobody_fd_ = -1;
};

constexpr const char* packet_device = "net_af_packet0,iface=lab0,framesz=2048,framecnt=4096";
constexpr const char* xdp_device = "net_af_xdp0,iface=lab0";

/// Why a device cannot be had here; asked by taking it, and once more, as every test does.
std::string missing(const char* device) {
  use_dpdk_lab(1);
  if (dpdk_lab().network == nullptr) return dpdk_lab().why;
  for (int i = 0; i < 2; ++i) {
    const auto host = LabHost::start(dpdk_options(device, 8));
    if (!host) return host.error();
  }
  return {};
}

}  // namespace

std::string missing_dpdk() {
  static const std::string why = missing(packet_device);
  return why;
}

std::string missing_dpdk_xdp() {
  // Open: on a busy machine such a queue sometimes receives nothing from its start on, until the
  // next start (dataplane/engine/dpdk/README.md).
  if (std::getenv("PENSTOCK_AF_XDP") == nullptr) {
    return "AF_XDP is tried with PENSTOCK_AF_XDP=1 in the environment: on a busy machine its queues "
           "sometimes stay deaf";
  }
  static const std::string why = missing(xdp_device);
  return why;
}

std::unique_ptr<World> make_dpdk(const WorldOptions& options) {
  return std::make_unique<DpdkWorld>(dpdk_options(packet_device, options.connections_max), false);
}

std::unique_ptr<World> make_dpdk_ipv6(const WorldOptions& options) {
  return std::make_unique<DpdkWorld>(dpdk_options(packet_device, options.connections_max), true);
}

std::unique_ptr<World> make_dpdk_xdp(const WorldOptions& options) {
  return std::make_unique<DpdkWorld>(dpdk_options(xdp_device, options.connections_max), false);
}

}  // namespace penstock::conformance

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "dataplane/engine/uring/listener.h"
#include "dataplane/engine/uring/uring_engine.h"
#include "tests/conformance/socket_peer.h"
#include "tests/conformance/world.h"

namespace penstock::conformance {
namespace {

class UringWorld final : public World {
 public:
  explicit UringWorld(const engine::UringOptions& options) {
    auto made = engine::make_uring_engine(options);
    if (!made) {
      std::fprintf(stderr, "make_uring_engine: %s\n", made.error().c_str());
      std::abort();
    }
    engine_ = std::move(*made);
    remote_fd_ = bound_socket(remote_);
    nobody_fd_ = bound_socket(nobody_);
    if (listen(remote_fd_, 128) != 0) std::abort();
    getrlimit(RLIMIT_NOFILE, &limit_);
  }
  ~UringWorld() override {
    setrlimit(RLIMIT_NOFILE, &limit_);
    ::close(remote_fd_);
    ::close(nobody_fd_);
  }

  engine::Engine& engine() override { return *engine_; }
  Instant now() override {
    timespec at{};
    clock_gettime(CLOCK_MONOTONIC, &at);
    return {static_cast<uint64_t>(at.tv_sec) * ns_per_s + static_cast<uint64_t>(at.tv_nsec)};
  }
  std::unique_ptr<Peer> connect() override {
    if (dry_) setrlimit(RLIMIT_NOFILE, &limit_);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (dry_) set_descriptors_dry(true);
    const auto address = engine::to_socket_address(engine_->listeners()[0]);
    if (::connect(fd, address.get(), address.length) != 0) {
      ::close(fd);
      return nullptr;
    }
    return std::make_unique<SocketPeer>(fd);
  }
  engine::Endpoint remote() override { return remote_; }
  engine::Endpoint nobody() override { return nobody_; }
  std::unique_ptr<Peer> accept() override {
    const int fd = accept4(remote_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    return fd < 0 ? nullptr : std::make_unique<SocketPeer>(fd);
  }
  void set_descriptors_dry(bool dry) override {
    dry_ = dry;
    rlimit limit = limit_;
    if (dry) {  // the limit is on the number of a new descriptor, so all below the first free one
                // are in use
      const int first_free = dup(0);
      ::close(first_free);
      limit.rlim_cur = static_cast<rlim_t>(first_free);
    }
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  bool is_real() const override { return true; }

 private:
  /// Bound to a port of its own, so that nobody else listens there; `endpoint` says where.
  static int bound_socket(engine::Endpoint& endpoint) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const auto any = engine::to_socket_address({.address = {127, 0, 0, 1}});
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    if (fd < 0 || bind(fd, any.get(), any.length) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &length) != 0) {
      std::abort();
    }
    endpoint = engine::to_endpoint(bound);
    return fd;
  }

  std::unique_ptr<engine::UringEngine> engine_;
  engine::Endpoint remote_;
  engine::Endpoint nobody_;
  int remote_fd_ = -1;
  int nobody_fd_ = -1;
  rlimit limit_{};
  bool dry_ = false;
};

engine::UringOptions loopback(const WorldOptions& options) {
  engine::UringOptions uring;
  uring.listeners.push_back({.address = {127, 0, 0, 1}});
  uring.connections_max = options.connections_max;
  uring.receive_slabs = 16;
  return uring;
}

}  // namespace

std::unique_ptr<World> make_uring(const WorldOptions& options) {
  return std::make_unique<UringWorld>(loopback(options));
}

std::unique_ptr<World> make_uring_single_receive_slabs(const WorldOptions& options) {
  engine::UringOptions uring = loopback(options);
  uring.incremental_slabs = false;
  uring.receive_slabs = 256;
  uring.receive_slab_bytes = 8192;
  return std::make_unique<UringWorld>(uring);
}

std::unique_ptr<World> make_uring_scarce(const WorldOptions& options) {
  engine::UringOptions uring = loopback(options);
  uring.incremental_slabs = false;
  uring.receive_slabs = 2;
  uring.receive_slab_bytes = 1024;
  return std::make_unique<UringWorld>(uring);
}

}  // namespace penstock::conformance

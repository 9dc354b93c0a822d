#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "dataplane/engine/uring/listener.h"
#include "dataplane/engine/uring/uring_engine.h"

// engine_bench [CONNECTIONS [SECONDS]]: what receiving costs, in CPU seconds of the receiving
// thread per GB. Every connection sends as an encoder of 1 Mbit/s does: 73 messages per second of
// 1712 bytes (30 video, 43 audio).
namespace {

using penstock::Instant;
namespace engine = penstock::engine;

constexpr size_t message_bytes = 1712;
constexpr double messages_per_second = 73;

double clock_s(clockid_t clock) {
  timespec at{};
  clock_gettime(clock, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

Instant now() { return {static_cast<uint64_t>(clock_s(CLOCK_MONOTONIC) * 1e9)}; }

struct Cost {
  double cpu_s = 0;
  uint64_t bytes = 0;
  uint64_t waits = 0;
};

int connect_to(const engine::Endpoint& endpoint) {
  const auto address = engine::to_socket_address(endpoint);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, address.get(), address.length) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  return fd;
}

/// Writes for `seconds`, each connection in its turn, then closes all.
void send_for(const engine::Endpoint& endpoint, size_t connections, double seconds) {
  std::vector<int> peers;
  for (size_t i = 0; i < connections; ++i) peers.push_back(connect_to(endpoint));
  const std::vector<uint8_t> message(message_bytes, 7);
  const double start = clock_s(CLOCK_MONOTONIC);
  const double rate = messages_per_second * static_cast<double>(connections);
  size_t sent = 0;
  for (double at = start; at < start + seconds; at = clock_s(CLOCK_MONOTONIC)) {
    for (const auto due = static_cast<size_t>((at - start) * rate); sent < due; ++sent) {
      if (send(peers[sent % connections], message.data(), message.size(), MSG_NOSIGNAL) < 0) return;
    }
    usleep(500);
  }
  for (const int fd : peers) close(fd);
}

Cost receive_with_uring(size_t connections, double seconds, uint64_t gather_us, bool incremental,
                        uint32_t low_water) {
  engine::UringOptions options;
  options.listeners = {{.address = {127, 0, 0, 1}}};
  options.connections_max = static_cast<uint32_t>(connections) + 16;
  options.wait_us_max = gather_us;
  options.incremental_slabs = incremental;
  if (!incremental) {
    options.receive_slabs = 2048;
    options.receive_slab_bytes = 8192;
  }
  auto made = engine::make_uring_engine(options);
  if (!made) {
    std::fprintf(stderr, "%s\n", made.error().c_str());
    std::exit(1);
  }
  auto& uring = **made;
  std::jthread sender(send_for, uring.listeners()[0], connections, seconds);
  std::vector<engine::EngineEvent> events(1024);
  Cost cost;
  size_t closed = 0;
  const double before = clock_s(CLOCK_THREAD_CPUTIME_ID);
  while (closed < connections) {
    for (const engine::EngineEvent& event : uring.poll(events, now().after_ms(100))) {
      cost.bytes += event.bytes.size();
      if (event.kind == engine::EngineEventKind::accepted && low_water > 1)
        uring.set_low_water(event.id, low_water, engine::Rest::may_wait);
      if (event.kind == engine::EngineEventKind::ended) uring.close(event.id);
      if (event.kind == engine::EngineEventKind::closed) ++closed;
    }
  }
  cost.cpu_s = clock_s(CLOCK_THREAD_CPUTIME_ID) - before;
  cost.waits = uring.counters().enters;
  return cost;
}

/// The same with readiness: one epoll_wait per batch, one read per ready connection.
Cost receive_with_epoll(size_t connections, double seconds) {
  engine::Endpoint endpoint{.address = {127, 0, 0, 1}};
  const int listener = engine::open_listener(endpoint, {}).value();
  const int set = epoll_create1(EPOLL_CLOEXEC);
  const auto add = [&](int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  };
  add(listener);
  std::jthread sender(send_for, endpoint, connections, seconds);
  std::vector<epoll_event> ready(1024);
  std::vector<uint8_t> memory(256 * 1024);
  Cost cost;
  size_t closed = 0;
  const double before = clock_s(CLOCK_THREAD_CPUTIME_ID);
  while (closed < connections) {
    const int count = epoll_wait(set, ready.data(), static_cast<int>(ready.size()), 100);
    ++cost.waits;
    for (int i = 0; i < count; ++i) {
      const int fd = ready[static_cast<size_t>(i)].data.fd;
      if (fd == listener) {
        add(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        continue;
      }
      const ssize_t bytes = read(fd, memory.data(), memory.size());
      if (bytes > 0) {
        cost.bytes += static_cast<uint64_t>(bytes);
      } else if (bytes == 0) {
        close(fd);
        ++closed;
      }
    }
  }
  cost.cpu_s = clock_s(CLOCK_THREAD_CPUTIME_ID) - before;
  close(set);
  close(listener);
  return cost;
}

void tell(const char* name, const Cost& cost) {
  std::printf("%-34s %8.2f CPU-s/GB %10llu waits %8.1f MB\n", name,
              cost.cpu_s / (static_cast<double>(cost.bytes) / 1e9),
              static_cast<unsigned long long>(cost.waits), static_cast<double>(cost.bytes) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const size_t connections = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 200;
  const double seconds = argc > 2 ? std::strtod(argv[2], nullptr) : 5;
  tell("epoll", receive_with_epoll(connections, seconds));
  tell("uring, one receive per slab", receive_with_uring(connections, seconds, 0, false, 1));
  tell("uring", receive_with_uring(connections, seconds, 0, true, 1));
  tell("uring, gathers 1 ms", receive_with_uring(connections, seconds, 1000, true, 1));
  tell("uring, gathers 5 ms", receive_with_uring(connections, seconds, 5000, true, 1));
  tell("uring, gathers 1 ms, 12 KiB mark",
       receive_with_uring(connections, seconds, 1000, true, 12 * 1024));
}

#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "controlplane/clock.h"
#include "penstock/base/spsc_ring.h"
#include "penstock/control/attach.h"
#include "penstock/control/layout.h"

namespace penstock::controlplane {

/// A data plane as the control plane sees one: the region, the attach socket, workers that beat,
/// apply what is wanted and take commands. The test writes the rows. Its thread is the workers';
/// rows and rings of the workers' side are the test's.
class FakeDataplane {
 public:
  struct Shape {
    uint32_t workers = 2;
    uint64_t run_id = 0x1234;
    bool sealed = true;
    bool beating = true;
    uint32_t version = control::attach_version;
    std::string config;  // what it "was started with"
  };

  explicit FakeDataplane(const std::string& state_dir) : FakeDataplane(state_dir, Shape()) {}
  FakeDataplane(const std::string& state_dir, Shape shape)
      : shape_(std::move(shape)),
        path_(state_dir + "/" + std::string(control::attach_socket_name)) {
    make_region();
    listen();
    thread_ = std::thread([this] { live(); });
  }
  ~FakeDataplane() {
    stop_.raise();
    thread_.join();
    if (peer_ >= 0) ::close(peer_);
    ::close(listener_);
    ::close(memory_);
    ::close(bell_);
    ::munmap(base_, plan_.region_bytes());
    ::unlink(path_.c_str());
  }
  FakeDataplane(const FakeDataplane&) = delete;
  FakeDataplane& operator=(const FakeDataplane&) = delete;

  [[nodiscard]] control::Region& region() { return region_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// Row `slot` of a worker, as that worker writes it.
  void put_stream(uint32_t worker, uint32_t slot, const control::StreamRow& row) {
    region_.write_row(worker, slot, row);
    control::Cell& used = region_.worker(worker).stream_slots_used;
    if (used.get() <= slot) used.publish(slot + 1);
  }
  void put_connection(uint32_t worker, uint32_t slot, const control::ConnectionRow& row) {
    region_.write_row(worker, slot, row);
    control::Cell& used = region_.worker(worker).connection_slots_used;
    if (used.get() <= slot) used.publish(slot + 1);
  }
  void free_stream(uint32_t worker, uint32_t slot) {
    region_.write_row(worker, slot, control::StreamRow{});
  }

  /// As a worker does. False: the control plane is awake, and was not rung for.
  bool ask(uint32_t worker, const control::VerdictRequest& request) {
    if (!region_.worker(worker).verdicts.push(request)) throw std::runtime_error("a full ring");
    if (!region_.header().questions.ring(worker)) return false;
    return ::eventfd_write(bell_, 1) == 0;
  }

  [[nodiscard]] std::vector<control::Command> commands(uint32_t worker) {
    const std::lock_guard lock(mutex_);
    return commands_[worker];
  }
  [[nodiscard]] control::WantedState wanted() {
    control::WantedState state;
    if (!region_.wanted().state.read(state))
      throw std::runtime_error("the wanted state cannot be read");
    return state;
  }
  [[nodiscard]] size_t attaches() {
    const std::lock_guard lock(mutex_);
    return attaches_;
  }
  /// Whether what is applied gets to the disk, and why it does not.
  void keep(bool keeps, std::string_view problem = {}) {
    control::KeptRow row;
    row.problem.set(problem);
    const std::lock_guard lock(mutex_);
    region_.header().kept.write(row);
    keeps_ = keeps;
  }
  /// What it says about its certificates.
  void put_tls(const control::TlsRow& row) { region_.header().tls.write(row); }
  /// As a data plane that has found a newer control process.
  void hang_up() {
    const std::lock_guard lock(mutex_);
    hang_up_ = true;
  }

 private:
  void make_region() {
    plan_ = {shape_.workers, 64, 64};
    memory_ = ::memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (::ftruncate(memory_, static_cast<off_t>(plan_.region_bytes())) != 0)
      throw std::runtime_error("ftruncate");
    if (shape_.sealed) ::fcntl(memory_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    base_ = ::mmap(nullptr, plan_.region_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
    // Zero bytes are the start value of everything but the header.
    auto* header = new (base_) control::RegionHeader;
    header->workers = plan_.workers;
    header->streams_max = plan_.streams_max;
    header->connections_max = plan_.connections_max;
    header->region_bytes = plan_.region_bytes();
    header->started_unix_ms = unix_ms();
    header->run_id = shape_.run_id;
    header->process_id = static_cast<uint32_t>(::getpid());
    region_ = control::Region(base_, plan_);
    control::WantedState state;
    state.epoch = 1;
    state.tunables = control::tunable_defaults();
    state.log_level = control::LogLevel::info;
    state.keys_hash = control::fnv1a("");
    region_.wanted().state.write(state);
    commands_.resize(plan_.workers);
    for (uint32_t worker = 0; worker < plan_.workers; ++worker) {
      region_.worker(worker).core.set(worker);
      region_.worker(worker).heartbeat_ns.set(monotonic_ns());
    }
  }

  void listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    ::unlink(path_.c_str());
    listener_ = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 4) != 0) {
      throw std::runtime_error("listening on " + path_);
    }
  }

  void live() {
    while (!stop_.raised()) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 2) > 0) greet();
      drop_peer_if_told();
      for (uint32_t worker = 0; worker < plan_.workers; ++worker) turn(worker);
    }
  }

  void drop_peer_if_told() {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(hang_up_, false) || peer_ < 0) return;
    ::close(std::exchange(peer_, -1));
  }

  void greet() {
    const int next = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer_ >= 0) ::close(peer_);
    peer_ = next;
    {
      const std::lock_guard lock(mutex_);
      ++attaches_;
    }
    control::AttachHello hello;
    hello.version = shape_.version;
    hello.region_bytes = plan_.region_bytes();
    hello.run_id = shape_.run_id;
    hello.process_id = static_cast<uint32_t>(::getpid());
    hello.config_bytes = static_cast<uint32_t>(shape_.config.size());
    hello.software.set("9.9.9");
    std::array<iovec, 2> parts{iovec{&hello, sizeof hello},
                               iovec{shape_.config.data(), shape_.config.size()}};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(control::AttachDescriptors))> ancillary{};
    const control::AttachDescriptors descriptors{memory_, bell_};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    message.msg_control = ancillary.data();
    message.msg_controllen = ancillary.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptors);
    std::memcpy(CMSG_DATA(rights), &descriptors, sizeof descriptors);
    (void)::sendmsg(peer_, &message, MSG_NOSIGNAL);
  }

  void turn(uint32_t worker) {
    control::WorkerArea& area = region_.worker(worker);
    control::WantedState state;
    if (region_.wanted().state.read(state)) area.applied_epoch.publish(state.epoch);
    if (shape_.beating) area.heartbeat_ns.set(monotonic_ns());
    std::array<control::Command, 16> taken;
    const uint32_t count = area.commands.pop(taken);
    const std::lock_guard lock(mutex_);
    if (keeps_) region_.header().kept_epoch.publish(applied_epoch());
    for (uint32_t i = 0; i < count; ++i) commands_[worker].push_back(taken[i]);
  }

  [[nodiscard]] uint64_t applied_epoch() const {
    uint64_t least = UINT64_MAX;
    for (uint32_t worker = 0; worker < plan_.workers; ++worker) {
      least = std::min(least, region_.worker(worker).applied_epoch.get());
    }
    return least;
  }

  Shape shape_;
  std::string path_;
  control::RegionPlan plan_;
  control::Region region_;
  void* base_ = nullptr;
  int memory_ = -1;
  int bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int listener_ = -1;
  int peer_ = -1;
  StopFlag stop_;
  std::mutex mutex_;
  bool hang_up_ = false;
  bool keeps_ = true;
  std::vector<std::vector<control::Command>> commands_;
  size_t attaches_ = 0;
  std::thread thread_;
};

inline control::StreamRow stream_row(uint64_t id, std::string_view name, uint32_t subscribers = 0) {
  control::StreamRow row;
  row.stream_id = id;
  row.name.set(name);
  row.connection_id = id + 1000;
  row.publisher.set("127.0.0.1:50000");
  row.encoder.set("test/1.0");
  row.since_unix_ms = unix_ms() - 10'000;
  row.video_codec.set("H.264");
  row.audio_codec.set("AAC");
  row.width = 1920;
  row.height = 1080;
  row.fps_milli = 29'970;
  row.subscribers = subscribers;
  row.bytes_received = 1'000'000;
  row.bytes_sent = 1'000 * subscribers;
  return row;
}

inline control::StreamRow replica_row(uint64_t id, std::string_view name, uint32_t subscribers) {
  control::StreamRow row;
  row.stream_id = id;
  row.role = control::StreamRole::replica;
  row.name.set(name);
  row.subscribers = subscribers;
  row.bytes_sent = 1'000 * subscribers;
  row.frames_skipped = 7;
  return row;
}

}  // namespace penstock::controlplane

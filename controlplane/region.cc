#include "controlplane/region.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "penstock/base/time.h"

namespace penstock::controlplane {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return number_; }
  [[nodiscard]] int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

std::unexpected<std::string> failure(std::string_view what) {
  return std::unexpected(std::string(what) + ": " + std::strerror(errno));
}

std::expected<int, std::string> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return std::unexpected(path + ": longer than the 107 bytes that a Unix socket's path may have");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return failure("socket");
  // Half a second each for a data plane that is starting: longer, and signals would go unseen.
  const timeval patience{.tv_sec = 0, .tv_usec = 500'000};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return failure(path);
  return socket.release();
}

struct Received {
  std::array<uint8_t, control::attach_packet_bytes_max> bytes;
  size_t count = 0;
  control::AttachDescriptors descriptors;
};

std::expected<void, std::string> receive_packet(int socket, Received& received) {
  iovec span{.iov_base = received.bytes.data(), .iov_len = received.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(control::AttachDescriptors))> ancillary{};
  msghdr message{};
  message.msg_iov = &span;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  const ssize_t count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return failure("receiving the region");
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t bytes = std::min(part->cmsg_len - CMSG_LEN(0), sizeof(received.descriptors));
    std::memcpy(&received.descriptors, CMSG_DATA(part), bytes);
  }
  received.count = static_cast<size_t>(count);
  if (count == 0) return std::unexpected("the data plane closed the connection");
  return {};
}

/// Bytes of a memfd that cannot shrink any more: reading a mapping of one that does ends the
/// reader.
std::expected<uint64_t, std::string> sealed_bytes(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return failure("fstat of the region");
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
    return std::unexpected("the region is not sealed against shrinking");
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

std::expected<std::shared_ptr<Attachment>, std::string> Attachment::attach(
    const std::string& socket_path) {
  const auto connected = connect_to(socket_path);
  if (!connected) return std::unexpected(connected.error());
  Descriptor socket(*connected);

  Received received;
  const auto arrived = receive_packet(socket.get(), received);
  const Descriptor memory(received.descriptors.region);
  Descriptor bell(received.descriptors.questions);
  if (!arrived) return std::unexpected(arrived.error());
  const auto packet = control::read_attach_packet({received.bytes.data(), received.count});
  if (!packet) {
    return std::unexpected(
        "the data plane speaks another version of the region; install both programs of one "
        "version");
  }
  if (memory.get() < 0 || bell.get() < 0)
    return std::unexpected("the data plane sent no region, or no bell");

  const auto bytes = sealed_bytes(memory.get());
  if (!bytes) return std::unexpected(bytes.error());
  if (*bytes < sizeof(control::RegionHeader) || *bytes != packet->hello.region_bytes) {
    return std::unexpected("the region's size is not what the data plane says");
  }
  void* base = ::mmap(nullptr, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (base == MAP_FAILED) return failure("mapping the region");
  // Checked once and kept: what the header says later does not move our pointers.
  const control::RegionPlan plan =
      control::Region::plan_of(*static_cast<const control::RegionHeader*>(base), *bytes);
  if (plan.workers == 0) {
    ::munmap(base, *bytes);
    return std::unexpected("the region's header makes no sense");
  }
  return std::shared_ptr<Attachment>(
      new Attachment(socket.release(), bell.release(), base, *bytes, plan, *packet));
}

Attachment::Attachment(int socket, int bell, void* base, uint64_t bytes, control::RegionPlan plan,
                       const control::AttachPacket& packet)
    : socket_(socket),
      bell_(bell),
      base_(base),
      bytes_(bytes),
      region_(base, plan),
      hello_(packet.hello),
      started_config_(packet.config),
      started_unix_ms_(region_.header().started_unix_ms) {}

Attachment::~Attachment() {
  ::close(socket_);
  ::close(bell_);
  ::munmap(base_, bytes_);
}

bool Attachment::hung_up() const {
  std::array<char, 64> ignored{};
  for (int packets = 0; packets < 16; ++packets) {
    const ssize_t count = ::recv(socket_, ignored.data(), ignored.size(), MSG_DONTWAIT);
    if (count == 0) return true;
    if (count < 0) return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
  }
  return false;
}

bool Attachment::may_sleep() {
  Doorbell& questions = region_.header().questions;
  questions.prepare_sleep();
  return !questions.anybody_rang();
}

void Attachment::woke_up() {
  Doorbell& questions = region_.header().questions;
  questions.woke_up();
  eventfd_t rings = 0;
  (void)::eventfd_read(bell_, &rings);
  (void)questions.take_rung();
}

bool Attachment::order(uint32_t worker, const control::Command& command) {
  if (worker >= workers()) return false;
  {
    const std::lock_guard lock(order_mutex_);
    if (!region_.worker(worker).commands.push(command)) return false;
  }
  ring(uint64_t{1} << worker);
  return true;
}

void Attachment::ring(uint64_t worker_mask) {
  const control::AttachBell bell{worker_mask};
  // The result does not matter: a hang-up shows in hung_up(), and a full socket means that bells
  // enough are on their way.
  (void)::send(socket_, &bell, sizeof bell, MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::shared_ptr<Attachment> RegionLink::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void RegionLink::set(std::shared_ptr<Attachment> attachment) {
  const std::lock_guard lock(mutex_);
  current_.swap(attachment);
}

uint64_t heartbeat_age_ms(const control::Region& region, uint32_t worker, uint64_t now_ns) {
  const uint64_t beat_ns = region.worker(worker).heartbeat_ns.get();
  return now_ns > beat_ns ? (now_ns - beat_ns) / ns_per_ms : 0;
}

uint64_t applied_epoch(const control::Region& region) {
  uint64_t least = UINT64_MAX;
  for (uint32_t worker = 0; worker < region.plan().workers; ++worker) {
    least = std::min(least, region.worker(worker).applied_epoch.observe());
  }
  return least;
}

}  // namespace penstock::controlplane

#include "dataplane/engine/dpdk/exception_path.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

namespace penstock::engine {
namespace {

// What fills a bucket at once: a tenth of a second's worth.
constexpr uint64_t burst_part = 10;
// Whatever comes, the host's thread looks at the other lanes and at the link in between.
constexpr size_t packets_per_carry = 64;

std::string refused(const std::string& interface, const char* what) {
  const int error = errno;
  std::string text = "the exception path " + interface + ": " + what + ": " + std::strerror(error);
  if (error == EPERM || error == EACCES) {
    text +=
        "; run penstockd as root, or: setcap cap_net_raw,cap_net_admin,cap_ipc_lock+ep penstockd";
  } else if (error == ENOENT || error == ENODEV) {
    text += "; run: modprobe tun";
  } else if (error == EBUSY) {
    text += "; another process has it: choose another dpdk.exception_interface";
  }
  return text;
}

/// The device's own Ethernet address, and up.
bool set_up(const std::string& interface, const ExceptionOptions& options) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::copy(options.mac.bytes.begin(), options.mac.bytes.end(), request.ifr_hwaddr.sa_data);
  bool good = ioctl(fd, SIOCSIFHWADDR, &request) == 0;
  request.ifr_mtu = options.mtu;
  good = good && ioctl(fd, SIOCSIFMTU, &request) == 0;
  good = good && ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags |= IFF_UP;
  good = good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  const int error = errno;
  close(fd);
  errno = error;
  return good;
}

}  // namespace

std::expected<std::unique_ptr<ExceptionPath>, std::string> ExceptionPath::open(
    const ExceptionOptions& options) {
  const std::string& interface = options.interface;
  if (interface.empty() || interface.size() >= IFNAMSIZ) {
    return std::unexpected("dpdk.exception_interface: a name of 1 to 15 characters is needed");
  }
  std::unique_ptr<ExceptionPath> path(new ExceptionPath());
  path->mtu_ = options.mtu;
  path->packets_per_second_ = options.packets_per_second;
  for (size_t i = 0; i < options.workers; ++i) path->lanes_.push_back(std::make_unique<Lane>());
  path->fd_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (path->fd_ < 0) return std::unexpected(refused(interface, "/dev/net/tun"));
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(path->fd_, TUNSETIFF, &request) != 0) {
    return std::unexpected(refused(interface, "cannot be made"));
  }
  if (!set_up(interface, options)) return std::unexpected(refused(interface, "cannot be set up"));
  return path;
}

ExceptionPath::~ExceptionPath() {
  rte_mbuf* packets[16];
  for (const auto& lane : lanes_) {
    while (const uint32_t count = lane->packets.pop(packets)) {
      rte_pktmbuf_free_bulk(packets, count);
    }
  }
  while (const uint32_t count = from_kernel_.pop(packets)) rte_pktmbuf_free_bulk(packets, count);
  if (fd_ >= 0) close(fd_);
}

bool ExceptionPath::offer(size_t worker, rte_mbuf* packet, Instant now) {
  Lane& lane = *lanes_[worker];
  const uint64_t full = std::max<uint64_t>(packets_per_second_ / burst_part, 1);
  const uint64_t passed_ns = std::min(now.since(lane.filled_at), ns_per_s);
  const uint64_t earned = passed_ns * packets_per_second_ / ns_per_s;
  if (earned > 0) {
    lane.tokens = std::min(lane.tokens + earned, full);
    lane.filled_at = now;
  }
  if (lane.tokens == 0 || !lane.packets.push(packet)) return false;
  --lane.tokens;
  return true;
}

bool ExceptionPath::carry(rte_mempool* memory) {
  rte_mbuf* packets[16];
  for (const auto& lane : lanes_) {
    for (size_t i = 0; i < packets_per_carry / std::size(packets); ++i) {
      const uint32_t count = lane->packets.pop(packets);
      for (rte_mbuf* packet : std::span(packets).first(count)) {
        // What the kernel does not take is lost, as on any link.
        [[maybe_unused]] const ssize_t written =
            ::write(fd_, rte_pktmbuf_mtod(packet, const uint8_t*), packet->data_len);
        rte_pktmbuf_free(packet);
      }
      if (count < std::size(packets)) break;
    }
  }
  bool some = false;
  for (size_t i = 0; i < packets_per_carry; ++i) {
    rte_mbuf* packet = rte_pktmbuf_alloc(memory);
    if (packet == nullptr) break;
    const ssize_t bytes =
        ::read(fd_, rte_pktmbuf_mtod(packet, uint8_t*), rte_pktmbuf_tailroom(packet));
    if (bytes <= 0) {
      rte_pktmbuf_free(packet);
      break;
    }
    packet->data_len = static_cast<uint16_t>(bytes);
    packet->pkt_len = packet->data_len;
    if (!from_kernel_.push(packet)) {
      rte_pktmbuf_free(packet);
      break;
    }
    some = true;
  }
  return some;
}

uint64_t ExceptionPath::memory_bytes() const {
  return sizeof(ExceptionPath) + lanes_.size() * sizeof(Lane);
}

}  // namespace penstock::engine

#include "tests/conformance/network_lab.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace penstock::conformance {
namespace {

int this_namespace() { return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

/// A pair hands packets over without checksums and larger than its MTU, as between two ends of one
/// kernel; a wire does not. False when the interface does not let itself be told.
bool make_like_a_wire(const char* interface) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool good = fd >= 0;
  for (const uint32_t command : {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM}) {
    ethtool_value off{command, 0};
    ifreq request{};
    std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&off);
    good = good && ioctl(fd, SIOCETHTOOL, &request) == 0;
  }
  if (fd >= 0) close(fd);
  return good;
}

bool run(const std::string& command) {
  const int status = std::system((command + " 2>/dev/null").c_str());
  return status == 0;
}

}  // namespace

std::unique_ptr<NetworkLab> NetworkLab::make(uint32_t queues, std::string& why) {
  std::unique_ptr<NetworkLab> lab(new NetworkLab());
  bool good = false;
  // A thread of its own: it never comes back from where it went.
  std::thread([&] {
    if (unshare(CLONE_NEWNET) != 0) {
      why = std::string("network namespaces are not allowed here: ") + std::strerror(errno);
      return;
    }
    lab->engine_side_ = this_namespace();
    if (unshare(CLONE_NEWNET) != 0) return;
    lab->peer_side_ = this_namespace();
    good = lab->lay_cable(queues, why);
  }).join();
  return good ? std::move(lab) : nullptr;
}

NetworkLab::~NetworkLab() {
  if (engine_side_ >= 0) close(engine_side_);
  if (peer_side_ >= 0) close(peer_side_);
}

/// On a thread that is in the peer's side.
bool NetworkLab::lay_cable(uint32_t queues, std::string& why) {
  const std::string count = std::to_string(queues);
  const std::string both = " numrxqueues " + count + " numtxqueues " + count;
  const std::string other =
      "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(engine_side_);
  const std::string here = peer_interface;
  if (!run("ip link add " + here + both + " type veth peer name " + device + both + " netns " +
           other)) {
    why = "no pair of virtual interfaces can be made here (ip link add type veth)";
    return false;
  }
  const bool up = run("ip link set lo up") &&
                  run("sysctl -qw net.ipv6.conf." + here + ".accept_dad=0") &&
                  run("ip addr add " + std::string(peer4) + "/24 dev " + here) &&
                  run("ip -6 addr add " + std::string(peer6) + "/64 dev " + here + " nodad") &&
                  run("ip link set " + here + " up") && make_like_a_wire(peer_interface);
  bool other_up = false;
  // The kernel of the engine's side must not speak: no link-local address, no solicitations.
  in(engine_side_, [&] {
    // When its exception path has the same address, it must not take that for its own here, either:
    // what comes from an address that it reaches by another way is dropped, ARP is not answered.
    const std::string ipv4 = std::string("sysctl -qw net.ipv4.conf.") + device;
    other_up = run(std::string("sysctl -qw net.ipv6.conf.") + device + ".disable_ipv6=1") &&
               run(ipv4 + ".rp_filter=1") && run(ipv4 + ".arp_ignore=8") &&
               run(std::string("ip link set ") + device + " promisc on up") &&
               make_like_a_wire(device);
  });
  if (!up || !other_up) why = "the pair of virtual interfaces cannot be set up";
  return up && other_up;
}

void NetworkLab::in(int side, const std::function<void()>& what) {
  const int home = this_namespace();
  if (setns(side, CLONE_NEWNET) != 0) std::abort();
  what();
  if (setns(home, CLONE_NEWNET) != 0) std::abort();
  close(home);
}

bool NetworkLab::run_in_peer_side(const std::string& command) const {
  bool good = false;
  in(peer_side_, [&] { good = run(command); });
  return good;
}

bool NetworkLab::run_in_engine_side(const std::string& command) const {
  bool good = false;
  in(engine_side_, [&] { good = run(command); });
  return good;
}

}  // namespace penstock::conformance

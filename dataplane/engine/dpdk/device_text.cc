#include "dataplane/engine/dpdk/device_text.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "dataplane/engine/dpdk/device.h"

namespace penstock::engine {
namespace {

namespace fs = std::filesystem;

/// The value of `key` in "net_af_packet0,iface=eth1,qpairs=2".
std::string argument(const std::string& text, const std::string& key) {
  size_t at = text.find("," + key + "=");
  if (at == std::string::npos) return {};
  at += key.size() + 2;
  return text.substr(at, text.find(',', at) - at);
}

/// "net_af_packet0" is made by the driver net_af_packet.
std::string driver_name(const std::string& text) {
  std::string name = text.substr(0, text.find(','));
  while (!name.empty() && std::isdigit(static_cast<unsigned char>(name.back())) != 0) {
    name.pop_back();
  }
  return name;
}

std::expected<void, std::string> check_interface(const std::string& text,
                                                 const std::string& interface, uint16_t mtu) {
  if (interface.size() >= IFNAMSIZ || if_nametoindex(interface.c_str()) == 0) {
    return std::unexpected(text + ": no network interface '" + interface +
                           "' is there; \"ip -br link\" lists them");
  }
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  const bool flags_known = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  const bool up = !flags_known || (request.ifr_flags & IFF_UP) != 0;
  const bool mtu_known = ioctl(fd, SIOCGIFMTU, &request) == 0;
  const int link_mtu = mtu_known ? request.ifr_mtu : mtu;
  close(fd);
  if (!up) {
    return std::unexpected(text + ": the interface is down; run: ip link set " + interface + " up");
  }
  if (link_mtu < mtu) {
    return std::unexpected(text + ": dpdk.mtu is " + std::to_string(mtu) + " and that of " +
                           interface + " is " + std::to_string(link_mtu) + "; run: ip link set " +
                           interface + " mtu " + std::to_string(mtu));
  }
  return {};
}

std::expected<void, std::string> check_raw_sockets(const std::string& text) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    close(fd);
    return {};
  }
  if (errno != EPERM && errno != EACCES) return {};
  return std::unexpected(text +
                         ": raw sockets are not allowed to this user; run penstockd as root, or: "
                         "setcap cap_net_raw,cap_net_admin,cap_ipc_lock+ep penstockd");
}

std::expected<void, std::string> check_pci(const std::string& text) {
  std::error_code unknown;
  const fs::path device = "/sys/bus/pci/devices/" + text;
  if (!fs::exists(device, unknown)) {
    return std::unexpected(text + ": no such PCI device; \"dpdk-devbind.py --status\" lists them");
  }
  const fs::path link = fs::read_symlink(device / "driver", unknown);
  const std::string driver = unknown ? "" : link.filename().string();
  // Mellanox drivers share the device with the kernel's.
  for (const char* fit : {"vfio-pci", "igb_uio", "uio_pci_generic", "mlx4_core", "mlx5_core"}) {
    if (driver == fit) return {};
  }
  return std::unexpected(text + ": this device is bound to " +
                         (driver.empty() ? "no driver" : "the kernel's driver " + driver) +
                         "; run: dpdk-devbind.py --bind=vfio-pci " + text +
                         " (its interface leaves the kernel)");
}

}  // namespace

bool is_pci_address(const std::string& text) {
  const auto hex = [&](size_t from, size_t count) {
    for (size_t i = from; i < from + count; ++i) {
      if (std::isxdigit(static_cast<unsigned char>(text[i])) == 0) return false;
    }
    return true;
  };
  // 0000:3b:00.0
  return text.size() == 12 && text[4] == ':' && text[7] == ':' && text[10] == '.' && hex(0, 4) &&
         hex(5, 2) && hex(8, 2) && hex(11, 1);
}

std::expected<void, std::string> check_device_text(const std::string& text, uint16_t mtu) {
  const std::string name = text.substr(0, text.find(','));
  if (is_pci_address(name)) return check_pci(name);
  const std::string driver = driver_name(text);
  if (!driver.starts_with("net_")) {
    return std::unexpected(text +
                           ": neither a PCI address (0000:3b:00.0) nor a virtual device "
                           "(net_af_packet0,iface=eth1)");
  }
  if (driver != "net_af_packet" && driver != "net_af_xdp") return {};
  const std::string interface = argument(text, "iface");
  if (interface.empty()) {
    return std::unexpected(text + ": which interface? write " + name + ",iface=NAME");
  }
  if (auto there = check_interface(text, interface, mtu); !there) return there;
  return check_raw_sockets(text);
}

std::string kernel_interface_of(const Endpoint& address, const std::string& except) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return {};
  std::string found;
  const int family = address.ipv6 ? AF_INET6 : AF_INET;
  for (const ifaddrs* one = all; one != nullptr && found.empty(); one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
    const void* bytes = address.ipv6
                            ? static_cast<const void*>(
                                  &reinterpret_cast<const sockaddr_in6*>(one->ifa_addr)->sin6_addr)
                            : static_cast<const void*>(
                                  &reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr);
    if (std::memcmp(bytes, address.address, address.ipv6 ? 16 : 4) != 0) continue;
    if (except != one->ifa_name) found = one->ifa_name;
  }
  freeifaddrs(all);
  return found;
}

std::string no_driver_text(const std::string& text) {
  const std::string name = text.substr(0, text.find(','));
  if (is_pci_address(name)) {
    return text +
           ": DPDK has no driver for this device, or it is in use; \"dpdk-devbind.py "
           "--status\" says which it is; drivers are in packages librte-net-*";
  }
  std::string package = driver_name(text);
  for (char& c : package) {
    if (c == '_') c = '-';
  }
  return text +
         ": DPDK cannot make this device; if its driver is missing: apt-get install librte-" +
         package + "23";
}

std::string more_queues_text(const std::string& text) {
  const std::string driver = driver_name(text);
  if (driver == "net_af_packet") return ", or give it more: ,qpairs=N";
  if (driver == "net_af_xdp") {
    return ", or one such device for each queue: net_af_xdp0,iface=IF,start_queue=0 and "
           "net_af_xdp1,iface=IF,start_queue=1";
  }
  return {};
}

}  // namespace penstock::engine

#include <algorithm>

#include "src/config/address.h"
#include "src/config/reader.h"

namespace penstock::config {
namespace {

constexpr std::string_view device_accepted =
    "a PCI address as in \"0000:3b:00.0\", or a virtual device as in "
    "\"net_af_packet0,iface=eth1\"";

constexpr size_t device_bytes_max = 256;
constexpr size_t file_prefix_bytes_max = 32;

bool is_one_of(char c, std::string_view letters) { return letters.find(c) != letters.npos; }

constexpr std::string_view hex_digits = "0123456789abcdefABCDEF";
constexpr std::string_view word_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

/// As sysfs and lspci -D show them.
bool is_pci_address(std::string_view text) {
  constexpr std::string_view form = "xxxx:xx:xx.x";
  return std::ranges::equal(text, form, [](char c, char wanted) {
    return wanted == 'x' ? is_one_of(c, hex_digits) : c == wanted;
  });
}

/// What stands before the arguments: the name under which EAL knows the device.
std::string_view device_name(std::string_view device) {
  return device.substr(0, std::min(device.find(','), device.size()));
}

bool is_device(std::string_view text) {
  // EAL takes a device apart at commas and colons itself; blanks would only hide a slip.
  const auto printable = [](char c) { return c > ' ' && c <= '~'; };
  if (text.size() > device_bytes_max || !std::ranges::all_of(text, printable)) return false;
  const std::string_view name = device_name(text);
  if (is_pci_address(name)) return true;
  return name.size() > 4 && name.starts_with("net_") &&
         std::ranges::all_of(name, [](char c) { return is_one_of(c, word_letters); });
}

/// As the kernel takes it for an interface (dev_valid_name).
bool is_interface_name(std::string_view text) {
  const auto allowed = [](char c) { return c > ' ' && c <= '~' && c != '/' && c != ':'; };
  return text.size() <= interface_name_bytes_max && text != "." && text != ".." &&
         std::ranges::all_of(text, allowed);
}

}  // namespace

void Reader::take_dpdk_devices(std::string_view name, const toml::node& node) {
  const toml::array* array = list(name, node, "a list of devices, as in [\"0000:3b:00.0\"]");
  if (array == nullptr) return;
  if (array->size() > dpdk_devices_max) {
    problem(node, std::string{name} + ": " + std::to_string(array->size()) +
                      " devices; accepted: at most " + std::to_string(dpdk_devices_max));
  }
  std::vector<std::string>& devices = config_.dpdk.devices;
  for (const toml::node& item : *array) {
    const std::string* given = text(name, item, device_accepted);
    if (given == nullptr) continue;
    if (!is_device(*given)) {
      problem(item, std::string{name} + ": " + quoted(*given) +
                        " is no device; accepted: " + std::string{device_accepted});
      continue;
    }
    const auto same = [given](const std::string& other) {
      return device_name(other) == device_name(*given);
    };
    if (std::ranges::any_of(devices, same)) {
      problem(item, std::string{name} + ": " + quoted(device_name(*given)) +
                        " is there twice; accepted: every device once (virtual ones are numbered: "
                        "net_af_xdp0, net_af_xdp1)");
      continue;
    }
    if (devices.size() < dpdk_devices_max) devices.push_back(*given);
  }
}

void Reader::take_dpdk_hugepages(std::string_view name, const toml::node& node) {
  flag(name, node, config_.dpdk.hugepages);
}

void Reader::take_dpdk_number(std::string_view name, const toml::node& node) {
  struct Range {
    std::string_view name;
    uint32_t min;
    uint32_t max;
    std::string_view unit;
    uint32_t DpdkConfig::*into;
  };
  constexpr Range ranges[] = {
      {"dpdk.memory_mb", dpdk_memory_mb_min, dpdk_memory_mb_max, " MiB", &DpdkConfig::memory_mb},
      {"dpdk.vlan", 0, vlan_max, " (0: none)", &DpdkConfig::vlan},
      {"dpdk.mtu", mtu_min, mtu_max, " bytes", &DpdkConfig::mtu},
  };
  const auto range = std::ranges::find(ranges, name, &Range::name);
  if (range == std::end(ranges)) return;
  const std::string accepted =
      std::to_string(range->min) + " to " + std::to_string(range->max) + std::string{range->unit};
  const toml::value<int64_t>* number = node.as_integer();
  if (number == nullptr) return wrong_kind(name, node, "a whole number, " + accepted);
  const int64_t value = number->get();
  if (value < range->min || value > range->max) {
    return problem(node, std::string{name} + ": " + std::to_string(value) +
                             " is out of range; accepted: " + accepted);
  }
  config_.dpdk.*range->into = static_cast<uint32_t>(value);
}

void Reader::take_dpdk_file_prefix(std::string_view name, const toml::node& node) {
  constexpr std::string_view accepted = "1 to 32 letters, digits, \"_\", \"-\"";
  const std::string* given = text(name, node, accepted);
  if (given == nullptr) return;
  const auto allowed = [](char c) { return is_one_of(c, word_letters) || c == '-'; };
  if (given->empty() || given->size() > file_prefix_bytes_max ||
      !std::ranges::all_of(*given, allowed)) {
    return problem(node, std::string{name} + ": " + quoted(*given) +
                             " is no part of a file's name; accepted: " + std::string{accepted});
  }
  config_.dpdk.file_prefix = *given;
}

void Reader::take_dpdk_address(std::string_view name, const toml::node& node) {
  const bool ipv6 = name == "dpdk.address6";
  const std::string accepted =
      ipv6 ? "an IPv6 address of a host with the length of its network, as in \"fd99::2/64\""
           : "an IPv4 address of a host with the length of its network, as in \"10.99.0.2/24\"";
  const std::string* given = text(name, node, accepted);
  if (given == nullptr) return;
  const std::optional<AddressPrefix> address = parse_interface_address(*given);
  if (!address || address->ipv6 != ipv6) {
    return problem(node,
                   std::string{name} + ": " + quoted(*given) + " is none; accepted: " + accepted);
  }
  (ipv6 ? config_.dpdk.address6 : config_.dpdk.address) = address;
}

void Reader::take_dpdk_gateway(std::string_view name, const toml::node& node) {
  const bool ipv6 = name == "dpdk.gateway6";
  const std::string accepted = ipv6 ? "the router's IPv6 address, as in \"fd99::1\" or \"fe80::1\""
                                    : "the router's IPv4 address, as in \"10.99.0.1\"";
  dpdk_at_.insert({name, node.source()});
  const std::string* given = text(name, node, accepted);
  if (given == nullptr) return;
  const std::optional<AddressPrefix> gateway =
      parse_interface_address(*given + (ipv6 ? "/128" : "/32"));
  if (!gateway || gateway->ipv6 != ipv6) {
    return problem(node,
                   std::string{name} + ": " + quoted(*given) + " is none; accepted: " + accepted);
  }
  (ipv6 ? config_.dpdk.gateway6 : config_.dpdk.gateway) = gateway;
}

void Reader::take_dpdk_exception_interface(std::string_view name, const toml::node& node) {
  const std::string accepted = "the name of an interface to make, at most " +
                               std::to_string(interface_name_bytes_max) +
                               " bytes, or \"\" for none";
  const std::string* given = text(name, node, accepted);
  if (given == nullptr) return;
  if (!is_interface_name(*given)) {
    return problem(node,
                   std::string{name} + ": " + quoted(*given) + " is none; accepted: " + accepted);
  }
  config_.dpdk.exception_interface = *given;
}

/// A router is a neighbour: one outside of the network would never be found.
void Reader::check_dpdk_gateway(std::string_view name, const std::optional<AddressPrefix>& gateway,
                                std::string_view address_name,
                                const std::optional<AddressPrefix>& address) {
  if (!gateway) return;
  const toml::source_region& at = dpdk_at_[name];
  const std::string said = std::string{name} + ": " + quoted(gateway->host);
  if (!address) {
    return problem(at, said + " without " + std::string{address_name} + "; accepted: both");
  }
  uint8_t bytes[16];
  std::ranges::copy(gateway->bytes, bytes);
  const bool link_local = gateway->ipv6 && bytes[0] == 0xFE && (bytes[1] & 0xC0) == 0x80;
  if (!link_local && !address->covers(bytes, gateway->ipv6)) {
    problem(at, said + " is not in the network of " + std::string{address_name} + " " +
                    quoted(to_string(*address)) + "; accepted: an address of it");
  } else if (gateway->bytes == address->bytes) {
    problem(at, said + " is " + std::string{address_name} + " itself; accepted: the router's");
  }
}

/// The engine has addresses of its own and ports on them; a listener elsewhere would hear nobody.
void Reader::check_dpdk_listeners() {
  std::map<uint16_t, std::string_view> lists;
  for (const auto& [name, list] : listener_lists(config_)) {
    for (const ListenAddress& listener : *list) {
      const std::optional<Address> address = parse_address(to_string(listener));
      if (!address) continue;
      const std::optional<AddressPrefix>& own =
          address->ipv6 ? config_.dpdk.address6 : config_.dpdk.address;
      const auto zero = [](uint8_t byte) { return byte == 0; };
      if (!std::ranges::all_of(address->bytes, zero) && (!own || own->bytes != address->bytes)) {
        problem(listen_at_, std::string{name} + ": " + shown(listener) +
                                " is not where the engine \"dpdk\" listens; accepted: \":" +
                                std::to_string(listener.port) +
                                "\", or dpdk.address or dpdk.address6");
      }
      const auto [at, added] = lists.insert({listener.port, name});
      if (!added && at->second != name) {
        problem(listen_at_, std::string{name} + ": port " + std::to_string(listener.port) +
                                " is in " + std::string{at->second} +
                                ", too; accepted with the engine \"dpdk\": every port in one list");
      }
    }
  }
}

/// Called once everything was read, before the listeners get their default.
void Reader::check_dpdk() {
  const DpdkConfig& dpdk = config_.dpdk;
  check_dpdk_gateway("dpdk.gateway", dpdk.gateway, "dpdk.address", dpdk.address);
  check_dpdk_gateway("dpdk.gateway6", dpdk.gateway6, "dpdk.address6", dpdk.address6);
  // Otherwise the section waits: an operator may go back and forth with one line.
  if (config_.engine != "dpdk") return;
  // Keys with a problem of their own are not said to be absent.
  const bool complete = problems_.empty();
  if (complete && dpdk.devices.empty()) {
    problem(engine_at_, "dataplane.engine: \"dpdk\" without dpdk.devices; accepted: both, with " +
                            std::string{device_accepted});
  }
  if (complete && !dpdk.address && !dpdk.address6) {
    problem(engine_at_,
            "dataplane.engine: \"dpdk\" without an address; accepted: dpdk.address, as in "
            "\"10.99.0.2/24\", or dpdk.address6, or both");
  }
  const size_t devices = dpdk.devices.size();
  if (devices > 1 && devices != config_.workers.size()) {
    problem(engine_at_, "dpdk.devices: " + std::to_string(devices) + " devices for " +
                            std::to_string(config_.workers.size()) +
                            " of dataplane.workers; accepted: one with a queue for each worker, or "
                            "as many as there are workers");
  }
  check_dpdk_listeners();
}

}  // namespace penstock::config

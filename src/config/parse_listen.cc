#include <algorithm>

#include "src/config/address.h"
#include "src/config/reader.h"

namespace penstock::config {
namespace {

constexpr std::string_view address_accepted =
    "an address in numbers and a port, as in \"127.0.0.1:1935\", \"[::1]:1935\" or \":1935\"";

constexpr std::string_view prefix_accepted =
    "an address in numbers with the length of its network, as in \"10.0.0.0/8\", \"192.0.2.7\" or "
    "\"fd00::/8\"";

/// The listener that would take the port of `text`, or the other way round.
const ListenAddress* on_port_of(std::string_view text, const std::vector<ListenAddress>& list) {
  const std::optional<Address> wanted = parse_address(text);
  if (!wanted) return nullptr;
  const auto everywhere = [](const Address& address) {
    return std::ranges::all_of(address.bytes, [](uint8_t byte) { return byte == 0; });
  };
  const auto same = [&](const ListenAddress& listed) {
    // By bytes: "[0::1]" and "[::1]" are one address.
    const std::optional<Address> address = parse_address(to_string(listed));
    if (!address || address->port != wanted->port) return false;
    if (!wanted->host.empty() && address->ipv6 != wanted->ipv6) return false;
    return address->bytes == wanted->bytes || everywhere(*address) || everywhere(*wanted);
  };
  const auto found = std::ranges::find_if(list, same);
  return found == list.end() ? nullptr : &*found;
}

}  // namespace

void Reader::take_rtmp(std::string_view name, const toml::node& node) {
  rtmp_given_ = true;
  const size_t before = problems_.size();
  listeners(name, node, config_.rtmp);
  rtmp_bad_ = problems_.size() != before;
}

void Reader::take_rtmps(std::string_view name, const toml::node& node) {
  listeners(name, node, config_.rtmps);
}

void Reader::take_rtmpt(std::string_view name, const toml::node& node) {
  listeners(name, node, config_.rtmpt);
}

void Reader::take_rtmpts(std::string_view name, const toml::node& node) {
  listeners(name, node, config_.rtmpts);
}

void Reader::take_sniff(std::string_view name, const toml::node& node) {
  flag(name, node, config_.sniff);
}

void Reader::listeners(std::string_view name, const toml::node& node,
                       std::vector<ListenAddress>& into) {
  const toml::array* array = list(name, node, "a list of addresses, as in [\"127.0.0.1:1935\"]");
  if (array == nullptr) return;
  if (array->size() > listen_addresses_max) {
    problem(node, std::string{name} + ": " + std::to_string(array->size()) +
                      " addresses; accepted: at most " + std::to_string(listen_addresses_max));
  }
  if (listen_at_.begin.line == 0 || node.source().begin.line < listen_at_.begin.line) {
    listen_at_ = node.source();
  }
  for (const toml::node& item : *array) {
    const std::string* given = text(name, item, address_accepted);
    if (given == nullptr) continue;
    const std::optional<Address> address = parse_address(*given);
    if (!address) {
      problem(item, std::string{name} + ": " + quoted(*given) +
                        " is no address to listen on; accepted: " + std::string{address_accepted});
      continue;
    }
    std::vector<ListenAddress> meant = {{address->host, address->port, address->ipv6}};
    if (address->host.empty())
      meant = {{"0.0.0.0", address->port, false}, {"::", address->port, true}};
    std::string_view first;
    for (const ListenAddress& one : meant) {
      const auto [at, added] =
          taken_.insert({{address->bytes, {one.port, one.ipv6}}, {name, *given}});
      if (!added) first = at->second.list;
    }
    if (!first.empty()) {
      problem(item, std::string{name} + ": " + quoted(*given) +
                        (first == name ? std::string{" is there twice"}
                                       : " is in " + std::string{first} + ", too") +
                        "; accepted: every address once");
      continue;
    }
    if (into.size() < listen_addresses_max) into.insert(into.end(), meant.begin(), meant.end());
  }
}

/// As the operator wrote it, and what that means where it is not the same.
std::string Reader::shown(const ListenAddress& listed) const {
  const std::string meant = to_string(listed);
  const std::optional<Address> address = parse_address(meant);
  if (!address) return quoted(meant);
  const auto found = taken_.find({address->bytes, {listed.port, listed.ipv6}});
  if (found == taken_.end() || found->second.written == meant) return quoted(meant);
  return quoted(found->second.written) + " (" + meant + ")";
}

void Reader::take_proxy_from(std::string_view name, const toml::node& node) {
  const toml::array* array = list(name, node, "a list of networks, as in [\"10.0.0.0/8\"]");
  if (array == nullptr) return;
  if (array->size() > prefixes_max) {
    problem(node, std::string{name} + ": " + std::to_string(array->size()) +
                      " networks; accepted: at most " + std::to_string(prefixes_max));
  }
  for (const toml::node& item : *array) {
    const std::string* given = text(name, item, prefix_accepted);
    if (given == nullptr) continue;
    const std::optional<AddressPrefix> prefix = parse_prefix(*given);
    if (!prefix) {
      problem(item, std::string{name} + ": " + quoted(*given) + " is no network; accepted: " +
                        std::string{prefix_accepted} + ", with no bit set behind its length");
      continue;
    }
    if (config_.proxy_from.size() < prefixes_max) config_.proxy_from.push_back(*prefix);
  }
}

void Reader::take_http(std::string_view name, const toml::node& node) {
  constexpr std::string_view accepted =
      "an address in numbers and a port, as in \"127.0.0.1:8935\" or \"[::1]:8935\"";
  http_at_ = node.source();
  const std::string* given = text(name, node, accepted);
  if (given == nullptr) return;
  constexpr std::string_view localhost = "localhost:";
  const bool named = given->starts_with(localhost);
  const std::optional<Address> address =
      parse_address(named ? "127.0.0.1:" + given->substr(localhost.size()) : *given);
  if (!address) {
    return problem(node, std::string{name} + ": " + quoted(*given) +
                             " is no address to listen on; accepted: " + std::string{accepted});
  }
  http_needs_token_ = !address->loopback();
  config_.http = *given;
}

/// Only RTMP may be switched off when something else listens. Called once all lists were read.
void Reader::check_somebody_listens() {
  if (!rtmp_given_) {
    // Loopback is the kernel's: the engine "dpdk" hears nobody there.
    const bool dpdk = config_.engine == "dpdk";
    const std::string_view usual = dpdk ? ":1935" : "127.0.0.1:1935";
    config_.rtmp = {{"127.0.0.1", 1935, false}};
    if (dpdk) config_.rtmp = {{"0.0.0.0", 1935, false}, {"::", 1935, true}};
    for (const auto& [name, list] : listener_lists(config_)) {
      const ListenAddress* taken = list == &config_.rtmp ? nullptr : on_port_of(usual, *list);
      if (taken == nullptr) continue;
      problem(listen_at_, std::string{name} + ": " + shown(*taken) +
                              " is the port of listen.rtmp, which is " + quoted(usual) +
                              " unless said; accepted: another port, or listen.rtmp as well");
    }
    return;
  }
  const bool nobody = config_.rtmp.empty() && config_.rtmps.empty() && config_.rtmpt.empty() &&
                      config_.rtmpts.empty();
  if (!nobody || rtmp_bad_) return;
  problem(listen_at_, "listen.rtmp: 0 addresses; accepted: 1 to " +
                          std::to_string(listen_addresses_max) +
                          ", or none when listen.rtmps, listen.rtmpt or listen.rtmpts has some");
}

/// The first to listen would take the port from the other.
void Reader::check_http_apart_from_listeners() {
  // The engine's addresses are not the kernel's, where control.http listens.
  if (config_.engine == "dpdk") return;
  constexpr std::string_view localhost = "localhost:";
  const bool named = config_.http.starts_with(localhost);
  const std::string http =
      named ? "127.0.0.1:" + config_.http.substr(localhost.size()) : config_.http;
  for (const auto& [name, list] : listener_lists(config_)) {
    const ListenAddress* taken = on_port_of(http, *list);
    if (taken == nullptr) continue;
    return problem(http_at_.begin.line != 0 ? http_at_ : listen_at_,
                   "control.http: " + quoted(config_.http) + " is the port of " +
                       std::string{name} + " " + shown(*taken) + "; accepted: another port");
  }
}

}  // namespace penstock::config

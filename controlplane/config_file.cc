#include "controlplane/config_file.h"

#include <arpa/inet.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "controlplane/file.h"
#include "controlplane/text.h"
#include "penstock/config/certificate.h"
#include "penstock/control/layout.h"

namespace penstock::controlplane {
namespace {

// 128 bit as hexadecimal are 32 characters; 16 is the least that nobody guesses over a network.
constexpr size_t token_bytes_min = 16;
constexpr size_t token_bytes_max = 1024;

std::expected<std::string, std::string> read_token(const std::string& path) {
  auto text = read_file(path, token_bytes_max);
  if (!text) return text;
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r' || text->back() == ' '))
    text->pop_back();
  const bool printable = std::ranges::all_of(*text, [](char c) { return c > 0x20 && c < 0x7F; });
  if (!printable) return std::unexpected("the token has a space or a character outside of ASCII");
  if (text->size() < token_bytes_min) {
    return std::unexpected("the token is shorter than " + std::to_string(token_bytes_min) +
                           " characters; try: openssl rand -hex 32");
  }
  return text;
}

/// A secret that everybody on this host may read is none.
void caution_of_mode(std::string_view key, const std::string& path,
                     std::vector<std::string>& cautions) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || (status.st_mode & 0007) == 0) return;
  cautions.push_back(std::string(key) + ": " + path +
                     " is open to everybody on this host: chmod 600 it");
}

std::string mark_at(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "-";
  return std::to_string(status.st_dev) + "/" + std::to_string(status.st_ino) + "/" +
         std::to_string(status.st_size) + "/" + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec) + "\n";
}

/// What the data plane would take, or why it would not; it looks by itself, too.
std::expected<config::CertificateFacts, std::string> look_at(const config::Certificate& wanted) {
  const auto cert = read_file(wanted.cert, config::pem_bytes_max);
  if (!cert) return std::unexpected(wanted.cert + ": " + cert.error());
  const auto key = read_file(wanted.key, config::pem_bytes_max);
  if (!key) return std::unexpected(wanted.key + ": " + key.error());
  auto facts = config::look_at_certificate(*cert, *key);
  if (facts) return std::move(*facts);
  return std::unexpected((facts.error().of_key ? wanted.key : wanted.cert) + ": " +
                         facts.error().text);
}

std::string seen_text(const config::Certificate& wanted, const config::CertificateFacts& facts) {
  std::string names;
  for (const std::string& name : wanted.names.empty() ? facts.names : wanted.names) {
    if (names.size() > 200) {
      names += " ...";
      break;
    }
    names += (names.empty() ? " for " : ", ") + name;
  }
  return wanted.cert + names + ", " + facts.key + ", ends " + config::day_text(facts.ends_unix_s);
}

Problems check_certificates(Settings& settings) {
  Problems problems;
  std::string marks;
  std::vector<config::CertificateFacts> good(settings.config.certificates.size());
  std::vector<config::ListedCertificate> listed;
  for (size_t i = 0; const config::Certificate& wanted : settings.config.certificates) {
    // Before the files are read: what comes between is a change that the next look sees.
    const std::string mark = mark_at(wanted.cert) + mark_at(wanted.key);
    marks += mark;
    auto looked = look_at(wanted);
    if (!looked) {
      problems.push_back({settings.file, wanted.line, "tls.certificates: " + looked.error()});
      continue;
    }
    config::CertificateFacts& facts = good[i++] = std::move(*looked);
    listed.push_back({wanted.cert, &wanted.names, &facts});
    settings.certificates.push_back({wanted.cert, control::fnv1a(mark), seen_text(wanted, facts)});
    caution_of_mode("tls.certificates", wanted.key, settings.certificate_cautions);
  }
  for (const std::string& line : config::certificate_cautions(listed, std::time(nullptr)))
    settings.certificate_cautions.push_back("tls.certificates: " + line);
  if (!marks.empty()) settings.certificate_files = control::fnv1a(marks);
  return problems;
}

/// What parse() cannot know, because it is pure or because it is about this process.
void check_here(Settings& settings, Problems& problems) {
  const auto problem = [&](std::string text) {
    problems.push_back({settings.file, 0, std::move(text)});
  };
  const config::Config& config = settings.config;
  settings.socket = config.socket.empty() ? config.state_dir + "/control.sock" : config.socket;
  if (settings.socket.size() >= sizeof(sockaddr_un::sun_path)) {
    problem("control.socket: " + settings.socket +
            " is longer than 107 bytes; accepted: a shorter path");
  }
  const auto http = parse_http_address(config.http);
  if (!http) {
    problem("control.http: \"" + clean_text(config.http) +
            "\" is no address; accepted: \"127.0.0.1:8935\", \"[::1]:8935\"");
  } else {
    settings.http = *http;
    if (!http->loopback() && config.token_file.empty()) {
      problem(
          "control.token_file: needed because control.http is not a loopback address; accepted: a "
          "file with a token, "
          "readable by its owner alone");
    }
  }
  settings.certificates_text = config::certificates_text(config.certificates);
  for (const std::string& key : config.keys) settings.keys_text += key + "\n";
  if (settings.keys_text.size() > control::keys_bytes_max) {
    problem("admission.keys: " + std::to_string(settings.keys_text.size()) +
            " bytes; accepted: at most " + std::to_string(control::keys_bytes_max));
  }
}

std::expected<Settings, Problems> settings_of(std::string_view text, std::string_view file) {
  auto config = config::parse(text, file);
  if (!config) return std::unexpected(std::move(config.error()));
  Settings settings;
  settings.config = std::move(*config);
  settings.file = file;
  Problems problems;
  check_here(settings, problems);
  if (!problems.empty()) return std::unexpected(std::move(problems));
  return settings;
}

template <typename Items, typename Text>
std::string listed(const Items& items, Text text) {
  std::string all;
  for (const auto& item : items) all += (all.empty() ? "" : ", ") + text(item);
  return all;
}

std::string listeners_text(const std::vector<config::ListenAddress>& listeners) {
  return listed(listeners, [](const auto& address) { return config::to_string(address); });
}

std::string proxy_text(const config::Config& config) {
  return listed(config.proxy_from, [](const auto& prefix) { return config::to_string(prefix); });
}

/// A key of [dpdk] with its value as text: equal texts are equal values.
struct DpdkKey {
  std::string_view key;
  std::string (*text)(const config::DpdkConfig&);
};

std::string address_text(const std::optional<config::AddressPrefix>& address) {
  return address ? config::to_string(*address) : "";
}

std::string gateway_text(const std::optional<config::AddressPrefix>& gateway) {
  return gateway ? gateway->host : "";
}

constexpr DpdkKey dpdk_keys[] = {
    {"dpdk.devices",
     [](const config::DpdkConfig& dpdk) {
       return listed(dpdk.devices, [](const std::string& device) { return device; });
     }},
    {"dpdk.hugepages",
     [](const config::DpdkConfig& dpdk) { return std::string(dpdk.hugepages ? "true" : "false"); }},
    {"dpdk.memory_mb",
     [](const config::DpdkConfig& dpdk) { return std::to_string(dpdk.memory_mb); }},
    {"dpdk.file_prefix", [](const config::DpdkConfig& dpdk) { return dpdk.file_prefix; }},
    {"dpdk.address", [](const config::DpdkConfig& dpdk) { return address_text(dpdk.address); }},
    {"dpdk.address6", [](const config::DpdkConfig& dpdk) { return address_text(dpdk.address6); }},
    {"dpdk.gateway", [](const config::DpdkConfig& dpdk) { return gateway_text(dpdk.gateway); }},
    {"dpdk.gateway6", [](const config::DpdkConfig& dpdk) { return gateway_text(dpdk.gateway6); }},
    {"dpdk.vlan", [](const config::DpdkConfig& dpdk) { return std::to_string(dpdk.vlan); }},
    {"dpdk.mtu", [](const config::DpdkConfig& dpdk) { return std::to_string(dpdk.mtu); }},
    {"dpdk.exception_interface",
     [](const config::DpdkConfig& dpdk) { return dpdk.exception_interface; }},
};

}  // namespace

bool HttpAddress::loopback() const {
  in_addr ipv4{};
  if (::inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return (ntohl(ipv4.s_addr) >> 24) == 127;
  return host == "localhost" || host == "::1";
}

std::optional<HttpAddress> parse_http_address(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = parse_number(text.substr(colon + 1));
  if (!port || *port == 0 || *port > 65'535) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  if (host.find_first_not_of(
          "0123456789abcdefABCDEFghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ.:-%_") !=
      std::string_view::npos) {
    return std::nullopt;
  }
  if (host.empty()) host = "::";
  return HttpAddress{std::string(host), static_cast<uint16_t>(*port)};
}

std::expected<Settings, Problems> load_settings(const std::string& file, BadCertificate bad) {
  const auto text = read_file(file, config_file_bytes_max);
  if (!text) return std::unexpected(Problems{{file, 0, "cannot be read: " + text.error()}});
  auto settings = settings_of(*text, file);
  if (!settings) return settings;
  if (!settings->config.token_file.empty()) {
    auto token = read_token(settings->config.token_file);
    if (!token) {
      return std::unexpected(Problems{
          {file, 0, "control.token_file: " + settings->config.token_file + ": " + token.error()}});
    }
    settings->token = std::move(*token);
    caution_of_mode("control.token_file", settings->config.token_file, settings->cautions);
  }
  Problems problems = check_certificates(*settings);
  if (!problems.empty() && bad == BadCertificate::refuses)
    return std::unexpected(std::move(problems));
  for (const config::Problem& problem : problems)
    settings->certificate_cautions.push_back(problem.to_string());
  return settings;
}

std::expected<Settings, Problems> check_settings(std::string_view text, std::string_view file) {
  return settings_of(text, file);
}

std::vector<std::string> all_cautions(const Settings& settings) {
  std::vector<std::string> lines = config::cautions(settings.config);
  lines.insert(lines.end(), settings.cautions.begin(), settings.cautions.end());
  lines.insert(lines.end(), settings.certificate_cautions.begin(),
               settings.certificate_cautions.end());
  return lines;
}

std::vector<std::string> changed_keys(const config::Config& from, const config::Config& to) {
  std::vector<std::string> keys;
  const auto compare = [&keys](bool same, std::string_view key) {
    if (!same) keys.emplace_back(key);
  };
  compare(from.engine == to.engine, "dataplane.engine");
  compare(from.workers == to.workers, "dataplane.workers");
  compare(from.state_dir == to.state_dir, "dataplane.state_dir");
  for (const DpdkKey& row : dpdk_keys) {
    compare(row.text(from.dpdk) == row.text(to.dpdk), row.key);
  }
  const auto lists = config::listener_lists(to);
  for (size_t i = 0; const auto& [key, list] : config::listener_lists(from)) {
    compare(listeners_text(*list) == listeners_text(*lists[i++].second), key);
  }
  compare(from.sniff == to.sniff, "listen.sniff");
  compare(from.proxy_from == to.proxy_from, "listen.proxy_from");
  compare(from.certificates == to.certificates, "tls.certificates");
  compare(from.tls_tickets == to.tls_tickets, "tls.tickets");
  compare(from.rtmpe_enabled == to.rtmpe_enabled, "rtmpe.enabled");
  compare(from.publish == to.publish, "admission.publish");
  compare(from.keys == to.keys, "admission.keys");
  compare(from.login_offer == to.login_offer, "admission.login_offer");
  compare(from.http == to.http, "control.http");
  compare(from.socket == to.socket, "control.socket");
  compare(from.token_file == to.token_file, "control.token_file");
  compare(from.log_format == to.log_format, "log.format");
  compare(from.log_level == to.log_level, "log.level");
  for (size_t i = 0; i < control::tunable_count; ++i) {
    compare(from.tunables[i] == to.tunables[i], control::tunable_table[i].key);
  }
  return keys;
}

std::string value_text(const config::Config& config, std::string_view key) {
  if (key == "dataplane.engine") return config.engine;
  if (key == "dataplane.workers")
    return listed(config.workers, [](uint32_t core) { return std::to_string(core); });
  if (key == "dataplane.state_dir") return config.state_dir;
  for (const DpdkKey& row : dpdk_keys) {
    if (key == row.key) return row.text(config.dpdk);
  }
  for (const auto& [name, list] : config::listener_lists(config)) {
    if (key == name) return listeners_text(*list);
  }
  if (key == "listen.sniff") return config.sniff ? "true" : "false";
  if (key == "listen.proxy_from") return proxy_text(config);
  if (key == "rtmpe.enabled") return config.rtmpe_enabled ? "true" : "false";
  if (key == "control.http") return config.http;
  if (key == "control.socket") return config.socket;
  if (key == "log.format") return config.log_format == config::LogFormat::json ? "json" : "text";
  const auto tunable = control::find_tunable(key);
  return tunable ? std::to_string(control::value_of(config.tunables, *tunable)) : "";
}

std::vector<std::string> keys_for_dataplane_restart(const std::vector<std::string>& keys) {
  constexpr std::array<std::string_view, 11> fixed = {
      "dataplane.engine",  "dataplane.workers", "dataplane.state_dir", "listen.rtmp",
      "listen.rtmps",      "listen.rtmpt",      "listen.rtmpts",       "listen.sniff",
      "listen.proxy_from", "rtmpe.enabled",     "log.format"};
  std::vector<std::string> needed;
  std::ranges::copy_if(keys, std::back_inserter(needed), [&](const std::string& key) {
    const auto tunable = control::find_tunable(key);
    return std::ranges::find(fixed, key) != fixed.end() || key.starts_with("dpdk.") ||
           (tunable && !control::tunable_info(*tunable).live);
  });
  return needed;
}

std::vector<std::string> keys_for_control_restart(const std::vector<std::string>& keys) {
  constexpr std::array<std::string_view, 3> fixed = {"dataplane.state_dir", "control.http",
                                                     "control.socket"};
  std::vector<std::string> needed;
  std::ranges::copy_if(keys, std::back_inserter(needed), [&](const std::string& key) {
    return std::ranges::find(fixed, key) != fixed.end();
  });
  return needed;
}

}  // namespace penstock::controlplane

#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "penstock/config/address_prefix.h"
#include "penstock/config/dpdk.h"
#include "penstock/control/layout.h"
#include "penstock/control/tunables.h"

// penstock.toml, as both processes read it. Pure: text in, values or problems out; who calls it
// reads the file.
namespace penstock::config {

enum class LogFormat : uint8_t { text, json };

/// "127.0.0.1:1935", "[::1]:1935", "0.0.0.0:1935"; port 0 is refused. ":1935" stands for two of
/// them, one of each family.
struct ListenAddress {
  std::string host;  // an address in numbers, without brackets
  uint16_t port = 0;
  bool ipv6 = false;
  bool operator==(const ListenAddress&) const = default;
};

// More would be a mistake: a process serves one service on a few addresses of one machine.
constexpr size_t listen_addresses_max = 64;
// Cores beyond are none that a Linux scheduler mask of the usual size (CPU_SETSIZE) can name.
constexpr uint32_t core_max = 1023;
// What fits into the address of a Unix socket (sun_path, 108 bytes with its zero).
constexpr size_t socket_path_bytes_max = 107;

/// One of tls.certificates. The first of them is shown to who names no server, or one that none is
/// for.
struct Certificate {
  // Files, beside the configuration file where they are not absolute: both processes mean the same
  // ones, wherever each was started.
  std::string cert;                // the server's own certificate, then its chain
  std::string key;                 // its private key
  std::vector<std::string> names;  // "example.com", "*.example.com"; none: those of the certificate
  uint32_t line = 0;               // where it stands in the file; no part of what it is
  bool operator==(const Certificate& other) const {
    return cert == other.cert && key == other.key && names == other.names;
  }
};

// Names of one box: one certificate with 64 names, or 64 with one, is beyond what was seen.
constexpr size_t certificates_max = 64;
constexpr size_t certificate_names_max = 64;
// Networks of load balancers; every new connection is compared with all of them.
constexpr size_t prefixes_max = 64;
// OpenSSL sends each ticket as a message of its own; more than one is for a browser's connections.
constexpr uint32_t tls_tickets_max = 8;

struct Config {
  std::string engine = "uring";         // or "dpdk"
  std::vector<uint32_t> workers = {0};  // core numbers
  std::string state_dir = "state";
  DpdkConfig dpdk;
  std::vector<ListenAddress> rtmp;  // default 127.0.0.1:1935; with the engine "dpdk" ":1935"
  std::vector<ListenAddress> rtmps;
  std::vector<ListenAddress> rtmpt;
  std::vector<ListenAddress> rtmpts;
  bool sniff = true;  // listeners of rtmp take what else is switched on, by its first bytes
  // Peers that may say in a PROXY header for whom they speak. Without one (a balancer's own health
  // check) they speak for themselves.
  std::vector<AddressPrefix> proxy_from;
  std::vector<Certificate> certificates;
  // TLS 1.3 tickets sent after a handshake. Not one: librtmp takes the next byte for RTMP's.
  uint32_t tls_tickets = 0;
  bool rtmpe_enabled = false;
  control::AdmissionMode publish = control::AdmissionMode::open;
  std::vector<std::string> keys;  // "app/name", sorted, unique
  control::LoginOffer login_offer = control::LoginOffer::adobe;
  std::string http = "127.0.0.1:8935";
  std::string socket;      // default state_dir/control.sock
  std::string token_file;  // needed when http is not loopback
  LogFormat log_format = LogFormat::text;
  control::LogLevel log_level = control::LogLevel::info;
  control::TunableValues tunables = control::tunable_defaults();
  bool operator==(const Config&) const = default;
};

/// One thing that is wrong, at one place: "penstock.toml:7: limits.gop_bytes: -1 is out of range;
/// accepted: 0 to ...".
struct Problem {
  std::string file;
  uint32_t line = 0;
  std::string text;
  /// Without a line where there is none (0: about the file as a whole).
  [[nodiscard]] std::string to_string() const {
    return file + (line == 0 ? "" : ":" + std::to_string(line)) + ": " + text;
  }
};

/// Reports every problem of the file, in the order of its lines; only what does not read as TOML
/// ends the look at once.
[[nodiscard]] std::expected<Config, std::vector<Problem>> parse(std::string_view text,
                                                                std::string_view file);

/// What is accepted and probably not meant, one line each.
[[nodiscard]] std::vector<std::string> cautions(const Config& config);

/// A file that parse() turns into the same Config again. Keys of admission are included: keep it
/// private to its owner.
[[nodiscard]] std::string render(const Config& config);

/// "trace" to "error", as log.level takes it and log lines show it.
[[nodiscard]] std::string_view log_level_name(control::LogLevel level);

/// "open", "keys" or "login", as admission.publish takes it.
[[nodiscard]] std::string_view admission_name(control::AdmissionMode mode);
/// "adobe", "llnw" or "query", as admission.login_offer takes it.
[[nodiscard]] std::string_view login_offer_name(control::LoginOffer offer);

[[nodiscard]] std::string to_string(const ListenAddress& address);

/// The lists of listeners with their keys: "listen.rtmp", "listen.rtmps", "listen.rtmpt",
/// "listen.rtmpts".
[[nodiscard]] std::array<std::pair<std::string_view, const std::vector<ListenAddress>*>, 4>
listener_lists(const Config& config);

/// Certificates as the shared region carries them: a line each, cert, key and names apart by tabs.
/// Paths and names have no control characters in them.
[[nodiscard]] std::string certificates_text(const std::vector<Certificate>& certificates);
/// Nothing when the text was not made by certificates_text().
[[nodiscard]] std::optional<std::vector<Certificate>> parse_certificates_text(
    std::string_view text);

/// "app/name" as the protocol normalises it: no empty part, no "..", no control character, within
/// stream_name_bytes_max.
[[nodiscard]] bool is_stream_name(std::string_view text);

}  // namespace penstock::config

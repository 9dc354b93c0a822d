#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/config/config.h"

namespace penstock::controlplane {

struct HttpAddress {
  std::string host;  // without brackets
  uint16_t port = 0;
  [[nodiscard]] bool loopback() const;
};

/// "127.0.0.1:8935", "[::1]:8935", "localhost:8935".
[[nodiscard]] std::optional<HttpAddress> parse_http_address(std::string_view text);

/// A configuration file that the control plane can run with: parsed, and with what needs a look at
/// the host.
/// A certificate of the file, as it was when the file was read.
struct SeenCertificate {
  std::string path;
  uint64_t mark = 0;  // of both files: another number, other files
  std::string text;   // what it is, for the operator
};

struct Settings {
  config::Config config;
  std::string file;
  std::string socket;  // config.socket, or its default
  HttpAddress http;
  std::string token;  // empty: none is asked for; never in a log or an answer
  // Accepted, and to be told to the operator; one line each. Apart: of certificates the data plane
  // tells by itself, as long as there is one.
  std::vector<std::string> cautions;
  std::vector<std::string> certificate_cautions;
  std::vector<SeenCertificate> certificates;
  std::string keys_text;           // as the region wants it: "app/name\n" ..., sorted
  std::string certificates_text;   // in the same way
  uint64_t certificate_files = 0;  // of all marks
};

/// Of the text of the file, of the host, and of certificates.
[[nodiscard]] std::vector<std::string> all_cautions(const Settings& settings);

using Problems = std::vector<config::Problem>;

/// What a certificate that cannot be used is: a reason to refuse the file, or a caution. The latter
/// at the start: what has become of a certificate must not keep an operator from steering.
enum class BadCertificate : uint8_t { refuses, is_said };

/// All that is wrong with the file, never only the first.
[[nodiscard]] std::expected<Settings, Problems> load_settings(
    const std::string& file, BadCertificate bad = BadCertificate::refuses);

/// The same for text that is not in force: nothing of the host is looked at (token_file is not
/// opened).
[[nodiscard]] std::expected<Settings, Problems> check_settings(std::string_view text,
                                                               std::string_view file);

/// Keys whose values differ: "listen.rtmp", "limits.gop_bytes", ...
[[nodiscard]] std::vector<std::string> changed_keys(const config::Config& from,
                                                    const config::Config& to);

/// A value that only a restart changes, as an operator reads it; empty for other keys.
[[nodiscard]] std::string value_text(const config::Config& config, std::string_view key);

/// Of these keys, the ones that a running data plane (control plane) takes only at its start.
[[nodiscard]] std::vector<std::string> keys_for_dataplane_restart(
    const std::vector<std::string>& keys);
[[nodiscard]] std::vector<std::string> keys_for_control_restart(
    const std::vector<std::string>& keys);

}  // namespace penstock::controlplane

#include "penstock/config/config.h"

namespace penstock::config {
namespace {

// A TOML basic string: what is not to be there as it is, is escaped (TOML 1.0, "String").
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      constexpr std::string_view digits = "0123456789ABCDEF";
      out += "\\u00";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

void line(std::string& out, std::string_view key, std::string_view value) {
  out += key;
  out += " = ";
  out += value;
  out += '\n';
}

void section(std::string& out, std::string_view name) {
  if (!out.empty()) out += '\n';
  out += '[';
  out += name;
  out += "]\n";
}

// Those of the tunables whose keys are in this section.
void tunables_of(std::string& out, std::string_view name, const control::TunableValues& values) {
  for (size_t i = 0; i < control::tunable_count; ++i) {
    const std::string_view key = control::tunable_table[i].key;
    const size_t point = key.find('.');
    if (key.substr(0, point) == name) line(out, key.substr(point + 1), std::to_string(values[i]));
  }
}

std::string workers_text(const std::vector<uint32_t>& workers) {
  std::string text;
  for (const uint32_t core : workers) text += (text.empty() ? "" : ", ") + std::to_string(core);
  return "[" + text + "]";
}

std::string addresses_text(const std::vector<ListenAddress>& addresses) {
  std::string text;
  for (const ListenAddress& address : addresses) {
    text += (text.empty() ? "" : ", ") + quoted(to_string(address));
  }
  return "[" + text + "]";
}

std::string_view flag_text(bool flag) { return flag ? "true" : "false"; }

std::string prefixes_text(const std::vector<AddressPrefix>& prefixes) {
  std::string text;
  for (const AddressPrefix& prefix : prefixes) {
    text += (text.empty() ? "" : ", ") + quoted(to_string(prefix));
  }
  return "[" + text + "]";
}

std::string certificates_list(const std::vector<Certificate>& certificates) {
  std::string text;
  for (const Certificate& one : certificates) {
    text += "\n  { cert = " + quoted(one.cert) + ", key = " + quoted(one.key);
    std::string names;
    for (const std::string& name : one.names) names += (names.empty() ? "" : ", ") + quoted(name);
    text += (names.empty() ? "" : ", names = [" + names + "]") + " },";
  }
  return "[" + text + (certificates.empty() ? "]" : "\n]");
}

// One a line: lists of keys are long, and are compared line by line.
std::string keys_text(const std::vector<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) text += "\n  " + quoted(key) + ",";
  return "[" + text + (keys.empty() ? "]" : "\n]");
}

std::string texts_list(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + quoted(text);
  return "[" + list + "]";
}

// What is not there has no text that would read as that.
void dpdk_section(std::string& out, const DpdkConfig& dpdk) {
  section(out, "dpdk");
  line(out, "devices", texts_list(dpdk.devices));
  line(out, "hugepages", flag_text(dpdk.hugepages));
  line(out, "memory_mb", std::to_string(dpdk.memory_mb));
  line(out, "file_prefix", quoted(dpdk.file_prefix));
  if (dpdk.address) line(out, "address", quoted(to_string(*dpdk.address)));
  if (dpdk.address6) line(out, "address6", quoted(to_string(*dpdk.address6)));
  if (dpdk.gateway) line(out, "gateway", quoted(dpdk.gateway->host));
  if (dpdk.gateway6) line(out, "gateway6", quoted(dpdk.gateway6->host));
  line(out, "vlan", std::to_string(dpdk.vlan));
  line(out, "mtu", std::to_string(dpdk.mtu));
  line(out, "exception_interface", quoted(dpdk.exception_interface));
}

}  // namespace

std::string_view log_level_name(control::LogLevel level) {
  switch (level) {
    case control::LogLevel::trace:
      return "trace";
    case control::LogLevel::debug:
      return "debug";
    case control::LogLevel::info:
      return "info";
    case control::LogLevel::warning:
      return "warning";
    case control::LogLevel::error:
      return "error";
  }
  return "info";
}

std::string render(const Config& config) {
  std::string out;
  section(out, "dataplane");
  line(out, "engine", quoted(config.engine));
  line(out, "workers", workers_text(config.workers));
  line(out, "state_dir", quoted(config.state_dir));
  tunables_of(out, "dataplane", config.tunables);
  dpdk_section(out, config.dpdk);
  section(out, "listen");
  for (const auto& [key, list] : listener_lists(config)) {
    line(out, key.substr(key.find('.') + 1), addresses_text(*list));
  }
  line(out, "sniff", flag_text(config.sniff));
  line(out, "proxy_from", prefixes_text(config.proxy_from));
  section(out, "tls");
  line(out, "certificates", certificates_list(config.certificates));
  line(out, "tickets", std::to_string(config.tls_tickets));
  tunables_of(out, "tls", config.tunables);
  section(out, "rtmpt");
  tunables_of(out, "rtmpt", config.tunables);
  section(out, "rtmpe");
  line(out, "enabled", flag_text(config.rtmpe_enabled));
  tunables_of(out, "rtmpe", config.tunables);
  section(out, "admission");
  line(out, "publish", quoted(admission_name(config.publish)));
  line(out, "keys", keys_text(config.keys));
  line(out, "login_offer", quoted(login_offer_name(config.login_offer)));
  tunables_of(out, "admission", config.tunables);
  section(out, "limits");
  tunables_of(out, "limits", config.tunables);
  section(out, "liveness");
  tunables_of(out, "liveness", config.tunables);
  section(out, "control");
  line(out, "http", quoted(config.http));
  if (!config.socket.empty()) line(out, "socket", quoted(config.socket));
  if (!config.token_file.empty()) line(out, "token_file", quoted(config.token_file));
  section(out, "log");
  line(out, "format", config.log_format == LogFormat::json ? "\"json\"" : "\"text\"");
  line(out, "level", quoted(log_level_name(config.log_level)));
  return out;
}

std::string_view login_offer_name(control::LoginOffer offer) {
  switch (offer) {
    case control::LoginOffer::adobe:
      return "adobe";
    case control::LoginOffer::llnw:
      return "llnw";
    case control::LoginOffer::query:
      return "query";
  }
  return "adobe";
}

std::string_view admission_name(control::AdmissionMode mode) {
  switch (mode) {
    case control::AdmissionMode::open:
      return "open";
    case control::AdmissionMode::keys:
      return "keys";
    case control::AdmissionMode::login:
      return "login";
  }
  return "open";
}

std::array<std::pair<std::string_view, const std::vector<ListenAddress>*>, 4> listener_lists(
    const Config& config) {
  return {{{"listen.rtmp", &config.rtmp},
           {"listen.rtmps", &config.rtmps},
           {"listen.rtmpt", &config.rtmpt},
           {"listen.rtmpts", &config.rtmpts}}};
}

std::string to_string(const ListenAddress& address) {
  const std::string port = ":" + std::to_string(address.port);
  return address.ipv6 ? "[" + address.host + "]" + port : address.host + port;
}

}  // namespace penstock::config

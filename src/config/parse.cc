#include <algorithm>

#include "penstock/base/limits.h"
#include "penstock/config/closest.h"
#include "penstock/config/config.h"
#include "src/config/reader.h"

namespace penstock::config {

std::string clean(std::string_view text, size_t bytes_max) {
  // A character of several bytes stays whole or goes.
  size_t bytes = std::min(text.size(), bytes_max);
  while (bytes < text.size() && bytes > 0 && (text[bytes] & 0xC0) == 0x80) --bytes;
  std::string shown{text.substr(0, bytes)};
  for (char& c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = '?';
  }
  return bytes < text.size() ? shown + "..." : shown;
}

std::string quoted(std::string_view text) { return '"' + clean(text, 80) + '"'; }

std::string_view kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a section";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

std::string joined(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

const std::vector<Reader::Key>& Reader::keys() {
  static const std::vector<Key> all = [] {
    std::vector<Key> rows = {
        {"dataplane.engine", &Reader::take_engine},
        {"dataplane.workers", &Reader::take_workers},
        {"dataplane.state_dir", &Reader::take_state_dir},
        {"listen.rtmp", &Reader::take_rtmp},
        {"listen.rtmps", &Reader::take_rtmps},
        {"listen.rtmpt", &Reader::take_rtmpt},
        {"listen.rtmpts", &Reader::take_rtmpts},
        {"listen.sniff", &Reader::take_sniff},
        {"listen.proxy_from", &Reader::take_proxy_from},
        {"tls.certificates", &Reader::take_certificates},
        {"tls.tickets", &Reader::take_tickets},
        {"rtmpe.enabled", &Reader::take_rtmpe_enabled},
        {"dpdk.devices", &Reader::take_dpdk_devices},
        {"dpdk.hugepages", &Reader::take_dpdk_hugepages},
        {"dpdk.memory_mb", &Reader::take_dpdk_number},
        {"dpdk.file_prefix", &Reader::take_dpdk_file_prefix},
        {"dpdk.address", &Reader::take_dpdk_address},
        {"dpdk.address6", &Reader::take_dpdk_address},
        {"dpdk.gateway", &Reader::take_dpdk_gateway},
        {"dpdk.gateway6", &Reader::take_dpdk_gateway},
        {"dpdk.vlan", &Reader::take_dpdk_number},
        {"dpdk.mtu", &Reader::take_dpdk_number},
        {"dpdk.exception_interface", &Reader::take_dpdk_exception_interface},
        {"admission.publish", &Reader::take_publish},
        {"admission.keys", &Reader::take_keys},
        {"admission.login_offer", &Reader::take_login_offer},
        {"control.http", &Reader::take_http},
        {"control.socket", &Reader::take_socket},
        {"control.token_file", &Reader::take_token_file},
        {"log.format", &Reader::take_log_format},
        {"log.level", &Reader::take_log_level},
    };
    for (const control::TunableInfo& info : control::tunable_table) {
      rows.push_back({info.key, &Reader::take_tunable});
    }
    return rows;
  }();
  return all;
}

std::vector<std::string_view> Reader::sections() {
  std::vector<std::string_view> names;
  for (const Key& key : keys()) {
    const std::string_view name = key.name.substr(0, key.name.find('.'));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<std::string_view> Reader::names_in(std::string_view section) {
  std::vector<std::string_view> names;
  for (const Key& key : keys()) {
    const size_t point = key.name.find('.');
    if (key.name.substr(0, point) == section) names.push_back(key.name.substr(point + 1));
  }
  return names;
}

void Reader::read(const toml::table& root) {
  for (const auto& [key, node] : root) {
    const std::vector<std::string_view> known = sections();
    if (std::find(known.begin(), known.end(), key.str()) == known.end()) {
      unknown_section(key, node);
    } else if (const toml::table* table = node.as_table()) {
      section(key.str(), *table);
    } else {
      problem(key.source(), std::string{key.str()} + ": " + std::string{kind_of(node)} +
                                "; accepted: a section, [" + std::string{key.str()} + "]");
    }
  }
}

void Reader::section(std::string_view name, const toml::table& table) {
  for (const auto& [key, node] : table) {
    const std::string full = std::string{name} + "." + std::string{key.str()};
    const auto known = std::find_if(keys().begin(), keys().end(),
                                    [&full](const Key& row) { return row.name == full; });
    if (known == keys().end()) {
      unknown_key(name, key);
    } else {
      (this->*known->take)(known->name, node);
    }
  }
}

void Reader::unknown_section(const toml::key& key, const toml::node& node) {
  std::string text = quoted(key.str()) + ": ";
  if (!node.is_table()) {
    // A key above the first section: probably its section was forgotten.
    text += "a key outside of a section";
    for (const Key& row : keys()) {
      const size_t point = row.name.find('.');
      if (row.name.substr(point + 1) != key.str()) continue;
      return problem(key.source(), text + "; did you mean " + std::string{row.name} + "?");
    }
    return problem(key.source(), text + "; accepted: keys in [" + joined(sections()) + "]");
  }
  text += "unknown section";
  if (const std::string_view near = closest(key.str(), sections()); !near.empty()) {
    return problem(key.source(), text + "; did you mean [" + std::string{near} + "]?");
  }
  problem(key.source(), text + "; accepted: " + joined(sections()));
}

void Reader::unknown_key(std::string_view section, const toml::key& key) {
  const std::string text = std::string{section} + "." + std::string{key.str()};
  const std::string shown = clean(text, 80) + ": unknown key";
  for (const Key& row : keys()) {
    if (row.name.substr(row.name.find('.') + 1) != key.str()) continue;
    return problem(key.source(), shown + "; did you mean " + std::string{row.name} + "?");
  }
  if (const std::string_view near = closest(key.str(), names_in(section)); !near.empty()) {
    return problem(key.source(), shown + "; did you mean " + std::string{near} + "?");
  }
  problem(key.source(), shown + "; accepted: " + joined(names_in(section)));
}

void Reader::wrong_kind(std::string_view name, const toml::node& node, std::string_view accepted) {
  problem(node, std::string{name} + ": " + std::string{kind_of(node)} +
                    "; accepted: " + std::string{accepted});
}

const std::string* Reader::text(std::string_view name, const toml::node& node,
                                std::string_view accepted) {
  const toml::value<std::string>* value = node.as_string();
  if (value == nullptr) wrong_kind(name, node, accepted);
  return value != nullptr ? &value->get() : nullptr;
}

const toml::array* Reader::list(std::string_view name, const toml::node& node,
                                std::string_view accepted) {
  const toml::array* array = node.as_array();
  if (array == nullptr) wrong_kind(name, node, accepted);
  return array;
}

template <typename T>
void Reader::choice(std::string_view name, const toml::node& node, T& into,
                    const std::vector<std::pair<std::string_view, T>>& choices) {
  std::vector<std::string_view> words;
  std::string accepted;
  for (const auto& [word, value] : choices) {
    words.push_back(word);
    accepted += (accepted.empty() ? "" : ", ") + quoted(word);
  }
  const std::string* given = text(name, node, accepted);
  if (given == nullptr) return;
  for (const auto& [word, value] : choices) {
    if (*given == word) {
      into = value;
      return;
    }
  }
  const std::string_view near = closest(*given, words);
  problem(node, std::string{name} + ": " + quoted(*given) + " is not one of " + accepted +
                    (near.empty() ? "" : "; did you mean " + quoted(near) + "?"));
}

void Reader::flag(std::string_view name, const toml::node& node, bool& into) {
  const toml::value<bool>* value = node.as_boolean();
  if (value == nullptr) return wrong_kind(name, node, "true or false");
  into = value->get();
}

void Reader::path(std::string_view name, const toml::node& node, std::string& into) {
  const std::string* given = text(name, node, "a path");
  if (given == nullptr) return;
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  // Linux: PATH_MAX with its zero.
  constexpr size_t path_bytes_max = 4095;
  if (given->empty() || given->size() > path_bytes_max ||
      std::any_of(given->begin(), given->end(), control)) {
    return problem(node, std::string{name} + ": " + quoted(*given) +
                             " is no path; accepted: 1 to 4095 bytes without control characters");
  }
  into = *given;
}

void Reader::take_engine(std::string_view name, const toml::node& node) {
  engine_at_ = node.source();
  choice<std::string>(name, node, config_.engine, {{"uring", "uring"}, {"dpdk", "dpdk"}});
}

void Reader::take_workers(std::string_view name, const toml::node& node) {
  constexpr std::string_view accepted = "a list of 1 to 64 core numbers, as in [0, 1]";
  static_assert(workers_max == 64);
  const toml::array* array = list(name, node, accepted);
  if (array == nullptr) return;
  if (array->empty() || array->size() > workers_max) {
    problem(node, std::string{name} + ": " + std::to_string(array->size()) +
                      " cores; accepted: " + std::string{accepted});
  }
  std::vector<uint32_t> cores;
  for (const toml::node& item : *array) {
    const toml::value<int64_t>* number = item.as_integer();
    if (number == nullptr) {
      wrong_kind(name, item, "core numbers, 0 to " + std::to_string(core_max));
      continue;
    }
    const int64_t core = number->get();
    if (core < 0 || core > core_max) {
      problem(item, std::string{name} + ": " + std::to_string(core) +
                        " is no core; accepted: 0 to " + std::to_string(core_max));
      continue;
    }
    if (std::find(cores.begin(), cores.end(), static_cast<uint32_t>(core)) != cores.end()) {
      problem(item, std::string{name} + ": core " + std::to_string(core) +
                        " is there twice; accepted: every core once");
      continue;
    }
    if (cores.size() < workers_max) cores.push_back(static_cast<uint32_t>(core));
  }
  config_.workers = std::move(cores);
}

void Reader::take_state_dir(std::string_view name, const toml::node& node) {
  state_dir_at_ = node.source();
  path(name, node, config_.state_dir);
}

void Reader::take_publish(std::string_view name, const toml::node& node) {
  choice<control::AdmissionMode>(name, node, config_.publish,
                                 {{"open", control::AdmissionMode::open},
                                  {"keys", control::AdmissionMode::keys},
                                  {"login", control::AdmissionMode::login}});
}

void Reader::take_rtmpe_enabled(std::string_view name, const toml::node& node) {
  flag(name, node, config_.rtmpe_enabled);
}

void Reader::take_login_offer(std::string_view name, const toml::node& node) {
  choice<control::LoginOffer>(name, node, config_.login_offer,
                              {{"adobe", control::LoginOffer::adobe},
                               {"llnw", control::LoginOffer::llnw},
                               {"query", control::LoginOffer::query}});
}

void Reader::take_keys(std::string_view name, const toml::node& node) {
  const toml::array* array = list(name, node, "a list of stream names, as in [\"live/camera1\"]");
  if (array == nullptr) return;
  size_t bytes = 0;
  size_t number = 0;
  for (const toml::node& item : *array) {
    ++number;
    const std::string* given = text(name, item, "stream names, as in \"live/camera1\"");
    if (given == nullptr) continue;
    if (!is_stream_name(*given)) {
      // By number: what is no name may be one with a token behind it, and this line goes into logs.
      problem(item, std::string{name} + ": entry " + std::to_string(number) +
                        " is no stream name; accepted: \"app/name\", without query, empty parts, "
                        "\"..\" and control characters, at most " +
                        std::to_string(stream_name_bytes_max) + " bytes");
      continue;
    }
    bytes += given->size() + 1;  // in the shared region each ends with a line feed
    config_.keys.push_back(*given);
  }
  if (bytes > control::keys_bytes_max) {
    problem(node, std::string{name} + ": " + std::to_string(bytes) + " bytes; accepted: at most " +
                      std::to_string(control::keys_bytes_max));
  }
  std::sort(config_.keys.begin(), config_.keys.end());
  config_.keys.erase(std::unique(config_.keys.begin(), config_.keys.end()), config_.keys.end());
}

void Reader::take_socket(std::string_view name, const toml::node& node) {
  path(name, node, config_.socket);
  if (config_.socket.size() > socket_path_bytes_max) {
    problem(node, std::string{name} + ": " + std::to_string(config_.socket.size()) +
                      " bytes; accepted: at most " + std::to_string(socket_path_bytes_max));
  }
}

void Reader::take_token_file(std::string_view name, const toml::node& node) {
  path(name, node, config_.token_file);
}

void Reader::take_log_format(std::string_view name, const toml::node& node) {
  choice<LogFormat>(name, node, config_.log_format,
                    {{"text", LogFormat::text}, {"json", LogFormat::json}});
}

void Reader::take_log_level(std::string_view name, const toml::node& node) {
  choice<control::LogLevel>(name, node, config_.log_level,
                            {{"trace", control::LogLevel::trace},
                             {"debug", control::LogLevel::debug},
                             {"info", control::LogLevel::info},
                             {"warning", control::LogLevel::warning},
                             {"error", control::LogLevel::error}});
}

void Reader::take_tunable(std::string_view name, const toml::node& node) {
  const std::optional<control::Tunable> tunable = control::find_tunable(name);
  if (!tunable) return;
  const control::TunableInfo& info = control::tunable_info(*tunable);
  const std::string accepted =
      std::to_string(info.min) + " to " + std::to_string(info.max) + " " + std::string{info.unit};
  const toml::value<int64_t>* number = node.as_integer();
  if (number == nullptr) return wrong_kind(name, node, "a whole number, " + accepted);
  const int64_t value = number->get();
  if (value < 0 || !info.accepts(static_cast<uint64_t>(value))) {
    return problem(node, std::string{name} + ": " + std::to_string(value) +
                             " is out of range; accepted: " + accepted);
  }
  config_.tunables[static_cast<size_t>(*tunable)] = static_cast<uint64_t>(value);
}

std::expected<Config, std::vector<Problem>> Reader::result() {
  if (http_needs_token_ && config_.token_file.empty()) {
    problem(http_at_, "control.http: " + quoted(config_.http) +
                          " is reachable by others; accepted: a loopback address, or "
                          "control.token_file as well");
  }
  if (config_.socket.empty()) {
    config_.socket = config_.state_dir + "/control.sock";
    if (config_.socket.size() > socket_path_bytes_max) {
      problem(state_dir_at_,
              "dataplane.state_dir: too long for a socket in it; accepted: a shorter "
              "path, or control.socket elsewhere, at most " +
                  std::to_string(socket_path_bytes_max) + " bytes");
    }
  }
  check_dpdk();
  check_somebody_listens();
  check_http_apart_from_listeners();
  if (problems_.empty()) return std::move(config_);
  // The document is kept by name and not by place. Two problems of one line stand in the order of
  // their texts.
  std::sort(problems_.begin(), problems_.end(), [](const Problem& left, const Problem& right) {
    return left.line != right.line ? left.line < right.line : left.text < right.text;
  });
  return std::unexpected(std::move(problems_));
}

std::expected<Config, std::vector<Problem>> parse(std::string_view text, std::string_view file) {
  const toml::parse_result document = toml::parse(text, file);
  if (!document) {
    const toml::parse_error& error = document.error();
    return std::unexpected(std::vector<Problem>{{std::string{file}, error.source().begin.line,
                                                 "not TOML: " + clean(error.description(), 200)}});
  }
  Reader reader(file);
  reader.read(document.table());
  return reader.result();
}

std::vector<std::string> cautions(const Config& config) {
  std::vector<std::string> lines;
  if (config.publish == control::AdmissionMode::keys && config.keys.empty()) {
    lines.push_back(
        "admission.publish is \"keys\" and admission.keys is empty: nobody may publish");
  }
  if (config.certificates.empty()) {
    for (const auto& [name, listeners] :
         {std::pair{"listen.rtmps", &config.rtmps}, std::pair{"listen.rtmpts", &config.rtmpts}}) {
      if (listeners->empty()) continue;
      lines.push_back(std::string{name} +
                      " has addresses and tls.certificates is empty: nobody can connect there");
    }
  } else if (config.rtmps.empty() && config.rtmpts.empty() && !config.sniff) {
    lines.push_back(
        "tls.certificates are there, but neither listen.rtmps nor listen.rtmpts, and listen.sniff "
        "is false: nobody can use them");
  }
  if (config.tls_tickets != 0) {
    lines.push_back(
        "tls.tickets is not 0: rtmpdump and GStreamer's rtmpsink fail over TLS 1.3 with session "
        "tickets");
  }
  if (config.rtmpe_enabled) {
    lines.push_back(
        "rtmpe.enabled: RTMPE is obfuscation for legacy encoders, not security: anybody on the way "
        "can read and change it; use RTMPS where you can");
  }
  for (const AddressPrefix& prefix : config.proxy_from) {
    if (prefix.bits != 0) continue;
    lines.push_back("listen.proxy_from has " + to_string(prefix) +
                    ": any peer may then say what address it has");
  }
  return lines;
}

bool is_stream_name(std::string_view text) {
  if (text.size() > stream_name_bytes_max) return false;
  size_t parts = 0;
  for (size_t at = 0; at <= text.size(); ++parts) {
    const size_t end = std::min(text.find('/', at), text.size());
    const std::string_view part = text.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  const auto refused = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '?';
  };
  return parts >= 2 && std::none_of(text.begin(), text.end(), refused);
}

}  // namespace penstock::config

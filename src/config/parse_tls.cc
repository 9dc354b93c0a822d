#include <algorithm>

#include "penstock/config/closest.h"
#include "src/config/reader.h"

namespace penstock::config {
namespace {

constexpr std::string_view certificates_accepted =
    "a list of certificates, as in [{cert = \"server.pem\", key = \"server.key\"}]";

constexpr std::string_view name_accepted =
    "a host name, as in \"example.com\", or \"*.example.com\" for all one level below it";

// RFC 1035, 2.3.4: 255 bytes with the length bytes of its labels, which is 253 as text.
constexpr size_t host_name_bytes_max = 253;

/// As it stands in a certificate and comes in a handshake: labels of letters, digits, "-" and "_".
bool is_host_name(std::string_view name) {
  if (name.starts_with("*.")) {
    name.remove_prefix(2);
    // "*.com" is not a name that anybody has a certificate for.
    if (name.find('.') == std::string_view::npos) return false;
  }
  if (name.empty() || name.size() > host_name_bytes_max) return false;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    if (end == at || end - at > 63) return false;
    at = end + 1;
  }
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

/// What `file` means by `path`: a path that is not absolute begins where the file lies.
std::string beside(const std::string& file, const std::string& path) {
  const size_t slash = file.rfind('/');
  if (path.starts_with('/') || slash == std::string::npos) return path;
  return file.substr(0, slash + 1) + path;
}

}  // namespace

void Reader::certificate_name(const std::string& name, const toml::node& node,
                              std::vector<std::string>& into) {
  const std::string* given = text(name, node, name_accepted);
  if (given == nullptr) return;
  std::string lower = *given;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  if (!is_host_name(lower)) {
    return problem(node, name + ": " + quoted(*given) +
                             " is no name; accepted: " + std::string{name_accepted});
  }
  if (std::ranges::find(into, lower) != into.end()) {
    return problem(node,
                   name + ": " + quoted(*given) + " is there twice; accepted: every name once");
  }
  into.push_back(std::move(lower));
}

std::optional<Certificate> Reader::certificate(const std::string& name, const toml::node& node) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    wrong_kind(name, node, certificates_accepted);
    return std::nullopt;
  }
  const std::vector<std::string_view> known = {"cert", "key", "names"};
  Certificate read;
  const size_t before = problems_.size();
  for (const auto& [key, item] : *table) {
    const std::string full = name + "." + clean(key.str(), 80);
    if (key == "cert") {
      path(full, item, read.cert);
    } else if (key == "key") {
      path(full, item, read.key);
    } else if (key == "names") {
      const toml::array* names = list(full, item, "a list of host names, as in [\"example.com\"]");
      if (names == nullptr) continue;
      if (names->size() > certificate_names_max) {
        problem(item, full + ": " + std::to_string(names->size()) + " names; accepted: at most " +
                          std::to_string(certificate_names_max));
        continue;
      }
      for (const toml::node& one : *names) certificate_name(full, one, read.names);
    } else {
      const std::string_view near = closest(key.str(), known);
      problem(key.source(), full + ": unknown key; " +
                                (near.empty() ? "accepted: " + joined(known)
                                              : "did you mean " + std::string{near} + "?"));
    }
  }
  if (problems_.size() != before) return std::nullopt;
  for (const std::string_view key : {"cert", "key"}) {
    const bool there = table->contains(key);
    if (!there) {
      problem(node, name + ": no " + std::string{key} +
                        "; accepted: " + std::string{certificates_accepted});
    }
  }
  if (problems_.size() != before) return std::nullopt;
  read.cert = beside(file_, read.cert);
  read.key = beside(file_, read.key);
  read.line = (*table)["cert"].node()->source().begin.line;
  return read;
}

void Reader::take_certificates(std::string_view name, const toml::node& node) {
  const toml::array* array = list(name, node, certificates_accepted);
  if (array == nullptr) return;
  if (array->size() > certificates_max) {
    return problem(node, std::string{name} + ": " + std::to_string(array->size()) +
                             " certificates; accepted: at most " +
                             std::to_string(certificates_max));
  }
  size_t number = 0;
  for (const toml::node& item : *array) {
    const std::string which = std::string{name} + "[" + std::to_string(++number) + "]";
    if (auto read = certificate(which, item)) config_.certificates.push_back(std::move(*read));
  }
  const size_t bytes = certificates_text(config_.certificates).size();
  if (bytes > control::certificates_bytes_max) {
    problem(node, std::string{name} + ": " + std::to_string(bytes) +
                      " bytes of paths and names; accepted: at most " +
                      std::to_string(control::certificates_bytes_max));
  }
}

void Reader::take_tickets(std::string_view name, const toml::node& node) {
  const std::string accepted = "0 to " + std::to_string(tls_tickets_max);
  const toml::value<int64_t>* number = node.as_integer();
  if (number == nullptr) return wrong_kind(name, node, "a whole number, " + accepted);
  const int64_t value = number->get();
  if (value < 0 || value > tls_tickets_max) {
    return problem(node, std::string{name} + ": " + std::to_string(value) +
                             " is out of range; accepted: " + accepted);
  }
  config_.tls_tickets = static_cast<uint32_t>(value);
}

std::string certificates_text(const std::vector<Certificate>& certificates) {
  std::string text;
  for (const Certificate& one : certificates) {
    text += one.cert + '\t' + one.key;
    for (const std::string& name : one.names) text += '\t' + name;
    text += '\n';
  }
  return text;
}

std::optional<std::vector<Certificate>> parse_certificates_text(std::string_view text) {
  std::vector<Certificate> certificates;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos || certificates.size() == certificates_max)
      return std::nullopt;
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    std::vector<std::string> fields;
    for (size_t at = 0; at <= line.size();) {
      const size_t tab = std::min(line.find('\t', at), line.size());
      if (tab == at || fields.size() == 2 + certificate_names_max) return std::nullopt;
      fields.emplace_back(line.substr(at, tab - at));
      at = tab + 1;
    }
    if (fields.size() < 2) return std::nullopt;
    Certificate one{.cert = std::move(fields[0]), .key = std::move(fields[1])};
    one.names.assign(std::make_move_iterator(fields.begin() + 2),
                     std::make_move_iterator(fields.end()));
    certificates.push_back(std::move(one));
  }
  return certificates;
}

}  // namespace penstock::config

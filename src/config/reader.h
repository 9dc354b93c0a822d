#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "penstock/config/config.h"
#include "src/config/toml.h"

namespace penstock::config {

/// Text of the operator, safe to print and not endless.
[[nodiscard]] std::string clean(std::string_view text, size_t bytes_max);
[[nodiscard]] std::string quoted(std::string_view text);
/// "a list", "a whole number", ...
[[nodiscard]] std::string_view kind_of(const toml::node& node);
[[nodiscard]] std::string joined(const std::vector<std::string_view>& words);

/// One look at a document: fills a Config and gathers what is wrong. Every key has a take_ method;
/// those of a subject stand together in one file.
class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  void read(const toml::table& root);
  [[nodiscard]] std::expected<Config, std::vector<Problem>> result();

 private:
  struct Key {
    std::string_view name;  // with its section
    void (Reader::*take)(std::string_view name, const toml::node& node);
  };
  static const std::vector<Key>& keys();
  static std::vector<std::string_view> sections();
  static std::vector<std::string_view> names_in(std::string_view section);

  void problem(const toml::source_region& at, std::string text) {
    problems_.push_back({file_, at.begin.line, std::move(text)});
  }
  void problem(const toml::node& node, std::string text) {
    problem(node.source(), std::move(text));
  }
  void wrong_kind(std::string_view name, const toml::node& node, std::string_view accepted);

  void section(std::string_view name, const toml::table& table);
  void unknown_section(const toml::key& key, const toml::node& node);
  void unknown_key(std::string_view section, const toml::key& key);

  const std::string* text(std::string_view name, const toml::node& node, std::string_view accepted);
  const toml::array* list(std::string_view name, const toml::node& node, std::string_view accepted);
  template <typename T>
  void choice(std::string_view name, const toml::node& node, T& into,
              const std::vector<std::pair<std::string_view, T>>& choices);
  void flag(std::string_view name, const toml::node& node, bool& into);
  void path(std::string_view name, const toml::node& node, std::string& into);

  void take_engine(std::string_view name, const toml::node& node);
  void take_workers(std::string_view name, const toml::node& node);
  void take_state_dir(std::string_view name, const toml::node& node);
  // parse_listen.cc
  void take_rtmp(std::string_view name, const toml::node& node);
  void take_rtmps(std::string_view name, const toml::node& node);
  void take_rtmpt(std::string_view name, const toml::node& node);
  void take_rtmpts(std::string_view name, const toml::node& node);
  void take_sniff(std::string_view name, const toml::node& node);
  void take_proxy_from(std::string_view name, const toml::node& node);
  void take_http(std::string_view name, const toml::node& node);
  [[nodiscard]] std::string shown(const ListenAddress& listed) const;
  void listeners(std::string_view name, const toml::node& node, std::vector<ListenAddress>& into);
  void check_somebody_listens();
  void check_http_apart_from_listeners();

  // parse_dpdk.cc
  void take_dpdk_devices(std::string_view name, const toml::node& node);
  void take_dpdk_hugepages(std::string_view name, const toml::node& node);
  void take_dpdk_number(std::string_view name, const toml::node& node);
  void take_dpdk_file_prefix(std::string_view name, const toml::node& node);
  void take_dpdk_address(std::string_view name, const toml::node& node);
  void take_dpdk_gateway(std::string_view name, const toml::node& node);
  void take_dpdk_exception_interface(std::string_view name, const toml::node& node);
  void check_dpdk_gateway(std::string_view name, const std::optional<AddressPrefix>& gateway,
                          std::string_view address_name,
                          const std::optional<AddressPrefix>& address);
  void check_dpdk_listeners();
  void check_dpdk();

  // parse_tls.cc
  void take_certificates(std::string_view name, const toml::node& node);
  void take_tickets(std::string_view name, const toml::node& node);
  std::optional<Certificate> certificate(const std::string& name, const toml::node& node);
  void certificate_name(const std::string& name, const toml::node& node,
                        std::vector<std::string>& into);

  void take_rtmpe_enabled(std::string_view name, const toml::node& node);
  void take_publish(std::string_view name, const toml::node& node);
  void take_login_offer(std::string_view name, const toml::node& node);
  void take_keys(std::string_view name, const toml::node& node);
  void take_socket(std::string_view name, const toml::node& node);
  void take_token_file(std::string_view name, const toml::node& node);
  void take_log_format(std::string_view name, const toml::node& node);
  void take_log_level(std::string_view name, const toml::node& node);
  void take_tunable(std::string_view name, const toml::node& node);

  std::string file_;
  Config config_;
  std::vector<Problem> problems_;
  toml::source_region http_at_{};
  toml::source_region state_dir_at_{};
  toml::source_region engine_at_{};
  std::map<std::string_view, toml::source_region> dpdk_at_;
  toml::source_region listen_at_{};  // the first list of listeners
  bool rtmp_given_ = false;          // an empty list is not the default
  bool rtmp_bad_ = false;            // it has a problem of its own
  bool http_needs_token_ = false;
  struct Taken {
    std::string_view list;
    std::string written;
  };
  // What is listened on, to tell an address that is there twice, in which list it was first, and
  // how it stands there.
  std::map<std::pair<std::array<uint8_t, 16>, std::pair<uint16_t, bool>>, Taken> taken_;
};

}  // namespace penstock::config

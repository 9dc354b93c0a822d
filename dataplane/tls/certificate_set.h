#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "penstock/config/certificate.h"
#include "penstock/config/config.h"

struct ssl_ctx_st;
struct ssl_st;

namespace penstock::tls {

/// A certificate of the configuration with the content of its files, which are known to be good.
struct LoadedCertificate {
  LoadedCertificate() = default;
  LoadedCertificate(const LoadedCertificate&) = delete;
  LoadedCertificate& operator=(const LoadedCertificate&) = delete;
  ~LoadedCertificate();  // the key does not stay in freed memory

  config::Certificate wanted;
  config::CertificateFacts facts;
  std::string cert;  // PEM
  std::string key;   // PEM; never logged

  /// Those of the configuration, or else its own.
  [[nodiscard]] const std::vector<std::string>& names() const {
    return wanted.names.empty() ? facts.names : wanted.names;
  }
};

/// What tickets and session ids of TLS 1.2 are sealed with. The same for all workers and from one
/// set to the next, so that a peer resumes wherever it lands.
using TicketKeys = std::array<uint8_t, 80>;  // as OpenSSL wants them: name, HMAC key, AES key

struct ContextSettings {
  uint32_t tickets = 0;  // sent after a TLS 1.3 handshake
  TicketKeys ticket_keys{};
};

/// Names with the OpenSSL context of each. Immutable; a layer holds it while it shakes hands.
class ServerNames {
 public:
  ServerNames() = default;
  ServerNames(const ServerNames&) = delete;
  ServerNames& operator=(const ServerNames&) = delete;
  ~ServerNames();

  /// For who names no server.
  [[nodiscard]] ssl_ctx_st* first() const { return contexts_.front(); }
  /// By the whole name, then with its first label as "*"; null: there is none.
  [[nodiscard]] ssl_ctx_st* find(std::string_view server_name) const;

 private:
  friend class CertificateSet;
  std::vector<ssl_ctx_st*> contexts_;  // owned
  std::unordered_map<std::string, ssl_ctx_st*> names_;
};

/// The certificates of one worker: what accepting layers are made from. Immutable but for OpenSSL's
/// session cache, and therefore not shared between workers. A connection keeps what it began with,
/// also when the set has been replaced and freed.
class CertificateSet {
 public:
  /// `certificates` is not empty. The text says what OpenSSL does not take of which of them.
  [[nodiscard]] static std::expected<std::unique_ptr<const CertificateSet>, std::string> make(
      std::span<const LoadedCertificate* const> certificates, const ContextSettings& settings);

  [[nodiscard]] const std::shared_ptr<const ServerNames>& names() const { return names_; }

 private:
  explicit CertificateSet(std::shared_ptr<const ServerNames> names) : names_(std::move(names)) {}
  std::shared_ptr<const ServerNames> names_;
};

}  // namespace penstock::tls

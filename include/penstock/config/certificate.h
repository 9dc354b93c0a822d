#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What a certificate and its private key say, as both processes check them before they are used.
// Pure: text in, facts or a problem out; who calls it reads the files.
namespace penstock::config {

// A chain of ten certificates with RSA keys of 4096 bit takes 25 KiB.
constexpr size_t pem_bytes_max = 256 * 1024;

struct CertificateFacts {
  std::vector<std::string> names;  // host names it is for, lower case
  std::string key;                 // "RSA 2048", "EC 256"
  bool rsa = false;
  size_t chain = 0;  // certificates behind the server's own
  int64_t begins_unix_s = 0;
  int64_t ends_unix_s = 0;
  std::vector<std::string> cautions;  // of its chain: taken, and probably not meant

  /// Some name in it is `name`, or all of one level that `name` is in.
  [[nodiscard]] bool covers(std::string_view name) const;
  /// Within its time: encoders that check refuse it outside.
  [[nodiscard]] bool valid_at(int64_t unix_s) const {
    return begins_unix_s <= unix_s && unix_s < ends_unix_s;
  }
};

struct CertificateProblem {
  bool of_key = false;  // in the file of the key, else in that of the certificate
  std::string text;     // nothing of the key is in it
};

/// `cert`: PEM, the server's own certificate first, then its chain. `key`: PEM, without passphrase.
[[nodiscard]] std::expected<CertificateFacts, CertificateProblem> look_at_certificate(
    std::string_view cert, std::string_view key);

/// A certificate of a list, as far as the warnings about it need it.
struct ListedCertificate {
  std::string_view path;
  const std::vector<std::string>* names = nullptr;  // of the configuration; may be empty
  const CertificateFacts* facts = nullptr;

  [[nodiscard]] const std::vector<std::string>& served() const {
    return names->empty() ? facts->names : *names;
  }
};

/// What serves and is probably not meant, or soon ends: one line each, with the file.
[[nodiscard]] std::vector<std::string> certificate_cautions(
    std::span<const ListedCertificate> certificates, int64_t now_unix_s);

/// "2026-11-23"
[[nodiscard]] std::string day_text(int64_t unix_s);

}  // namespace penstock::config

#pragma once

#include <cstdint>
#include <expected>
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
  std::vector<std::string> cautions;  // taken, and probably not meant
};

struct CertificateProblem {
  bool of_key = false;  // in the file of the key, else in that of the certificate
  std::string text;     // nothing of the key is in it
};

/// `cert`: PEM, the server's own certificate first, then its chain. `key`: PEM, without passphrase.
[[nodiscard]] std::expected<CertificateFacts, CertificateProblem> look_at_certificate(
    std::string_view cert, std::string_view key, int64_t now_unix_s);

}  // namespace penstock::config

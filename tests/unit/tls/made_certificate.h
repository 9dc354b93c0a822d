#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/tls/certificate_set.h"

namespace penstock::tls {

/// A certificate made for a test, as PEM.
struct MadeCertificate {
  std::string cert;
  std::string key;
};

struct MadeOptions {
  std::vector<std::string> names = {"localhost"};
  unsigned rsa_bits = 0;  // 0: a P-256 key
  long begins_s = -3600;  // from now
  long ends_s = 86'400;
  const char* passphrase = nullptr;
};

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(bytes));
  BIO_free(bio);
  return text;
}

inline MadeCertificate make_certificate(const MadeOptions& options = {}) {
  EVP_PKEY* key = options.rsa_bits != 0
                      ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{options.rsa_bits})
                      : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* cert = X509_new();
  X509_set_version(cert, X509_VERSION_3);
  static long serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(cert), options.begins_s);
  X509_gmtime_adj(X509_getm_notAfter(cert), options.ends_s);
  X509_set_pubkey(cert, key);
  X509_NAME* name = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("Penstock test"), -1, -1, 0);
  X509_set_issuer_name(cert, name);
  std::string names;
  for (const std::string& one : options.names) names += (names.empty() ? "DNS:" : ",DNS:") + one;
  if (!names.empty()) {
    X509_EXTENSION* extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(cert, key, EVP_sha256());
  BIO* cert_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(cert_text, cert);
  BIO* key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_text, key,
                           options.passphrase != nullptr ? EVP_aes_128_cbc() : nullptr, nullptr, 0,
                           nullptr, const_cast<char*>(options.passphrase));
  X509_free(cert);
  EVP_PKEY_free(key);
  return {text_of(cert_text), text_of(key_text)};
}

inline std::unique_ptr<LoadedCertificate> load(const MadeCertificate& made,
                                               std::vector<std::string> names = {}) {
  auto one = std::make_unique<LoadedCertificate>();
  one->wanted = {"made.pem", "made.key", std::move(names)};
  one->cert = made.cert;
  one->key = made.key;
  auto facts = config::look_at_certificate(made.cert, made.key);
  if (facts) one->facts = std::move(*facts);
  return one;
}

/// A set of one certificate with a P-256 key, made once.
inline std::unique_ptr<const CertificateSet> make_set(ContextSettings settings = {}) {
  static const std::unique_ptr<LoadedCertificate> one = load(make_certificate());
  const LoadedCertificate* only = one.get();
  return std::move(*CertificateSet::make({&only, 1}, settings));
}

}  // namespace penstock::tls

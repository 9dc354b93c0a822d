#include "dataplane/tls/certificate_set.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "penstock/base/assert.h"

namespace penstock::tls {

void set_layer_calls(ssl_ctx_st* context);  // tls_layer.cc

namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(STACK_OF(X509) * chain) const { sk_X509_pop_free(chain, X509_free); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// AES-128 first: it is what costs least with the processors' own instructions, and nothing that is
// sent here outlives it. ChaCha20 goes first for peers that put it first (no AES instructions).
// Under TLS 1.2 only what is forward secret and authenticated; ECDHE-RSA is what old encoders have.
constexpr char ciphers_1_2[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr char ciphers_1_3[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr char groups[] = "X25519:P-256:P-384";

// Sessions of peers that use ids instead of tickets: about 1 KiB each, so 1 MiB per context.
constexpr long sessions_max = 1024;
// An encoder that comes back within two hours is spared the private key's work.
constexpr long session_seconds = 2 * 3600;

Owned<BIO> reader_of(std::string_view text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

SSL_CTX* make_context(const ContextSettings& settings) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  PENSTOCK_ASSERT(context != nullptr);
  SSL_CTX_set_security_level(context, 2);  // whatever the host's openssl.cnf says
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  const bool known = SSL_CTX_set_cipher_list(context, ciphers_1_2) == 1 &&
                     SSL_CTX_set_ciphersuites(context, ciphers_1_3) == 1 &&
                     SSL_CTX_set1_groups_list(context, groups) == 1;
  PENSTOCK_ASSERT(known);
  constexpr unsigned char id[] = "penstock";
  SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
  SSL_CTX_sess_set_cache_size(context, sessions_max);
  SSL_CTX_set_timeout(context, session_seconds);
  // None under TLS 1.3 unless told: librtmp takes the ticket for RTMP bytes. No callback for ALPN:
  // nothing is selected, and nobody is refused for asking.
  SSL_CTX_set_num_tickets(context, settings.tickets);
  TicketKeys keys = settings.ticket_keys;
  SSL_CTX_set_tlsext_ticket_keys(context, keys.data(), keys.size());
  OPENSSL_cleanse(keys.data(), keys.size());
  set_layer_calls(context);
  return context;
}

/// Adds the certificate, its key and its chain; beside one of another kind of key there is room.
std::expected<void, std::string> add_certificate(SSL_CTX* context, const LoadedCertificate& one) {
  ERR_clear_error();
  const Owned<BIO> reader = reader_of(one.cert);
  const Owned<X509> own(PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr));
  const Owned<STACK_OF(X509)> chain(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    sk_X509_push(chain.get(), next);
  }
  const Owned<BIO> key_reader = reader_of(one.key);
  // It has no passphrase: that was looked at.
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_reader.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  PENSTOCK_ASSERT(own != nullptr && key != nullptr && chain != nullptr);
  if (SSL_CTX_use_cert_and_key(context, own.get(), key.get(), chain.get(), 1) == 1) return {};
  const char* why = ERR_reason_error_string(ERR_peek_error());
  ERR_clear_error();
  return std::unexpected(one.wanted.cert + ": " + (why != nullptr ? why : "not taken by OpenSSL"));
}

}  // namespace

LoadedCertificate::~LoadedCertificate() { OPENSSL_cleanse(key.data(), key.size()); }

ServerNames::~ServerNames() {
  for (SSL_CTX* context : contexts_) SSL_CTX_free(context);
}

ssl_ctx_st* ServerNames::find(std::string_view server_name) const {
  std::string name(server_name);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  if (name.ends_with('.')) name.pop_back();
  if (const auto found = names_.find(name); found != names_.end()) return found->second;
  const size_t dot = name.find('.');
  if (dot == std::string::npos || dot == 0) return nullptr;
  const auto found = names_.find("*" + name.substr(dot));
  return found != names_.end() ? found->second : nullptr;
}

std::expected<std::unique_ptr<const CertificateSet>, std::string> CertificateSet::make(
    std::span<const LoadedCertificate* const> certificates, const ContextSettings& settings) {
  PENSTOCK_ASSERT(!certificates.empty());
  auto names = std::make_shared<ServerNames>();
  for (size_t i = 0; i < certificates.size(); ++i) {
    const LoadedCertificate& one = *certificates[i];
    // An RSA and an EC certificate for the same names serve as one: each peer gets what it knows.
    SSL_CTX* context = nullptr;
    for (size_t j = 0; j < i && context == nullptr; ++j) {
      const LoadedCertificate& other = *certificates[j];
      const bool pair = other.names() == one.names() && other.facts.rsa != one.facts.rsa;
      if (pair) context = names->contexts_[j];
    }
    if (context != nullptr) {
      SSL_CTX_up_ref(context);
    } else {
      context = make_context(settings);
    }
    names->contexts_.push_back(context);
    if (auto added = add_certificate(context, one); !added) return std::unexpected(added.error());
    for (const std::string& name : one.names()) names->names_.try_emplace(name, context);
  }
  return std::unique_ptr<const CertificateSet>(new CertificateSet(std::move(names)));
}

}  // namespace penstock::tls

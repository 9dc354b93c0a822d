#include "penstock/rtmp/hmac.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <memory>

#include "penstock/base/assert.h"

namespace penstock::rtmp {
namespace {

struct FreeContext {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MAC_CTX, FreeContext>;

Context make_context() {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  PENSTOCK_ASSERT(mac != nullptr);
  Context context(EVP_MAC_CTX_new(mac));
  EVP_MAC_free(mac);  // the context holds its own reference
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  PENSTOCK_ASSERT(context != nullptr && EVP_MAC_CTX_set_params(context.get(), parameters) == 1);
  return context;
}

}  // namespace

Digest hmac_sha256(Bytes key, Bytes first, Bytes second) {
  // Fetching algorithms by name costs several times the hash itself in OpenSSL 3, so each thread
  // keeps one context and only changes its key.
  thread_local const Context context = make_context();
  static constexpr uint8_t no_key = 0;  // a null key would mean "keep the last one"
  const uint8_t* key_at = key.empty() ? &no_key : key.data();
  Digest digest{};
  size_t written = 0;
  const bool ok = EVP_MAC_init(context.get(), key_at, key.size(), nullptr) == 1 &&
                  EVP_MAC_update(context.get(), first.data(), first.size()) == 1 &&
                  EVP_MAC_update(context.get(), second.data(), second.size()) == 1 &&
                  EVP_MAC_final(context.get(), digest.data(), &written, digest.size()) == 1;
  PENSTOCK_ASSERT(ok && written == digest.size());
  return digest;
}

bool equal_constant_time(Bytes one, Bytes other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace penstock::rtmp

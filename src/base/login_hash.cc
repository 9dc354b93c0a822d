#include "penstock/base/login_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <memory>

#include "penstock/base/assert.h"
#include "penstock/base/hex.h"

namespace penstock {
namespace {

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

/// From a context of our own: a host may be set to approved algorithms alone, and a peer's login
/// must find this one all the same.
const EVP_MD* md5_algorithm() {
  static const EVP_MD* const fetched = [] {
    OSSL_LIB_CTX* library = OSSL_LIB_CTX_new();  // for as long as the process runs
    OSSL_PROVIDER_load(library, "default");
    return EVP_MD_fetch(library, "MD5", nullptr);
  }();
  return fetched;
}

}  // namespace

Md5 md5(std::initializer_list<std::string_view> parts) {
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  bool ok = EVP_DigestInit_ex2(context.get(), md5_algorithm(), nullptr) == 1;
  for (const std::string_view part : parts) {
    ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  Md5 digest{};
  ok = ok && EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
  PENSTOCK_ASSERT(ok);
  return digest;
}

std::string base64(Bytes bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // OpenSSL adds a zero
  auto* out = reinterpret_cast<unsigned char*>(text.data());
  const int written = EVP_EncodeBlock(out, bytes.data(), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(written));
  return text;
}

std::string adobe_password_hash(std::string_view user, std::string_view salt,
                                std::string_view password) {
  return base64(md5({user, salt, password}));
}

std::string llnw_password_hash(std::string_view user, std::string_view password) {
  return hex(md5({user, ":live:", password}));
}

}  // namespace penstock

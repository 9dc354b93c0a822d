#include "penstock/rtmp/publisher_auth.h"

#include <openssl/evp.h>

#include <array>
#include <initializer_list>
#include <memory>

#include "penstock/base/assert.h"

namespace penstock::rtmp {
namespace {

using Md5 = std::array<uint8_t, 16>;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

Md5 md5(std::initializer_list<std::string_view> parts) {
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  bool ok = EVP_DigestInit_ex2(context.get(), EVP_md5(), nullptr) == 1;
  for (const std::string_view part : parts) {
    ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  Md5 digest{};
  ok = ok && EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
  PENSTOCK_ASSERT(ok);
  return digest;
}

std::string hex(Bytes bytes) {
  std::string text;
  for (const uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace

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

std::string adobe_response(std::string_view password_hash, std::string_view server_part,
                           std::string_view peer_challenge) {
  return base64(md5({password_hash, server_part, peer_challenge}));
}

std::string llnw_password_hash(std::string_view user, std::string_view password) {
  return hex(md5({user, ":live:", password}));
}

std::string llnw_target_hash(std::string_view app) {
  const bool has_instance = app.find('/') != std::string_view::npos;
  return hex(md5({"publish:/", app, has_instance ? "" : "/_definst_"}));
}

std::string llnw_response(std::string_view password_hash, std::string_view nonce,
                          std::string_view peer_nonce, std::string_view target_hash) {
  return hex(md5({password_hash, ":", nonce, ":00000001:", peer_nonce, ":auth:", target_hash}));
}

}  // namespace penstock::rtmp

#include "penstock/rtmp/publisher_auth.h"

#include "penstock/base/hex.h"

namespace penstock::rtmp {

std::string adobe_response(std::string_view password_hash, std::string_view server_part,
                           std::string_view peer_challenge) {
  return base64(md5({password_hash, server_part, peer_challenge}));
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

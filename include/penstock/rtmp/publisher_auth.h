#pragma once

#include <string>
#include <string_view>

#include "penstock/base/bytes.h"

// Responses of the two login schemes that encoders speak in the query of connect's app: "adobe" and
// "llnw". Both are MD5 over public salts: of use only inside TLS.
namespace penstock::rtmp {

[[nodiscard]] std::string base64(Bytes bytes);

/// What a server stores in place of the password (24 characters).
[[nodiscard]] std::string adobe_password_hash(std::string_view user, std::string_view salt,
                                              std::string_view password);

/// `server_part` is the opaque value when one was sent and is not empty, otherwise the server's
/// challenge.
[[nodiscard]] std::string adobe_response(std::string_view password_hash,
                                         std::string_view server_part,
                                         std::string_view peer_challenge);

/// Lower-case hex of MD5(user ":live:" password).
[[nodiscard]] std::string llnw_password_hash(std::string_view user, std::string_view password);

/// Lower-case hex of the publish target; `app` without its query. "_definst_" stands for a missing
/// instance.
[[nodiscard]] std::string llnw_target_hash(std::string_view app);

[[nodiscard]] std::string llnw_response(std::string_view password_hash, std::string_view nonce,
                                        std::string_view peer_nonce, std::string_view target_hash);

}  // namespace penstock::rtmp

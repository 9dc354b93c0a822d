#pragma once

#include <string>
#include <string_view>

#include "penstock/base/login_hash.h"

// Responses of the two login schemes that encoders speak in the query of connect's app: "adobe" and
// "llnw". Both are MD5 over public salts: of use only inside TLS.
namespace penstock::rtmp {

/// `server_part` is the opaque value when one was sent and is not empty, otherwise the server's
/// challenge.
[[nodiscard]] std::string adobe_response(std::string_view password_hash,
                                         std::string_view server_part,
                                         std::string_view peer_challenge);

/// Lower-case hex of the publish target; `app` without its query. "_definst_" stands for a missing
/// instance.
[[nodiscard]] std::string llnw_target_hash(std::string_view app);

[[nodiscard]] std::string llnw_response(std::string_view password_hash, std::string_view nonce,
                                        std::string_view peer_nonce, std::string_view target_hash);

}  // namespace penstock::rtmp

#pragma once

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "penstock/base/bytes.h"

// What a server keeps in place of a password, for the two login schemes of encoders ("adobe" and
// "llnw"): made where passwords are set, checked against where peers log in. Both are MD5, which
// is what encoders compute.
namespace penstock {

using Md5 = std::array<uint8_t, 16>;
/// Over the parts one after the other.
[[nodiscard]] Md5 md5(std::initializer_list<std::string_view> parts);

[[nodiscard]] std::string base64(Bytes bytes);

/// Base64 of MD5(user, salt, password): 24 characters.
[[nodiscard]] std::string adobe_password_hash(std::string_view user, std::string_view salt,
                                              std::string_view password);

/// Lower-case hex of MD5(user ":live:" password).
[[nodiscard]] std::string llnw_password_hash(std::string_view user, std::string_view password);

}  // namespace penstock

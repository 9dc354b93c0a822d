#pragma once

#include <string>
#include <string_view>
#include <vector>

// Users that may log in to publish, as the control plane hands them to the workers: lines of text,
// sorted by name. A line holds what passwords are checked against, never a password.
namespace penstock::control {

// Encoders copy a name into a text of 256 bytes together with what we send, and do not escape it.
constexpr size_t user_name_bytes_max = 64;
constexpr size_t user_allows_max = 32;
// 32 bits: two users of one name on two servers have different hashes.
constexpr size_t user_salt_bytes = 8;

struct UserRow {
  std::string name;
  std::string salt;                // of adobe_hash
  std::string adobe_hash;          // base64 of MD5(name, salt, password)
  std::string llnw_hash;           // hex of MD5(name ":live:" password)
  std::vector<std::string> allow;  // patterns; empty: any name may be published
  bool operator==(const UserRow&) const = default;
};

/// Letters, digits and "._-@": nothing that a query, a URL or a line of text takes for its own.
[[nodiscard]] bool is_user_name(std::string_view text);

/// "app/name", or the start of one and a "*": "live/*", "live/cam*", "*".
[[nodiscard]] bool is_allow_pattern(std::string_view text);
[[nodiscard]] bool allow_pattern_matches(std::string_view pattern, std::string_view stream);

/// Whether the user may publish a stream of this name.
[[nodiscard]] bool may_publish(const UserRow& user, std::string_view stream);

struct UserList {
  // Makes answers for users that are not there; the same over restarts, or they would be told apart
  // by answers that change. Empty: there is none.
  std::string decoy;
  std::vector<UserRow> users;
  bool operator==(const UserList&) const = default;
};
[[nodiscard]] std::string users_text(const UserList& list);
/// What is no line of ours is left out.
[[nodiscard]] UserList parse_users(std::string_view text);

}  // namespace penstock::control

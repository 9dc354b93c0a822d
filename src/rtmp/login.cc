#include "penstock/rtmp/login.h"

#include <algorithm>
#include <optional>

#include "penstock/base/assert.h"
#include "penstock/base/hex.h"
#include "penstock/rtmp/publisher_auth.h"

namespace penstock::rtmp {
namespace {

// A minute of logins that one worker can remember: 17 a second. More come only when everybody
// reconnects at once, and then the oldest are forgotten.
constexpr size_t taken_max = 1024;

// Of the digest, in hexadecimal: 80 bits. Each guess costs a connection within the minute.
constexpr size_t digest_bytes = 10;
constexpr size_t number_text_bytes = 8;
static_assert(LoginChallenges::text_bytes == 2 * number_text_bytes + 2 * digest_bytes);

constexpr std::string_view reject = "[ AccessManager.Reject ] : [ ";
constexpr std::string_view reject_end = " ] : ";

// "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=U&salt=S&challenge=C&
// opaque=O": 98 bytes of its own, a user of 64, a salt of 8, 8 and 36 of the challenge: 214.
constexpr size_t user_bytes_max = 64;
static_assert(98 + user_bytes_max + login_salt_bytes + number_text_bytes +
                  LoginChallenges::text_bytes <=
              login_description_bytes_max);

std::string hex_u32(uint32_t value) {
  std::array<uint8_t, 4> bytes;
  store_u32(bytes.data(), value);
  return hex(bytes);
}

/// Of exactly eight digits, as hex_u32() writes them.
bool read_hex_u32(std::string_view text, uint32_t& value) {
  value = 0;
  for (const char c : text) {
    const size_t digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return false;
    value = value << 4 | static_cast<uint32_t>(digit);
  }
  return text.size() == number_text_bytes;
}

/// What a challenge begins with.
struct Date {
  uint32_t second = 0;
  uint32_t number = 0;
  // Never 0: that is a place without one.
  [[nodiscard]] uint64_t mark() const { return (uint64_t{second} << 32 | number) + 1; }
};

std::optional<Date> date_of(std::string_view challenge) {
  Date date;
  const bool read =
      challenge.size() == LoginChallenges::text_bytes &&
      read_hex_u32(challenge.substr(0, number_text_bytes), date.second) &&
      read_hex_u32(challenge.substr(number_text_bytes, number_text_bytes), date.number);
  return read ? std::optional(date) : std::nullopt;
}

std::string_view scheme_name(LoginScheme scheme) {
  return scheme == LoginScheme::adobe ? "authmod=adobe" : "authmod=llnw";
}

std::string rejection(LoginScheme scheme, std::string_view rest) {
  return std::string(reject) + std::string(scheme_name(scheme)) + std::string(reject_end) +
         std::string(rest);
}

bool same_text(std::string_view one, std::string_view other) {
  return equal_constant_time(as_bytes(one), as_bytes(other));
}

/// What stands for a user that is not there: always the same for one name, and matched by nothing.
struct Decoy {
  std::string salt;
  std::string hash;
  Decoy(Bytes secret, std::string_view user)
      : salt(
            hex(hmac_sha256(secret, as_bytes("salt"), as_bytes(user))).substr(0, login_salt_bytes)),
        hash(hex(hmac_sha256(secret, as_bytes("hash"), as_bytes(user))).substr(0, 32)) {}
  [[nodiscard]] LoginVerifier verifier() const {
    return {.salt = salt, .adobe_hash = hash, .llnw_hash = hash};
  }
};

LoginAnswer challenge(const LoginAttempt& attempt, LoginScheme scheme,
                      const LoginVerifier& verifier, LoginChallenges& challenges) {
  const std::string made = challenges.make(scheme, attempt.query.user, attempt.now);
  std::string rest = "?reason=needauth&user=" + std::string(attempt.query.user);
  if (scheme == LoginScheme::adobe) {
    // Every encoder that gets an opaque value uses it in place of the challenge and gives it back;
    // the challenge is for those that look whether there is one.
    rest += "&salt=" + std::string(verifier.salt);
    rest += "&challenge=" + made.substr(number_text_bytes, number_text_bytes);
    rest += "&opaque=" + made;
  } else {
    rest += "&nonce=" + made;
  }
  return {LoginStep::challenged, rejection(scheme, rest)};
}

bool response_matches(const LoginAttempt& attempt, LoginScheme scheme,
                      const LoginVerifier& verifier) {
  const LoginQuery& query = attempt.query;
  if (scheme == LoginScheme::adobe) {
    return same_text(adobe_response(verifier.adobe_hash, query.opaque, query.challenge),
                     query.response);
  }
  return same_text(
      llnw_response(verifier.llnw_hash, query.nonce, query.cnonce, llnw_target_hash(attempt.app)),
      query.response);
}

}  // namespace

LoginQuery parse_login_query(std::string_view query) {
  LoginQuery found;
  std::string_view pass;
  const struct {
    std::string_view key;
    std::string_view& value;
  } fields[] = {
      {"authmod", found.authmod},     {"user", found.user},
      {"password", found.password},   {"pass", pass},
      {"challenge", found.challenge}, {"response", found.response},
      {"opaque", found.opaque},       {"nonce", found.nonce},
      {"cnonce", found.cnonce},
  };
  while (!query.empty()) {
    const size_t end = std::min(query.find_first_of("&?"), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    for (const auto& field : fields) {
      if (pair.substr(0, equals) != field.key || !field.value.empty()) continue;
      field.value = pair.substr(equals + 1);
    }
  }
  if (found.password.empty()) found.password = pass;
  return found;
}

LoginChallenges::LoginChallenges(const Digest& secret, uint64_t random_seed)
    : secret_(secret), numbers_(random_seed) {}

std::string LoginChallenges::text_of(LoginScheme scheme, std::string_view user, uint32_t second,
                                     uint32_t number) const {
  // Everything before the user has a fixed length, so that no two of them read the same.
  std::array<uint8_t, 1 + 4 + 4> head{};
  head[0] = static_cast<uint8_t>(scheme);
  store_u32(&head[1], second);
  store_u32(&head[5], number);
  const Digest digest = hmac_sha256(secret_, head, as_bytes(user));
  return hex_u32(second) + hex_u32(number) + hex(Bytes(digest).first(digest_bytes));
}

std::string LoginChallenges::make(LoginScheme scheme, std::string_view user, Instant now) {
  return text_of(scheme, user, static_cast<uint32_t>(now.ns / ns_per_s),
                 static_cast<uint32_t>(numbers_.next()));
}

bool LoginChallenges::is_good(LoginScheme scheme, std::string_view user, std::string_view challenge,
                              Instant now) const {
  const auto date = date_of(challenge);
  if (!date) return false;
  if (!same_text(text_of(scheme, user, date->second, date->number), challenge)) {
    return false;
  }
  // Another worker's clock may be a tick ahead of ours.
  const uint64_t now_s = now.ns / ns_per_s;
  const bool in_time =
      now_s <= date->second + login_challenge_ns / ns_per_s && now_s + 1 >= date->second;
  return in_time && (taken_.empty() || taken_[date->number % taken_max] != date->mark());
}

void LoginChallenges::take(std::string_view challenge) {
  const auto date = date_of(challenge);
  PENSTOCK_ASSERT(date.has_value());
  if (taken_.empty()) taken_.resize(taken_max);
  taken_[date->number % taken_max] = date->mark();
}

LoginAnswer answer_login(const LoginAttempt& attempt, LoginScheme offered,
                         const LoginVerifier* known, Bytes decoy, LoginChallenges& challenges) {
  const LoginQuery& query = attempt.query;
  LoginScheme scheme = offered;
  if (query.authmod == "adobe") scheme = LoginScheme::adobe;
  if (query.authmod == "llnw") scheme = LoginScheme::llnw;
  if (scheme_name(scheme).substr(8) != query.authmod || query.user.empty()) {
    return {LoginStep::user_asked, std::string(reject) + "code=403 need auth; " +
                                       std::string(scheme_name(scheme)) + std::string(reject_end)};
  }
  const std::string failed = rejection(scheme, "?reason=authfailed");
  // No such name can be stored, and it would not fit into an answer.
  if (query.user.size() > user_bytes_max) return {LoginStep::failed, failed};
  const Decoy nobody(decoy, query.user);
  const LoginVerifier verifier = known != nullptr ? *known : nobody.verifier();
  if (query.response.empty()) return challenge(attempt, scheme, verifier, challenges);
  const std::string_view given = scheme == LoginScheme::adobe ? query.opaque : query.nonce;
  const bool ours = challenges.is_good(scheme, query.user, given, attempt.now);
  const bool matches = response_matches(attempt, scheme, verifier);
  if (ours && matches && known != nullptr) {
    challenges.take(given);
    return {LoginStep::admitted, {}};
  }
  if (!ours || scheme != LoginScheme::adobe) return {LoginStep::failed, failed};
  return {LoginStep::failed, failed + "&opaque=" + std::string(given)};
}

bool password_matches(const LoginQuery& query, const LoginVerifier* known, Bytes decoy) {
  const Decoy nobody(decoy, query.user);
  const LoginVerifier verifier = known != nullptr ? *known : nobody.verifier();
  const bool matches = same_text(adobe_password_hash(query.user, verifier.salt, query.password),
                                 verifier.adobe_hash);
  return matches && known != nullptr;
}

std::string too_many_logins(const LoginQuery& query) {
  const LoginScheme scheme = query.authmod == "llnw" ? LoginScheme::llnw : LoginScheme::adobe;
  return rejection(scheme, "?reason=toomany&text=too many failed logins: wait some minutes");
}

}  // namespace penstock::rtmp

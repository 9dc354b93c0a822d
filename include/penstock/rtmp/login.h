#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/prng.h"
#include "penstock/base/time.h"
#include "penstock/rtmp/hmac.h"

// Publisher login as encoders do it, in the query of connect's app and tcUrl, over up to three TCP
// connections:
//   1. nothing                       -> rejected: "403 need auth", with the scheme that is offered
//   2. authmod and user              -> rejected: salt and challenge (adobe) or nonce (llnw)
//   3. authmod, user and response    -> accepted, or rejected: authfailed
// Nothing is remembered between them: a challenge proves itself.
namespace penstock::rtmp {

enum class LoginScheme : uint8_t { adobe, llnw };

/// What a query holds of a login. Views into it; empty: not there.
struct LoginQuery {
  std::string_view authmod;
  std::string_view user;
  std::string_view password;   // "password" or "pass": the login without a scheme
  std::string_view challenge;  // the encoder's own
  std::string_view response;
  std::string_view opaque;
  std::string_view nonce;
  std::string_view cnonce;
  [[nodiscard]] bool has_password() const { return !user.empty() && !password.empty(); }
};
/// Of several values of a key the first counts. Encoders put their pairs behind whatever the app
/// has, a second "?" between them: it separates as "&" does. Nothing is decoded, nobody encodes.
[[nodiscard]] LoginQuery parse_login_query(std::string_view query);

/// What passwords are checked against, by publisher_auth.h.
struct LoginVerifier {
  std::string_view salt;
  std::string_view adobe_hash;
  std::string_view llnw_hash;
};

constexpr size_t login_salt_bytes = 8;

// An encoder answers at once; a person who types a password does so before it connects. Long
// enough for a slow uplink with lost segments.
constexpr uint64_t login_challenge_ns = 60 * ns_per_s;

/// Challenges that need no memory: time, a number that makes each another, and a keyed digest over
/// them, the scheme and the user. Every holder of the same secret accepts them, each once. Not of
/// the peer's address: each round is a connection of its own, and of a peer that has IPv4 and IPv6,
/// two uplinks or a carrier's NAT the next one comes from another; who could listen to an answer
/// shares the address or can have it. Owner: one worker. Only what was answered rightly is taken:
/// if any answer did, one without a password could have the memory of a challenge pushed out and
/// repeat its answer.
class LoginChallenges {
 public:
  LoginChallenges(const Digest& secret, uint64_t random_seed);

  static constexpr size_t text_bytes = 36;
  [[nodiscard]] std::string make(LoginScheme scheme, std::string_view user, Instant now);
  /// True when it is one of ours for just this, is not too old, and was not taken here before.
  [[nodiscard]] bool is_good(LoginScheme scheme, std::string_view user, std::string_view challenge,
                             Instant now) const;
  /// One that is good.
  void take(std::string_view challenge);

 private:
  [[nodiscard]] std::string text_of(LoginScheme scheme, std::string_view user, uint32_t second,
                                    uint32_t number) const;

  const Digest secret_;
  Prng numbers_;
  // What was taken lately, by number: two that fall together leave the older one to be taken again,
  // which needs its minute and a captured answer as well.
  std::vector<uint64_t> taken_;
};

struct LoginAttempt {
  LoginQuery query;
  std::string_view app;  // as the peer sent it, without its query: part of llnw's response
  Instant now;
};

enum class LoginStep : uint8_t { user_asked, challenged, admitted, failed };

struct LoginAnswer {
  LoginStep step = LoginStep::failed;
  std::string description;  // of the rejection, in the form that encoders look for; else empty
};

// FFmpeg copies a description into 256 bytes.
constexpr size_t login_description_bytes_max = 249;

/// `offered` is named to who comes without a scheme. `known` is null when there is no such user:
/// `decoy` then makes what looks like one, and nothing is admitted.
[[nodiscard]] LoginAnswer answer_login(const LoginAttempt& attempt, LoginScheme offered,
                                       const LoginVerifier* known, Bytes decoy,
                                       LoginChallenges& challenges);

/// Of a login by password in the query. `known` and `decoy` as above.
[[nodiscard]] bool password_matches(const LoginQuery& query, const LoginVerifier* known,
                                    Bytes decoy);

/// What a peer is told that has failed too often; a scheme's form, so that the encoder shows it.
[[nodiscard]] std::string too_many_logins(const LoginQuery& query);

}  // namespace penstock::rtmp

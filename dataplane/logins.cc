#include "dataplane/logins.h"

#include <utility>

namespace penstock::dataplane {
namespace {

static_assert(rtmp::login_salt_bytes == control::user_salt_bytes,
              "a salt that is made up has the form of a real one");

constexpr std::string_view login_needed_text = "login needed: user and password";
constexpr std::string_view login_failed_text = "login failed";
constexpr std::string_view too_many_text = "too many failed logins: wait some minutes";
constexpr std::string_view user_removed_text = "this user has been removed";
constexpr std::string_view name_not_allowed_text = "this user may not publish this name";

std::optional<rtmp::LoginVerifier> verifier_of(const control::UserRow* user) {
  if (user == nullptr) return std::nullopt;
  return rtmp::LoginVerifier{user->salt, user->adobe_hash, user->llnw_hash};
}

Logins::Answer refused(std::string text, std::optional<Fault> fault = {}) {
  return {.allowed = false, .user = {}, .text = std::move(text), .fault = fault};
}
Logins::Answer passed(std::string_view user = {}) {
  return {.allowed = true, .user = std::string(user), .text = {}, .fault = {}};
}

}  // namespace

Bytes Logins::decoy() const {
  return lists_->decoy().empty() ? Bytes(secret_) : as_bytes(lists_->decoy());
}

Logins::Answer Logins::connect(const rtmp::ConnectAsked& asked, const engine::Endpoint& peer,
                               control::LoginOffer offer, Instant now) {
  const rtmp::LoginQuery query = rtmp::parse_login_query(asked.query);
  if (query.authmod.empty()) {
    const bool later =
        !asked.publishes || query.has_password() || offer == control::LoginOffer::query;
    if (later) return passed();
  }
  const bool guess = !query.response.empty();
  if (guess && !attempts_.allowed(peer, query.user, now)) {
    return refused(rtmp::too_many_logins(query), Fault::login_flood);
  }
  const auto known = verifier_of(lists_->user(query.user));
  const rtmp::LoginAttempt attempt{.query = query, .app = asked.app, .now = now};
  const auto scheme =
      offer == control::LoginOffer::llnw ? rtmp::LoginScheme::llnw : rtmp::LoginScheme::adobe;
  rtmp::LoginAnswer answer =
      rtmp::answer_login(attempt, scheme, known ? &*known : nullptr, decoy(), challenges_);
  switch (answer.step) {
    case rtmp::LoginStep::admitted:
      return passed(query.user);
    case rtmp::LoginStep::user_asked:
    case rtmp::LoginStep::challenged:
      return refused(std::move(answer.description));
    case rtmp::LoginStep::failed:
      break;
  }
  attempts_.failed(peer, query.user, now);
  return refused(std::move(answer.description), Fault::login_failed);
}

Logins::Answer Logins::by_password(const rtmp::LoginQuery& query, const engine::Endpoint& peer,
                                   Instant now) {
  if (!query.has_password()) return refused(std::string(login_needed_text));
  if (!attempts_.allowed(peer, query.user, now)) {
    return refused(std::string(too_many_text), Fault::login_flood);
  }
  const auto known = verifier_of(lists_->user(query.user));
  if (rtmp::password_matches(query, known ? &*known : nullptr, decoy())) return passed(query.user);
  attempts_.failed(peer, query.user, now);
  return refused(std::string(login_failed_text), Fault::login_failed);
}

Logins::Answer Logins::publish(std::string_view user, std::string_view stream,
                               std::string_view query, const engine::Endpoint& peer, Instant now) {
  Answer answer =
      user.empty() ? by_password(rtmp::parse_login_query(query), peer, now) : passed(user);
  if (!answer.allowed) return answer;
  const control::UserRow* row = lists_->user(answer.user);
  // Removed since it has logged in, which is no fault of the peer.
  if (row == nullptr) return refused(std::string(user_removed_text));
  if (!control::may_publish(*row, stream)) return refused(std::string(name_not_allowed_text));
  return answer;
}

}  // namespace penstock::dataplane

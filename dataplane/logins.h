#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/admission_lists.h"
#include "dataplane/engine/engine.h"
#include "dataplane/login_attempts.h"
#include "penstock/base/fault.h"
#include "penstock/control/layout.h"
#include "penstock/rtmp/login.h"
#include "penstock/rtmp/session.h"

namespace penstock::dataplane {

/// Who may log in, and the answers to who tries: at connect by the schemes of encoders, at publish
/// by a password in the query. Decides alone, from the users that were last applied: the control
/// plane may be gone. Owner: one worker.
class Logins {
 public:
  /// `secret` is the same on all workers of a process, so that each takes the others' challenges.
  /// `workers`: how many there are of it.
  Logins(const rtmp::Digest& secret, uint64_t random_seed, uint32_t workers)
      : secret_(secret), challenges_(secret, random_seed), attempts_(random_seed, workers) {}
  Logins(const Logins&) = delete;
  Logins& operator=(const Logins&) = delete;

  /// They have to be there until others are used.
  void use(const AdmissionLists& lists) { lists_ = &lists; }

  struct Answer {
    bool allowed = false;
    std::string user;            // who has logged in; empty: nobody has, or not yet
    std::string text;            // for the peer, when refused
    std::optional<Fault> fault;  // what the peer did wrong; rounds of a login are no fault
  };
  /// A connect passes that logs in, that says nothing of publishing, or whose query has a password:
  /// that is looked at when the name is known.
  [[nodiscard]] Answer connect(const rtmp::ConnectAsked& asked, const engine::Endpoint& peer,
                               control::LoginOffer offer, Instant now);
  /// `user` is who logged in at connect; empty: nobody.
  [[nodiscard]] Answer publish(std::string_view user, std::string_view stream,
                               std::string_view query, const engine::Endpoint& peer, Instant now);

 private:
  [[nodiscard]] Bytes decoy() const;
  [[nodiscard]] Answer by_password(const rtmp::LoginQuery& query, const engine::Endpoint& peer,
                                   Instant now);

  const rtmp::Digest secret_;
  rtmp::LoginChallenges challenges_;
  LoginAttempts attempts_;
  const AdmissionLists nobody_;
  const AdmissionLists* lists_ = &nobody_;
};

}  // namespace penstock::dataplane

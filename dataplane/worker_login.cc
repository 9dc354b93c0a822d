#include <string>

#include "dataplane/worker.h"

// Publishers that have to log in: [admission] publish = "login".
namespace penstock::dataplane {

using control::Counter;

void Worker::on(Connection& connection, const rtmp::ConnectAsked& event) {
  const Logins::Answer answer = logins_.connect(event, connection.peer, wanted_.login_offer, now_);
  if (answer.allowed) {
    if (!answer.user.empty()) logged_in(connection, answer.user);
    connection.session.answer_connect({});
    return;
  }
  connection.session.answer_connect({.refusal = rtmp::Refusal::denied, .text = answer.text});
  if (answer.fault) {
    drop(connection, *answer.fault);
  } else {
    finish(connection);  // the encoder comes back with what it was asked for
  }
}

/// False: refused, and the peer has been told.
bool Worker::login_allows(Connection& connection, const Ask& asked, std::string_view query) {
  const Logins::Answer answer =
      logins_.publish(connection.user, asked.name, query, connection.peer, now_);
  if (answer.allowed) {
    if (connection.user.empty()) logged_in(connection, answer.user);
    return true;
  }
  if (answer.fault) count_fault(connection, *answer.fault);
  refuse(connection, asked, rtmp::Refusal::denied, answer.text);
  return false;
}

void Worker::logged_in(Connection& connection, std::string_view user) {
  connection.user = user;
  count(Counter::logins);
  log(LogEvent::logged_in, &connection, {}, user);
}

}  // namespace penstock::dataplane

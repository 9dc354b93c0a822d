#include <algorithm>

#include "dataplane/worker.h"
#include "penstock/base/assert.h"

// What a session reports, and how a publish or play comes to its answer:
//   asked -> verdict (control plane, or our own copy of the policy) -> publish only: claim at the
//   name's home -> answer
namespace penstock::dataplane {
namespace {

using control::Counter;
using control::Tunable;

// A control plane that has not beaten for so long is not asked: its verdict would only come late.
constexpr uint64_t control_fresh_ns = 1 * ns_per_s;

constexpr std::string_view name_taken_text = "already publishing";

Ask* find_ask(Connection& connection, uint64_t request_id) {
  for (Ask& ask : connection.asks) {
    if (ask.request_id == request_id) return &ask;
  }
  return nullptr;
}

Subscription* find_subscription(Connection& connection, uint32_t message_stream_id) {
  for (auto& subscription : connection.subscriptions) {
    if (subscription->message_stream_id == message_stream_id) return subscription.get();
  }
  return nullptr;
}

}  // namespace

void Worker::on(Connection&, const rtmp::NeedInput&) {}

void Worker::on(Connection& connection, const rtmp::HandshakeDone& event) {
  count(event.digest ? Counter::handshakes_digest : Counter::handshakes_simple);
  if (connection.traced) log(LogEvent::traced, &connection, {}, "handshake complete");
}

void Worker::on(Connection& connection, const rtmp::Connected& event) {
  connection.app = event.app;
  connection.software = event.flash_ver;
  connection.amf3 = event.amf3;
  if (connection.traced) log(LogEvent::traced, &connection, {}, "connect");
}

void Worker::on(Connection& connection, const rtmp::PublishAsked& event) {
  Ask made;
  made.publish = true;
  made.message_stream_id = event.message_stream_id;
  made.name = event.name;
  PENSTOCK_ASSERT(connection.published == nullptr);  // the session refuses a second publish itself
  if (stopping_ || wanted_.draining != 0) {
    refuse(connection, made, rtmp::Refusal::bad_name, "server is draining");
    return;
  }
  if (wanted_.admission == control::AdmissionMode::login &&
      !login_allows(connection, made, event.query)) {
    return;
  }
  ask(connection, std::move(made), event.query);
}

void Worker::on(Connection& connection, const rtmp::PlayAsked& event) {
  Ask made;
  made.message_stream_id = event.message_stream_id;
  made.name = event.name;
  if (stopping_ || wanted_.draining != 0) {
    refuse(connection, made, rtmp::Refusal::denied, "server is draining");
    return;
  }
  if (Subscription* old = find_subscription(connection, event.message_stream_id)) unsubscribe(*old);
  if (event.aggregates) connection.egress.use_aggregates();
  ask(connection, std::move(made), event.query);
}

void Worker::ask(Connection& connection, Ask made, std::string_view query) {
  made.request_id = next_request_++;
  made.decide_at = now_.after_ms(tunable(Tunable::verdict_ms));
  const uint64_t request_id = made.request_id;
  const bool known = allowed_by_own_policy(made);
  connection.asks.push_back(std::move(made));
  ++asks_open_;
  // What the policy here allows, the control plane would allow from the same list, a round trip
  // later. It may know a newer list: so what is not allowed here is asked.
  if (known) return verdict(connection, request_id, true, {});
  const Ask& asked = connection.asks.back();
  control::VerdictRequest request;
  request.request_id = request_id;
  request.connection_id = connection.connection_id;
  request.publish = asked.publish ? 1 : 0;
  request.name.set(asked.name);
  request.peer = connection.peer_text;
  request.query.set(query);
  const Instant beat{parts_.region.header().control_heartbeat_ns.get()};
  const bool control_alive = now_.since(beat) < control_fresh_ns;
  if (!control_alive || !area_.verdicts.push(request)) {
    return decide_by_own_policy(connection, request_id);
  }
  asked_ = true;
}

/// No verdict in time is itself a verdict: the policy that was last applied, which every worker has
/// a copy of.
void Worker::decide_by_own_policy(Connection& connection, uint64_t request_id) {
  const Ask* open = find_ask(connection, request_id);
  if (open == nullptr) return;
  verdict(connection, request_id, allowed_by_own_policy(*open), "stream key not valid");
}

bool Worker::allowed_by_own_policy(const Ask& ask) const {
  // Who had to log in has done so before the name was asked for.
  return !ask.publish || wanted_.admission != control::AdmissionMode::keys ||
         admission_.current().has_key(ask.name);
}

void Worker::verdict(Connection& connection, uint64_t request_id, bool allowed,
                     std::string_view text) {
  Ask* open = find_ask(connection, request_id);
  if (open == nullptr || open->stage != Ask::Stage::verdict) return;  // it came too late
  --asks_open_;
  if (!allowed) {
    const Ask refused = *open;
    answer_done(connection, request_id);
    refuse(connection, refused, rtmp::Refusal::denied, text.empty() ? "not allowed" : text);
    return;
  }
  if (!open->publish) {
    const Ask play = *open;
    answer_done(connection, request_id);
    subscribe(connection, play);
    resume(connection);
    return;
  }
  open->stage = Ask::Stage::claim;
  open->stream_id = uint64_t{parts_.id} << 46 | next_stream_++;
  Mail claim;
  claim.kind = MailKind::claim;
  claim.from = static_cast<uint16_t>(parts_.id);
  claim.stream_id = open->stream_id;
  claim.connection_id = connection.connection_id;
  claim.name.set(open->name);
  send_mail(home_of(open->name), claim);
}

void Worker::claim_answered(Connection& connection, const Ask& asked, const Mail& answer) {
  const Ask ask = asked;  // answer_done() takes the original away
  answer_done(connection, ask.request_id);
  if (!answer.on) {
    count(Counter::publishes_name_taken);
    refuse(connection, ask, rtmp::Refusal::bad_name, name_taken_text);
    return;
  }
  start_publish(connection, ask, answer.claim, answer.interested);
  resume(connection);
}

void Worker::answer_done(Connection& connection, uint64_t request_id) {
  std::erase_if(connection.asks, [&](const Ask& ask) { return ask.request_id == request_id; });
}

/// The peer leaves: an answer that still comes finds nobody, and a name that is then granted goes
/// back.
void Worker::forget_asks(Connection& connection) {
  for (const Ask& open : connection.asks) {
    if (open.stage == Ask::Stage::verdict) --asks_open_;
  }
  connection.asks.clear();
}

void Worker::refuse(Connection& connection, const Ask& asked, rtmp::Refusal refusal,
                    std::string_view text) {
  count(asked.publish ? Counter::publishes_refused : Counter::plays_refused);
  log(asked.publish ? LogEvent::publish_refused : LogEvent::play_refused, &connection, asked.name,
      text);
  const rtmp::Verdict answer{refusal, text};
  if (asked.publish) {
    connection.session.answer_publish(asked.message_stream_id, answer, now_);
  } else {
    connection.session.answer_play(asked.message_stream_id, answer);
  }
  finish(connection);
}

void Worker::on(Connection& connection, const rtmp::MediaPiece& event) {
  if (connection.published == nullptr) {
    if (event.offset == 0) count_fault(connection, Fault::media_without_publish);
    return;
  }
  media_piece(*connection.published, event);
}

void Worker::on(Connection& connection, const rtmp::MediaAborted& event) {
  if (connection.published != nullptr) abandon(connection.published->assemblies[event.slot]);
}

void Worker::on(Connection& connection, const rtmp::DataMessage& event) {
  if (connection.published != nullptr) data_message(*connection.published, event);
}

void Worker::on(Connection& connection, const rtmp::PublishEnded&) {
  if (connection.published != nullptr) end_publish(*connection.published, "ended by the publisher");
}

void Worker::on(Connection& connection, const rtmp::PlayEnded& event) {
  if (Subscription* found = find_subscription(connection, event.message_stream_id)) {
    unsubscribe(*found);
  }
}

void Worker::on(Connection& connection, const rtmp::PlayPaused& event) {
  Subscription* found = find_subscription(connection, event.message_stream_id);
  if (found == nullptr || found->paused == event.paused) return;
  found->paused = event.paused;
  // What was missed is not sent later: a live viewer goes on with the present.
  want_keyframe(*found);
}

void Worker::on(Connection& connection, const rtmp::ReceiveChanged& event) {
  Subscription* found = find_subscription(connection, event.message_stream_id);
  if (found == nullptr) return;
  if (event.kind == rtmp::MediaKind::audio) {
    found->audio_wanted = event.wanted;
    return;
  }
  if (!found->video_wanted || !event.wanted) found->lose_pictures();
  found->video_wanted = event.wanted;
}

void Worker::on(Connection& connection, const rtmp::Tolerated& event) {
  count_fault(connection, event.fault);
  log(LogEvent::fault_tolerated, &connection, {}, fault_info(event.fault).text);
}

}  // namespace penstock::dataplane

#include <algorithm>

#include "dataplane/worker.h"
#include "penstock/base/assert.h"

// What crosses to other workers and back. Mail moves names, leases move frames; notes (a stream
// started, ended, a joiner is complete) travel among the leases, because their order against frames
// is what they mean.
namespace penstock::dataplane {
namespace {

using control::Counter;

// Per tick and other worker; what is left waits for the next.
constexpr size_t leases_per_tick = 4096;
constexpr size_t mail_per_tick = 1024;

// How often another worker is asked to shed: sooner, what it sheds has not come back yet, and a
// second subscriber would skip for nothing.
constexpr uint64_t shed_leases_interval_ns = 10 * ns_per_ms;

// Fewer leased frames than this are not worth a skip: a second of a stream.
constexpr uint32_t leased_backlog_min = 64;

}  // namespace

WorkerId Worker::home_of(std::string_view name) const {
  return Directory::home_of(name, worker_count_);
}

void Worker::ring(WorkerId to) { rung_ |= uint64_t{1} << to; }

/// Nothing to take and nothing to hand over. After Doorbell::prepare_sleep(), so that who puts
/// something into a ring from here on wakes us.
bool Worker::rings_empty() const {
  return to_visit_ == 0 && deferred_ == 0 && !mesh_.doorbell(parts_.id).anybody_rang();
}

/// To itself too: a worker that is the home of its own stream's name goes the same way as any
/// other.
void Worker::send_mail(WorkerId to, const Mail& mail) {
  ring(to);
  if (deferred_mail_[to].empty() && mesh_.link(parts_.id, to).mail.push(mail)) return;
  count(Counter::mail_deferred);
  deferred_mail_[to].push_back(mail);
  deferred_ |= uint64_t{1} << to;
}

void Worker::flush_deferred() {
  for (uint64_t left = deferred_; left != 0; left &= left - 1) {
    const auto other = static_cast<WorkerId>(std::countr_zero(left));
    Link& out = mesh_.link(parts_.id, other);
    auto& mail = deferred_mail_[other];
    while (!mail.empty() && out.mail.push(mail.front())) {
      mail.pop_front();
      ring(other);
    }
    auto& notes = deferred_notes_[other];
    while (!notes.empty() && lease(other, notes.front())) {
      // lease() took a reference of its own; the one that kept the note's bytes while it waited
      // goes.
      if (notes.front().frame != nullptr) frames_.release(notes.front().frame);
      notes.pop_front();
    }
    if (mail.empty() && notes.empty()) deferred_ &= ~(uint64_t{1} << other);
  }
}

void Worker::take_returns() {
  Frame* returned[64];
  uint64_t out = 0;
  for (uint64_t left = lent_to_; left != 0; left &= left - 1) {
    const auto other = static_cast<WorkerId>(std::countr_zero(left));
    ReturnRing& returns = mesh_.link(parts_.id, other).returns;
    while (const uint32_t count = returns.pop(returned)) {
      for (uint32_t i = 0; i < count; ++i) frames_.release(returned[i]);
      PENSTOCK_ASSERT(leases_out_[other] >= count);
      leases_out_[other] -= count;
    }
    if (leases_out_[other] == 0) lent_to_ &= ~(uint64_t{1} << other);
    out += leases_out_[other];
  }
  gauge(Counter::leases_out, out);
}

uint64_t Worker::leases_out() const {
  uint64_t out = 0;
  for (const uint32_t count : leases_out_) out += count;
  return out;
}

/// Takes what has come, from those workers alone that rang. Both rings of one that is not emptied
/// are looked at again in the next tick; what one puts in after we looked, it rings for again.
void Worker::take_rings() {
  to_visit_ |= mesh_.doorbell(parts_.id).take_rung();
  const uint64_t visited = to_visit_;
  for (uint64_t left = visited; left != 0; left &= left - 1) {
    const auto other = static_cast<WorkerId>(std::countr_zero(left));
    if (take_mail(other)) to_visit_ &= ~(uint64_t{1} << other);
  }
  for (uint64_t left = visited; left != 0; left &= left - 1) {
    const auto other = static_cast<WorkerId>(std::countr_zero(left));
    if (!take_leases(other)) to_visit_ |= uint64_t{1} << other;
  }
}

/// False when the ring may have more.
bool Worker::take_mail(WorkerId other) {
  Mail batch[16];
  MailRing& mail = mesh_.link(other, parts_.id).mail;
  for (size_t taken = 0; taken < mail_per_tick;) {
    const uint32_t count = mail.pop(batch);
    if (count == 0) return true;
    for (uint32_t i = 0; i < count; ++i) take_mail(batch[i]);
    taken += count;
  }
  return false;
}

void Worker::take_mail(const Mail& mail) {
  switch (mail.kind) {
    case MailKind::claim: {
      const Directory::Claimed claimed =
          directory_.claim(mail.name.view(), mail.stream_id, mail.from);
      Mail answer;
      answer.kind = MailKind::claim_answer;
      answer.on = claimed.granted;
      answer.stream_id = mail.stream_id;
      answer.connection_id = mail.connection_id;
      answer.interested = claimed.interested;
      answer.claim = claimed.number;
      answer.name = mail.name;
      send_mail(mail.from, answer);
      return;
    }
    case MailKind::release:
      directory_.release(mail.name.view(), mail.stream_id);
      return;
    case MailKind::interest: {
      const Directory::Owner owner = directory_.set_interest(mail.name.view(), mail.from, mail.on);
      if (owner.stream_id == 0) return;
      Mail route;
      route.kind = MailKind::route;
      route.on = mail.on;
      route.worker = mail.from;
      route.stream_id = owner.stream_id;
      send_mail(owner.worker, route);
      return;
    }
    case MailKind::claim_answer: {
      Connection* connection = find(mail.connection_id);
      if (connection != nullptr && !connection->closing) {
        for (const Ask& open : connection->asks) {
          if (open.stage != Ask::Stage::claim || open.stream_id != mail.stream_id) continue;
          claim_answered(*connection, open, mail);
          return;
        }
      }
      // It left while the answer was on its way: the name is free again.
      if (!mail.on) return;
      Mail release;
      release.kind = MailKind::release;
      release.stream_id = mail.stream_id;
      release.name = mail.name;
      send_mail(home_of(mail.name.view()), release);
      return;
    }
    case MailKind::route:
      take_route(mail);
      return;
    case MailKind::shed:
      static_cast<void>(shed_backlog());
      return;
    case MailKind::shed_leases:
      shed_leases(mail.from);
      return;
    case MailKind::join:
      send_past_to(mail.from, mail.stream_id, mail.token);
      return;
  }
}

/// A worker wants the frames of a stream of ours, or no longer does.
void Worker::take_route(const Mail& mail) {
  const auto found = streams_by_id_.find(mail.stream_id);
  if (found == streams_by_id_.end() || !found->second->owned_here()) return;
  if (mail.worker == parts_.id) return;
  Stream& stream = *found->second;
  const uint64_t bit = uint64_t{1} << mail.worker;
  if (!mail.on) {
    stream.routes &= ~bit;
    stream.gapped &= ~bit;
    stream.unannounced &= ~bit;
  } else if ((stream.routes & bit) == 0) {
    stream.routes |= bit;
    announce_start(stream, mail.worker, false);
    // Its interest may have gone and come faster than the route: it then keeps its subscribers
    // and misses what was sent in between. Pictures wait for a keyframe; headers are not
    // repeated.
    const bool room = deferred_notes_[mail.worker].empty() && (stream.unannounced & bit) == 0;
    if (!room || !lease_headers(stream, mail.worker)) stream.gapped |= bit;
    Connection& publisher = *stream.publisher;
    set_low_water(publisher, 1);
  }
}

void Worker::announce_interest(Stream& stream, bool on) {
  Mail mail;
  mail.kind = MailKind::interest;
  mail.on = on;
  mail.from = static_cast<uint16_t>(parts_.id);
  mail.name.set(stream.name);
  send_mail(home_of(stream.name), mail);
}

/// Hands one lease over. False when there is no room, or `to` holds as many of our frames as can
/// come back.
bool Worker::lease(WorkerId to, Lease lease) {
  if (lease.frame != nullptr && leases_out_[to] >= mesh_.leases_shed_at()) {
    ask_to_shed(to);
    if (leases_out_[to] >= mesh_.leases_out_max()) return false;
  }
  if (!mesh_.link(parts_.id, to).leases.push(lease)) return false;
  if (lease.frame != nullptr) {
    FramePool::add_reference(lease.frame);
    ++leases_out_[to];
    lent_to_ |= uint64_t{1} << to;
    count(Counter::leases_sent);
  }
  ring(to);
  return true;
}

/// Few may lag far or many a little: when what they hold together comes near to all that can be
/// lent, every stream to that worker would soon have a gap.
void Worker::ask_to_shed(WorkerId to) {
  if (now_.since(shed_asked_at_[to]) < shed_leases_interval_ns) return;
  shed_asked_at_[to] = now_;
  Mail mail;
  mail.kind = MailKind::shed_leases;
  mail.from = static_cast<uint16_t>(parts_.id);
  send_mail(to, mail);
}

/// Of the subscribers of that worker's streams, the one with the most leased frames skips to its
/// next keyframe. Frames of a stream that has since moved to another worker are not found; they go
/// as they are sent, or with their subscriber when it stalls.
void Worker::shed_leases(WorkerId lessor) {
  Connection* most = nullptr;
  uint32_t frames = leased_backlog_min;
  for (const auto& [name, stream] : streams_) {
    if (stream->owner != lessor) continue;
    for (const Subscription* subscription : stream->subscribers) {
      const Egress& egress = subscription->connection->egress;
      if (egress.leased_frames() <= frames || egress.droppable_bytes() == 0) continue;
      most = subscription->connection;
      frames = egress.leased_frames();
    }
  }
  if (most != nullptr) skip_to_keyframe(*most);
}

/// A note is never lost: it waits for room, and frames wait behind it (that is: are dropped) until
/// it is through.
void Worker::note(WorkerId to, const Lease& note) {
  if (deferred_notes_[to].empty() && lease(to, note)) return;
  count(Counter::mail_deferred);
  if (note.frame != nullptr) FramePool::add_reference(note.frame);
  deferred_notes_[to].push_back(note);
  deferred_ |= uint64_t{1} << to;
}

namespace {

Lease lease_of(LeaseKind kind, Frame* frame, uint64_t stream_id, uint64_t token) {
  return {.kind = kind,
          .frame_kind = frame->kind,
          .key = frame->key,
          .config = frame->config,
          .config_key = frame->config_key,
          .side = frame->side,
          .resumes = frame->resumes,
          .length = frame->length,
          .timestamp = frame->timestamp,
          .frame = frame,
          .bytes = frame->bytes,
          .stream_id = stream_id,
          .token = token};
}

}  // namespace

void Worker::lease_live(Stream& stream, Frame* frame) {
  for (uint64_t routes = stream.routes; routes != 0; routes &= routes - 1) {
    const auto to = static_cast<WorkerId>(std::countr_zero(routes));
    const uint64_t bit = uint64_t{1} << to;
    bool room = deferred_notes_[to].empty() && (stream.unannounced & bit) == 0;
    if (room && (stream.gapped & bit) != 0) {
      // A header may have been among what was lost, and encoders do not repeat it: all of them go
      // before the keyframe that ends the gap.
      const bool resumes =
          frame->key || (frame->kind == FrameKind::audio && !stream.has_live_video(now_));
      room = resumes && lease_headers(stream, to);
    }
    Lease live = lease_of(LeaseKind::frame, frame, stream.stream_id, 0);
    live.resumes = live.resumes || (stream.gapped & bit) != 0;
    if (room && lease(to, live)) {
      stream.gapped &= ~bit;
      continue;
    }
    count(Counter::leases_dropped);
    if ((stream.gapped & bit) == 0) {
      log(LogEvent::leases_short, stream.publisher, stream.name, {}, to);
    }
    stream.gapped |= bit;
  }
}

/// Metadata and headers as live frames. False when not all of them fitted.
bool Worker::lease_headers(Stream& stream, WorkerId to) {
  if (stream.metadata != nullptr &&
      !lease(to, lease_of(LeaseKind::frame, stream.metadata, stream.stream_id, 0))) {
    return false;
  }
  return std::ranges::all_of(stream.configs, [&](const StreamConfig& config) {
    return lease(to, lease_of(LeaseKind::frame, config.frame, stream.stream_id, 0));
  });
}

void Worker::announce_start(Stream& stream, WorkerId to, bool fresh) {
  const uint64_t bit = uint64_t{1} << to;
  Frame* name = frames_.make_own(as_bytes(stream.name));
  if (name == nullptr) {
    stream.unannounced |= bit;  // tried again with the stream's next report
    return;
  }
  stream.unannounced &= ~bit;
  note(to, {.kind = LeaseKind::started,
            .key = fresh,
            .length = name->length,
            .frame = name,
            .bytes = name->bytes,
            .stream_id = stream.stream_id,
            .token = stream.claim});
  frames_.release(name);
}

/// The past of a stream for one joiner on another worker, then the note that makes it live. Headers
/// are never left out. The GOP cache goes whole or not at all, and only while the ring has room for
/// live frames beside it: a crowd that comes at once starts at the next keyframe.
void Worker::send_past_to(WorkerId to, uint64_t stream_id, uint64_t token) {
  const auto found = streams_by_id_.find(stream_id);
  if (found == streams_by_id_.end() || !found->second->owned_here()) return;
  Stream& stream = *found->second;
  const auto past = [&](Frame* frame) {
    return lease_of(LeaseKind::snapshot, frame, stream_id, token);
  };
  if (stream.metadata != nullptr) note(to, past(stream.metadata));
  for (const StreamConfig& config : stream.configs) note(to, past(config.frame));
  const size_t wanted = stream.gop.size() + mesh_.leases_for_live();
  bool whole = stream.gop_complete && deferred_notes_[to].empty() &&
               mesh_.link(parts_.id, to).leases.free_slots() >= wanted &&
               leases_out_[to] + wanted <= mesh_.leases_out_max();
  if (whole) {
    for (Frame* frame : stream.gop) whole = lease(to, past(frame)) && whole;
    PENSTOCK_ASSERT(whole);
  }
  note(to, {.kind = LeaseKind::joined,
            .key = whole,
            .config = stream.has_live_video(now_),
            .stream_id = stream_id,
            .token = token});
}

/// False when the ring may have more.
bool Worker::take_leases(WorkerId other) {
  Lease batch[64];
  LeaseRing& leases = mesh_.link(other, parts_.id).leases;
  for (size_t taken = 0; taken < leases_per_tick;) {
    const uint32_t count = leases.pop(batch);
    if (count == 0) return true;
    for (uint32_t i = 0; i < count; ++i) take_lease(other, batch[i]);
    taken += count;
  }
  return false;
}

void Worker::take_lease(WorkerId from, const Lease& lease) {
  const auto give_back = [&] {
    if (lease.frame == nullptr) return;
    const bool returned = mesh_.link(from, parts_.id).returns.push(lease.frame);
    PENSTOCK_ASSERT(returned);
  };
  if (lease.kind == LeaseKind::started) {
    const auto found = streams_.find(as_text({lease.bytes, lease.length}));
    Stream* stream = found == streams_.end() ? nullptr : found->second.get();
    // Our own publisher is newer: the name was granted to it after the other one had released it.
    if (stream != nullptr && !stream->owned_here()) replica_started(*stream, from, lease);
    give_back();
    return;
  }
  const auto found = streams_by_id_.find(lease.stream_id);
  Stream* stream = found == streams_by_id_.end() ? nullptr : found->second;
  if (stream == nullptr || stream->owned_here()) {
    give_back();
    return;
  }
  if (lease.kind == LeaseKind::ended) {
    stream_over(*stream);
    report_stream(*stream);
    return;
  }
  if (lease.kind == LeaseKind::joined) {
    const auto joining = joining_.find(lease.token);
    if (joining == joining_.end()) return;
    Subscription& subscription = *joining->second;
    joining_.erase(joining);
    if (lease.config) stream->last_video_at = now_;
    const bool whole = lease.key && !subscription.past_lost;
    subscription.state = whole ? SubscriptionState::live : SubscriptionState::wanting_keyframe;
    if (!whole) subscription.lose_pictures();
    subscription.video_started = whole;
    return;
  }
  if (lease.frame_kind == FrameKind::video && !lease.config) stream->last_video_at = now_;
  Frame* frame = frames_.make_stand_in(lease, from);
  if (frame == nullptr) {
    count(Counter::frames_no_memory);
    give_back();
    for (Subscription* subscription : stream->subscribers) {
      // Without a header there is no going on at a keyframe: the owner is asked for it again.
      if (lease.config && subscription->state != SubscriptionState::joining)
        ask_to_join(*subscription);
      want_keyframe(*subscription);
    }
    return;
  }
  if (lease.kind == LeaseKind::snapshot) {
    const auto joining = joining_.find(lease.token);
    if (joining != joining_.end() && (frame->config || !joining->second->past_lost)) {
      Subscription& joiner = *joining->second;
      if (frame->side == SideTrack::key) joiner.side_tracks.set(frame->config_key);
      if (!needs_amf3(*frame) || joiner.connection->amf3) queue(joiner, frame);
    }
  } else {
    deliver_live(*stream, frame);
  }
  frames_.release(frame);
}

void Worker::replica_started(Stream& stream, WorkerId owner, const Lease& note) {
  if (stream.stream_id == note.stream_id) {
    // Our interest went and came again faster than the route: frames in between may be missing.
    for (Subscription* subscription : stream.subscribers) {
      want_keyframe(*subscription);
    }
    return;
  }
  // Of two publishers of a name the one with the later claim is the present one, whichever worker's
  // note comes first.
  if (note.token < stream.claim) return;
  stream.claim = note.token;
  if (stream.stream_id != 0) stream_over(stream);
  stream.stream_id = note.stream_id;
  stream.owner = owner;
  stream.last_video_at = {};
  streams_by_id_[stream.stream_id] = &stream;
  for (Subscription* subscription : stream.subscribers) {
    subscription->connection->session.publisher_came(subscription->message_stream_id);
    settle(*subscription->connection);
    if (note.key) {
      subscription->state = SubscriptionState::wanting_keyframe;
      subscription->lose_pictures();
    } else {
      ask_to_join(*subscription);
    }
  }
  report_stream(stream);
}

void Worker::ask_to_join(Subscription& subscription) {
  subscription.state = SubscriptionState::joining;
  subscription.past_lost = false;
  subscription.side_tracks.reset();
  joining_[subscription.token] = &subscription;
  Mail join;
  join.kind = MailKind::join;
  join.from = static_cast<uint16_t>(parts_.id);
  join.stream_id = subscription.stream->stream_id;
  join.token = subscription.token;
  send_mail(subscription.stream->owner, join);
}

}  // namespace penstock::dataplane

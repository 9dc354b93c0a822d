#include <algorithm>
#include <utility>

#include "dataplane/worker.h"
#include "penstock/base/assert.h"

// Streams of this worker and their subscribers.
namespace penstock::dataplane {
namespace {

bool reads(const Subscription& subscription, const Frame& frame) {
  return subscription.connection->amf3 || !needs_amf3(frame);
}

}  // namespace

using control::Counter;
using control::Tunable;

/// The stream of this name on this worker, made if need be; null when there is no room for another.
Stream* Worker::stream_for(std::string_view name) {
  const auto found = streams_.find(name);
  if (found != streams_.end()) return found->second.get();
  if (free_stream_rows_.empty()) return nullptr;
  auto made = std::make_unique<Stream>();
  Stream* stream = made.get();
  stream->name = name;
  stream->row = free_stream_rows_.back();
  free_stream_rows_.pop_back();
  streams_by_row_[stream->row] = stream;
  if (stream_slots_used_ <= stream->row) {
    stream_slots_used_ = stream->row + 1;
    area_.stream_slots_used.publish(stream_slots_used_);
  }
  streams_.emplace(std::string_view(stream->name), std::move(made));
  return stream;
}

void Worker::forget_if_unused(Stream& stream) {
  if (stream.owned_here() || !stream.subscribers.empty()) return;
  if (stream.stream_id != 0) streams_by_id_.erase(stream.stream_id);
  clear_media(stream);
  parts_.region.write_row(parts_.id, stream.row, control::StreamRow{});
  streams_by_row_[stream.row] = nullptr;
  free_stream_rows_.push_back(stream.row);
  streams_.erase(streams_.find(stream.name));
}

void Worker::start_publish(Connection& connection, const Ask& asked, uint64_t claim,
                           uint64_t interested) {
  Stream* stream = stream_for(asked.name);
  if (stream == nullptr) {
    Mail release;
    release.kind = MailKind::release;
    release.stream_id = asked.stream_id;
    release.name.set(asked.name);
    send_mail(home_of(asked.name), release);
    refuse(connection, asked, rtmp::Refusal::denied, "too many streams");
    return;
  }
  // The predecessor's last lease may still be on its way from another worker.
  if (stream->stream_id != 0) stream_over(*stream);
  stream->stream_id = asked.stream_id;
  stream->claim = claim;
  stream->owner = parts_.id;
  stream->publisher = &connection;
  stream->publisher_message_stream_id = asked.message_stream_id;
  stream->since_unix_ms = unix_ms();
  stream->encoder = connection.software;
  stream->measure = {};
  stream->last_video_at = {};
  stream->races = false;
  stream->paced_from = {};
  stream->video_codec = stream->audio_codec = media::Codec::none;
  stream->video_size = {};
  stream->audio_format = {};
  stream->bytes_received = stream->frames_received = stream->frames_dropped = 0;
  stream->bytes_sent = stream->frames_skipped = 0;
  streams_by_id_[stream->stream_id] = stream;
  connection.published = stream;
  ++publisher_count_;

  const rtmp::Verdict allowed{rtmp::Refusal::none, {}};
  connection.session.answer_publish(asked.message_stream_id, allowed, now_);
  for (Subscription* subscription : stream->subscribers) {
    subscription->state = SubscriptionState::wanting_keyframe;
    subscription->lose_pictures();
    subscription->connection->session.publisher_came(subscription->message_stream_id);
    settle(*subscription->connection);
  }
  for (WorkerId other = 0; other < worker_count_; ++other) {
    if (other == parts_.id || (interested >> other & 1) == 0) continue;
    stream->routes |= uint64_t{1} << other;
    announce_start(*stream, other, true);
  }
  count(Counter::publishes_allowed);
  log(LogEvent::publish_started, &connection, stream->name, connection.software);
  report_stream(*stream);
  report_connection(connection);
}

/// The publisher's side is over; the connection may live on.
void Worker::end_publish(Stream& stream, std::string_view reason) {
  PENSTOCK_ASSERT(stream.owned_here());
  Connection& publisher = *stream.publisher;
  control::StreamRow row = row_of(stream);
  row.ended.set(reason);
  if (!area_.ended.push(row)) count(Counter::reports_dropped);
  log(LogEvent::publish_ended, &publisher, stream.name, reason, stream.bytes_received);

  Lease ended;
  ended.kind = LeaseKind::ended;
  ended.stream_id = stream.stream_id;
  for (WorkerId other = 0; other < worker_count_; ++other) {
    if ((stream.routes >> other & 1) != 0) note(other, ended);
  }
  stream.routes = stream.gapped = stream.unannounced = 0;
  Mail release;
  release.kind = MailKind::release;
  release.stream_id = stream.stream_id;
  release.name.set(stream.name);
  send_mail(home_of(stream.name), release);

  publisher.published = nullptr;
  set_low_water(publisher, 1);
  stream.publisher = nullptr;
  --publisher_count_;
  clear_media(stream);
  stream_over(stream);
  if (stream.subscribers.empty()) {
    forget_if_unused(stream);
  } else {
    report_stream(stream);
  }
}

void Worker::clear_media(Stream& stream) {
  for (Assembly& assembly : stream.assemblies) abandon(assembly);
  drop_gop(stream);
  for (const StreamConfig& config : stream.configs) frames_.release(config.frame);
  stream.configs.clear();
  stream.config_bytes = 0;
  stream.lead_track = Stream::no_track;
  if (stream.metadata != nullptr) frames_.release(stream.metadata);
  stream.metadata = nullptr;
  stream.log.clear(frames_);
  stream.lost_frame = false;
}

/// To this worker's subscribers the publisher is gone: they are told, and wait for another.
void Worker::stream_over(Stream& stream) {
  streams_by_id_.erase(stream.stream_id);
  stream.stream_id = 0;
  stream.held_until = {};
  stream.picture_held = false;
  for (Subscription* subscription : stream.subscribers) {
    if (subscription->state == SubscriptionState::joining) joining_.erase(subscription->token);
    subscription->state = SubscriptionState::waiting;
    subscription->connection->session.publisher_went(subscription->message_stream_id);
    settle(*subscription->connection);
  }
}

void Worker::subscribe(Connection& connection, const Ask& asked) {
  // Players that wait for names which nobody publishes must not use up the room that publishers
  // need.
  const bool room = free_stream_rows_.size() > streams_by_row_.size() / 4;
  Stream* stream = room || streams_.contains(asked.name) ? stream_for(asked.name) : nullptr;
  if (stream == nullptr) {
    refuse(connection, asked, rtmp::Refusal::denied, "too many streams");
    return;
  }
  auto made = std::make_unique<Subscription>();
  Subscription* subscription = made.get();
  subscription->connection = &connection;
  subscription->stream = stream;
  subscription->message_stream_id = asked.message_stream_id;
  subscription->token = uint64_t{parts_.id} << 46 | next_token_++;
  connection.subscriptions.push_back(std::move(made));
  stream->subscribers.push_back(subscription);
  ++subscriber_count_;
  count(Counter::plays_allowed);
  log(LogEvent::play_started, &connection, stream->name, connection.software);

  const rtmp::Verdict allowed{rtmp::Refusal::none, {}};
  connection.session.answer_play(asked.message_stream_id, allowed);
  settle(connection);  // before media: the statuses come first
  if (stream->subscribers.size() == 1) announce_interest(*stream, true);
  if (stream->owned_here()) {
    send_past(*stream, *subscription);
    // Somebody watches now: what was gathered comes at once, and from now on nothing is.
    set_low_water(*stream->publisher, 1);
  } else if (stream->stream_id != 0) {
    ask_to_join(*subscription);
  }
  report_stream(*stream);
  report_connection(connection);
}

void Worker::unsubscribe(Subscription& subscription) {
  Stream& stream = *subscription.stream;
  Connection& connection = *subscription.connection;
  joining_.erase(subscription.token);
  log(LogEvent::play_ended, &connection, stream.name, {}, connection.bytes_sent);
  std::erase(stream.subscribers, &subscription);
  --subscriber_count_;
  std::erase_if(connection.subscriptions,
                [&](const auto& owned) { return owned.get() == &subscription; });
  if (connection.subscriptions.empty()) connection.egress.drop_media(frames_);
  if (stream.subscribers.empty()) announce_interest(stream, false);
  if (stream.subscribers.empty() && !stream.owned_here()) {
    forget_if_unused(stream);
  } else {
    report_stream(stream);
  }
}

/// Headers, and what there is since the last keyframe, in the order in which it came.
void Worker::send_past(Stream& stream, Subscription& subscription) {
  subscription.state = SubscriptionState::wanting_keyframe;
  subscription.lose_pictures();
  if (stream.metadata != nullptr && reads(subscription, *stream.metadata)) {
    queue(subscription, stream.metadata);
  }
  for (const StreamConfig& config : stream.configs) queue(subscription, config.frame);
  if (!stream.gop_complete) return;
  for (Frame* frame : stream.gop) deliver(subscription, frame);
}

/// Every second picture may, where the next one comes in time to take it along. Sent in pairs they
/// cost 0.6 of what they cost alone. Keyframes do not wait: somebody may have waited for one.
bool Worker::picture_may_wait(Stream& stream, const Frame& frame) const {
  if (frame.config) return false;
  const uint32_t passed_ms =
      frame.timestamp - std::exchange(stream.last_picture_ms, frame.timestamp);
  const uint32_t interval = std::min(passed_ms, Stream::picture_interval_max / 8) * 8;
  stream.picture_interval = stream.picture_interval - stream.picture_interval / 8 + interval / 8;
  return picture_hold_ns_ > 0 && !stream.picture_held && !frame.key &&
         stream.mean_frame_bytes <= hold_frame_bytes_max / 2 &&
         stream.picture_interval * (ns_per_ms / 8) < picture_hold_ns_;
}

void Worker::hold(Stream& stream, uint64_t ns) {
  holding_ = true;
  if (stream.subscribers.empty()) return;
  stream.held_until = now_.after_ns(ns);
  held_.push_back({stream.held_until, stream.stream_id});
}

/// To everybody who watches. Under load sound waits a little for the next picture, and under more
/// load every second picture for the one after it: what a send costs is hardly its bytes (two
/// frames per send cost 0.6 of two sends), and of 73 messages per second 43 are sound.
void Worker::deliver_live(Stream& stream, Frame* frame) {
  stream.mean_frame_bytes += (frame->length >> 6) - (stream.mean_frame_bytes >> 6);
  if (frame->side != SideTrack::no) {
    // Goes to some of them: nothing waits for it, and it waits for nothing.
  } else if (frame->kind == FrameKind::video) {
    if (picture_may_wait(stream, *frame)) {
      stream.picture_held = true;
      hold(stream, picture_hold_ns_);
    } else if (stream.held_until.ns != 0) {
      // Before it, and to those who do not get it, too.
      send_held(stream);
    } else {
      stream.picture_held = false;
    }
  } else if (hold_ns_ > 0 && frame->kind == FrameKind::audio && !frame->config &&
             stream.mean_frame_bytes <= hold_frame_bytes_max) {
    if (stream.held_until.ns == 0) {
      hold(stream, hold_ns_);
    } else {
      holding_ = true;
    }
  }
  if (frame->kind != FrameKind::data) [[likely]] {
    for (Subscription* subscription : stream.subscribers) deliver(*subscription, frame);
  } else {
    for (Subscription* subscription : stream.subscribers) {
      if (reads(*subscription, *frame)) deliver(*subscription, frame);
    }
  }
  holding_ = false;
}

/// No picture came in time.
void Worker::release_held() {
  while (!held_.empty() && held_.front().until <= now_) {
    const auto found = streams_by_id_.find(held_.front().stream_id);
    held_.pop_front();
    if (found == streams_by_id_.end()) continue;
    Stream& stream = *found->second;
    if (stream.held_until.ns == 0 || stream.held_until > now_) continue;  // a picture has come
    send_held(stream);
  }
}

void Worker::send_held(Stream& stream) {
  stream.held_until = {};
  stream.picture_held = false;
  for (Subscription* subscription : stream.subscribers) {
    if (!subscription->connection->egress.idle()) mark_dirty(*subscription->connection);
  }
}

void Worker::deliver(Subscription& subscription, Frame* frame) {
  if (subscription.state == SubscriptionState::waiting ||
      subscription.state == SubscriptionState::joining) {
    return;
  }
  // Headers and metadata go out whatever the peer has switched off for now: without them it could
  // not go on when it switches it on again.
  if (frame->config) {
    queue(subscription, frame);
    return;
  }
  const bool video = frame->kind == FrameKind::video;
  const bool switched_off = subscription.paused || (video && !subscription.video_wanted) ||
                            (frame->kind == FrameKind::audio && !subscription.audio_wanted);
  if (switched_off) return;
  if (frame->side != SideTrack::no) [[unlikely]]
    return deliver_side(subscription, frame);
  bool starts = subscription.state == SubscriptionState::live;
  if (video) {
    starts = frame->key || (starts && subscription.video_started);
  } else if (frame->kind == FrameKind::audio && !starts) {
    // While video flows, sound waits with it for the keyframe.
    starts = !subscription.video_wanted || !subscription.stream->has_live_video(now_);
  }
  if (!starts) {
    ++subscription.frames_skipped;
    count(Counter::frames_skipped);
    return;
  }
  subscription.state = SubscriptionState::live;
  if (video) subscription.video_started = true;
  if (frame->resumes) subscription.side_tracks.reset();
  queue(subscription, frame);
}

/// Each track has its own decoder, which starts at its own keyframe. One may come before the
/// leading track's, as the tracks of one moment come one by one.
void Worker::deliver_side(Subscription& subscription, Frame* frame) {
  if (frame->side == SideTrack::key) subscription.side_tracks.set(frame->config_key);
  if (subscription.side_tracks.test(frame->config_key)) return queue(subscription, frame);
  ++subscription.frames_skipped;
  count(Counter::frames_skipped);
}

/// Whether a subscriber may lag by this frame too. One larger than the bound passes when nothing
/// else is queued: the bound is on lag, not on keyframes.
bool Worker::fits(const Egress& egress, const Frame& frame) const {
  if (egress.idle()) return true;
  if (frame.leased != nullptr && egress.leased_frames() >= mesh_.leases_per_subscriber_max())
    return false;
  return egress.queued_bytes() + frame.length <= tunable(Tunable::subscriber_queue_bytes);
}

void Worker::queue(Subscription& subscription, Frame* frame) {
  Connection& connection = *subscription.connection;
  if (!fits(connection.egress, *frame)) {
    skip_to_keyframe(connection);
    if (!frame->config && !(frame->key && fits(connection.egress, *frame))) {
      ++subscription.frames_skipped;
      ++subscription.stream->frames_skipped;
      count(Counter::frames_skipped);
      return;
    }
    if (frame->key && subscription.state != SubscriptionState::joining) {
      subscription.state = SubscriptionState::live;
      subscription.video_started = true;
    }
  }
  if (!push(subscription, frame)) {
    want_keyframe(subscription);
    return;
  }
  subscription.stream->bytes_sent += frame->length;
  count(Counter::frames_queued);
  // Only who is sure to get the next picture waits for it.
  const bool waits = holding_ && subscription.video_started && subscription.video_wanted;
  if (!waits) mark_dirty(connection);
}

/// False when memory is used up.
bool Worker::push(Subscription& subscription, Frame* frame) {
  Egress& egress = subscription.connection->egress;
  if (subscription.message_stream_id == wire_message_stream_id) {
    egress.push(frame);
    return true;
  }
  // One player in thousands plays on another message stream: it gets a copy with its own number.
  Frame* copy = frames_.make_copy_for(*frame, subscription.message_stream_id);
  if (copy == nullptr) return false;
  egress.push(copy);
  frames_.release(copy);
  return true;
}

/// Something is missing from here on: nothing but headers until the next keyframe.
void Worker::want_keyframe(Subscription& subscription) {
  subscription.lose_pictures();
  subscription.past_lost = true;
  if (subscription.state == SubscriptionState::live) {
    subscription.state = SubscriptionState::wanting_keyframe;
  }
}

/// A peer that lags beyond its bound loses what it has not been sent, and goes on at the next
/// keyframe. Returns how many frames were dropped.
uint32_t Worker::skip_to_keyframe(Connection& connection) {
  const uint32_t dropped = connection.egress.drop_media(frames_);
  bool was_live = false;
  for (auto& subscription : connection.subscriptions) {
    const bool joining = subscription->state == SubscriptionState::joining;
    subscription->side_tracks.reset();
    if (!joining && subscription->state != SubscriptionState::live) continue;
    was_live = was_live || !joining;
    want_keyframe(*subscription);
    subscription->frames_skipped += dropped;
    subscription->stream->frames_skipped += dropped;
  }
  count(Counter::frames_skipped, dropped);
  if (!was_live) return dropped;
  count(Counter::subscribers_skipped);
  log(LogEvent::subscriber_skipped, &connection, connection.subscriptions[0]->stream->name, {},
      dropped);
  return dropped;
}

}  // namespace penstock::dataplane

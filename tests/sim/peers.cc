#include "tests/sim/peers.h"

#include <cstdio>

namespace penstock::sim {
namespace {

constexpr uint8_t type_audio = 8;
constexpr uint8_t type_video = 9;
constexpr uint8_t type_data = 18;

// An encoder that finds this much unsent waits before it makes more: nothing is dropped, so that
// order can be checked.
constexpr size_t unsent_bytes_max = 512 * 1024;

// A record that is none ends its connection at once; the rest is the way there and back.
constexpr uint64_t shown_out_ms_max = 2'000;

// "@setDataFrame" as an AMF0 string: marker, length, 13 characters. It is not relayed.
constexpr size_t set_data_frame_bytes = 16;

}  // namespace

MediaSource& Oracle::add(const std::string& name) {
  const auto id = static_cast<uint32_t>(sources.size() + 1);
  names[id] = name;
  return *(sources[id] = std::make_unique<MediaSource>(id));
}

bool RtmpPeer::step() {
  if (gone_) return false;
  read();
  if (!gone_) act();
  if (!gone_) flush();
  return !gone_;
}

void RtmpPeer::read() {
  size_t left = appetite();
  while (left > 0) {
    plain_.clear();
    const size_t bytes = way_->read(left, plain_);
    if (!failed_ && !plain_.empty()) use(plain_);
    failed_ = failed_ || way_->failed();
    if (bytes == 0) break;
    left -= bytes;
  }
  if (way_->was_reset() || (way_->at_end() && leaves_at_end())) depart(false);
}

void RtmpPeer::travel_by(std::unique_ptr<Way> way, bool has_handshake) {
  way_ = std::move(way);
  if (has_handshake) initiator_.skip_handshake();
}

void RtmpPeer::use(Bytes plain) {
  initiator_.feed(plain);
  for (;;) {
    const auto event = initiator_.next();
    if (!event) {
      failed_ = true;
      return;
    }
    if (std::holds_alternative<rtmp::InputUsed>(*event)) return;
    on_event(*event);
  }
}

void RtmpPeer::flush() {
  if (!initiator_.outbox().empty()) way_->send(initiator_.outbox().take());
  way_->flush();
}

void RtmpPeer::depart(bool with_reset) {
  if (gone_) return;
  gone_ = true;
  way_->close(with_reset);
}

void SimPublisher::on_event(const rtmp::InitiatorEvent& event) {
  if (std::holds_alternative<rtmp::Started>(event)) {
    source_ = &oracle_.add(name_);
    next_at_ = network_.now();
    return;
  }
  if (const auto* status = std::get_if<rtmp::StatusReceived>(&event)) {
    if (status->level == "error") refused_ = true;
  }
}

void SimPublisher::act() {
  if (ending_now_) return end();
  if (failed_ || (leaving_ && source_ == nullptr)) return depart(prng_.chance(500));
  if (source_ == nullptr) return;
  for (int burst = 0; burst < 20 && messages_left_ > 0 && network_.now() >= next_at_; ++burst) {
    if (way_->unsent_bytes() > unsent_bytes_max) break;
    const MediaMessage message = source_->next();
    initiator_.send(message.type, message.timestamp, message.body);
    --messages_left_;
    next_at_ = next_at_.after_ms(source_->numbers_made() <= 3 ? 0 : 10);
    flush();
  }
  if (messages_left_ == 0 || leaving_) ending_now_ = true;
}

void SimPublisher::end() {
  switch (ending_) {
    case PublisherEnding::vanishes_by_reset:
      return depart(true);
    case PublisherEnding::falls_silent:
      return;
    case PublisherEnding::sends_garbage:
      if (spoilt_at_ == Instant::never()) {
        if (way_->unsent_bytes() > 0) return;  // whole messages first
        spoilt_at_ = network_.now();
        if (way_->spoil(prng_)) oracle_.tainted.insert(name_);
      }
      if (oracle_.calm && network_.now() > spoilt_at_.after_ms(shown_out_ms_max))
        oracle_.fail("publisher of " + name_ + ": still here after what TLS does not take");
      if (leaving_) depart(true);
      return;
    case PublisherEnding::orderly:
      if (!ended_orderly_) {
        initiator_.finish();
        flush();
        way_->finish();
      }
      ended_orderly_ = true;
      flush();
      if (way_->finished()) depart(false);
      return;
  }
}

size_t SimPlayer::appetite() {
  switch (speed_) {
    case PlayerSpeed::fast:
      return SIZE_MAX;
    case PlayerSpeed::slow:
      return prng_.below(600);
    case PlayerSpeed::stalls:
      if (network_.now() < stalled_until_) return 0;
      if (prng_.chance(5)) stalled_until_ = network_.now().after_ms(prng_.below(4000));
      return SIZE_MAX;
  }
  return 0;
}

void SimPlayer::act() {
  if (leaving_ || failed_) depart(prng_.chance(300));
}

void SimPlayer::fail(const std::string& what) {
  if (oracle_.tainted.contains(name_)) return;
  oracle_.fail("player of " + name_ + ": " + what);
}

void SimPlayer::on_event(const rtmp::InitiatorEvent& event) {
  if (const auto* message = std::get_if<rtmp::MessageReceived>(&event)) check(*message);
}

void SimPlayer::check(const rtmp::MessageReceived& message) {
  if (message.type == type_data) {
    for (const auto& [id, source] : oracle_.sources) {
      if (source->numbers_made() == 0) continue;
      const MediaMessage sent = source->make(0);
      const Bytes relayed = Bytes{sent.body}.subspan(set_data_frame_bytes);
      if (std::equal(relayed.begin(), relayed.end(), message.body.begin(), message.body.end()))
        return;
    }
    // Status messages of our own, such as |RtmpSampleAccess, come as data too: not the publisher's.
    const bool metadata = as_text(message.body).find("onMetaData") != std::string_view::npos;
    if (metadata) fail("metadata that nobody published");
    return;
  }
  if (message.type != type_audio && message.type != type_video) return;
  if (message.body.empty()) return;
  MediaMark mark;
  if (!MediaSource::read_mark(message.type, message.body, mark) ||
      !oracle_.sources.contains(mark.source) ||
      mark.number >= oracle_.sources[mark.source]->numbers_made()) {
    return fail("media that nobody published");
  }
  const MediaSource& source = *oracle_.sources[mark.source];
  if (oracle_.names[mark.source] != name_) return fail("media of " + oracle_.names[mark.source]);
  const MediaMessage sent = source.make(mark.number);
  if (sent.type != message.type || sent.body.size() != message.body.size() ||
      !std::equal(sent.body.begin(), sent.body.end(), message.body.begin())) {
    const size_t common = std::min(sent.body.size(), message.body.size());
    const auto at =
        std::mismatch(message.body.begin(), message.body.begin() + static_cast<ptrdiff_t>(common),
                      sent.body.begin());
    return fail("message " + std::to_string(mark.source) + "." + std::to_string(mark.number) +
                ", " + std::to_string(message.body.size()) + " bytes of type " +
                std::to_string(message.type) + ", differs from what was published, " +
                std::to_string(sent.body.size()) + " bytes, at byte " +
                std::to_string(at.first - message.body.begin()));
  }
  if (sent.timestamp != message.timestamp) {
    return fail("timestamp " + std::to_string(message.timestamp) + " instead of " +
                std::to_string(sent.timestamp));
  }
  check_order(source, mark);
}

void SimPlayer::check_order(const MediaSource& source, const MediaMark& mark) {
  const std::string number = std::to_string(mark.source) + "." + std::to_string(mark.number);
  if (oracle_.trace) {
    std::fprintf(stderr, "%10llu us player %p %s got %s%s\n",
                 static_cast<unsigned long long>(network_.now().ns / ns_per_us),
                 static_cast<void*>(this), name_.c_str(), number.c_str(),
                 source.key(mark.number) ? " key" : "");
  }
  if (mark.source != source_) {
    if (!sources_seen_.insert(mark.source).second)
      fail("source " + std::to_string(mark.source) + " again after another");
    source_ = mark.source;
    last_number_ = last_video_ = 0;
  }
  const MediaKindSent kind = source.kind(mark.number);
  if (kind == MediaKindSent::video_config || kind == MediaKindSent::audio_config) {
    headers_.insert({mark.source, kind});  // may come again
    return;
  }
  const bool picture = kind == MediaKindSent::video;
  if (!headers_.contains(
          {mark.source, picture ? MediaKindSent::video_config : MediaKindSent::audio_config})) {
    return fail(number + " without the header that a decoder needs");
  }
  if (mark.number <= last_number_) return fail(number + " after " + std::to_string(last_number_));
  last_number_ = mark.number;
  if (kind == MediaKindSent::video) {
    if (!source.key(mark.number) && mark.previous_video != last_video_) {
      return fail(number + " needs " + std::to_string(mark.previous_video) +
                  ", and the last video was " + std::to_string(last_video_));
    }
    last_video_ = mark.number;
  }
  Got& got = got_[mark.source];
  if (source.has_video() && got.count == 0 && !source.key(mark.number)) return;
  if (got.count++ == 0) got.first = mark.number;
  got.last = mark.number;
}

void SimNoise::step() {
  uint8_t bytes[700];
  prng_.fill(bytes);
  // Every second one gets beyond the version byte, and some beyond the handshake.
  if (!begun_ && prng_.chance(700)) bytes[0] = 3;
  begun_ = true;
  if (prng_.chance(200)) peer_.write(Bytes{bytes}.first(1 + prng_.below(sizeof bytes)));
  uint8_t sink[4096];
  peer_.read(sink);
}

}  // namespace penstock::sim

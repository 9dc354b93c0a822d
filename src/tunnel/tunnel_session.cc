#include "penstock/tunnel/tunnel_session.h"

#include <algorithm>
#include <utility>

#include "penstock/base/assert.h"

namespace penstock::tunnel {
namespace {

constexpr uint8_t interval_alone[] = {1};
constexpr uint8_t zero[] = {0};

/// Of two numbers of requests that are at most half of all numbers apart.
bool is_before(uint32_t one, uint32_t other) { return static_cast<int32_t>(one - other) < 0; }

template <size_t Capacity>
bool erase(BoundedVector<TunnelSession::Tag, Capacity>& tags, TunnelSession::Tag tag) {
  for (size_t i = 0; i < tags.size(); ++i) {
    if (tags[i] != tag) continue;
    std::move(tags.begin() + i + 1, tags.end(), tags.begin() + i);
    tags.pop_back();
    return true;
  }
  return false;
}

/// The oldest makes room: of several connections that wait for one answer it is the likeliest to be
/// gone.
template <size_t Capacity>
std::optional<TunnelSession::Tag> push(BoundedVector<TunnelSession::Tag, Capacity>& tags,
                                       TunnelSession::Tag tag) {
  std::optional<TunnelSession::Tag> oldest;
  if (tags.full()) {
    oldest = tags[0];
    std::move(tags.begin() + 1, tags.end(), tags.begin());
    tags.pop_back();
  }
  tags.push_back(tag);
  return oldest;
}

}  // namespace

// Requests
// ------------------------------------------------------------------------------------------------

void TunnelSession::ask(Tag tag, RtmptVerb verb, TunnelBody body, Instant now) {
  if (over_) {
    told_.push_back({tag, 404, What::nothing, false});
    return;
  }
  asked_at_ = now;
  if (is_before(body.sequence, next_answer_)) {
    repeat(tag, body.sequence);
  } else {
    wait(tag, verb, std::move(body), now);
  }
  look_for_gap(now);
}

/// What was answered before is never done again. Of an answer older than the last one the peer has
/// told by what it asked since that it came.
void TunnelSession::repeat(Tag tag, uint32_t sequence) {
  if (!last_.there || sequence != last_.sequence) {
    told_.push_back({tag, 200, What::interval, false});
    return;
  }
  if (last_.on_its_way) (void)push(last_.tags, tag);  // the oldest has its answer
  told_.push_back({tag, 200, What::last, last_.on_its_way});
}

void TunnelSession::wait(Tag tag, RtmptVerb verb, TunnelBody body, Instant now) {
  const uint32_t sequence = body.sequence;
  if (sequence - next_answer_ >= window) {
    end(Fault::tunnel_sequence);
    told_.push_back({tag, 404, What::nothing, false});
    return;
  }
  Place& place = at(sequence);
  if (place.there) {
    if (const auto oldest = push(place.tags, tag)) {
      told_.push_back({*oldest, 503, What::nothing, false});
    }
    return;
  }
  waiting_bytes_ += body.bytes().size();
  const bool its_turn = sequence == next_body_ && reading_;
  if (!its_turn && body.owned.empty()) {
    body.owned.assign(body.run.begin(), body.run.end());
    body.run = {};
  }
  place.there = true;
  place.verb = verb;
  place.arrived_at = now;
  place.body = std::move(body);
  place.tags.push_back(tag);
  if (!its_turn && waiting_bytes_ > waiting_bytes_max) end(Fault::http_too_large);
}

bool TunnelSession::take_body(TunnelBody& body) {
  while (!over_ && reading_ && !closed_by_peer_ && next_body_ - next_answer_ < window &&
         at(next_body_).there) {
    Place& place = at(next_body_);
    ++next_body_;
    look_for_gap(asked_at_);
    if (place.verb == RtmptVerb::close) {
      closed_by_peer_ = true;  // what comes behind it is of no interest
      return false;
    }
    waiting_bytes_ -= place.body.bytes().size();
    body = std::exchange(place.body, {.sequence = next_body_ - 1});
    if (place.verb == RtmptVerb::send && !body.bytes().empty()) return true;
    settled(next_body_ - 1);
  }
  return false;
}

void TunnelSession::settled(uint32_t sequence) {
  if (is_before(settled_before_, sequence + 1)) settled_before_ = sequence + 1;
}

bool TunnelSession::has_gap() const {
  const bool answer_lost = last_.on_its_way && last_.tags.empty();
  if (answer_lost && at(next_answer_).there) return true;
  if (next_body_ - next_answer_ >= window || at(next_body_).there) return false;
  for (uint32_t later = next_body_ + 1; later - next_answer_ < window; ++later) {
    if (at(later).there) return true;
  }
  return false;
}

void TunnelSession::look_for_gap(Instant now) {
  if (!has_gap()) {
    gap_since_ = Instant::never();
  } else if (gap_since_ == Instant::never()) {
    gap_since_ = now;
  }
}

// Answers
// ------------------------------------------------------------------------------------------------

/// When the next request may be answered, if nothing else happens before.
Instant TunnelSession::answer_at() const {
  if (over_ || next_answer_ == next_body_) return Instant::never();
  const Place& place = at(next_answer_);
  if (place.verb == RtmptVerb::close) return {};
  if (last_.on_its_way) return Instant::never();
  const bool another = at(next_answer_ + 1).there;
  // Nobody waits any more: the peer asks again, or has gone on by itself.
  if (place.tags.empty()) return another ? Instant{} : Instant::never();
  if (place.verb == RtmptVerb::send) {
    return is_before(next_answer_, settled_before_) ? Instant{} : Instant::never();
  }
  if (!queue_.empty() || finishing_ || another) return {};
  const uint64_t interval_ms = uint64_t{interval_.if_empty()} * 1000 / 64;
  return place.arrived_at.after_ms(std::min(interval_ms, hold_ms_max));
}

bool TunnelSession::take_answer(Answer& answer, Instant now) {
  if (told_count_ == told_.size()) {
    told_.clear();
    told_count_ = 0;
    while (told_.empty() && answer_at() <= now) answer_next();
    if (told_.empty()) return false;
  }
  const Told& told = told_[told_count_++];
  answer = {.tag = told.tag, .status = told.status, .counts = told.counts};
  if (told.what == What::last) answer.body = last_.body;
  if (told.what == What::interval) answer.body = interval_alone;
  if (told.what == What::zero) answer.body = zero;
  return true;
}

void TunnelSession::answer_next() {
  Place& place = at(next_answer_);
  if (place.verb == RtmptVerb::close) {
    for (const Tag tag : place.tags) told_.push_back({tag, 200, What::zero, false});
    place = {};
    end();
    return;
  }
  const bool nobody = place.tags.empty();
  if (finishing_ && queue_.empty() && !nobody) {
    end();
    return;
  }
  const bool with_data = !queue_.empty() && !nobody;
  if (with_data) {
    last_.body.swap(queue_.front());
    spare_.swap(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= last_.body.size() - 1;
  } else {
    last_.body.resize(1);
  }
  // A publisher that sends is not idle, though it is answered with nothing.
  last_.body[0] = interval_.next(with_data || place.verb == RtmptVerb::send);
  last_.there = true;
  last_.sequence = next_answer_;
  last_.on_its_way = with_data;
  last_.tags.clear();
  for (const Tag tag : place.tags) {
    told_.push_back({tag, 200, What::last, with_data});
    if (with_data) last_.tags.push_back(tag);
  }
  place = {};
  ++next_answer_;
}

void TunnelSession::written(Tag tag) {
  if (!last_.on_its_way || !erase(last_.tags, tag)) return;
  last_.on_its_way = false;
  last_.tags.clear();
  sent_bytes_ += static_cast<uint32_t>(last_.body.size() - 1);
  look_for_gap(asked_at_);
}

void TunnelSession::lost(Tag tag, Instant now) {
  const auto untaken = told_.begin() + static_cast<ptrdiff_t>(told_count_);
  told_.erase(
      std::remove_if(untaken, told_.end(), [&](const Told& told) { return told.tag == tag; }),
      told_.end());
  if (!erase(last_.tags, tag)) {
    for (Place& place : places_) {
      if (erase(place.tags, tag)) break;
    }
  }
  look_for_gap(now);
}

// Downstream, and the end
// ------------------------------------------------------------------------------------------------

void TunnelSession::send(Bytes bytes) {
  if (over_) return;
  queued_bytes_ += bytes.size();
  while (!bytes.empty()) {
    if (queue_.empty() || queue_.back().size() > answer_bytes_max) {
      queue_.push_back(std::exchange(spare_, {}));
      queue_.back().assign(1, 0);
    }
    std::vector<uint8_t>& last = queue_.back();
    const size_t count = std::min(bytes.size(), answer_bytes_max + 1 - last.size());
    last.insert(last.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  }
}

uint32_t TunnelSession::take_sent() { return std::exchange(sent_bytes_, 0); }

void TunnelSession::end(std::optional<Fault> fault) {
  if (over_) return;
  over_ = true;
  fault_ = fault;
  for (Place& place : places_) {
    for (const Tag tag : place.tags) told_.push_back({tag, 404, What::nothing, false});
    place = {};
  }
  queue_.clear();
  queued_bytes_ = 0;
}

bool TunnelSession::anybody_waits() const {
  return std::ranges::any_of(places_, [](const Place& place) { return !place.tags.empty(); });
}

void TunnelSession::expire(Instant now) {
  if (over_) return;
  if (gap_since_.after_ms(gap_ms) <= now) return end(Fault::tunnel_sequence);
  if (anybody_waits() || asked_at_.after_ms(idle_ms_) > now) return;
  if (finishing_) return end();
  end(Fault::tunnel_timeout);
}

Instant TunnelSession::deadline() const {
  if (over_) return Instant::never();
  const Instant silent = anybody_waits() ? Instant::never() : asked_at_.after_ms(idle_ms_);
  return std::min({answer_at(), gap_since_.after_ms(gap_ms), silent});
}

}  // namespace penstock::tunnel

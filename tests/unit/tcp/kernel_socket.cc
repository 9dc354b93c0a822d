#include <algorithm>

#include "tests/unit/tcp/kernel_peer.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint64_t wait_min_ns = 40 * ns_per_ms;   // TCP_ATO_MIN
constexpr uint64_t wait_max_ns = 200 * ns_per_ms;  // TCP_DELACK_MAX
constexpr uint64_t limited_ns = 500 * ns_per_ms;   // tcp_invalid_ratelimit
constexpr uint64_t compressed_ns = ns_per_ms;      // tcp_comp_sack_delay_ns
// Of the process: a reset may be lost, and a socket that waits to be told something asks nobody.
constexpr uint64_t process_patience_ns = 300 * ns_per_s;
constexpr uint32_t first_window = 65535;

}  // namespace

KernelSocket::KernelSocket(const KernelOptions& options, const FlowKey& flow, Talk& talk,
                           uint64_t seed, Instant now)
    : options_(options),
      flow_(flow),
      talk_(talk),
      prng_(seed),
      timestamps_(options.timestamps),
      sack_(options.sack),
      scaling_(options.scaling),
      stamp_offset_(static_cast<uint32_t>(prng_.next())),
      own_first_(static_cast<uint32_t>(prng_.next())),
      patience_until_(now.after_ns(process_patience_ns)),
      last_received_(now) {
  if (prng_.chance(500)) own_first_ |= 0xffff0000;  // wraps soon
  const size_t ip = flow.ipv6() ? ipv6_bytes : ipv4_bytes;
  mss_ = options.addresses.mtu - ip - tcp_bytes;
}

// Handshake -------------------------------------------------------------------------------------

void KernelSocket::emit_syn(Instant now) {
  Out out;
  SegmentOut& segment = out.segment;
  const bool answers = state_ == State::syn_received;
  segment.sequence = own_first_;
  segment.flags = answers ? flag::syn | flag::ack : flag::syn;
  segment.acknowledgment = answers ? peer_first_ + 1 : 0;
  segment.window = 64240;
  TcpOptions& offered = segment.options;
  const size_t ip = flow_.ipv6() ? ipv6_bytes : ipv4_bytes;
  offered.segment_bytes_max = static_cast<uint16_t>(options_.addresses.mtu - ip - tcp_bytes);
  offered.sack_permitted = sack_;
  offered.has_timestamps = timestamps_;
  offered.timestamp = stamp(now);
  offered.timestamp_echo = answers ? stamp_recent_ : 0;
  if (scaling_) offered.window_scale = own_scale;
  offered_ = 1 + first_window;
  timeout_at_ = now.after_ns(ns_per_s << backoff_);
  out_.push_back(std::move(out));
}

void KernelSocket::connect(Instant now) {
  next_ = 1;
  emit_syn(now);
}

void KernelSocket::take_options(const TcpOptions& options) {
  timestamps_ = timestamps_ && options.has_timestamps;
  sack_ = sack_ && options.sack_permitted;
  scaling_ = scaling_ && options.window_scale != TcpOptions::no_window_scale;
  peer_scale_ = scaling_ ? options.window_scale : uint8_t{0};
  const uint64_t said = options.segment_bytes_max == 0 ? 536 : options.segment_bytes_max;
  mss_ = std::min(mss_, said);
  stamp_recent_ = options.timestamp;
}

void KernelSocket::accept(const SegmentIn& syn, Instant now) {
  state_ = State::syn_received;
  peer_first_ = syn.sequence;
  expected_ = window_up_ = 1;
  next_ = 1;
  take_options(syn.options);
  window_end_ = 1 + syn.window;
  emit_syn(now);
}

void KernelSocket::receive_syn_sent(const SegmentIn& segment, Instant now) {
  const bool acknowledges = segment.has(flag::ack) && segment.acknowledgment == own_first_ + 1;
  if (segment.has(flag::rst)) {
    if (acknowledges) end(EndReason::refused, false);
    return;
  }
  if (!segment.has(flag::syn | flag::ack) || !acknowledges) return;
  peer_first_ = segment.sequence;
  expected_ = window_up_ = 1;
  take_options(segment.options);
  unacked_ = 1;
  window_end_ = 1 + segment.window;
  state_ = State::open;
  talk_.connected_ = true;
  backoff_ = tries_ = 0;
  timeout_at_ = Instant::never();
  ack_now(now);
}

// Receiving -------------------------------------------------------------------------------------

void KernelSocket::receive(const SegmentIn& segment, Instant now) {
  if (state_ == State::closed) return;
  patience_until_ = now.after_ns(process_patience_ns);
  if (through()) {
    // TIME_WAIT, or nothing any more; what was received can be read all the same.
    if (segment.sequence_bytes() > 0 && !segment.has(flag::rst)) emit_limited_ack(now);
    return;
  }
  if (state_ == State::syn_sent) return receive_syn_sent(segment, now);
  const uint64_t begin = unwrapped(segment.sequence, peer_first_, expected_);
  if (state_ == State::syn_received && segment.has(flag::syn) && !segment.has(flag::ack)) {
    return emit_syn(now);
  }
  if (!acceptable(segment, begin, now)) return;
  if (segment.has(flag::rst)) {
    if (begin == expected_) return end(EndReason::reset, false);
    return emit_limited_ack(now);
  }
  if (segment.has(flag::syn)) return emit_limited_ack(now);
  if (!segment.has(flag::ack)) return;
  if (timestamps_ && !below(window_up_, begin) &&
      at_or_after(segment.options.timestamp, stamp_recent_)) {
    stamp_recent_ = segment.options.timestamp;
  }
  if (state_ == State::syn_received) {
    if (segment.acknowledgment != own_first_ + 1) return;
    state_ = State::open;
    talk_.connected_ = true;
    unacked_ = 1;
    backoff_ = tries_ = 0;
    timeout_at_ = Instant::never();
  }
  receive_ack(segment, begin, now);
  if (state_ == State::closed) return;
  if (!segment.payload.empty() || segment.has(flag::fin)) receive_data(segment, begin, now);
  push(now);
}

/// tcp_validate_incoming().
bool KernelSocket::acceptable(const SegmentIn& segment, uint64_t begin, Instant now) {
  const uint64_t length = segment.sequence_bytes();
  if (timestamps_ && segment.options.has_timestamps && !segment.has(flag::rst) &&
      before(segment.options.timestamp, stamp_recent_)) {
    // A bare ACK that is a little late is let through (tcp_disordered_ack).
    const bool disordered = segment.sequence_bytes() == 0 && begin == expected_;
    if (!disordered) {
      emit_limited_ack(now);
      return false;
    }
  }
  const uint64_t edge = std::max(offered_, expected_);
  if (below(begin + length, window_up_) || below(edge, begin)) {
    if (segment.has(flag::rst)) return false;
    if (length == 0) {
      emit_limited_ack(now);
    } else {
      if (sack_ && !segment.payload.empty() && !below(expected_, begin + length)) {
        duplicate_ = {static_cast<uint32_t>(begin), static_cast<uint32_t>(begin + length)};
        has_duplicate_ = true;
      }
      ack_now(now);
    }
    return false;
  }
  return true;
}

void KernelSocket::receive_data(const SegmentIn& segment, uint64_t begin, Instant now) {
  Bytes bytes = segment.payload;
  const uint64_t end_at = begin + bytes.size();
  if (orphan_ && !bytes.empty() && below(expected_, end_at)) return end(EndReason::ours, true);
  if (!bytes.empty()) largest_ = std::clamp<uint64_t>(bytes.size(), largest_, mss());
  if (segment.has(flag::fin)) fin_at_ = end_at;
  if (!below(expected_, end_at) && !bytes.empty()) {
    // Out of the past (tcp_data_queue).
    quick_ = 16;
    if (sack_) {
      duplicate_ = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end_at)};
      has_duplicate_ = true;
    }
    ack_now(now);
    return;
  }
  const uint64_t edge = std::max(offered_, expected_);
  if (below(edge, end_at)) bytes = bytes.first(below(begin, edge) ? edge - begin : 0);
  if (below(expected_, begin)) {
    queue_beyond(begin, bytes, now);
    return;
  }
  const uint64_t old = expected_ - begin;
  const bool holes = !beyond_.empty();
  if (old <= bytes.size()) {
    for (const uint8_t byte : bytes.subspan(old)) unread_.push_back(byte);
    expected_ += bytes.size() - old;
  }
  if (options_.autotunes) slow_window_ += static_cast<uint32_t>(2 * bytes.size());
  for (auto at = beyond_.begin(); at != beyond_.end() && !below(expected_, at->first);) {
    const uint64_t skip = expected_ - at->first;
    if (skip < at->second.size()) {
      for (size_t i = skip; i < at->second.size(); ++i) unread_.push_back(at->second[i]);
      expected_ += at->second.size() - skip;
    }
    beyond_bytes_ -= at->second.size();
    at = beyond_.erase(at);
  }
  std::erase_if(recent_, [&](const SequenceRange& range) {
    return at_or_before(range.end, static_cast<uint32_t>(expected_));
  });
  if (fin_at_ == expected_ && !fin_received_) {
    fin_received_ = true;
    ++expected_;
    ack_now(now);
    if (orphan_ && fin_acked_) end(EndReason::ours, false);
    return;
  }
  if (holes) {
    ack_now(now);
  } else {
    ack_soon(now);
  }
}

void KernelSocket::queue_beyond(uint64_t begin, Bytes bytes, Instant now) {
  if (bytes.empty()) return ack_now(now);
  const auto end_at = begin + bytes.size();
  if (options_.prunes && beyond_bytes_ > 64 * 1024 && prng_.chance(50)) {
    // Reneged: it was SACKed, and is gone (RFC 2018: 8 allows it).
    beyond_.clear();
    beyond_bytes_ = 0;
    recent_.clear();
  }
  auto& place = beyond_[begin];
  if (place.size() < bytes.size()) {
    beyond_bytes_ += bytes.size() - place.size();
    place.assign(bytes.begin(), bytes.end());
  } else if (sack_) {
    duplicate_ = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end_at)};
    has_duplicate_ = true;
  }
  SequenceRange range{static_cast<uint32_t>(begin), static_cast<uint32_t>(end_at)};
  for (bool again = true; again;) {
    again = false;
    for (auto other = recent_.begin(); other != recent_.end(); ++other) {
      if (after(other->begin, range.end) || before(other->end, range.begin)) continue;
      range = {earlier_of(range.begin, other->begin), later_of(range.end, other->end)};
      recent_.erase(other);
      again = true;
      break;
    }
  }
  recent_.insert(recent_.begin(), range);
  if (recent_.size() > 4) recent_.pop_back();
  // __tcp_ack_snd_check(): the first three at once, then at most one a millisecond.
  if (!sack_ || has_duplicate_ || ++same_acks_ <= 3 || ++compressed_ > 44) return ack_now(now);
  const uint64_t patience = smoothed_ns_ == 0 ? compressed_ns : smoothed_ns_ / 20;
  if (compressed_at_ == Instant::never()) {
    compressed_at_ = now.after_ns(std::min(compressed_ns, patience));
  }
}

void KernelSocket::ack_soon(Instant now) {
  const uint64_t gap = now.since(last_received_);
  last_received_ = now;
  if (gap <= wait_min_ns / 2) {
    wait_ns_ = wait_ns_ / 2 + wait_min_ns / 2;
  } else if (gap < wait_ns_) {
    wait_ns_ = std::min(wait_ns_ / 2 + gap, wait_max_ns);
  }
  const bool quick = quick_ > 0 && !pingpong_;
  if (expected_ - window_up_ > largest_ || quick) return ack_now(now);
  if (ack_at_ == Instant::never()) {
    ack_at_ = now.after_ns(pingpong_ ? std::min(wait_ns_, wait_max_ns) : wait_min_ns);
  }
}

void KernelSocket::ack_now(Instant now) { emit_ack(now); }

void KernelSocket::emit_limited_ack(Instant now) {
  if (limited_at_ != Instant{} && now.since(limited_at_) < limited_ns) return;
  limited_at_ = now;
  emit_ack(now);
}

/// __tcp_select_window().
uint32_t KernelSocket::select_window() {
  const uint64_t most = scaling_ ? options_.window_max : 65535;
  const uint64_t held = unread_.size() + beyond_bytes_;
  uint64_t room = most > held ? most - held : 0;
  if (room < most / 16 || room < largest_) room = 0;
  room = std::min<uint64_t>(room, slow_window_);
  uint64_t edge = expected_ + room;
  if (below(edge, offered_)) edge = offered_;
  const uint8_t scale = scaling_ ? own_scale : uint8_t{0};
  const uint64_t said = std::min<uint64_t>((edge - expected_ + (1u << scale) - 1) >> scale, 0xffff);
  offered_ = std::max(offered_, expected_ + (said << scale));
  return static_cast<uint32_t>(said);
}

}  // namespace penstock::engine::tcp

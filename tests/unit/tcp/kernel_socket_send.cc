#include <algorithm>

#include "tests/unit/tcp/kernel_peer.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint64_t rto_min_ns = 200 * ns_per_ms;
constexpr uint64_t rto_max_ns = 120 * ns_per_s;
constexpr uint64_t wait_min_ns = 40 * ns_per_ms;  // TCP_ATO_MIN
constexpr uint64_t orphan_ns = 60 * ns_per_s;     // tcp_fin_timeout
constexpr int tries_max = 15;                     // tcp_retries2
constexpr int syn_tries_max = 8;

}  // namespace

// Sending ---------------------------------------------------------------------------------------

void KernelSocket::emit(uint64_t begin, uint64_t end_at, uint8_t flags, Instant now) {
  Out out;
  SegmentOut& segment = out.segment;
  segment.sequence = own_first_ + static_cast<uint32_t>(begin);
  segment.acknowledgment = peer_first_ + static_cast<uint32_t>(expected_);
  segment.flags = flags;
  segment.window = static_cast<uint16_t>(select_window());
  segment.options.has_timestamps = timestamps_;
  segment.options.timestamp = stamp(now);
  segment.options.timestamp_echo = stamp_recent_;
  out.payload.resize(end_at - begin);
  talk_.fill(begin - 1, out.payload);
  const uint8_t room = timestamps_ ? 3 : 4;
  if (sack_ && end_at == begin) {
    TcpOptions& to = segment.options;
    const auto add = [&](SequenceRange range) {
      if (to.sack_count == room) return;
      to.sacks[to.sack_count++] = {range.begin + peer_first_, range.end + peer_first_};
    };
    if (has_duplicate_) add(duplicate_);
    for (const SequenceRange& range : recent_) add(range);
    has_duplicate_ = false;
  }
  out_.push_back(std::move(out));
  window_up_ = expected_;
  ack_at_ = compressed_at_ = Instant::never();
  compressed_ = 0;
  if (beyond_.empty()) same_acks_ = 0;
  if (quick_ > 0) --quick_;
}

void KernelSocket::emit_ack(Instant now) { emit(next_, next_, flag::ack, now); }

uint64_t KernelSocket::in_flight() const {
  return static_cast<uint64_t>(std::count_if(
      sent_.begin(), sent_.end(), [](const Sent& sent) { return !sent.sacked && !sent.lost; }));
}

uint64_t KernelSocket::rto_ns() const {
  const uint64_t once =
      smoothed_ns_ == 0 ? ns_per_s : smoothed_ns_ + std::max(4 * variation_ns_, rto_min_ns);
  return std::min(once << std::min(backoff_, 12), rto_max_ns);
}

void KernelSocket::sample(uint64_t rtt_ns) {
  rtt_ns = std::max<uint64_t>(rtt_ns, 1);
  least_ns_ = std::min(least_ns_, rtt_ns);
  if (smoothed_ns_ == 0) {
    smoothed_ns_ = rtt_ns;
    variation_ns_ = rtt_ns / 2;
    return;
  }
  const uint64_t off = smoothed_ns_ > rtt_ns ? smoothed_ns_ - rtt_ns : rtt_ns - smoothed_ns_;
  variation_ns_ = (3 * variation_ns_ + off) / 4;
  smoothed_ns_ = (7 * smoothed_ns_ + rtt_ns) / 8;
}

void KernelSocket::delivered(Sent& sent, Instant now, Instant& newest, uint64_t& newest_end) {
  if (!sent.again) sample(now.since(sent.at));
  if (sent.again && now.since(sent.at) < least_ns_) return;
  if (newest < sent.at || (newest == sent.at && newest_end < sent.end)) {
    newest = sent.at;
    newest_end = sent.end;
    rack_rtt_ns_ = now.since(sent.at);
  }
}

void KernelSocket::take_sacks(const SegmentIn& segment, Instant& newest, uint64_t& newest_end,
                              Instant now) {
  for (uint8_t i = 0; sack_ && i < segment.options.sack_count; ++i) {
    const SequenceRange& range = segment.options.sacks[i];
    const uint64_t begin = unwrapped(range.begin, own_first_, unacked_);
    const uint64_t end_at = unwrapped(range.end, own_first_, unacked_);
    if (!below(begin, end_at) || below(begin, unacked_) || below(next_, end_at)) continue;
    for (Sent& sent : sent_) {
      if (sent.sacked || below(sent.begin, begin) || below(end_at, sent.end)) continue;
      delivered(sent, now, newest, newest_end);
      sent.sacked = true;
      sent.lost = false;
    }
  }
}

void KernelSocket::grow(uint64_t acked) {
  if (recovering_) return;
  const double count = static_cast<double>(acked) / static_cast<double>(mss());
  if (congestion_ < threshold_) {
    congestion_ += count;
  } else {
    congestion_ += count / congestion_;
  }
}

void KernelSocket::receive_ack(const SegmentIn& segment, uint64_t begin, Instant now) {
  const uint64_t acked_to = unwrapped(segment.acknowledgment, own_first_, unacked_);
  if (below(next_, acked_to)) return emit_limited_ack(now);
  if (below(acked_to, unacked_)) return;
  const uint64_t window_end = acked_to + (uint64_t{segment.window} << peer_scale_);
  const bool opens = !below(window_end, window_end_);
  const bool same = window_end == window_end_ && acked_to == unacked_;
  if (opens || !below(begin, expected_)) window_end_ = window_end;
  last_received_ = now;
  Instant newest = rack_newest_;
  uint64_t newest_end = rack_newest_end_;
  const uint64_t acked = acked_to - unacked_;
  while (!sent_.empty() && !below(acked_to, sent_.front().end)) {
    Sent& sent = sent_.front();
    if (!sent.sacked) delivered(sent, now, newest, newest_end);
    sent_.pop_front();
  }
  if (!sent_.empty() && below(sent_.front().begin, acked_to)) sent_.front().begin = acked_to;
  unacked_ = acked_to;
  take_sacks(segment, newest, newest_end, now);
  rack_newest_ = newest;
  rack_newest_end_ = newest_end;
  if (acked > 0) {
    backoff_ = tries_ = 0;
    duplicate_acks_ = 0;
    grow(acked);
    if (recovering_ && !below(unacked_, recovery_end_)) recovering_ = after_timeout_ = false;
    if (recovering_ && !sack_ && !sent_.empty() && !after_timeout_) sent_.front().lost = true;
    probe_out_ = false;
  } else if (same && segment.payload.empty() && !sent_.empty() && !sack_) {
    if (++duplicate_acks_ == 3 && !recovering_) {
      sent_.front().lost = true;
      recovering_ = true;
      recovery_end_ = next_;
      threshold_ = congestion_ = std::max(congestion_ * 0.7, 2.0);
    }
  }
  if (sack_) find_lost(newest, newest_end, now);
  if (fin_sent_ && unacked_ == next_) {
    fin_acked_ = true;
    if (orphan_ && fin_received_) return end(EndReason::ours, false);
  }
  if (acked > 0 || sent_.empty()) arm(now);
}

/// RACK, as tcp_rack_detect_loss() has it.
void KernelSocket::find_lost(Instant newest, uint64_t newest_end, Instant now) {
  if (newest == Instant{}) return;
  const auto sacked = std::count_if(sent_.begin(), sent_.end(), [](auto& s) { return s.sacked; });
  const uint64_t patience = recovering_ || sacked >= 3 ? 0 : std::min(least_ns_ / 4, smoothed_ns_);
  rack_at_ = Instant::never();
  bool found = false;
  for (Sent& sent : sent_) {
    if (sent.sacked || sent.lost) continue;
    const bool older = sent.at < newest || (sent.at == newest && sent.end < newest_end);
    if (!older) continue;
    const Instant due = sent.at.after_ns(rack_rtt_ns_ + patience);
    if (due <= now) {
      sent.lost = true;
      found = true;
    } else {
      rack_at_ = std::min(rack_at_, due);
    }
  }
  if (!found || recovering_) return;
  recovering_ = true;
  recovery_end_ = next_;
  threshold_ = congestion_ = std::max(congestion_ * 0.7, 2.0);
}

void KernelSocket::resend(Sent& sent, Instant now) {
  sent.at = now;
  sent.again = true;
  sent.lost = false;
  const bool fin = fin_sent_ && sent.end == next_;
  const auto flags = static_cast<uint8_t>(flag::ack | (fin ? flag::fin : 0));
  emit(sent.begin, sent.end - (fin ? 1 : 0), flags, now);
}

bool KernelSocket::push_new(Instant now) {
  if (fin_sent_) return false;
  const uint64_t unsent = end_of_data() - next_;
  if (unsent == 0) {
    if (!fin_wanted_) return false;
    fin_sent_ = true;
    sent_.push_back({next_, next_ + 1, now});
    emit(next_, next_, flag::ack | flag::fin, now);
    ++next_;
    return true;
  }
  if (static_cast<double>(in_flight()) >= congestion_) return false;
  const uint64_t room = below(next_, window_end_) ? window_end_ - next_ : 0;
  const uint64_t size = std::min({unsent, room, mss()});
  if (size == 0) return false;
  if (size < mss() && !sent_.empty() && (!options_.nodelay || size < unsent)) return false;
  sent_.push_back({next_, next_ + size, now});
  const bool last = size == unsent;
  emit(next_, next_ + size, static_cast<uint8_t>(flag::ack | (last ? flag::psh : 0)), now);
  next_ += size;
  pingpong_ = now.since(last_received_) < wait_ns_;
  return true;
}

void KernelSocket::push(Instant now) {
  if (state_ != State::open) return;
  bool any = false;
  for (Sent& sent : sent_) {
    if (!sent.lost || sent.sacked) continue;
    if (static_cast<double>(in_flight()) >= congestion_ && in_flight() > 0) break;
    resend(sent, now);
    any = true;
  }
  while (push_new(now)) any = true;
  if (any || (timeout_at_ == Instant::never() && end_of_data() > next_)) arm(now);
}

/// The timeout, and the tail's probe before it; with nothing on its way, the closed window's probe.
void KernelSocket::arm(Instant now) {
  probe_at_ = Instant::never();
  timeout_at_ = Instant::never();
  if (state_ != State::open) return;
  if (sent_.empty()) {
    if (end_of_data() > next_) timeout_at_ = now.after_ns(rto_ns());
    return;
  }
  timeout_at_ = now.after_ns(rto_ns());
  if (sack_ && !recovering_ && !probe_out_ && backoff_ == 0) {
    uint64_t patience = smoothed_ns_ == 0 ? ns_per_s : 2 * smoothed_ns_ + 2 * ns_per_ms;
    if (in_flight() == 1) patience += rto_min_ns;
    const Instant at = now.after_ns(patience);
    if (at < timeout_at_) probe_at_ = at;
  }
}

Instant KernelSocket::deadline() const {
  if (over()) return Instant::never();
  if (through()) return talk_.read_again_at_;
  return std::min({timeout_at_, probe_at_, rack_at_, ack_at_, compressed_at_, orphan_until_,
                   patience_until_, talk_.read_again_at_});
}

void KernelSocket::expire(Instant now) {
  if (over() || through()) return;
  if (orphan_until_ <= now) return end(EndReason::ours, false);
  if (patience_until_ <= now) return end(EndReason::timeout, true);
  if (ack_at_ <= now || compressed_at_ <= now) {
    if (ack_at_ <= now) {
      // tcp_delack_timer_handler(): waited for nothing.
      if (pingpong_) {
        pingpong_ = false;
        wait_ns_ = wait_min_ns;
      } else {
        wait_ns_ = std::min(wait_ns_ * 2, rto_ns());
      }
    }
    emit_ack(now);
  }
  if (rack_at_ <= now) {
    rack_at_ = Instant::never();
    find_lost(rack_newest_, rack_newest_end_, now);
    push(now);
  }
  if (probe_at_ <= now) {
    probe_at_ = Instant::never();
    probe_out_ = true;
    const double kept = congestion_;
    congestion_ = 1e9;
    if (!push_new(now)) {
      for (auto sent = sent_.rbegin(); sent != sent_.rend(); ++sent) {
        if (sent->sacked) continue;
        resend(*sent, now);
        break;
      }
    }
    congestion_ = kept;
    timeout_at_ = now.after_ns(rto_ns());
  }
  if (timeout_at_ > now) return;
  if (state_ != State::open) {
    if (++backoff_ > syn_tries_max) return end(EndReason::timeout, false);
    return emit_syn(now);
  }
  if (++tries_ > tries_max) return end(EndReason::timeout, false);
  ++backoff_;
  if (sent_.empty()) {
    if (end_of_data() > next_) {
      timeout_at_ = now.after_ns(rto_ns());
      if (!push_new(now)) {
        // tcp_xmit_probe_skb(): an old number and nothing else.
        emit(unacked_, unacked_, flag::ack, now);
        out_.back().segment.sequence = own_first_ + static_cast<uint32_t>(unacked_ - 1);
      }
    } else {
      timeout_at_ = Instant::never();
    }
    return;
  }
  if (!after_timeout_) threshold_ = std::max(congestion_ * 0.7, 2.0);
  congestion_ = 1;
  after_timeout_ = recovering_ = true;
  recovery_end_ = next_;
  const bool reneged = sent_.front().sacked;
  for (Sent& sent : sent_) {
    if (reneged) sent.sacked = false;
    sent.lost = !sent.sacked;
  }
  push(now);
  timeout_at_ = now.after_ns(rto_ns());
}

// The process -----------------------------------------------------------------------------------

void KernelSocket::end(EndReason reason, bool reset) {
  if (state_ == State::closed) return;
  if (reset) emit(next_, next_, flag::rst | flag::ack, last_received_);
  const bool graceful = fin_acked_ && fin_received_;
  state_ = graceful ? State::time_wait : State::closed;
  if (!talk_.closed_) talk_.closed_ = reason;
}

/// close(): a reset when something is unread, else an end that nobody waits for.
void KernelSocket::orphan(Instant now) {
  if (orphan_) return;
  orphan_ = true;
  const bool unread = !unread_.empty();
  if (!talk_.closed_) talk_.closed_ = EndReason::ours;
  if (unread || state_ != State::open) return end(EndReason::ours, state_ == State::open);
  fin_wanted_ = true;
  orphan_until_ = now.after_ns(orphan_ns);
  push(now);
  if (fin_acked_ && fin_received_) end(EndReason::ours, false);
}

void KernelSocket::use(Instant now) {
  if (over() || orphan_ || state_ != State::open) return;
  if (talk_.plan() != nullptr) {
    const SidePlan& plan = talk_.own();
    if (talk_.reading_ && prng_.chance(plan.pauses_per_1000)) {
      talk_.reading_ = false;
      talk_.read_again_at_ = now.after_ms(1 + prng_.below(500));
    } else if (!talk_.reading_ && talk_.read_again_at_ <= now) {
      talk_.reading_ = true;
      talk_.read_again_at_ = Instant::never();
    }
  }
  if (talk_.reading_ && !unread_.empty()) {
    const std::vector<uint8_t> bytes(unread_.begin(), unread_.end());
    unread_.clear();
    talk_.received(bytes);
    // tcp_cleanup_rbuf(): tells of room that has doubled.
    const uint64_t said = below(expected_, offered_) ? offered_ - expected_ : 0;
    const uint64_t could = std::min<uint64_t>(slow_window_, scaling_ ? options_.window_max : 65535);
    if (expected_ - window_up_ > largest_ || (2 * said <= could && !fin_received_)) emit_ack(now);
  }
  if (fin_received_ && unread_.empty()) talk_.ended_ = true;
  if (talk_.wants_close() || (talk_.plan() == nullptr && talk_.ended_)) return orphan(now);
  if (talk_.plan() == nullptr) return;
  const uint64_t allowed = talk_.writable(now);
  // A send buffer of 256 KiB.
  while (talk_.written_ < allowed && end_of_data() - unacked_ < 256 * 1024) {
    talk_.written_ +=
        std::min(allowed - talk_.written_, 1 + prng_.below(talk_.own().write_bytes_max));
    if (prng_.chance(300)) push(now);
  }
  if (talk_.all_written()) {
    fin_wanted_ = true;
    talk_.finished_ = true;
  }
  push(now);
  if (talk_.ended_ && fin_acked_) end(EndReason::ours, false);
}

}  // namespace penstock::engine::tcp

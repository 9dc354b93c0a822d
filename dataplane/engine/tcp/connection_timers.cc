#include <algorithm>

#include "dataplane/engine/tcp/connection.h"

namespace penstock::engine::tcp {
namespace {

// RFC 8985 (7.2): what a peer may hold back an ACK for, when only one segment is out.
constexpr uint64_t peer_ack_delay_ns = 200 * ns_per_ms;
// Beside twice the round trip: a turn of the other end's loop.
constexpr uint64_t tail_probe_slack_ns = 2 * ns_per_ms;

// 200 ms doubled so often is more than timeout_max_ns.
constexpr uint8_t backoff_max = 10;

// Six probes before a silent peer is given up, as long as that is between 1 s and 15 s each.
uint64_t keepalive_interval_ns(const StackOptions& options) {
  return std::clamp(options.user_timeout_ns / 6, ns_per_s, 15 * ns_per_s);
}

}  // namespace

void Connection::expire(Instant now) {
  if (gone()) return;
  if (acknowledge_at_ <= now) {
    acknowledge_at_ = Instant::never();
    want_ack(true, now);
  }
  if (retransmit_at_ <= now) expire_retransmit(now);
  if (!gone() && idle_at_ <= now) expire_idle(now);
}

/// Doubled with every timeout (RFC 6298: 5.5), but not beyond a sixth of the time after which the
/// peer is given up: an encoder whose link comes back after 30 s is to be heard before that, and
/// the last tries would otherwise be 20 s apart. RFC 6298 (2.5) would let it grow to 60 s.
uint64_t Connection::timeout_ns() const {
  const uint64_t once = rtt_.timeout_ns();
  const uint64_t most =
      std::clamp(parts_->options.user_timeout_ns / 6, ns_per_s, RttEstimator::timeout_max_ns);
  return std::min(once << std::min(backoff_, backoff_max), std::max(once, most));
}

/// RFC 8985: 7.2.
uint64_t Connection::tail_probe_ns() const {
  if (!rtt_.known()) return ns_per_s;
  return 2 * rtt_.smoothed_ns() + tail_probe_slack_ns +
         (scoreboard_.in_flight() == 1 ? peer_ack_delay_ns : 0);
}

/// When the timeout is, or the end of patience with a peer that acknowledges nothing.
Instant Connection::timeout_at(Instant from) const {
  const Instant given_up = progress_at_.after_ns(parts_->options.user_timeout_ns);
  const Instant at = from.after_ns(timeout_ns());
  return from < given_up ? std::min(at, given_up) : at;
}

/// Chooses the one timer that watches over what was sent: what is late by RACK's measure, then a
/// probe of the tail, then the timeout (RFC 6298: 5, RFC 8985: 6.3 and 7). The timeout counts from
/// the last delivery, the others from now.
void Connection::arm_retransmit(Instant now) {
  if (scoreboard_.empty()) {
    timer_ = RetransmitTimer::none;
    retransmit_at_ = Instant::never();
    reorder_wait_ns_ = 0;
    return;
  }
  const Instant timeout = timeout_at(timeout_from_);
  if (reorder_wait_ns_ != 0) {
    timer_ = RetransmitTimer::reorder;
    retransmit_at_ = std::min(now.after_ns(reorder_wait_ns_), timeout);
    return;
  }
  const bool probe = sack_ && !tail_probe_out_ && recovery_ == Recovery::open && backoff_ == 0 &&
                     scoreboard_.lost() == 0 && scoreboard_.sacked() == 0;
  const Instant probe_at = probe ? now.after_ns(tail_probe_ns()) : Instant::never();
  timer_ = probe_at < timeout ? RetransmitTimer::probe : RetransmitTimer::timeout;
  retransmit_at_ = std::min(probe_at, timeout);
}

void Connection::arm_persist(Instant now) {
  if (timer_ == RetransmitTimer::persist) return;
  timer_ = RetransmitTimer::persist;
  retransmit_at_ = now.after_ns(timeout_ns());
}

void Connection::expire_retransmit(Instant now) {
  switch (timer_) {
    case RetransmitTimer::none:
      retransmit_at_ = Instant::never();
      return;
    case RetransmitTimer::reorder:
      reorder_wait_ns_ = 0;
      detect_losses(now);
      if (timeout_at(timeout_from_) <= now) timeout_from_ = now;  // what was found is sent first
      arm_retransmit(now);
      return;
    case RetransmitTimer::probe:
      tail_probe_owed_ = true;
      output_wanted_ = true;
      // The timeout stands behind it, from now on (RFC 8985: 7.3).
      timeout_from_ = now;
      timer_ = RetransmitTimer::timeout;
      retransmit_at_ = timeout_at(now);
      return;
    case RetransmitTimer::persist:
      expire_persist(now);
      return;
    case RetransmitTimer::timeout:
      expire_timeout(now);
      return;
  }
}

void Connection::expire_timeout(Instant now) {
  if (now.since(progress_at_) >= parts_->options.user_timeout_ns) {
    become_closed(EndReason::timeout, true);
    return;
  }
  if (synchronized() && scoreboard_.empty()) {
    arm_retransmit(now);
    return;
  }
  ++parts_->counters.timeouts;
  if (backoff_ < UINT8_MAX) ++backoff_;
  if (!synchronized()) {
    syn_owed_ = true;
    output_wanted_ = true;
    retransmit_at_ = timeout_at(now);
    return;
  }
  // RFC 5681 (3.1): once for one loss; what is sent again and lost again is the same one.
  if (recovery_ != Recovery::loss) {
    if (recovery_ == Recovery::open) remember_congestion(congestion_);
    begin_undo();
    parts_->congestion->reduce(congestion_, false);
  }
  congestion_.window = congestion_.segment_bytes;
  recovery_ = Recovery::loss;
  begin_reduction();
  duplicate_acks_ = 0;
  tail_probe_out_ = false;
  tail_probe_owed_ = false;
  reorder_wait_ns_ = 0;
  // The first one cannot be SACKed and not acknowledged, unless the peer has dropped it again: then
  // nothing that it SACKed is believed (RFC 2018: 8).
  const bool renege = parts_->records.at(scoreboard_.head()).sacked;
  scoreboard_.mark_all_lost(parts_->records, renege);
  sacks_seen_ = {};
  timer_ = RetransmitTimer::timeout;
  timeout_from_ = now;
  retransmit_at_ = timeout_at(now);
  output_wanted_ = true;
}

/// RFC 9293: 3.8.6.1. For as long as the peer answers, whatever it says.
void Connection::expire_persist(Instant now) {
  if (!scoreboard_.empty() || queue_.unsent_bytes() == 0) {
    arm_retransmit(now);
    return;
  }
  if (probes_unanswered_ > 0 && now.since(heard_at_) >= parts_->options.user_timeout_ns) {
    become_closed(EndReason::timeout, true);
    return;
  }
  if (backoff_ < UINT8_MAX) ++backoff_;
  if (probes_unanswered_ < UINT8_MAX) ++probes_unanswered_;
  ++parts_->counters.window_probes;
  probe_owed_ = true;
  output_wanted_ = true;
  retransmit_at_ = now.after_ns(timeout_ns());
}

/// Keepalive (RFC 9293: 3.8.4), and the end of what nobody owns any more.
void Connection::expire_idle(Instant now) {
  if (detached_until_ != Instant{}) {
    if (detached_until_ <= now) {
      become_closed(EndReason::ours, true);
    } else {
      idle_at_ = detached_until_;
    }
    return;
  }
  const StackOptions& options = parts_->options;
  const Instant quiet = heard_at_.after_ns(options.keepalive_ns);
  if (now < quiet) {
    idle_at_ = quiet;
    return;
  }
  if (now.since(quiet) >= options.user_timeout_ns) {
    become_closed(EndReason::timeout, true);
    return;
  }
  // What is unacknowledged is watched by its own timer.
  if (scoreboard_.empty() && synchronized()) {
    ++parts_->counters.keepalives;
    probe_owed_ = true;
    output_wanted_ = true;
  }
  idle_at_ = now.after_ns(keepalive_interval_ns(options));
}

}  // namespace penstock::engine::tcp

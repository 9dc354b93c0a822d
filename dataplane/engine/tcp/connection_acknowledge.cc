#include <algorithm>

#include "dataplane/engine/tcp/connection.h"

// What the peer says of the bytes we have sent: acknowledgments, SACK, what is lost, and how the
// congestion window follows.
namespace penstock::engine::tcp {
namespace {

// RFC 5681: 3.2, and RFC 8985 (6.2) until reordering was seen.
constexpr uint32_t duplicates_for_loss = 3;

// RFC 8985 (6.2): a wider patience that D-SACKs taught is kept for so many recoveries.
constexpr uint8_t patience_recoveries = 16;
// Of quarters of the least round trip time: the patience is at most the smoothed one anyway.
constexpr uint8_t patience_multiplier_max = 64;

}  // namespace

/// RFC 9293: 3.10.7.4, fifth; RFC 5961: 5. False: the segment is not looked at any more.
bool Connection::receive_ack(const SegmentIn& segment, Instant now) {
  const uint32_t acknowledgment = segment.acknowledgment;
  if (after(acknowledgment, send_next_) ||
      before(acknowledgment, send_unacked_ - send_window_max_)) {
    challenge(now);
    return false;
  }
  // Older than one that came before it: its payload counts, what it says is known.
  if (at_or_after(acknowledgment, send_unacked_)) process_ack(segment, now);
  return true;
}

void Connection::process_ack(const SegmentIn& segment, Instant now) {
  const bool progress = after(segment.acknowledgment, send_unacked_);
  const bool window_changed = update_send_window(segment, progress);
  if (!sending_ || (!progress && scoreboard_.empty())) {
    if (window_changed) {
      output_wanted_ = true;
      backoff_ = 0;
    }
    return;
  }

  AckDigest digest;
  const uint32_t flight_before = scoreboard_.in_flight_bytes();
  const uint32_t lost_before = scoreboard_.lost();
  if (progress) take_progress(segment, digest, now);
  bool duplicate_seen = false;
  if (segment.options.sack_count > 0 && sack_) process_sacks(segment, digest, duplicate_seen);
  forward_ = later_of(forward_, segment.acknowledgment);
  if (progress || digest.delivered_bytes > 0) {
    const bool learnt = sample_rtt(segment, digest, progress, duplicate_seen, now);
    // Karn would keep the whole backoff until something is learnt. Where much is lost that takes
    // minutes, so once doubled is enough for a way that has become longer.
    if (progress) backoff_ = learnt ? uint8_t{0} : std::min(backoff_, uint8_t{1});
  }
  if (!sack_) {
    count_duplicate_ack(segment, progress, window_changed, now);
  }
  if (progress || duplicate_seen) try_undo(segment, progress, duplicate_seen);
  if (tail_probe_out_) finish_tail_probe(segment, digest, duplicate_seen);
  update_rack(segment, digest, duplicate_seen, now);
  if (sack_ && digest.delivered_bytes > 0) detect_losses(now);
  if (ecn_ && segment.has(flag::ece) && progress) enter_reduced();
  follow_congestion(digest, progress, flight_before, scoreboard_.lost() > lost_before, now);

  // RFC 6298 (5.3): what delivers nothing must not put the timers off.
  if (digest.delivered_bytes > 0) {
    timeout_from_ = now;
    arm_retransmit(now);
  }
  if (queue_.unsent_bytes() > 0 || scoreboard_.lost() > 0 || (finishing_ && !fin_sent_)) {
    output_wanted_ = true;
  }
  sending_ = !scoreboard_.empty() || queue_.bytes() > 0 || (finishing_ && !fin_sent_);
  if (digest.fin_acked) our_fin_acked();
}

/// Bytes below the cumulative acknowledgment are done with.
void Connection::take_progress(const SegmentIn& segment, AckDigest& digest, Instant now) {
  scoreboard_.acknowledge(parts_->records, segment.acknowledgment, forward_, digest);
  send_unacked_ = segment.acknowledgment;
  const uint32_t bytes = digest.acked_bytes - (digest.fin_acked ? 1 : 0);
  if (bytes > 0) queue_.consume(parts_->blocks, bytes);
  report_sent(bytes, digest.packet_max);
  progress_at_ = now;
}

/// SND.WL1 and SND.WL2 keep a late segment from bringing back an old window. What acknowledges more
/// than was known is never late, whatever its sequence number: the window counts from there, and
/// the old one would reach further than was ever offered.
bool Connection::update_send_window(const SegmentIn& segment, bool progress) {
  const bool newer = progress || before(window_sequence_, segment.sequence) ||
                     (window_sequence_ == segment.sequence &&
                      at_or_before(window_acknowledgment_, segment.acknowledgment));
  if (!newer) return false;
  const uint32_t window = uint32_t{segment.window} << peer_window_scale_;
  const bool changed = window != send_window_;
  send_window_ = window;
  send_window_max_ = std::max(send_window_max_, window);
  window_sequence_ = segment.sequence;
  window_acknowledgment_ = segment.acknowledgment;
  return changed;
}

/// False: nothing was learnt.
bool Connection::sample_rtt(const SegmentIn& segment, const AckDigest& digest, bool progress,
                            bool duplicate_seen, Instant now) {
  // What was taken for lost and acknowledged later tells how long we waited, not how long the way
  // is.
  if (!digest.retransmitted && !digest.rtt_late && digest.rtt_sent_at_ns != 0) {
    rtt_.sample(now.ns - digest.rtt_sent_at_ns);
    return true;
  }
  // Timestamps tell copies apart (RFC 7323: 4.1), to a millisecond; but not when the ACK answers
  // something that arrived twice: it then echoes what came before the ACK that was lost.
  if (!timestamps_ || !progress || segment.options.timestamp_echo == 0) return false;
  const uint32_t elapsed_ms = timestamp(now) - segment.options.timestamp_echo;
  if (!duplicate_seen && elapsed_ms < 60'000) {
    // Longer than its timeout: the way has become longer, or, of a peer that does not tell of
    // duplicates, an ACK was lost. The timeout then grows by a third, and not to the double.
    const uint64_t sample_ns = std::max<uint64_t>(elapsed_ms, 1) * ns_per_ms;
    const uint64_t timeout = rtt_.timeout_ns();
    rtt_.sample(sample_ns <= timeout ? sample_ns : (rtt_.smoothed_ns() + timeout) / 2);
  }
  return true;
}

void Connection::process_sacks(const SegmentIn& segment, AckDigest& digest, bool& duplicate_seen) {
  const TcpOptions& options = segment.options;
  const auto ranges = std::span(options.sacks)
                          .first(std::min<size_t>(options.sack_count, TcpOptions::sack_ranges_max));
  // RFC 2883: the first range is a duplicate when it lies below the acknowledgment or within the
  // second one.
  const SequenceRange first = ranges[0];
  if (before(first.begin, first.end)) {
    const bool below = at_or_before(first.end, segment.acknowledgment) &&
                       at_or_after(first.end, segment.acknowledgment - send_window_max_);
    const bool within = ranges.size() > 1 && at_or_after(first.begin, ranges[1].begin) &&
                        at_or_before(first.end, ranges[1].end);
    duplicate_seen = below || within;
    if (duplicate_seen) {
      ++parts_->counters.duplicates_told;
      duplicate_told_end_ = first.end;
    }
  }
  uint32_t forward = forward_;
  for (const SequenceRange& range : ranges) {
    if (!before(range.begin, range.end) || before(range.begin, send_unacked_) ||
        after(range.end, send_next_)) {
      continue;
    }
    // Ranges come again with every ACK, a little longer: only what is new is looked at.
    uint32_t from = range.begin;
    for (const SequenceRange& seen : sacks_seen_) {
      if (at_or_before(seen.begin, from) && after(seen.end, from)) from = seen.end;
    }
    if (at_or_after(from, range.end)) continue;
    scoreboard_.sack(parts_->records, range, from, forward_, digest);
    forward = later_of(forward, range.end);
  }
  forward_ = forward;
  std::copy(ranges.begin(), ranges.end(), sacks_seen_.begin());
  std::fill(sacks_seen_.begin() + static_cast<ptrdiff_t>(ranges.size()), sacks_seen_.end(),
            SequenceRange{});
}

/// RFC 5681: 3.2 and RFC 6582, for peers without SACK.
void Connection::count_duplicate_ack(const SegmentIn& segment, bool progress, bool window_changed,
                                     Instant now) {
  if (progress) {
    duplicate_acks_ = 0;
    // A partial acknowledgment: what it stops at is lost too.
    if (recovery_ == Recovery::recovery && before(send_unacked_, recovery_end_) &&
        !scoreboard_.empty()) {
      scoreboard_.mark_lost(parts_->records, scoreboard_.head());
    }
    return;
  }
  if (!segment.payload.empty() || window_changed || segment.has(flag::fin)) return;
  ++duplicate_acks_;
  if (duplicate_acks_ == duplicates_for_loss && recovery_ == Recovery::open) {
    scoreboard_.mark_lost(parts_->records, scoreboard_.head());
    enter_recovery(now);
  }
}

/// RFC 8985: 6.2, steps 2 to 4.
void Connection::update_rack(const SegmentIn& segment, const AckDigest& digest, bool duplicate_seen,
                             Instant now) {
  rack_reordering_ |= digest.reordered;
  if (duplicate_seen && !rack_round_open_) {
    rack_round_open_ = true;
    rack_round_ = send_next_;
    if (rack_multiplier_ < patience_multiplier_max) ++rack_multiplier_;
    rack_persist_ = patience_recoveries;
  } else if (rack_round_open_ && at_or_after(segment.acknowledgment, rack_round_)) {
    rack_round_open_ = false;
  }
  if (!digest.has_newest) return;
  const uint64_t rtt_ns = now.ns - digest.newest_sent_at_ns;
  if (digest.newest_retransmitted) {
    // It may be the first copy that arrived.
    const uint32_t sent = static_cast<uint32_t>(digest.newest_sent_at_ns / ns_per_ms);
    if (timestamps_ && segment.options.timestamp_echo != 0 &&
        before(segment.options.timestamp_echo, sent + timestamp_offset_)) {
      return;
    }
    if (rtt_ns < rtt_.min_ns()) return;
  }
  rack_rtt_ns_ = rtt_ns;
  const bool later =
      digest.newest_sent_at_ns > rack_sent_at_ns_ ||
      (digest.newest_sent_at_ns == rack_sent_at_ns_ && after(digest.newest_end, rack_end_));
  if (later) {
    rack_sent_at_ns_ = digest.newest_sent_at_ns;
    rack_end_ = digest.newest_end;
  }
}

/// How late a segment may be before it is taken for lost (RFC 8985: 6.2, step 4).
uint64_t Connection::reordering_window_ns() const {
  if (!rack_reordering_ && (recovery_ == Recovery::recovery || recovery_ == Recovery::loss ||
                            scoreboard_.sacked() >= duplicates_for_loss)) {
    return 0;
  }
  return std::min(rack_multiplier_ * rtt_.min_ns() / 4, rtt_.smoothed_ns());
}

void Connection::detect_losses(Instant now) {
  if (rack_sent_at_ns_ == 0) return;
  const uint32_t before_lost = scoreboard_.lost();
  reorder_wait_ns_ = scoreboard_.detect_losses(parts_->records, rack_sent_at_ns_, rack_end_,
                                               rack_rtt_ns_ + reordering_window_ns(), now.ns);
  if (scoreboard_.lost() == before_lost) return;
  output_wanted_ = true;
  if (recovery_ == Recovery::open || recovery_ == Recovery::reduced) enter_recovery(now);
}

void Connection::begin_reduction() {
  recovery_end_ = send_next_;
  reduction_delivered_ = 0;
  reduction_sent_ = 0;
  reduction_flight_ = std::max<uint32_t>(send_next_ - send_unacked_, 1);
}

void Connection::begin_undo() {
  undo_possible_ = true;
  undo_from_ = send_unacked_;
  undo_retransmits_ = 0;
  first_retransmit_timestamp_ = 0;
}

void Connection::enter_recovery(Instant /*now*/) {
  ++parts_->counters.recoveries;
  begin_undo();
  // ECN has reduced it for this window already.
  if (recovery_ == Recovery::open) {
    remember_congestion(congestion_);
    parts_->congestion->reduce(congestion_, false);
  }
  recovery_ = Recovery::recovery;
  begin_reduction();
}

/// RFC 3168: 6.1.2. Once per window.
void Connection::enter_reduced() {
  if (recovery_ != Recovery::open) return;
  ++parts_->counters.ecn_reductions;
  parts_->congestion->reduce(congestion_, true);
  recovery_ = Recovery::reduced;
  reduced_to_say_ = true;
  undo_possible_ = false;
  begin_reduction();
}

/// The loss was none: RFC 4015 when the acknowledgment is older than our first retransmission,
/// RFC 3708 when every retransmission was told to be a duplicate.
void Connection::try_undo(const SegmentIn& segment, bool progress, bool duplicate_seen) {
  if (!undo_possible_) return;
  bool needless = false;
  if (timestamps_ && progress && first_retransmit_timestamp_ != 0 &&
      at_or_after(segment.acknowledgment, first_retransmit_end_)) {
    needless = before(segment.options.timestamp_echo, first_retransmit_timestamp_) &&
               segment.options.timestamp_echo != 0;
  }
  if (duplicate_seen && undo_retransmits_ > 0 && at_or_after(duplicate_told_end_, undo_from_)) {
    --undo_retransmits_;
    needless |= undo_retransmits_ == 0;
  }
  if (!needless) return;
  ++parts_->counters.recoveries_undone;
  undo_possible_ = false;
  undo_congestion(congestion_);
  scoreboard_.restore_lost(parts_->records);
  recovery_ = Recovery::open;
  rack_reordering_ = true;
}

/// RFC 8985: 7.4. A probe that repaired the only loss would hide it from the congestion control.
void Connection::finish_tail_probe(const SegmentIn& segment, const AckDigest& digest,
                                   bool duplicate_seen) {
  if (before(segment.acknowledgment, tail_probe_end_)) return;
  if (!tail_probe_again_ || (duplicate_seen && duplicate_told_end_ == tail_probe_end_)) {
    tail_probe_out_ = false;
  } else if (after(segment.acknowledgment, tail_probe_end_)) {
    tail_probe_out_ = false;
    if (recovery_ != Recovery::open) return;
    parts_->congestion->reduce(congestion_, false);
    congestion_.window = std::min(congestion_.window, congestion_.threshold);
  } else if (digest.delivered_bytes == 0 && segment.options.sack_count == 0) {
    tail_probe_out_ = false;  // a duplicate ACK: both copies arrived
  }
}

/// How the window follows what happened.
void Connection::follow_congestion(const AckDigest& digest, bool progress, uint32_t flight_before,
                                   bool more_lost, Instant now) {
  if (recovery_ != Recovery::open && at_or_after(send_unacked_, recovery_end_)) {
    if (recovery_ != Recovery::loss) {
      congestion_.window = std::max(congestion_.threshold, 2 * congestion_.segment_bytes);
    }
    if (rack_persist_ > 0 && --rack_persist_ == 0) rack_multiplier_ = 1;
    recovery_ = Recovery::open;
    duplicate_acks_ = 0;
  }
  if (digest.delivered_bytes == 0) return;
  if (recovery_ == Recovery::recovery || recovery_ == Recovery::reduced) {
    proportional_reduction(digest.delivered_bytes, progress && !more_lost);
    return;
  }
  // A window that was not used has not been proved (RFC 7661).
  const bool used = window_limited_ || recovery_ == Recovery::loss ||
                    (congestion_.slow_start() && 2 * uint64_t{flight_before} >= congestion_.window);
  if (!used) return;
  parts_->congestion->acknowledged(
      congestion_,
      {.bytes = digest.delivered_bytes, .smoothed_rtt_ns = rtt_.smoothed_ns(), .now = now});
}

/// RFC 6937 with the bound of RFC 9937: sends as much as is delivered, times what is left of the
/// window, so that the flight ends at the threshold and never stops.
void Connection::proportional_reduction(uint32_t delivered_bytes, bool safe) {
  const uint32_t flight = scoreboard_.in_flight_bytes();
  reduction_delivered_ += delivered_bytes;
  int64_t room = 0;
  if (flight > congestion_.threshold) {
    room = static_cast<int64_t>(
        (uint64_t{reduction_delivered_} * congestion_.threshold + reduction_flight_ - 1) /
        reduction_flight_);
    room -= reduction_sent_;
  } else {
    int64_t most =
        std::max<int64_t>(int64_t{reduction_delivered_} - reduction_sent_, delivered_bytes);
    if (safe) most += congestion_.segment_bytes;
    room = std::min<int64_t>(congestion_.threshold - flight, most);
  }
  congestion_.window = flight + static_cast<uint32_t>(std::max<int64_t>(room, 0));
  congestion_.window = std::max(congestion_.window, congestion_.segment_bytes);
}

void Connection::our_fin_acked() {
  if (state_ == State::fin_wait_1) {
    state_ = State::fin_wait_2;
  } else if (state_ == State::closing) {
    enter_time_wait();
  } else if (state_ == State::last_ack) {
    end_orderly();
  }
}

}  // namespace penstock::engine::tcp

#include <algorithm>

#include "dataplane/engine/tcp/connection.h"

namespace penstock::engine::tcp {
namespace {

// RFC 9293 (3.8.6.3) allows 500 ms; 40 ms is what hosts do, and below every peer's least timeout.
constexpr uint64_t ack_delay_ns = 40 * ns_per_ms;

// After so many gaps of that length more than others, nothing is expected to come in time for an
// ACK that is put off.
constexpr uint8_t alone_enough = 2;

// Answers to what is not acceptable (RFC 5961: 7): ten a second of one connection answer every
// honest peer, whose own timers are slower, and end a war of ACKs. Per connection, because a limit
// that connections share tells a blind attacker about the others (CVE-2016-5696).
constexpr uint64_t challenge_interval_ns = 100 * ns_per_ms;

// A timestamp may be compared for half of its range of milliseconds (RFC 7323: 5.5): 24.8 days.
constexpr uint64_t timestamp_lifetime_ns = uint64_t{24} * 24 * 3600 * ns_per_s;

}  // namespace

bool Connection::receive(const SegmentIn& segment, Instant now) {
  if (!synchronized()) {
    if (gone() || !receive_in_handshake(segment, now)) return false;
  } else if (gone()) {
    return false;
  }
  if (!check_sequence(segment, now) || !check_control(segment, now)) return false;
  if (heard_at_ != now && !segment.payload.empty()) note_gap(now);
  heard_at_ = now;
  probes_unanswered_ = 0;

  const TcpOptions& options = segment.options;
  if (timestamps_ && at_or_before(segment.sequence, ack_sent_) &&
      at_or_after(options.timestamp, timestamp_recent_)) {
    timestamp_recent_ = options.timestamp;
    timestamp_recent_at_ = now;
  }
  if (!receive_ack(segment, now)) return false;
  if (gone()) return false;
  if (segment.payload.empty() && !segment.has(flag::fin)) return false;
  return receive_payload(segment, now);
}

// RFC 9293: 3.10.7.3 and, for simultaneous opens, 3.10.7.4. True: the handshake is through and the
// rest of the segment counts.
bool Connection::receive_in_handshake(const SegmentIn& segment, Instant now) {
  if (state_ == State::syn_sent) {
    receive_syn_answer(segment, now);
    return false;
  }
  // SYN_RECEIVED: we sent a SYN and got one.
  if (segment.has(flag::rst)) {
    if (segment.sequence == receive_next_) become_closed(EndReason::refused, false);
    return false;
  }
  if (segment.has(flag::syn) && segment.sequence + 1 == receive_next_) {
    // Theirs with an ACK of ours finishes it; without one, ours was lost.
    if (!segment.has(flag::ack)) {
      syn_owed_ = true;
      output_wanted_ = true;
      return false;
    }
  }
  if (!segment.has(flag::ack) || segment.acknowledgment != send_next_) return false;
  establish(now);
  if (segment.has(flag::syn)) {
    send_window_ = send_window_max_ = segment.window;
    want_ack(true, now);
    return false;
  }
  send_window_ = send_window_max_ = uint32_t{segment.window} << peer_window_scale_;
  return true;
}

void Connection::receive_syn_answer(const SegmentIn& segment, Instant now) {
  const bool acknowledges = segment.has(flag::ack);
  if (acknowledges && segment.acknowledgment != send_next_) {
    // A connection of before that the peer still has: it has to forget it first.
    if (!segment.has(flag::rst)) {
      stray_reset_owed_ = true;
      stray_reset_sequence_ = segment.acknowledgment;
      output_wanted_ = true;
    }
    return;
  }
  if (segment.has(flag::rst)) {
    if (acknowledges) become_closed(EndReason::refused, false);
    return;
  }
  if (!segment.has(flag::syn)) return;

  const TcpOptions& options = segment.options;
  const bool scaling = options.window_scale != TcpOptions::no_window_scale;
  // No option: 536 of IPv4 (RFC 9293: 3.7.1); IPv6's 1220 is for who has no old stack.
  const uint16_t peer_max = options.segment_bytes_max == 0 ? 536 : options.segment_bytes_max;
  const uint8_t ecn_bits = segment.flags & (flag::ece | flag::cwr);
  agree({.segment_bytes_max = std::min(segment_bytes_max_, peer_max),
         .window_scaling = scaling,
         .peer_window_scale = options.window_scale,
         .own_window_scale = own_window_scale_,
         .sack = options.sack_permitted,
         .timestamps = options.has_timestamps,
         .ecn = ecn_ && ecn_bits == (acknowledges ? flag::ece : flag::ece | flag::cwr)});
  begin_receiving(segment.sequence);
  timestamp_recent_ = options.timestamp;
  timestamp_recent_at_ = now;
  send_window_ = send_window_max_ = segment.window;  // never scaled in a SYN
  heard_at_ = now;
  if (acknowledges) {
    establish(now);
    want_ack(true, now);
  } else {
    state_ = State::syn_received;
    syn_owed_ = true;
    output_wanted_ = true;
  }
}

void Connection::establish(Instant now) {
  // RFC 6298 (3, 5.7), RFC 5681 (3.1): a SYN that was sent twice measures nothing, and was lost.
  if (backoff_ == 0) {
    rtt_.sample(now.since(sent_at_));
  } else {
    congestion_.window = congestion_.segment_bytes;
  }
  state_ = State::established;
  opened_ = true;
  syn_owed_ = false;
  send_unacked_ = forward_ = window_acknowledgment_ = send_next_;
  backoff_ = 0;
  progress_at_ = now;
  timer_ = RetransmitTimer::none;
  retransmit_at_ = Instant::never();
  output_wanted_ = true;
}

/// RFC 9293: 3.10.7.4, first; RFC 7323: 5.3. False: the segment is not looked at any more.
bool Connection::check_sequence(const SegmentIn& segment, Instant now) {
  const bool reset = segment.has(flag::rst);
  if (timestamps_ && !reset) {
    // RFC 7323 (3.2): once agreed they are always there.
    if (!segment.options.has_timestamps) {
      ++parts_->counters.timestamps_missing;
      return false;
    }
    if (before(segment.options.timestamp, timestamp_recent_) &&
        now.since(timestamp_recent_at_) < timestamp_lifetime_ns) {
      ++parts_->counters.timestamps_old;
      answer_unacceptable(segment, now);
      return false;
    }
  }
  const uint32_t length = segment.sequence_bytes();
  const uint32_t end = segment.sequence + length;
  // With a closed window what begins at its edge is acceptable for its ACK and its RST.
  const bool acceptable =
      length == 0 ? at_or_after(segment.sequence, receive_next_) &&
                        at_or_before(segment.sequence, receive_edge_)
                  : after(end, receive_next_) && at_or_before(segment.sequence, receive_edge_);
  if (acceptable) return true;
  if (!reset) answer_unacceptable(segment, now);
  return false;
}

void Connection::answer_unacceptable(const SegmentIn& segment, Instant now) {
  ++parts_->counters.segments_unacceptable;
  const uint32_t end = segment.sequence + segment.sequence_bytes();
  if (segment.sequence_bytes() == 0 || after(segment.sequence, receive_edge_)) {
    challenge(now);
    return;
  }
  // Sent again, most likely because our ACK was lost: it must not be lost twice.
  if (sack_ && !segment.payload.empty() && at_or_before(end, receive_next_)) {
    note_duplicate({segment.sequence, end});
  }
  want_ack(true, now);
}

void Connection::note_duplicate(SequenceRange range) {
  has_duplicate_ = true;
  duplicate_ = range;
}

/// RFC 5961: 3 and 4. An RST has to be exact, and a SYN is never believed.
bool Connection::check_control(const SegmentIn& segment, Instant now) {
  if (segment.has(flag::rst)) {
    if (segment.sequence == receive_next_) {
      ++parts_->counters.resets_in;
      become_closed(EndReason::reset, false);
    } else {
      ++parts_->counters.resets_ignored;
      challenge(now);
    }
    return false;
  }
  if (segment.has(flag::syn)) {
    challenge(now);
    return false;
  }
  return segment.has(flag::ack);
}

void Connection::challenge(Instant now) {
  if (challenged_at_ != Instant{} && now.since(challenged_at_) < challenge_interval_ns) {
    ++parts_->counters.challenge_acks_limited;
    return;
  }
  challenged_at_ = now;
  ++parts_->counters.challenge_acks;
  want_ack(true, now);
}

void Connection::want_ack(bool at_once, Instant now) {
  if (at_once) {
    ack_now_ = true;
    output_wanted_ = true;
  } else if (acknowledge_at_ == Instant::never()) {
    acknowledge_at_ = now.after_ns(ack_delay_ns);
  }
}

bool Connection::receive_payload(const SegmentIn& segment, Instant now) {
  if (fin_received_) {
    want_ack(true, now);
    return false;
  }
  if (closing_ && !segment.payload.empty()) {
    // Nobody is there to take it (RFC 9293: 3.10.7.1 and RFC 1122: 4.2.2.13).
    become_closed(EndReason::ours, true);
    return false;
  }
  uint32_t begin = segment.sequence;
  Bytes bytes = segment.payload;
  if (bytes.size() > largest_received_) {
    largest_received_ = static_cast<uint16_t>(std::min<size_t>(bytes.size(), segment_bytes_max_));
  }
  if (ecn_) {
    if (segment.has(flag::cwr)) ecn_echo_ = false;
    if (segment.ecn == Ecn::experienced) {
      ecn_echo_ = true;
      want_ack(true, now);
    }
  }
  if (before(begin, receive_next_)) {
    const size_t old = std::min<size_t>(receive_next_ - begin, bytes.size());
    if (sack_ && old > 0) note_duplicate({begin, begin + static_cast<uint32_t>(old)});
    bytes = bytes.subspan(old);
    begin += static_cast<uint32_t>(old);
    want_ack(true, now);
  }
  bool fin = segment.has(flag::fin);
  const uint32_t room = receive_edge_ - begin;
  if (bytes.size() > room) {
    ++parts_->counters.beyond_window;
    bytes = bytes.first(room);
    fin = false;
    want_ack(true, now);
  }
  const uint32_t end = begin + static_cast<uint32_t>(bytes.size());
  if (fin && !fin_seen_) {
    fin_seen_ = true;
    fin_sequence_ = end;
  }
  // Bytes behind the FIN are nobody's.
  if (fin_seen_ && after(end, fin_sequence_)) return false;

  bool kept = false;
  if (!bytes.empty()) {
    kept = begin == receive_next_ ? receive_in_order(bytes, segment, now)
                                  : receive_beyond(begin, bytes, segment, now);
  }
  if (fin_seen_ && receive_next_ == fin_sequence_) receive_fin(now);
  return kept;
}

/// Where segments come further apart than an ACK is put off, each is acknowledged by itself in any
/// case: then at the end of its turn, while the connection is at hand, and not by a timer.
void Connection::note_gap(Instant now) {
  if (now.since(heard_at_) >= ack_delay_ns) {
    alone_ = std::min<uint8_t>(alone_ + 1, alone_max);
  } else if (alone_ > 0) {
    --alone_;
  }
}

bool Connection::receive_in_order(Bytes bytes, const SegmentIn& segment, Instant now) {
  const bool holes = received_.has_holes();
  const bool passing = reading_ && low_water_ <= bytes.size();
  ReceiveMemory& memory = parts_->memory;
  Hold hold = received_.append(memory, receive_next_, bytes, segment.token, passing);
  if (hold == Hold::refused) {
    // What lies behind the hole must not keep it from being filled: the peer has it still (RFC
    // 2018: 8). And when memory is short, the mark is not waited for.
    if (received_.has_holes()) {
      ++parts_->counters.out_of_order_dropped;
      received_.drop_beyond(memory);
    }
    delivering_ |= reading_;
    hold = received_.append(memory, receive_next_, bytes, segment.token, reading_);
  }
  if (hold == Hold::refused) {
    ++parts_->counters.receive_memory_full;
    return false;
  }
  measure_receiver_rtt(segment, now);
  // Every second full segment at least; in a batch that is one ACK for all of it. What fills a hole
  // is told at once (RFC 5681: 4.2).
  const uint32_t untold = receive_next_ - ack_sent_;
  const bool at_once = holes || quick_acks_ > 0 || alone_ >= alone_enough ||
                       untold > std::max<uint32_t>(largest_received_, 536);
  want_ack(at_once, now);
  return hold == Hold::packet;
}

bool Connection::receive_beyond(uint32_t begin, Bytes bytes, const SegmentIn& segment,
                                Instant now) {
  ++parts_->counters.segments_out_of_order;
  const Hold hold = received_.insert(parts_->memory, begin, bytes, segment.token,
                                     parts_->options.out_of_order_bytes_max);
  if (hold == Hold::refused) ++parts_->counters.receive_memory_full;
  if (hold == Hold::duplicate && sack_) {
    note_duplicate({begin, begin + static_cast<uint32_t>(bytes.size())});
  }
  // Who does not know SACK counts ACKs, and three make it act; more than a few are for nothing.
  if (!sack_ && ack_now_ && duplicate_acks_owed_ < 3) ++duplicate_acks_owed_;
  want_ack(true, now);
  return hold == Hold::packet;
}

void Connection::receive_fin(Instant now) {
  ++receive_next_;
  fin_received_ = true;
  want_ack(true, now);
  if (state_ == State::established) {
    state_ = State::close_wait;
  } else if (state_ == State::fin_wait_1) {
    state_ = State::closing;
  } else if (state_ == State::fin_wait_2) {
    enter_time_wait();
  }
}

// The receive window ----------------------------------------------------------------------------

/// How long the peer takes to react, seen from here (RFC 7323: 4; without timestamps the time that
/// a window of bytes takes, which is at least as long).
void Connection::measure_receiver_rtt(const SegmentIn& segment, Instant now) {
  uint64_t sample_ns = 0;
  if (timestamps_) {
    if (segment.options.timestamp_echo == 0) return;
    const uint32_t elapsed_ms = timestamp(now) - segment.options.timestamp_echo;
    if (elapsed_ms > 60'000) return;
    sample_ns = std::max<uint64_t>(elapsed_ms, 1) * ns_per_ms;
  } else {
    if (before(receive_next_, receiver_rtt_sequence_)) return;
    sample_ns = now.since(receiver_rtt_from_);
    receiver_rtt_from_ = now;
    receiver_rtt_sequence_ = receive_edge_;
  }
  // The least counts quickly and more slowly: pauses of the peer look like a long way.
  if (receiver_rtt_ns_ == 0 || sample_ns < receiver_rtt_ns_) {
    receiver_rtt_ns_ = std::max<uint64_t>(sample_ns, 1);
  } else {
    receiver_rtt_ns_ += (sample_ns - receiver_rtt_ns_) / 8;
  }
}

/// The caller took bytes. The window is twice what it takes in one round trip, so that a sender in
/// slow start is not held back by it ("dynamic right-sizing").
void Connection::taken(uint32_t bytes, Instant now) {
  parts_->counters.bytes_received += bytes;
  tune_bytes_ += bytes;
  if (receiver_rtt_ns_ != 0 && now.since(tune_from_) >= receiver_rtt_ns_) {
    const uint32_t most = parts_->options.receive_window_max;
    const uint64_t wanted = 2 * uint64_t{tune_bytes_} + 16 * uint64_t{segment_bytes_max_};
    // Without scale no more can be said than fits into the field.
    const uint64_t sayable = uint64_t{0xffff} << own_window_scale_;
    if (wanted > window_target_ && !parts_->memory.pressed()) {
      window_target_ = static_cast<uint32_t>(std::min({wanted, uint64_t{most}, sayable}));
    }
    tune_bytes_ = 0;
    tune_from_ = now;
  }
  offer_window();
}

/// Tells a peer that may be waiting that there is room again.
void Connection::offer_window() {
  if (fin_received_ || !reading_ || gone()) return;
  const uint32_t offered = receive_edge_ - receive_next_;
  const uint32_t unread = std::min(received_.ordered_bytes(), window_target_);
  const uint32_t room = window_target_ - unread;
  if (offered < window_target_ / 2 && room > offered &&
      room - offered >= std::min<uint32_t>(2 * segment_bytes_max_, window_target_ / 4)) {
    ack_now_ = true;
    output_wanted_ = true;
  }
}

}  // namespace penstock::engine::tcp

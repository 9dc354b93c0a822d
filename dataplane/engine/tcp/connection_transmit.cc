#include <algorithm>
#include <tuple>

#include "dataplane/engine/tcp/connection.h"
#include "penstock/base/assert.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint32_t timestamp_option_bytes = 12;  // with two bytes of padding

constexpr uint32_t sack_option_bytes(uint8_t ranges) {
  return ranges == 0 ? 0 : 4 + 8 * uint32_t{ranges};  // with two bytes of padding
}

}  // namespace

uint8_t Connection::sacks_to_say() const {
  if (!sack_) return 0;
  const uint8_t most = timestamps_ ? 3 : 4;  // 12 + 4 + 3 * 8 = 40 bytes of options
  const int known = received_.sack_count() + (has_duplicate_ ? 1 : 0);
  return static_cast<uint8_t>(std::min<int>(most, known));
}

uint32_t Connection::payload_max() const {
  return segment_bytes_max_ - (timestamps_ ? timestamp_option_bytes : 0);
}

/// The window to say, never less than what was offered before (RFC 9293: 3.8.6.2.2), and more only
/// when it is worth a packet of the peer's.
uint16_t Connection::window_field(bool syn) {
  const uint32_t unread = std::min(received_.ordered_bytes(), window_target_);
  // Without credit what was promised stays promised, and nothing is added.
  if (reading_ && !fin_received_) {
    const uint32_t granule = (uint32_t{1} << own_window_scale_) - 1;
    const uint32_t edge = receive_next_ + ((window_target_ - unread) & ~granule);
    if (after(edge, receive_edge_) &&
        edge - receive_edge_ >= std::min<uint32_t>(segment_bytes_max_, window_target_ / 2)) {
      receive_edge_ = edge;
    }
  }
  const uint32_t window = receive_edge_ - receive_next_;
  if (fin_received_ && after(receive_next_, receive_edge_)) return 0;
  return static_cast<uint16_t>(
      std::min<uint32_t>(syn ? window : window >> own_window_scale_, 0xffff));
}

void Connection::fill_header(SegmentOut& out, uint32_t sequence, uint8_t flags, Instant now) {
  out.sequence = sequence;
  out.flags = flags;
  out.acknowledgment = receive_next_;
  out.window = window_field(false);
  if (ecn_ && ecn_echo_) out.flags |= flag::ece;
  if (timestamps_) {
    out.options.has_timestamps = true;
    out.options.timestamp = timestamp(now);
    out.options.timestamp_echo = timestamp_recent_;
  }
  // What is sent again keeps its size: ranges that do not fit beside it go in an ACK of their own.
  uint32_t bytes = 0;
  for (const Bytes slice : std::span(out.slices).first(out.slice_count)) {
    bytes += static_cast<uint32_t>(slice.size());
  }
  const uint8_t count = sacks_to_say();
  if (count != 0 && bytes + sack_option_bytes(count) <= payload_max()) {
    std::span<SequenceRange> room{out.options.sacks.data(), count};
    if (has_duplicate_) {
      room[0] = duplicate_;
      room = room.subspan(1);
    }
    out.options.sack_count = static_cast<uint8_t>(received_.sacks(room) + (has_duplicate_ ? 1 : 0));
  }
}

/// Whatever went out carried the acknowledgment.
void Connection::note_ack_sent(const SegmentOut& out) {
  if (out.options.sack_count < sacks_to_say()) {
    ack_now_ = true;
    return;
  }
  ack_sent_ = receive_next_;
  acknowledge_at_ = Instant::never();
  has_duplicate_ = false;
  if (quick_acks_ > 0) --quick_acks_;
  ack_now_ = duplicate_acks_owed_ > 0;
  if (duplicate_acks_owed_ > 0) --duplicate_acks_owed_;
}

void Connection::fill_syn(SegmentOut& out, Instant now) {
  const bool answers = state_ == State::syn_received;
  out.sequence = send_unacked_;
  out.flags = answers ? flag::syn | flag::ack : flag::syn;
  out.acknowledgment = answers ? receive_next_ : 0;
  out.window = static_cast<uint16_t>(std::min<uint32_t>(window_target_, 0xffff));
  // RFC 3168 (6.1.1.1): a SYN that asks for ECN may be what is dropped; the third try does not ask.
  if (ecn_ && backoff_ < 2) {
    out.flags |= answers ? flag::ece : flag::ece | flag::cwr;
  } else {
    ecn_ = false;
  }
  TcpOptions& options = out.options;
  options.segment_bytes_max = segment_bytes_max_;
  options.sack_permitted = !answers || sack_;
  if (!answers || window_scaling_) options.window_scale = own_window_scale_;
  if (!answers || timestamps_) {
    options.has_timestamps = true;
    options.timestamp = timestamp(now);
    options.timestamp_echo = answers ? timestamp_recent_ : 0;
  }
  syn_owed_ = false;
  sent_at_ = now;
  timer_ = RetransmitTimer::timeout;
  retransmit_at_ = timeout_at(now);
}

bool Connection::transmit_reset(SegmentOut& out, Instant now) {
  if (stray_reset_owed_) {
    stray_reset_owed_ = false;
    out.sequence = stray_reset_sequence_;
    out.flags = flag::rst;
    return true;
  }
  reset_owed_ = false;
  output_wanted_ = false;
  // What the peer takes for next (RFC 5961: 3): within its window, that is all we have sent.
  fill_header(out, send_next_, flag::rst | flag::ack, now);
  out.options.sack_count = 0;
  out.window = 0;
  return true;
}

bool Connection::transmit(SegmentOut& out, Instant now) {
  if (!output_wanted_) return false;
  out.acknowledgment = 0;
  out.window = 0;
  out.flags = 0;
  out.ecn = Ecn::not_capable;
  out.options = {};
  out.slice_count = 0;
  if (reset_owed_ || stray_reset_owed_) return transmit_reset(out, now);
  if (!synchronized()) {
    if (syn_owed_ && !gone()) {
      fill_syn(out, now);
      return true;
    }
    output_wanted_ = false;
    return false;
  }
  if (sending_ && state_ != State::time_wait) {
    if (tail_probe_owed_ && transmit_tail_probe(out, now)) return true;
    if (scoreboard_.lost() > 0 && transmit_lost(out, now)) return true;
    if (transmit_new(out, now)) return true;
  }
  if (probe_owed_) {
    // Old news: who gets it has to answer (RFC 9293: 3.8.4; as a zero-window probe it asks for the
    // window without a byte of the caller's).
    probe_owed_ = false;
    fill_header(out, send_unacked_ - 1, flag::ack, now);
    note_ack_sent(out);
    return true;
  }
  if (ack_now_) {
    fill_header(out, send_next_, flag::ack, now);
    note_ack_sent(out);
    ++parts_->counters.acks_out;
    return true;
  }
  output_wanted_ = false;
  return false;
}

void Connection::feed() {
  output_wanted_ |= starved_;
  starved_ = false;
}

/// What may go beside what is in the network.
uint32_t Connection::congestion_room() const {
  uint32_t flight = scoreboard_.in_flight_bytes();
  // Each duplicate ACK of a peer without SACK says that one segment has left the network.
  flight -= std::min(flight, duplicate_acks_ * congestion_.segment_bytes);
  return congestion_.window > flight ? congestion_.window - flight : 0;
}

bool Connection::transmit_lost(SegmentOut& out, Instant now) {
  const uint32_t index = scoreboard_.next_lost(parts_->records);
  const SentRecord& record = parts_->records.at(index);
  // The first one of a recovery goes at once (RFC 5681: 3.2), and one is always in the network.
  const bool first = recovery_ == Recovery::recovery && reduction_sent_ == 0;
  const uint32_t bytes = std::min(record.bytes(), payload_max());
  if (!first && scoreboard_.in_flight() > 0 && congestion_room() < bytes) {
    window_limited_ = true;
    return false;
  }
  // RFC 9293 (3.8.6): a window that has shrunk under it.
  const bool inside = at_or_before(record.begin + bytes, send_unacked_ + send_window_);
  if (!inside && scoreboard_.in_flight() > 0) return false;
  return transmit_again(out, index, now);
}

bool Connection::transmit_again(SegmentOut& out, uint32_t index, Instant now) {
  SentRecord& record = parts_->records.at(index);
  // The path got narrower since it was sent. Without a record for the rest a part goes alone: the
  // ACK for it makes the next one a part shorter. What is sent again must never wait for memory.
  const uint32_t most = payload_max();
  if (record.bytes() - (record.fin ? 1 : 0) > most) {
    std::ignore = scoreboard_.split(parts_->records, index, most);
  }
  SendCursor cursor{record.block, record.slice, record.offset};
  const uint32_t whole = record.bytes() - (record.fin ? 1 : 0);
  const uint32_t bytes = std::min(whole, most);
  if (bytes > 0) {
    const uint32_t gathered = SendQueue::gather(cursor, bytes, out);
    PENSTOCK_ASSERT(gathered == bytes);  // it fitted into the slices of a packet before
  }
  const bool fin = record.fin && bytes == whole;
  if (first_retransmit_timestamp_ == 0) {
    first_retransmit_timestamp_ = std::max(timestamp(now), uint32_t{1});
    first_retransmit_end_ = record.end;
  }
  ++undo_retransmits_;
  record.retransmitted = true;
  ++parts_->counters.segments_retransmitted;
  fill_header(out, record.begin, fin ? flag::ack | flag::fin : flag::ack, now);
  finish_data(out, index, now);
  return true;
}

/// A record went out: accounts of time, window and packets.
void Connection::finish_data(SegmentOut& out, uint32_t index, Instant now) {
  const SentRecord& record = parts_->records.at(index);
  const uint64_t packet = parts_->packets_out + 1;
  if (out.slice_count > 0) last_packet_ = packet;
  scoreboard_.sent(parts_->records, index, now.ns, packet);
  reduction_sent_ += record.bytes();
  sent_at_ = now;
  note_ack_sent(out);
  // RFC 6298 (5.1): sending starts the timeout when it does not run, and never puts it off.
  if (timer_ == RetransmitTimer::none || timer_ == RetransmitTimer::persist) timeout_from_ = now;
  if (timer_ != RetransmitTimer::reorder) arm_retransmit(now);
}

/// How much of the queue may go now, and why not more.
uint32_t Connection::new_bytes_allowed(Instant now) {
  const uint64_t unsent = queue_.unsent_bytes();
  const uint32_t most = payload_max() - sack_option_bytes(sacks_to_say());
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(unsent, most));
  if (wanted == 0) {
    window_limited_ = false;
    return 0;
  }
  const uint32_t edge = send_unacked_ + send_window_;
  const uint32_t usable = after(edge, send_next_) ? edge - send_next_ : 0;
  const uint32_t bytes = std::min(wanted, usable);
  if (bytes < wanted) {
    // Silly windows (RFC 9293: 3.8.6.2.1): wait until it is worth a segment, unless nothing would
    // ever say so.
    const bool worth = bytes > 0 && (bytes >= send_window_max_ / 2 || scoreboard_.empty());
    if (!worth) {
      if (scoreboard_.empty()) arm_persist(now);
      return 0;
    }
  }
  if (scoreboard_.empty() && now.since(sent_at_) > rtt_.timeout_ns()) {
    // RFC 5681 (4.1): after a rest the path may not carry any more what it carried.
    parts_->congestion->rested(congestion_);
    congestion_.window =
        std::min(congestion_.window, initial_congestion_window(congestion_.segment_bytes));
  }
  if (congestion_room() < bytes && scoreboard_.in_flight() > 0) {
    window_limited_ = true;
    return 0;
  }
  return bytes;
}

bool Connection::transmit_new(SegmentOut& out, Instant now) {
  if (fin_sent_) return false;
  const uint32_t allowed = new_bytes_allowed(now);
  const bool only_fin = finishing_ && queue_.unsent_bytes() == 0;
  if (allowed == 0 && !only_fin) return false;
  return transmit_bytes(out, allowed, now);
}

bool Connection::transmit_bytes(SegmentOut& out, uint32_t allowed, Instant now) {
  const uint32_t index = parts_->records.take();
  if (index == no_index) {
    ++parts_->counters.sent_segments_full;
    starved_ = true;
    return false;
  }
  SentRecord& record = parts_->records.at(index);
  uint32_t bytes = 0;
  if (allowed > 0) {
    SendCursor cursor = queue_.unsent_cursor();
    record.block = cursor.block;
    record.slice = cursor.slice;
    record.offset = cursor.offset;
    bytes = SendQueue::gather(cursor, allowed, out);
    queue_.sent(cursor, bytes);
  }
  const bool last = queue_.unsent_bytes() == 0;
  record.fin = finishing_ && last;
  record.begin = send_next_;
  record.end = send_next_ + bytes + (record.fin ? 1 : 0);

  uint8_t flags = flag::ack;
  if (last && bytes > 0) flags |= flag::psh;
  if (record.fin) flags |= flag::fin;
  fill_header(out, record.begin, flags, now);
  if (ecn_ && bytes > 0) {
    out.ecn = Ecn::capable_0;
    if (reduced_to_say_) {
      out.flags |= flag::cwr;
      reduced_to_say_ = false;
    }
  }
  if (scoreboard_.empty()) progress_at_ = now;
  send_next_ = record.end;
  scoreboard_.push(parts_->records, index);
  finish_data(out, index, now);
  if (record.fin) fin_out();
  return true;
}

void Connection::fin_out() {
  fin_sent_ = true;
  state_ = state_ == State::close_wait ? State::last_ack : State::fin_wait_1;
}

/// RFC 8985: 7.3. One segment beyond the congestion window: new bytes when the peer's window lets
/// them through, else the last one again.
bool Connection::transmit_tail_probe(SegmentOut& out, Instant now) {
  tail_probe_owed_ = false;
  if (scoreboard_.empty()) return false;
  const uint32_t edge = send_unacked_ + send_window_;
  const uint32_t most = payload_max() - sack_option_bytes(sacks_to_say());
  const auto fresh = static_cast<uint32_t>(std::min<uint64_t>(queue_.unsent_bytes(), most));
  bool out_now = false;
  if (fresh > 0 && !fin_sent_ && at_or_before(send_next_ + fresh, edge)) {
    out_now = transmit_bytes(out, fresh, now);
    tail_probe_again_ = false;
  } else {
    uint32_t last = scoreboard_.tail();
    while (last != no_index && !parts_->records.at(last).in_flight) {
      last = parts_->records.at(last).previous;
    }
    if (last == no_index) return false;
    const bool already = parts_->records.at(last).retransmitted;
    out_now = transmit_again(out, last, now);
    // Sent before, its delivery could not tell which one arrived.
    tail_probe_again_ = !already;
  }
  if (!out_now) return false;
  tail_probe_out_ = true;
  tail_probe_end_ = send_next_;
  ++parts_->counters.tail_probes;
  timeout_from_ = now;
  arm_retransmit(now);
  return true;
}

}  // namespace penstock::engine::tcp

#include "dataplane/engine/tcp/connection.h"

#include <algorithm>
#include <cstddef>

#include "penstock/base/assert.h"

namespace penstock::engine::tcp {
namespace {

// Packets of one turn beyond those that are held for longer: sixteen bursts of 64.
constexpr uint32_t passing_packets_max = 1024;

// What a handshake and the first exchange of RTMP take: answers wait for these ACKs.
constexpr uint8_t quick_acks_first = 16;

// How long the end of a connection that nobody owns any more may take. Hosts take 60 s; ours are
// many and their peers were told to go.
constexpr uint64_t detached_ns = 15 * ns_per_s;

}  // namespace

uint8_t window_scale_for(uint32_t bytes) {
  uint8_t scale = 0;
  while (scale < 14 && (uint64_t{0xffff} << scale) < bytes) ++scale;
  return scale;
}

ConnectionParts::ConnectionParts(const StackOptions& stack_options, StackCounters& stack_counters)
    : options(stack_options),
      counters(stack_counters),
      congestion(find_congestion_control(stack_options.congestion)),
      records(stack_options.sent_segments_max),
      blocks(stack_options.connections_max),
      memory(stack_options.held_packets_max, stack_options.receive_blocks, passing_packets_max) {
  PENSTOCK_ASSERT(congestion != nullptr);  // the configuration has looked
}

size_t ConnectionParts::memory_bytes() const {
  return records.memory_bytes() + blocks.memory_bytes() + memory.memory_bytes();
}

void Connection::begin(ConnectionParts& parts, uint32_t own_first, uint32_t timestamp_offset,
                       Instant now) {
  static_assert(offsetof(Connection, received_) + ReceiveQueue::hot_bytes <= hot_bytes);
  PENSTOCK_ASSERT(gone());
  *this = {};
  parts_ = &parts;
  timestamp_offset_ = timestamp_offset;
  send_unacked_ = own_first;
  send_next_ = own_first + 1;
  forward_ = send_unacked_;
  heard_at_ = progress_at_ = sent_at_ = tune_from_ = receiver_rtt_from_ = now;
  window_target_ = std::min(first_window_bytes, parts.options.receive_window_max);
  quick_acks_ = quick_acks_first;
  if (parts.options.keepalive_ns != 0) idle_at_ = now.after_ns(parts.options.keepalive_ns);
}

void Connection::agree(const Negotiated& negotiated) {
  segment_bytes_max_ = std::max(negotiated.segment_bytes_max, segment_bytes_min);
  window_scaling_ = negotiated.window_scaling;
  peer_window_scale_ =
      negotiated.window_scaling ? std::min<uint8_t>(negotiated.peer_window_scale, 14) : 0;
  own_window_scale_ = negotiated.window_scaling ? negotiated.own_window_scale : 0;
  sack_ = negotiated.sack;
  timestamps_ = negotiated.timestamps;
  ecn_ = negotiated.ecn;
  start_congestion(congestion_, payload_max());
}

void Connection::open_passive(ConnectionParts& parts, const PassiveOpen& open, Instant now) {
  begin(parts, open.own_first, open.timestamp_offset, now);
  passive_ = opened_ = true;
  state_ = State::established;
  agree(open.negotiated);
  if (open.syn_ack_retransmitted) congestion_.window = congestion_.segment_bytes;
  send_unacked_ = send_next_;
  forward_ = send_next_;
  begin_receiving(open.peer_first);
  send_window_ = send_window_max_ = open.peer_window;
  window_acknowledgment_ = send_unacked_;
  timestamp_recent_ = open.timestamp_recent;
  timestamp_recent_at_ = now;
  if (open.rtt_ns != 0) rtt_.sample(open.rtt_ns);
}

void Connection::open_active(ConnectionParts& parts, const ActiveOpen& open, Instant now) {
  begin(parts, open.own_first, open.timestamp_offset, now);
  state_ = State::syn_sent;
  segment_bytes_max_ = open.segment_bytes_max;
  own_window_scale_ = window_scale_for(parts.options.receive_window_max);
  ecn_ = parts.options.ecn;
  syn_owed_ = true;
  output_wanted_ = true;
}

void Connection::begin_receiving(uint32_t peer_first) {
  receive_next_ = peer_first + 1;
  receive_edge_ = receive_next_ + window_target_;
  ack_sent_ = receive_next_;
  receiver_rtt_sequence_ = receive_edge_;
  window_sequence_ = peer_first;
}

void Connection::release_memory() {
  queue_.clear(parts_->blocks);
  scoreboard_.clear(parts_->records);
  received_.clear(parts_->memory);
}

void Connection::become_closed(EndReason reason, bool reset) {
  if (state_ == State::closed) return;
  reset_owed_ = reset && state_ != State::syn_sent;
  output_wanted_ = reset_owed_;
  state_ = State::closed;
  if (!closing_) end_reason_ = reason;
  cut_off_ = true;
  starved_ = false;
  release_memory();
  timer_ = RetransmitTimer::none;
  retransmit_at_ = acknowledge_at_ = idle_at_ = Instant::never();
}

/// Both ends have finished. What the caller has not taken yet stays until it has.
void Connection::enter_time_wait() {
  state_ = State::time_wait;
  scoreboard_.clear(parts_->records);
  timer_ = RetransmitTimer::none;
  retransmit_at_ = idle_at_ = Instant::never();
}

/// Both ends have finished, and the peer knows it.
void Connection::end_orderly() {
  state_ = State::closed;
  output_wanted_ = false;
  scoreboard_.clear(parts_->records);
  timer_ = RetransmitTimer::none;
  retransmit_at_ = acknowledge_at_ = idle_at_ = Instant::never();
}

std::optional<TimeWaitState> Connection::time_wait() const {
  if (state_ != State::time_wait) return std::nullopt;
  const uint32_t window = receive_edge_ - receive_next_;
  return TimeWaitState{
      .send_next = send_next_,
      .receive_next = receive_next_,
      .window = static_cast<uint16_t>(std::min<uint32_t>(window >> own_window_scale_, 0xffff)),
      .timestamps = timestamps_,
      .timestamp_recent = timestamp_recent_,
      .timestamp_offset = timestamp_offset_};
}

// Events ----------------------------------------------------------------------------------------

void Connection::report_sent(uint32_t bytes, uint64_t packet) {
  if (bytes == 0) return;
  parts_->counters.bytes_sent += bytes;
  // The caller counts from the oldest byte on: nothing is reported before what lies in front of it,
  // whose packet may be the later one when it was sent again.
  gather_sent();
  if (sent_waiting_bytes_[0] == 0 && packet <= parts_->packets_transmitted) {
    sent_ready_bytes_ += bytes;
    return;
  }
  const bool with_first = sent_waiting_bytes_[0] == 0 ||
                          (packet <= sent_waiting_packet_[0] && sent_waiting_bytes_[1] == 0);
  const size_t slot = with_first ? 0 : 1;
  sent_waiting_bytes_[slot] += bytes;
  sent_waiting_packet_[slot] = std::max(sent_waiting_packet_[slot], packet);
}

void Connection::gather_sent() {
  while (sent_waiting_bytes_[0] != 0 && sent_waiting_packet_[0] <= parts_->packets_transmitted) {
    sent_ready_bytes_ += sent_waiting_bytes_[0];
    sent_waiting_bytes_[0] = sent_waiting_bytes_[1];
    sent_waiting_packet_[0] = sent_waiting_packet_[1];
    sent_waiting_bytes_[1] = 0;
    sent_waiting_packet_[1] = 0;
  }
}

bool Connection::next_event(StackEvent& event, Instant now) {
  if (closed_reported_) return false;
  event = {};
  if (opened_ && !open_reported_) {
    open_reported_ = true;
    event.kind = passive_ ? StackEventKind::accepted : StackEventKind::connected;
    return true;
  }
  if (!closing_) {
    if (can_deliver()) {
      event.kind = StackEventKind::received;
      event.bytes = received_.take(parts_->memory);
      delivering_ = received_.ordered_bytes() != 0;
      taken(static_cast<uint32_t>(event.bytes.size()), now);
      return true;
    }
    if (can_report_ended()) {
      ended_reported_ = true;
      event.kind = StackEventKind::ended;
      return true;
    }
    gather_sent();
    if (sent_ready_bytes_ != 0) {
      event.kind = StackEventKind::sent;
      event.sent_bytes = sent_ready_bytes_;
      sent_ready_bytes_ = 0;
      return true;
    }
  }
  if (!can_report_closed()) return false;
  closed_reported_ = true;
  event.kind = StackEventKind::closed;
  event.reason = end_reason_;
  if (gone()) {
    release_memory();
  } else {
    detached_ = true;
  }
  return true;
}

// What the caller asks for ----------------------------------------------------------------------

void Connection::send(std::span<const Bytes> slices, Instant now) {
  PENSTOCK_ASSERT(!finishing_ || closing_);
  if (gone() || closing_) return;
  if (queue_.bytes() == 0) progress_at_ = now;
  for (const Bytes slice : slices) queue_.push(parts_->blocks, slice);
  sending_ = true;
  output_wanted_ = true;
}

void Connection::set_reading(bool on, Instant now) {
  if (reading_ == on) return;
  reading_ = on;
  // Time without credit is none in which the window was too small.
  tune_from_ = now;
  tune_bytes_ = 0;
  if (on) offer_window();
}

void Connection::set_low_water(uint32_t bytes) { low_water_ = std::max(bytes, uint32_t{1}); }

void Connection::finish(Instant now) {
  if (gone() || finishing_) return;
  finishing_ = true;
  sending_ = true;
  if (queue_.bytes() == 0) progress_at_ = now;
  output_wanted_ = true;
}

void Connection::close(Instant now) {
  if (closing_ || closed_reported_) return;
  if (gone()) {
    // `closed` was due anyway; what the caller did not take it does not want.
    closing_ = true;
    received_.clear(parts_->memory);
    return;
  }
  const bool orderly = synchronized() && queue_.bytes() == 0 && received_.ordered_bytes() == 0 &&
                       !received_.has_holes();
  end_reason_ = EndReason::ours;
  closing_ = true;
  if (!orderly) {
    become_closed(EndReason::ours, true);
    return;
  }
  finish(now);
  idle_at_ = detached_until_ = now.after_ns(detached_ns);
}

void Connection::abort(EndReason reason) { become_closed(reason, true); }

bool Connection::in_flight(uint32_t sequence) const {
  return !gone() && at_or_after(sequence, send_unacked_) && before(sequence, send_next_);
}

void Connection::lower_segment_bytes(uint16_t segment_bytes_max, Instant now) {
  segment_bytes_max = std::max(segment_bytes_max, segment_bytes_min);
  if (gone() || segment_bytes_max >= segment_bytes_max_) return;
  segment_bytes_max_ = segment_bytes_max;
  const uint32_t most = payload_max();
  congestion_.segment_bytes = most;
  // They were dropped for their size, which says nothing about congestion: sent again at once, in
  // parts, and the window stays (RFC 8899: 3 wants no reaction).
  for (uint32_t index = scoreboard_.head(); index != no_index;) {
    const SentRecord& record = parts_->records.at(index);
    const uint32_t next = record.next;
    if (record.bytes() > most) scoreboard_.mark_lost(parts_->records, index);
    index = next;
  }
  if (scoreboard_.lost() > 0) {
    output_wanted_ = true;
    arm_retransmit(now);
  }
}

void Connection::unreachable(EndReason reason) {
  if (state_ == State::syn_sent || state_ == State::syn_received) become_closed(reason, false);
}

}  // namespace penstock::engine::tcp

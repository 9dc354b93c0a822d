#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/engine/tcp/congestion.h"
#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/receive_queue.h"
#include "dataplane/engine/tcp/rtt.h"
#include "dataplane/engine/tcp/scoreboard.h"
#include "dataplane/engine/tcp/segment.h"
#include "dataplane/engine/tcp/send_queue.h"
#include "dataplane/engine/tcp/sequence.h"
#include "dataplane/engine/tcp/stack.h"

namespace penstock::engine::tcp {

// What a SYN or SYN-ACK of ours offers, and so what a connection begins with: the most that fits
// into a window field without scale.
constexpr uint32_t first_window_bytes = 65535;

/// The smallest scale with which `bytes` can be said (RFC 7323: 2.3).
[[nodiscard]] uint8_t window_scale_for(uint32_t bytes);

/// What all connections of a stack share.
struct ConnectionParts {
  ConnectionParts(const StackOptions& options, StackCounters& counters);

  const StackOptions& options;
  StackCounters& counters;
  const CongestionControl* congestion;
  SentRecords records;
  SendBlocks blocks;
  ReceiveMemory memory;
  // Packets that were given out and that have left the device, counted by the stack: a connection
  // asked to transmit() fills packet number packets_out + 1.
  uint64_t packets_out = 0;
  uint64_t packets_transmitted = 0;

  [[nodiscard]] size_t memory_bytes() const;
};

/// What the two ends have agreed on.
struct Negotiated {
  // Of TCP, options and payload but without the 20 bytes of its header: the smaller of the peer's
  // MSS and of what the path lets through.
  uint16_t segment_bytes_max = 536;
  bool window_scaling = false;
  uint8_t peer_window_scale = 0;
  uint8_t own_window_scale = 0;
  bool sack = false;
  bool timestamps = false;
  bool ecn = false;
};

/// A handshake that the stack has completed: the peer's last ACK is there, and is given to
/// receive() next.
struct PassiveOpen {
  uint32_t own_first = 0;    // ISS
  uint32_t peer_first = 0;   // IRS
  uint32_t peer_window = 0;  // of the SYN: not scaled
  Negotiated negotiated;
  uint32_t timestamp_recent = 0;       // TSval of the SYN
  uint32_t timestamp_offset = 0;       // of ours: TSval is milliseconds + this
  uint64_t rtt_ns = 0;                 // from SYN-ACK to ACK, when it was sent once; 0: not known
  bool syn_ack_retransmitted = false;  // the window then begins at one segment (RFC 6298: 5.7)
};

struct ActiveOpen {
  uint32_t own_first = 0;
  uint16_t segment_bytes_max = 536;  // what is offered, and what the path lets through
  uint32_t timestamp_offset = 0;
};

/// What TIME_WAIT has to remember (RFC 9293: 3.10.7.8, RFC 6191).
struct TimeWaitState {
  uint32_t send_next = 0;
  uint32_t receive_next = 0;
  uint16_t window = 0;  // scaled
  bool timestamps = false;
  uint32_t timestamp_recent = 0;
  uint32_t timestamp_offset = 0;
};

/// One TCP connection (RFC 9293) as a state machine: segments in, segments out; no header, no
/// address. It lives in a pool of its stack and is reset in place. After every call the stack asks
/// wants_output(), has_event(), deadline(), gone() and done(), whichever the call can have changed.
///
/// Life: open_*() .. gone() (no segment belongs to it any more: take it out of the table of flows,
/// and when time_wait() says so into TIME_WAIT's) .. done() (nothing of it is needed: the place can
/// be used again).
class alignas(64) Connection {
 public:
  enum class State : uint8_t {
    closed,
    syn_sent,
    syn_received,
    established,
    fin_wait_1,
    fin_wait_2,
    closing,
    time_wait,
    close_wait,
    last_ack,
  };

  // What a segment in order touches while nothing of ours is outstanding comes first: four cache
  // lines. At 100,000 connections lines are what a segment costs.
  static constexpr size_t hot_bytes = 256;

  void open_passive(ConnectionParts& parts, const PassiveOpen& open, Instant now);
  void open_active(ConnectionParts& parts, const ActiveOpen& open, Instant now);

  /// True: the packet is held and its token comes back through parts.memory.released(). False: the
  /// packet is not needed.
  [[nodiscard]] bool receive(const SegmentIn& segment, Instant now);

  [[nodiscard]] bool wants_output() const { return output_wanted_; }
  /// The next segment that may go now; false: nothing. It is packet number parts.packets_out + 1.
  [[nodiscard]] bool transmit(SegmentOut& out, Instant now);
  /// More is to go, and no record of `parts.records` was left for it: feed() when there is one.
  [[nodiscard]] bool starved() const { return starved_; }
  void feed();

  [[nodiscard]] bool has_event() const;
  /// The next event but for its id, and for peer and port of `accepted`. Bytes of `received` are
  /// good until memory.recycle() and until the caller gets its packets back.
  [[nodiscard]] bool next_event(StackEvent& event, Instant now);
  /// An event waits until that many packets have left the device; 0: none does. has_event() changes
  /// by it.
  [[nodiscard]] uint64_t waits_for_packet() const;

  [[nodiscard]] Instant deadline() const;
  void expire(Instant now);

  void send(std::span<const Bytes> slices, Instant now);
  void set_reading(bool on, Instant now);
  void set_low_water(uint32_t bytes);
  void finish(Instant now);
  /// `closed` follows. With nothing queued or unread the peer sees an orderly end and the place
  /// stays taken until that is through (detached()); else a reset.
  void close(Instant now);
  /// A reset, and gone: for who takes the places of detached connections.
  void abort(EndReason reason);

  /// ICMP (RFC 5927): whether a message about `sequence` can be meant.
  [[nodiscard]] bool in_flight(uint32_t sequence) const;
  /// The path lets less through; more is never believed here.
  void lower_segment_bytes(uint16_t segment_bytes_max, Instant now);
  /// Hard errors end a handshake; what stands does not believe them.
  void unreachable(EndReason reason);

  /// Something of ours is queued or not acknowledged.
  [[nodiscard]] bool sending() const { return sending_; }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool gone() const { return state_ == State::closed || state_ == State::time_wait; }
  [[nodiscard]] bool done() const;
  [[nodiscard]] bool detached() const { return detached_; }
  [[nodiscard]] std::optional<TimeWaitState> time_wait() const;
  [[nodiscard]] uint32_t peer_window_scaled() const { return send_window_; }
  [[nodiscard]] const CongestionState& congestion() const { return congestion_; }
  [[nodiscard]] const RttEstimator& rtt() const { return rtt_; }
  [[nodiscard]] uint32_t window_target() const { return window_target_; }

 private:
  // 128 bytes of IPv4 on the smallest link that anybody has, less the headers.
  static constexpr uint16_t segment_bytes_min = 88;
  static constexpr uint8_t alone_max = 3;
  enum class RetransmitTimer : uint8_t { none, timeout, probe, reorder, persist };
  enum class Recovery : uint8_t { open, reduced, recovery, loss };

  // connection.cc
  void begin(ConnectionParts& parts, uint32_t own_first, uint32_t timestamp_offset, Instant now);
  void agree(const Negotiated& negotiated);
  void become_closed(EndReason reason, bool reset);
  void enter_time_wait();
  void release_memory();
  void report_sent(uint32_t bytes, uint64_t packet);
  void begin_receiving(uint32_t peer_first);
  void end_orderly();
  void gather_sent();
  [[nodiscard]] bool sent_reportable() const;
  [[nodiscard]] bool can_deliver() const;
  [[nodiscard]] bool can_report_ended() const;
  [[nodiscard]] bool can_report_closed() const;

  // connection_receive.cc
  [[nodiscard]] bool receive_in_handshake(const SegmentIn& segment, Instant now);
  void receive_syn_answer(const SegmentIn& segment, Instant now);
  void establish(Instant now);
  [[nodiscard]] bool check_sequence(const SegmentIn& segment, Instant now);
  void answer_unacceptable(const SegmentIn& segment, Instant now);
  [[nodiscard]] bool check_control(const SegmentIn& segment, Instant now);
  [[nodiscard]] bool receive_payload(const SegmentIn& segment, Instant now);
  [[nodiscard]] bool receive_in_order(Bytes bytes, const SegmentIn& segment, Instant now);
  [[nodiscard]] bool receive_beyond(uint32_t begin, Bytes bytes, const SegmentIn& segment,
                                    Instant now);
  void receive_fin(Instant now);
  void note_duplicate(SequenceRange range);
  void note_gap(Instant now);
  void challenge(Instant now);
  void want_ack(bool at_once, Instant now);
  void measure_receiver_rtt(const SegmentIn& segment, Instant now);
  void taken(uint32_t bytes, Instant now);
  void offer_window();

  // connection_acknowledge.cc
  [[nodiscard]] bool receive_ack(const SegmentIn& segment, Instant now);
  void process_ack(const SegmentIn& segment, Instant now);
  void take_progress(const SegmentIn& segment, AckDigest& digest, Instant now);
  [[nodiscard]] bool update_send_window(const SegmentIn& segment, bool progress);
  [[nodiscard]] bool sample_rtt(const SegmentIn& segment, const AckDigest& digest, bool progress,
                                bool duplicate_seen, Instant now);
  void process_sacks(const SegmentIn& segment, AckDigest& digest, bool& duplicate_seen);
  void count_duplicate_ack(const SegmentIn& segment, bool progress, bool window_changed,
                           Instant now);
  void update_rack(const SegmentIn& segment, const AckDigest& digest, bool duplicate_seen,
                   Instant now);
  [[nodiscard]] uint64_t reordering_window_ns() const;
  void detect_losses(Instant now);
  void begin_reduction();
  void begin_undo();
  void enter_recovery(Instant now);
  void enter_reduced();
  void try_undo(const SegmentIn& segment, bool progress, bool duplicate_seen);
  void finish_tail_probe(const SegmentIn& segment, const AckDigest& digest, bool duplicate_seen);
  void follow_congestion(const AckDigest& digest, bool progress, uint32_t flight_before,
                         bool more_lost, Instant now);
  void proportional_reduction(uint32_t delivered_bytes, bool safe);
  void our_fin_acked();

  // connection_transmit.cc
  void fill_header(SegmentOut& out, uint32_t sequence, uint8_t flags, Instant now);
  void fill_syn(SegmentOut& out, Instant now);
  void note_ack_sent(const SegmentOut& out);
  [[nodiscard]] uint16_t window_field(bool syn);
  [[nodiscard]] uint8_t sacks_to_say() const;
  [[nodiscard]] uint32_t payload_max() const;
  [[nodiscard]] uint32_t congestion_room() const;
  [[nodiscard]] uint32_t new_bytes_allowed(Instant now);
  [[nodiscard]] bool transmit_reset(SegmentOut& out, Instant now);
  [[nodiscard]] bool transmit_tail_probe(SegmentOut& out, Instant now);
  [[nodiscard]] bool transmit_lost(SegmentOut& out, Instant now);
  [[nodiscard]] bool transmit_again(SegmentOut& out, uint32_t index, Instant now);
  [[nodiscard]] bool transmit_new(SegmentOut& out, Instant now);
  [[nodiscard]] bool transmit_bytes(SegmentOut& out, uint32_t allowed, Instant now);
  void finish_data(SegmentOut& out, uint32_t index, Instant now);
  void fin_out();

  // connection_timers.cc
  void arm_retransmit(Instant now);
  void arm_persist(Instant now);
  void expire_retransmit(Instant now);
  void expire_timeout(Instant now);
  void expire_persist(Instant now);
  void expire_idle(Instant now);
  [[nodiscard]] uint64_t timeout_ns() const;
  [[nodiscard]] Instant timeout_at(Instant from) const;
  [[nodiscard]] uint64_t tail_probe_ns() const;

  [[nodiscard]] uint32_t timestamp(Instant now) const {
    return static_cast<uint32_t>(now.ns / ns_per_ms) + timestamp_offset_;
  }
  [[nodiscard]] bool synchronized() const { return state_ > State::syn_received; }

  // What a segment in order touches while nothing of ours is outstanding: four cache lines, with
  // the first half of `received_`. At 100,000 connections lines are what a segment costs.
  ConnectionParts* parts_ = nullptr;
  State state_ = State::closed;
  bool output_wanted_ = false;
  bool reading_ = true;
  bool sack_ = false;
  bool timestamps_ = false;
  bool ack_now_ = false;
  bool sending_ = false;
  bool ecn_ = false;
  bool ecn_echo_ = false;  // CE came and no CWR since
  bool fin_seen_ = false;
  bool fin_received_ = false;
  bool has_duplicate_ = false;  // D-SACK to be sent
  bool delivering_ = false;     // the mark was reached, and not everything is taken yet
  bool detached_ = false;
  bool finishing_ = false;  // finish() was called
  bool fin_sent_ = false;
  bool reset_owed_ = false;
  bool stray_reset_owed_ = false;
  bool syn_owed_ = false;
  bool probe_owed_ = false;  // keepalive or zero-window probe
  bool tail_probe_owed_ = false;
  bool starved_ = false;  // no record was left
  // Events.
  bool opened_ = false;
  bool open_reported_ = false;
  bool passive_ = false;
  bool ended_reported_ = false;
  bool closed_reported_ = false;
  bool closing_ = false;  // close() was called: nothing but `closed` is reported
  bool cut_off_ = false;  // it ended in disorder: what was not reported is lost
  EndReason end_reason_ = EndReason::ours;
  RetransmitTimer timer_ = RetransmitTimer::none;
  uint8_t peer_window_scale_ = 0;
  uint8_t own_window_scale_ = 0;
  uint8_t quick_acks_ = 0;
  uint8_t alone_ = 0;  // segments of late that came long after the one before, at most alone_max
  uint8_t duplicate_acks_owed_ = 0;
  uint8_t backoff_ = 0;
  uint8_t probes_unanswered_ = 0;
  uint16_t segment_bytes_max_ = 536;
  uint16_t largest_received_ = 0;  // the peer's segment size, by what it sends
  uint32_t receive_next_ = 0;
  uint32_t receive_edge_ = 0;  // what was offered ends here; never moves back
  uint32_t ack_sent_ = 0;      // the last acknowledgment number that was sent
  uint32_t timestamp_recent_ = 0;
  uint32_t timestamp_offset_ = 0;
  uint32_t send_unacked_ = 0;
  uint32_t send_next_ = 0;
  uint32_t send_window_ = 0;
  uint32_t send_window_max_ = 0;        // the largest that the peer ever offered
  uint32_t window_sequence_ = 0;        // SND.WL1
  uint32_t window_acknowledgment_ = 0;  // SND.WL2
  uint32_t low_water_ = 1;
  uint32_t window_target_ = 0;
  uint32_t fin_sequence_ = 0;
  // Acknowledged bytes whose packets may be in the device still: reported when they are not. Two
  // slots, so that steady sending cannot put the first off for ever.
  uint32_t sent_ready_bytes_ = 0;
  uint32_t sent_waiting_bytes_[2] = {};
  uint32_t tune_bytes_ = 0;  // window tuning: what the caller took since tune_from_
  Instant tune_from_;
  uint64_t receiver_rtt_ns_ = 0;
  Instant heard_at_;  // anything acceptable from the peer
  Instant timestamp_recent_at_;
  Instant acknowledge_at_ = Instant::never();
  Instant retransmit_at_ = Instant::never();
  Instant idle_at_ = Instant::never();
  ReceiveQueue received_;

  // What is rare.
  uint32_t receiver_rtt_sequence_ = 0;
  Instant receiver_rtt_from_;
  SequenceRange duplicate_;
  Instant challenged_at_;
  uint32_t stray_reset_sequence_ = 0;
  Instant detached_until_;
  bool window_scaling_ = false;

  // Sending.
  uint64_t sent_waiting_packet_[2] = {};
  uint64_t last_packet_ = 0;  // the last one that points to bytes of the caller's
  SendQueue queue_;
  Scoreboard scoreboard_;
  CongestionState congestion_;
  RttEstimator rtt_;
  Recovery recovery_ = Recovery::open;
  bool reduced_to_say_ = false;  // CWR is to be sent
  bool window_limited_ = false;  // the congestion window was what held us back
  Instant timeout_from_;
  Instant progress_at_;              // the peer acknowledged something, or there was nothing to
  Instant sent_at_;                  // data, the last time
  uint32_t recovery_end_ = 0;        // recovery ends when this is acknowledged
  uint32_t forward_ = 0;             // the highest that was delivered (SND.FACK)
  uint32_t duplicate_acks_ = 0;      // of peers without SACK
  uint32_t duplicate_told_end_ = 0;  // of the last D-SACK
  std::array<SequenceRange, TcpOptions::sack_ranges_max> sacks_seen_{};
  // Proportional rate reduction (RFC 6937).
  uint32_t reduction_delivered_ = 0;
  uint32_t reduction_sent_ = 0;
  uint32_t reduction_flight_ = 0;
  // Undo (RFC 3522, RFC 3708): a recovery whose retransmissions were all needless.
  bool undo_possible_ = false;
  uint32_t undo_from_ = 0;
  uint32_t undo_retransmits_ = 0;
  uint32_t first_retransmit_timestamp_ = 0;
  uint32_t first_retransmit_end_ = 0;
  // RACK (RFC 8985).
  uint64_t rack_sent_at_ns_ = 0;
  uint64_t rack_rtt_ns_ = 0;
  uint32_t rack_end_ = 0;
  uint32_t rack_round_ = 0;  // D-SACKs count once until this is acknowledged
  bool rack_round_open_ = false;
  bool rack_reordering_ = false;
  uint8_t rack_multiplier_ = 1;
  uint8_t rack_persist_ = 0;
  uint64_t reorder_wait_ns_ = 0;
  // Tail loss probe.
  bool tail_probe_out_ = false;
  bool tail_probe_again_ = false;  // it sent old bytes
  uint32_t tail_probe_end_ = 0;
};

// What the stack asks after each call is here, so that it costs no calls: three times for each
// segment.

inline bool Connection::done() const { return gone() && closed_reported_ && !output_wanted_; }

inline bool Connection::sent_reportable() const {
  return sent_ready_bytes_ != 0 ||
         (sent_waiting_bytes_[0] != 0 && sent_waiting_packet_[0] <= parts_->packets_transmitted);
}

inline bool Connection::can_deliver() const {
  const uint32_t bytes = received_.ordered_bytes();
  if (bytes == 0 || !reading_) return false;
  // A mark above the window would never be reached.
  return delivering_ || fin_received_ || bytes >= std::min(low_water_, window_target_ / 2);
}

inline bool Connection::can_report_ended() const {
  return fin_received_ && !ended_reported_ && received_.ordered_bytes() == 0;
}

inline bool Connection::can_report_closed() const {
  const bool ended =
      closing_ || cut_off_ || (gone() && ended_reported_ && sent_waiting_bytes_[0] == 0);
  return ended && parts_->packets_transmitted >= last_packet_;
}

inline bool Connection::has_event() const {
  if (closed_reported_) return false;
  if (opened_ && !open_reported_) return true;
  if (!closing_ && (can_deliver() || can_report_ended() || sent_reportable())) return true;
  return can_report_closed();
}

inline uint64_t Connection::waits_for_packet() const {
  if (parts_ == nullptr || closed_reported_) return 0;
  const uint64_t transmitted = parts_->packets_transmitted;
  if (!closing_ && sent_waiting_bytes_[0] != 0 && sent_waiting_packet_[0] > transmitted) {
    return sent_waiting_packet_[0];
  }
  return (closing_ || gone()) && last_packet_ > transmitted ? last_packet_ : 0;
}

inline Instant Connection::deadline() const {
  return std::min(acknowledge_at_, std::min(retransmit_at_, idle_at_));
}

}  // namespace penstock::engine::tcp

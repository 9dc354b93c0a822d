#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/engine/tcp/receive_memory.h"
#include "dataplane/engine/tcp/segment.h"
#include "dataplane/engine/tcp/send_queue.h"

namespace penstock::engine::tcp {

/// A segment that was sent and is not acknowledged.
struct SentRecord {
  uint64_t sent_at_ns = 0;  // the last time
  uint64_t packet = 0;      // the number of the last packet that points to its bytes
  SendBlock* block = nullptr;
  uint32_t slice = 0;
  uint32_t offset = 0;
  uint32_t begin = 0;
  uint32_t end = 0;          // with the FIN
  uint32_t next = no_index;  // by sequence
  uint32_t previous = no_index;
  uint32_t later = no_index;  // by time of sending; only while in flight
  uint32_t earlier = no_index;
  bool in_flight = false;  // neither SACKed nor lost
  bool sacked = false;
  bool lost = false;
  bool retransmitted = false;
  bool fin = false;

  [[nodiscard]] uint32_t bytes() const { return end - begin; }
};
static_assert(sizeof(SentRecord) <= 72);

/// Records of all connections of a stack.
class SentRecords {
 public:
  explicit SentRecords(uint32_t records);
  /// None when all are in use: who wants to send waits for somebody's ACK.
  [[nodiscard]] uint32_t take();
  void give_back(uint32_t index);
  [[nodiscard]] SentRecord& at(uint32_t index) { return records_[index]; }
  [[nodiscard]] const SentRecord& at(uint32_t index) const { return records_[index]; }
  [[nodiscard]] uint32_t in_use() const { return in_use_; }
  [[nodiscard]] uint32_t left() const { return count_ - in_use_; }
  [[nodiscard]] size_t memory_bytes() const;

 private:
  std::unique_ptr<SentRecord[]> records_;
  uint32_t count_;
  uint32_t free_ = no_index;
  uint32_t in_use_ = 0;
};

/// What an ACK said of the segments that were sent.
struct AckDigest {
  uint32_t acked_bytes = 0;      // below the cumulative ACK, of the sequence space
  uint32_t delivered_bytes = 0;  // acked and SACKed for the first time
  uint64_t packet_max = 0;       // of what was acked: when its bytes have left the device
  bool fin_acked = false;
  // RACK (RFC 8985: 6.2): the delivered segment that was sent last.
  bool has_newest = false;
  uint64_t newest_sent_at_ns = 0;
  uint32_t newest_end = 0;
  bool newest_retransmitted = false;
  // The oldest gives a round trip time unless something was retransmitted (RFC 6298: 3).
  uint64_t rtt_sent_at_ns = 0;
  bool retransmitted = false;
  bool rtt_late = false;  // that one was taken for lost already
  bool reordered = false;  // delivered below something that was delivered before, at its first try
};

/// The segments of one connection that are in the network, or were: SACK's and RACK's memory.
class Scoreboard {
 public:
  void push(SentRecords& records, uint32_t index);
  /// All below `acknowledgment` are delivered. `forward`: the highest end that was so far.
  void acknowledge(SentRecords& records, uint32_t acknowledgment, uint32_t forward,
                   AckDigest& digest);
  /// All within `range` are delivered. What ends before `from` was looked at with an earlier ACK.
  void sack(SentRecords& records, SequenceRange range, uint32_t from, uint32_t forward,
            AckDigest& digest);
  /// RACK (RFC 8985: 6.2, step 5): what was sent before the newest delivered one, and should have
  /// arrived by now, is lost. Returns after how many ns the next may be, 0 when none waits.
  uint64_t detect_losses(SentRecords& records, uint64_t newest_sent_at_ns, uint32_t newest_end,
                         uint64_t patience_ns, uint64_t now_ns);
  void mark_lost(SentRecords& records, uint32_t index);
  /// All that are not SACKed (timeout). The peer may have dropped what it had SACKed only when
  /// `renege` is set: then those too.
  void mark_all_lost(SentRecords& records, bool renege);
  /// What was taken for lost was only late: it is in flight, as it was.
  void restore_lost(SentRecords& records);
  /// A record is sent (again).
  void sent(SentRecords& records, uint32_t index, uint64_t now_ns, uint64_t packet);
  /// Cuts a record that is too long into two; false without memory.
  [[nodiscard]] bool split(SentRecords& records, uint32_t index, uint32_t bytes);
  /// The lowest that is lost; none when there is none.
  [[nodiscard]] uint32_t next_lost(const SentRecords& records);
  void clear(SentRecords& records);

  [[nodiscard]] bool empty() const { return head_ == no_index; }
  [[nodiscard]] uint32_t head() const { return head_; }
  [[nodiscard]] uint32_t tail() const { return tail_; }
  [[nodiscard]] uint32_t in_flight_bytes() const { return in_flight_bytes_; }
  [[nodiscard]] uint32_t in_flight() const { return in_flight_; }  // segments
  [[nodiscard]] uint32_t lost() const { return lost_; }
  [[nodiscard]] uint32_t sacked() const { return sacked_; }

 private:
  void link_by_time(SentRecords& records, uint32_t index);
  void unlink_by_time(SentRecords& records, uint32_t index);
  void leave_flight(SentRecords& records, uint32_t index);
  static void delivered(const SentRecord& record, uint32_t forward, AckDigest& digest);
  [[nodiscard]] uint32_t find(const SentRecords& records, uint32_t sequence) const;

  uint32_t head_ = no_index;
  uint32_t tail_ = no_index;
  uint32_t oldest_ = no_index;
  uint32_t newest_ = no_index;
  uint32_t lost_hint_ = no_index;   // nothing before it is lost; none: nothing is
  uint32_t found_hint_ = no_index;  // where the last SACK was: the next one is near
  uint32_t in_flight_bytes_ = 0;
  uint32_t in_flight_ = 0;
  uint32_t lost_ = 0;
  uint32_t sacked_ = 0;
};

}  // namespace penstock::engine::tcp

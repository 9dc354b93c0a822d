#include "dataplane/engine/tcp/scoreboard.h"

#include <algorithm>

#include "dataplane/engine/tcp/sequence.h"
#include "penstock/base/assert.h"

namespace penstock::engine::tcp {
namespace {

/// RFC 8985: 6.1. Segments that left in one turn have one time; their sequence orders them.
bool sent_after(uint64_t left_ns, uint32_t left_end, uint64_t right_ns, uint32_t right_end) {
  return left_ns > right_ns || (left_ns == right_ns && after(left_end, right_end));
}

}  // namespace

SentRecords::SentRecords(uint32_t records)
    : records_(std::make_unique<SentRecord[]>(records)), count_(records) {
  for (uint32_t index = records; index-- > 0;) {
    records_[index].next = free_;
    free_ = index;
  }
}

uint32_t SentRecords::take() {
  const uint32_t index = free_;
  if (index == no_index) return no_index;
  free_ = records_[index].next;
  records_[index] = {};
  ++in_use_;
  return index;
}

void SentRecords::give_back(uint32_t index) {
  records_[index].next = free_;
  free_ = index;
  --in_use_;
}

size_t SentRecords::memory_bytes() const { return size_t{count_} * sizeof(SentRecord); }

void Scoreboard::push(SentRecords& records, uint32_t index) {
  SentRecord& record = records.at(index);
  record.previous = tail_;
  record.next = no_index;
  (tail_ == no_index ? head_ : records.at(tail_).next) = index;
  tail_ = index;
}

void Scoreboard::link_by_time(SentRecords& records, uint32_t index) {
  SentRecord& record = records.at(index);
  record.earlier = newest_;
  record.later = no_index;
  (newest_ == no_index ? oldest_ : records.at(newest_).later) = index;
  newest_ = index;
}

void Scoreboard::unlink_by_time(SentRecords& records, uint32_t index) {
  const SentRecord& record = records.at(index);
  (record.earlier == no_index ? oldest_ : records.at(record.earlier).later) = record.later;
  (record.later == no_index ? newest_ : records.at(record.later).earlier) = record.earlier;
}

void Scoreboard::sent(SentRecords& records, uint32_t index, uint64_t now_ns, uint64_t packet) {
  SentRecord& record = records.at(index);
  // A tail probe sends again what is in flight: it counts once.
  if (record.in_flight) leave_flight(records, index);
  if (record.lost) {
    record.lost = false;
    --lost_;
    if (lost_hint_ == index) lost_hint_ = lost_ == 0 ? no_index : record.next;
  }
  record.sent_at_ns = now_ns;
  record.packet = packet;
  record.in_flight = true;
  in_flight_bytes_ += record.bytes();
  ++in_flight_;
  link_by_time(records, index);
}

void Scoreboard::leave_flight(SentRecords& records, uint32_t index) {
  SentRecord& record = records.at(index);
  unlink_by_time(records, index);
  record.in_flight = false;
  in_flight_bytes_ -= record.bytes();
  --in_flight_;
}

void Scoreboard::mark_lost(SentRecords& records, uint32_t index) {
  SentRecord& record = records.at(index);
  if (record.lost || record.sacked) return;
  if (record.in_flight) leave_flight(records, index);
  record.lost = true;
  if (lost_ == 0 || before(record.begin, records.at(lost_hint_).begin)) lost_hint_ = index;
  ++lost_;
}

void Scoreboard::mark_all_lost(SentRecords& records, bool renege) {
  for (uint32_t index = head_; index != no_index; index = records.at(index).next) {
    SentRecord& record = records.at(index);
    if (renege && record.sacked) {
      record.sacked = false;
      --sacked_;
    }
    mark_lost(records, index);
  }
}

void Scoreboard::restore_lost(SentRecords& records) {
  // All of them were sent before anything that is in flight: what was sent since is what was lost.
  for (uint32_t index = tail_; index != no_index && lost_ > 0; index = records.at(index).previous) {
    SentRecord& record = records.at(index);
    if (!record.lost) continue;
    record.lost = false;
    --lost_;
    record.in_flight = true;
    ++in_flight_;
    in_flight_bytes_ += record.bytes();
    record.earlier = no_index;
    record.later = oldest_;
    (oldest_ == no_index ? newest_ : records.at(oldest_).earlier) = index;
    oldest_ = index;
  }
  lost_hint_ = no_index;
}

void Scoreboard::delivered(const SentRecord& record, uint32_t forward, AckDigest& digest) {
  digest.delivered_bytes += record.bytes();
  digest.retransmitted |= record.retransmitted;
  if (!record.retransmitted) {
    if (digest.rtt_sent_at_ns == 0) {
      digest.rtt_sent_at_ns = record.sent_at_ns;
      digest.rtt_late = record.lost;
    }
    digest.reordered |= before(record.end, forward);
  }
  if (!digest.has_newest ||
      sent_after(record.sent_at_ns, record.end, digest.newest_sent_at_ns, digest.newest_end)) {
    digest.has_newest = true;
    digest.newest_sent_at_ns = record.sent_at_ns;
    digest.newest_end = record.end;
    digest.newest_retransmitted = record.retransmitted;
  }
}

void Scoreboard::acknowledge(SentRecords& records, uint32_t acknowledgment, uint32_t forward,
                             AckDigest& digest) {
  while (head_ != no_index) {
    const uint32_t index = head_;
    SentRecord& record = records.at(index);
    if (at_or_after(record.begin, acknowledgment)) return;
    digest.packet_max = std::max(digest.packet_max, record.packet);
    if (after(record.end, acknowledgment)) {
      // A part of a segment: who cut it was in between.
      const uint32_t part = acknowledgment - record.begin;
      SendCursor cursor{record.block, record.slice, record.offset};
      SendQueue::advance(cursor, part);
      record.block = cursor.block;
      record.slice = cursor.slice;
      record.offset = cursor.offset;
      if (record.in_flight) in_flight_bytes_ -= part;
      record.begin = acknowledgment;
      digest.acked_bytes += part;
      if (!record.sacked) digest.delivered_bytes += part;
      return;
    }
    digest.acked_bytes += record.bytes();
    digest.fin_acked |= record.fin;
    if (!record.sacked) delivered(record, forward, digest);
    if (record.in_flight) leave_flight(records, index);
    if (record.lost) --lost_;
    if (record.sacked) --sacked_;
    head_ = record.next;
    (head_ == no_index ? tail_ : records.at(head_).previous) = no_index;
    if (lost_hint_ == index) lost_hint_ = head_;
    if (found_hint_ == index) found_hint_ = head_;
    records.give_back(index);
  }
}

/// The first record that ends behind `sequence`.
uint32_t Scoreboard::find(const SentRecords& records, uint32_t sequence) const {
  uint32_t index = found_hint_ == no_index ? head_ : found_hint_;
  while (index != no_index && at_or_before(records.at(index).end, sequence)) {
    index = records.at(index).next;
  }
  if (index == no_index) return no_index;
  while (records.at(index).previous != no_index &&
         after(records.at(records.at(index).previous).end, sequence)) {
    index = records.at(index).previous;
  }
  return index;
}

void Scoreboard::sack(SentRecords& records, SequenceRange range, uint32_t from, uint32_t forward,
                      AckDigest& digest) {
  uint32_t index = find(records, from);
  while (index != no_index && before(records.at(index).begin, range.end)) {
    SentRecord& record = records.at(index);
    found_hint_ = index;
    const bool inside =
        at_or_after(record.begin, range.begin) && at_or_before(record.end, range.end);
    if (inside && !record.sacked) {
      delivered(record, forward, digest);
      if (record.in_flight) leave_flight(records, index);
      if (record.lost) {
        record.lost = false;
        --lost_;
      }
      record.sacked = true;
      ++sacked_;
    }
    index = record.next;
  }
}

uint64_t Scoreboard::detect_losses(SentRecords& records, uint64_t newest_sent_at_ns,
                                   uint32_t newest_end, uint64_t patience_ns, uint64_t now_ns) {
  while (oldest_ != no_index) {
    const SentRecord& record = records.at(oldest_);
    if (!sent_after(newest_sent_at_ns, newest_end, record.sent_at_ns, record.end)) return 0;
    if (record.sent_at_ns + patience_ns > now_ns) return record.sent_at_ns + patience_ns - now_ns;
    mark_lost(records, oldest_);
  }
  return 0;
}

bool Scoreboard::split(SentRecords& records, uint32_t index, uint32_t bytes) {
  const uint32_t rest = records.take();
  if (rest == no_index) return false;
  SentRecord& first = records.at(index);
  SentRecord& second = records.at(rest);
  PENSTOCK_ASSERT(bytes > 0 && bytes < first.bytes());
  second = first;
  SendCursor cursor{first.block, first.slice, first.offset};
  SendQueue::advance(cursor, bytes);
  second.block = cursor.block;
  second.slice = cursor.slice;
  second.offset = cursor.offset;
  second.begin = first.begin + bytes;
  first.end = second.begin;
  first.fin = false;

  second.previous = index;
  first.next = rest;
  (second.next == no_index ? tail_ : records.at(second.next).previous) = rest;
  if (first.in_flight) {
    second.earlier = index;
    first.later = rest;
    (second.later == no_index ? newest_ : records.at(second.later).earlier) = rest;
    ++in_flight_;
  }
  if (first.lost) ++lost_;
  if (first.sacked) ++sacked_;
  return true;
}

uint32_t Scoreboard::next_lost(const SentRecords& records) {
  if (lost_ == 0) return no_index;
  while (!records.at(lost_hint_).lost) lost_hint_ = records.at(lost_hint_).next;
  return lost_hint_;
}

void Scoreboard::clear(SentRecords& records) {
  while (head_ != no_index) {
    const uint32_t next = records.at(head_).next;
    records.give_back(head_);
    head_ = next;
  }
  *this = {};
}

}  // namespace penstock::engine::tcp

#include "bench/load/continuity.h"

#include <algorithm>
#include <cstring>

#include "penstock/rtmp/message.h"

namespace penstock::load {

std::optional<Bytes> MessageHead::feed(const rtmp::Piece& piece) {
  if (piece.offset >= bytes_max) return std::nullopt;
  const size_t wanted = std::min<size_t>(bytes_max, piece.message_bytes);
  if (piece.offset == 0) {
    if (piece.bytes.size() >= wanted) [[likely]]
      return piece.bytes.first(wanted);
    held_bytes_ = 0;
  }
  if (piece.offset != held_bytes_) return std::nullopt;  // of another message than the held one
  const size_t count = std::min(piece.bytes.size(), wanted - held_bytes_);
  if (count == 0) return std::nullopt;
  copy_bytes(held_.data() + held_bytes_, piece.bytes.first(count));
  held_bytes_ = static_cast<uint8_t>(held_bytes_ + count);
  if (held_bytes_ < wanted) return std::nullopt;
  return Bytes(held_).first(wanted);
}

Arrival Continuity::take(uint8_t message_type, uint32_t timestamp_ms, Bytes head) {
  const bool video = message_type == rtmp::message_type::video;
  Track& track = tracks_[video ? 1 : 0];
  const size_t at = video ? stamp_at_video : stamp_at_audio;
  const auto stamp = head.size() >= at + stamp_bytes ? read_stamp(head.data() + at) : std::nullopt;
  if (!stamp) {
    // Sequence headers of stamped media are not in the sequence.
    if (track.stamped || head.size() < 2 || head[1] == 0) return {};
    return by_timestamp(track, timestamp_ms);
  }
  Arrival arrival{.sent_at_ns = stamp->sent_at_ns};
  // A new connection of the publisher counts from 0 again, and a player may come late to it.
  if (track.stamped && stamp->incarnation == track.incarnation) {
    arrival.gap = stamp->sequence != track.sequence;
    if (stamp->sequence > track.sequence) arrival.missing = stamp->sequence - track.sequence;
  }
  track.stamped = true;
  track.incarnation = stamp->incarnation;
  track.sequence = stamp->sequence + 1;
  return arrival;
}

Arrival Continuity::by_timestamp(Track& track, uint32_t timestamp_ms) const {
  const auto step_ms = static_cast<int32_t>(timestamp_ms - track.timestamp_ms);
  const auto step_ms_max = static_cast<int32_t>(step_ms_max_ > 0 ? step_ms_max_ : step_ms_foreign);
  Arrival arrival;
  arrival.gap = track.timed && (step_ms < 0 || step_ms > step_ms_max);
  track.timed = true;
  track.timestamp_ms = timestamp_ms;
  return arrival;
}

}  // namespace penstock::load

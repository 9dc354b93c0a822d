#include "bench/load/player.h"

#include "penstock/rtmp/message.h"

namespace penstock::load {

void Player::begin(Tally& tally) {
  ++tally.connections_opened;
  continuity_ = Continuity(step_ms_max_);
  head_ = {};
  last_received_at = {};
}

std::optional<std::string> Player::take(const Link::Setup& setup, Bytes input, Instant now,
                                        Tally& tally) {
  const bool was_live = link.state() == LinkState::live;
  if (auto failure = link.feed(setup, input, now)) return failure;
  if (!was_live && link.state() == LinkState::live) begin(tally);
  for (;;) {
    const auto piece = link.next_piece(setup);
    if (!piece) return "protocol: " + std::string(fault_info(piece.error()).name);
    // The next publisher of the name may count its timestamps from anywhere.
    if (link.take_stream_ended()) continuity_ = Continuity(step_ms_max_);
    if (!*piece) return std::nullopt;
    if (const auto head = head_.feed(**piece)) take_head(**piece, *head, now, tally);
  }
}

void Player::take_head(const rtmp::Piece& piece, Bytes head, Instant now, Tally& tally) {
  const uint8_t type = piece.message_type;
  if (type != rtmp::message_type::audio && type != rtmp::message_type::video) return;
  ++tally.messages_received;
  ++messages;
  last_received_at = now;
  const Arrival arrival = continuity_.take(type, piece.timestamp, head);
  if (arrival.gap) {
    ++gaps;
    ++tally.gaps;
    tally.messages_missing += arrival.missing;
  }
  // What was sent before this player was there came out of the server's cache.
  if (tally.measuring && arrival.sent_at_ns >= link.since().ns && arrival.sent_at_ns <= now.ns)
    tally.latency.count(now.ns - arrival.sent_at_ns);
}

}  // namespace penstock::load

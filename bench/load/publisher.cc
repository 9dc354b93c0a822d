#include "bench/load/publisher.h"

#include <cstring>

#include "penstock/base/assert.h"
#include "penstock/rtmp/message.h"
#include "penstock/rtmp/wire.h"

namespace penstock::load {

void Publisher::begin(const Setup& setup, Instant now, Tally& tally) {
  ++incarnation_;
  ever_live = true;
  sequence_ = {};
  message_ = 0;
  begun_ = 0;
  turning_ = false;
  turn_began_ = now;
  ++tally.connections_opened;
  if (setup.silent) return;
  send_preamble(setup);
  if (setup.blast && link.unsent_bytes() == 0) send_turn(setup);
}

void Publisher::send_preamble(const Setup& setup) {
  std::vector<uint8_t> bytes = setup.loop.preamble;
  for (const uint32_t at : setup.loop.preamble_at) {
    store_u32_le(bytes.data() + at + rtmp::wire_message_stream_id_offset, link.message_stream_id());
  }
  if (!bytes.empty()) link.send_own(setup.link, std::move(bytes));
}

Instant Publisher::due_at(const Setup& setup) const {
  const bool by_time = link.state() == LinkState::live && !setup.blast && !setup.silent;
  if (!by_time || link.unsent_bytes() > 0) return Instant::never();
  return turn_began_.after_ns(setup.loop.messages[message_].due_us * ns_per_us);
}

void Publisher::send_due(const Setup& setup, Instant now, Tally& tally) {
  const LoopMessage& message = setup.loop.messages[message_];
  const uint8_t* wire = setup.loop.image.data() + message.wire_at;
  const Instant due = turn_began_.after_ns(message.due_us * ns_per_us);
  const size_t copied = message.stamp_at > 0 ? message.stamp_at + stamp_bytes : type1_header_bytes;
  const size_t head_bytes = write_head(message, wire, copied);
  if (message.stamp_at > 0) {
    uint32_t& sequence = sequence_[message.message_type == rtmp::message_type::video ? 1 : 0];
    write_stamp(head_.data() + head_bytes - stamp_bytes, {incarnation_, sequence++, now.ns});
  }
  const Bytes slices[] = {Bytes(head_).first(head_bytes),
                          Bytes(wire + copied, message.wire_bytes - copied)};
  link.send(setup.link, slices);
  if (tally.measuring) tally.schedule_lag.count(now.since(due));
  ++tally.messages_sent;
  last_sent_at = now;
  if (++message_ == setup.loop.messages.size()) {
    message_ = 0;
    turn_began_ = turn_began_.after_ns(setup.loop.period_us * ns_per_us);
  }
}

/// The message's first `copied` wire bytes, in this connection's own memory; with a header of type
/// 0 when it is the first on its chunk stream.
size_t Publisher::write_head(const LoopMessage& message, const uint8_t* wire, size_t copied) {
  const auto bit = static_cast<uint8_t>(1u << chunk_stream_of(message.message_type));
  if ((begun_ & bit) != 0) [[likely]] {
    std::memcpy(head_.data(), wire, copied);
    return copied;
  }
  begun_ |= bit;
  constexpr size_t type0_header_bytes = 12;
  head_[0] = chunk_stream_of(message.message_type);
  store_u24(head_.data() + 1, message.timestamp_ms);
  std::memcpy(head_.data() + 4, wire + 4, 4);  // length and type
  store_u32_le(head_.data() + 8, link.message_stream_id());
  std::memcpy(head_.data() + type0_header_bytes, wire + type1_header_bytes,
              copied - type1_header_bytes);
  return copied + type0_header_bytes - type1_header_bytes;
}

void Publisher::send_turn(const Setup& setup) {
  turning_ = true;
  const Bytes slice = setup.loop.image;
  link.send(setup.link, {&slice, 1});
}

void Publisher::on_sent(const Setup& setup, uint32_t bytes, Tally& tally) {
  tally.bytes_sent += bytes;
  link.on_sent(setup.link, bytes);
  if (!setup.blast || setup.silent || link.state() != LinkState::live || link.unsent_bytes() > 0)
    return;
  if (turning_) tally.messages_sent += setup.loop.messages.size();
  send_turn(setup);
}

}  // namespace penstock::load

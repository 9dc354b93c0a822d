#include <algorithm>

#include "dataplane/engine/tcp/stack_state.h"

namespace penstock::engine::tcp {
namespace {

constexpr size_t line_bytes = 64;
// Headers of the packets that come so many later are fetched while one is parsed.
constexpr size_t packets_ahead = 4;
// A bucket is there when so many more packets have been parsed.
constexpr size_t bucket_ahead = 4;

[[gnu::always_inline]] inline void prefetch_packet(const PacketIn& packet) {
  // A device writes packets into the last level of the cache at best. Two lines hold the headers;
  // the rest is found by the machine itself, because checksums read it in order.
  __builtin_prefetch(packet.bytes.data());
  __builtin_prefetch(packet.bytes.data() + line_bytes);
}

}  // namespace

void Stack::State::input(std::span<const PacketIn> packets, Instant now) {
  clock = now;
  parts.memory.recycle();
  exceptions.clear();
  counters.packets_in += packets.size();
  for (size_t at = 0; at < packets.size(); at += batch_packets) {
    input_batch(packets.subspan(at, std::min(batch_packets, packets.size() - at)), now);
  }
  if (neighbours.take_changed()) {
    replies.settle(neighbours, now);
    wake_parked();
  }
}

/// All of a batch are parsed, then all their connections are asked for, then each is processed:
/// with many connections nearly every step would otherwise wait for memory.
void Stack::State::input_batch(std::span<const PacketIn> packets, Instant now) {
  for (const PacketIn& packet : packets.first(std::min(packets_ahead, packets.size()))) {
    prefetch_packet(packet);
  }
  for (size_t i = 0; i < packets.size() + bucket_ahead; ++i) {
    // Between two checksums, so that there are never more lines on their way than the core can ask
    // for (about 24): what is beyond that waits for the others.
    if (i >= bucket_ahead && batch[i - bucket_ahead].kind == PacketKind::tcp) {
      const FlowValue likely = flows.likely(batch_hashes[i - bucket_ahead]);
      if (likely.kind == FlowKind::connection) prefetch(likely.index, hot_lines);
    }
    if (i >= packets.size()) continue;
    if (i + packets_ahead < packets.size()) prefetch_packet(packets[i + packets_ahead]);
    parse_packet(packets[i], own, counters, batch[i]);
    if (batch[i].kind != PacketKind::tcp) continue;
    batch_hashes[i] = hash.of(batch[i].flow);
    flows.prefetch(batch_hashes[i]);
  }
  for (size_t i = 0; i < packets.size(); ++i) {
    bool kept = false;
    bool foreign = batch[i].kind == PacketKind::exception;
    switch (batch[i].kind) {
      case PacketKind::tcp:
        kept = take_segment(packets[i], batch[i], batch_hashes[i], now);
        break;
      case PacketKind::arp:
        foreign = !take_arp(batch[i], now);
        break;
      case PacketKind::icmp:
        foreign = !take_icmp(batch[i], now);
        break;
      default:
        break;
    }
    if (foreign) {
      ++counters.exceptions;
      exceptions.push_back(packets[i]);
    }
    if (!kept) parts.memory.released().push(packets[i].token);
  }
}

/// True: the packet is kept, and its token comes back later.
bool Stack::State::take_segment(const PacketIn& packet, const ParsedPacket& parsed,
                                uint32_t flow_hash, Instant now) {
  const FlowValue value = find_flow(parsed.flow, flow_hash);
  switch (value.kind) {
    case FlowKind::connection:
      return for_connection(value.index, parsed.segment, now);
    case FlowKind::half_open:
      return for_half_open(value.index, parsed, flow_hash, now);
    case FlowKind::time_wait:
      for_time_wait(value.index, parsed, flow_hash, now);
      return false;
    case FlowKind::none:
      return for_nobody(packet, parsed, flow_hash, now);
  }
  return false;
}

bool Stack::State::for_connection(uint32_t index, const SegmentIn& segment, Instant now) {
  const bool kept = connections[index].receive(segment, now);
  // New bytes: the peer got the ACKs that let it send them (RFC 4861: 7.3.1).
  if (kept) neighbours.confirm(slots[index].neighbour, now);
  settle(index, now);
  return kept;
}

/// SYN-RECEIVED of RFC 9293 (3.10.7.4) with RFC 5961's checks.
bool Stack::State::for_half_open(uint32_t index, const ParsedPacket& parsed, uint32_t flow_hash,
                                 Instant now) {
  const HalfOpen& entry = half_open[index];
  const SegmentIn& segment = parsed.segment;
  const uint32_t expected = entry.peer_first + 1;
  SegmentOut answer;
  answer.sequence = entry.own_first + 1;
  answer.acknowledgment = expected;
  answer.window = static_cast<uint16_t>(first_window_bytes);
  answer.flags = flag::ack;
  answer.options.has_timestamps = entry.options.timestamps;
  answer.options.timestamp = milliseconds(now) + entry.timestamp_offset;
  answer.options.timestamp_echo = entry.timestamp_recent;

  if (segment.has(flag::rst)) {
    if (segment.sequence == expected) {
      ++counters.half_open_reset;
      drop_half_open(index);
    } else {
      ++counters.resets_ignored;
      if (segment.sequence - expected < first_window_bytes) {
        acknowledge(parsed.flow, flow_hash, answer, now);
      }
    }
    return false;
  }
  if (segment.has(flag::syn)) {
    // Our answer was lost, or somebody guesses.
    if (!segment.has(flag::ack) && segment.sequence == entry.peer_first) {
      resend_syn_ack(entry, now);
    } else {
      acknowledge(parsed.flow, flow_hash, answer, now);
    }
    return false;
  }
  if (!segment.has(flag::ack)) return false;
  if (segment.acknowledgment != entry.own_first + 1) {
    reset(parsed, flow_hash, now);
    return false;
  }
  const bool outdated = entry.options.timestamps && segment.options.has_timestamps &&
                        before(segment.options.timestamp, entry.timestamp_recent);
  if (outdated || segment.sequence - expected >= first_window_bytes) {
    acknowledge(parsed.flow, flow_hash, answer, now);
    return false;
  }
  return complete_half_open(index, parsed, flow_hash, now);
}

void Stack::State::for_time_wait(uint32_t index, const ParsedPacket& parsed, uint32_t flow_hash,
                                 Instant now) {
  const TimeWaitState& state = time_waits[index].state;
  const TimeWaitVerdict verdict = judge_in_time_wait(state, parsed.segment);
  if (verdict == TimeWaitVerdict::ignore) return;
  if (verdict == TimeWaitVerdict::reuse && listens_for_syn(parsed)) {
    // RFC 6191, and RFC 1122 (4.2.2.13): the new numbers begin beyond the old ones.
    const uint32_t above = state.send_next;
    flows.erase(flow_hash, {FlowKind::time_wait, index});
    time_waits.remove(index);
    ++counters.time_wait_reused;
    return receive_syn(parsed, flow_hash, &above, now);
  }
  SegmentOut answer;
  answer.sequence = state.send_next;
  answer.acknowledgment = state.receive_next;
  answer.window = state.window;
  answer.flags = flag::ack;
  answer.options.has_timestamps = state.timestamps;
  answer.options.timestamp = milliseconds(now) + state.timestamp_offset;
  answer.options.timestamp_echo = state.timestamp_recent;
  ++counters.time_wait_answered;
  acknowledge(parsed.flow, flow_hash, answer, now);
  if (verdict == TimeWaitVerdict::acknowledge_restart) time_waits.restart(index, now);
}

bool Stack::State::listens_for_syn(const ParsedPacket& parsed) const {
  constexpr uint8_t asked = flag::syn | flag::ack | flag::rst | flag::fin;
  return (parsed.segment.flags & asked) == flag::syn && listens(parsed.flow.local_port);
}

bool Stack::State::for_nobody(const PacketIn& packet, const ParsedPacket& parsed,
                              uint32_t flow_hash, Instant now) {
  if (listens_for_syn(parsed)) {
    receive_syn(parsed, flow_hash, nullptr, now);
    return false;
  }
  const SegmentIn& segment = parsed.segment;
  if (!listens(parsed.flow.local_port)) {
    if (options.foreign_ports_are_exceptions) {
      ++counters.exceptions;
      exceptions.push_back(packet);
      return false;
    }
  } else if (now < cookies_until && segment.has(flag::ack) &&
             (segment.flags & (flag::syn | flag::rst)) == 0) {
    bool kept = false;
    if (complete_cookie(parsed, flow_hash, kept, now)) return kept;
  }
  reset(parsed, flow_hash, now);
  return false;
}

}  // namespace penstock::engine::tcp

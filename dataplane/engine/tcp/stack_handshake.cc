#include <algorithm>

#include "dataplane/engine/tcp/stack_state.h"

namespace penstock::engine::tcp {
namespace {

constexpr uint32_t no_place = UINT32_MAX;
// What holds when a SYN says nothing (RFC 9293: 3.7.1).
constexpr uint16_t ipv4_segment_bytes = 536;
constexpr uint16_t ipv6_segment_bytes = 1220;
// A peer that asks for tiny segments makes us pay by the packet (CVE-2019-11479); what BSD grants.
constexpr uint16_t segment_bytes_min = 216;
// Cookies are good for two periods of 64 s (syn_cookies.h).
constexpr uint64_t cookie_life_ns = 128 * ns_per_s;

/// What of a SYN's options we go along with.
SynOptions agreed_options(const ParsedPacket& parsed, bool ecn_wanted) {
  const TcpOptions& asked = parsed.segment.options;
  SynOptions agreed;
  const uint16_t unsaid = parsed.flow.ipv6() ? ipv6_segment_bytes : ipv4_segment_bytes;
  agreed.segment_bytes_max =
      std::max(asked.segment_bytes_max == 0 ? unsaid : asked.segment_bytes_max, segment_bytes_min);
  agreed.window_scale = asked.window_scale;
  agreed.sack = asked.sack_permitted;
  agreed.timestamps = asked.has_timestamps;
  agreed.ecn = ecn_wanted && parsed.segment.has(flag::ece | flag::cwr);
  return agreed;
}

}  // namespace

/// `above`: the new numbers begin beyond this one.
void Stack::State::receive_syn(const ParsedPacket& parsed, uint32_t flow_hash,
                               const uint32_t* above, Instant now) {
  ++counters.syns_in;
  const SegmentIn& segment = parsed.segment;
  const FlowKey& flow = parsed.flow;
  if (attached >= options.connections_max) {
    // Refused, so that the peer goes elsewhere at once.
    ++counters.connections_full;
    return reset(parsed, flow_hash, now);
  }
  SynOptions agreed = agreed_options(parsed, options.ecn);
  const uint32_t offset = numbers.timestamp_offset(flow);
  uint32_t stamp = milliseconds(now) + offset;
  if (half_open.full()) {
    ++counters.cookies_sent;
    cookies_until = now.after_ns(cookie_life_ns);
    const uint32_t cookie = cookies.make(flow, segment.sequence, agreed.segment_bytes_max, now);
    if (agreed.timestamps) {
      stamp = SynCookies::timestamp_with(stamp, agreed);
    } else {
      agreed = SynOptions{.segment_bytes_max = agreed.segment_bytes_max};
    }
    return send_syn_ack(flow, flow_hash, cookie, segment.sequence, agreed, stamp,
                        segment.options.timestamp, now);
  }
  const uint32_t index = half_open.take(now);
  HalfOpen& entry = half_open[index];
  entry.flow = flow;
  entry.own_first = numbers.isn(flow, now);
  // Half the space ahead of the old numbers counts as beyond them.
  if (above != nullptr && !after(entry.own_first, *above)) {
    entry.own_first = *above + first_window_bytes + 1;
  }
  entry.peer_first = segment.sequence;
  entry.timestamp_recent = segment.options.timestamp;
  entry.timestamp_offset = offset;
  entry.peer_window = segment.window;
  entry.path_mtu = path_mtus.of(flow, now);
  entry.options = agreed;
  flows.insert(flow_hash, {FlowKind::half_open, index});
  send_syn_ack(flow, flow_hash, entry.own_first, entry.peer_first, agreed, stamp,
               entry.timestamp_recent, now);
}

void Stack::State::send_syn_ack(const FlowKey& flow, uint32_t flow_hash, uint32_t own_first,
                                uint32_t peer_first, const SynOptions& agreed, uint32_t timestamp,
                                uint32_t timestamp_echo, Instant now) {
  SegmentOut answer;
  answer.sequence = own_first;
  answer.acknowledgment = peer_first + 1;
  answer.window = static_cast<uint16_t>(first_window_bytes);
  answer.flags = flag::syn | flag::ack;
  if (agreed.ecn) answer.flags |= flag::ece;
  TcpOptions& offered = answer.options;
  // What may come in is a matter of our link; what a smaller path lets through, its routers say.
  offered.segment_bytes_max = segment_bytes_for(flow, options.mtu);
  if (agreed.window_scale != TcpOptions::no_window_scale) {
    offered.window_scale = window_scale_for(options.receive_window_max);
  }
  offered.sack_permitted = agreed.sack;
  offered.has_timestamps = agreed.timestamps;
  offered.timestamp = timestamp;
  offered.timestamp_echo = timestamp_echo;
  ++counters.syn_acks_out;
  reply(flow, flow_hash, answer, now);
}

void Stack::State::resend_syn_ack(const HalfOpen& entry, Instant now) {
  ++counters.syn_acks_retransmitted;
  SynOptions agreed = entry.options;
  // What does not get through with ECN may get through without (RFC 3168: 6.1.1.1).
  if (entry.retransmissions > 1) agreed.ecn = false;
  send_syn_ack(entry.flow, hash.of(entry.flow), entry.own_first, entry.peer_first, agreed,
               milliseconds(now) + entry.timestamp_offset, entry.timestamp_recent, now);
}

Negotiated Stack::State::negotiate(const FlowKey& flow, const SynOptions& agreed,
                                   uint16_t path_mtu) const {
  Negotiated negotiated;
  negotiated.segment_bytes_max =
      std::min(agreed.segment_bytes_max, segment_bytes_for(flow, path_mtu));
  negotiated.window_scaling = agreed.window_scale != TcpOptions::no_window_scale;
  if (negotiated.window_scaling) {
    negotiated.peer_window_scale = agreed.window_scale;
    negotiated.own_window_scale = window_scale_for(options.receive_window_max);
  }
  negotiated.sack = agreed.sack;
  negotiated.timestamps = agreed.timestamps;
  negotiated.ecn = agreed.ecn;
  return negotiated;
}

void Stack::State::drop_half_open(uint32_t index) {
  flows.erase(hash.of(half_open[index].flow), {FlowKind::half_open, index});
  half_open.give_back(index);
}

bool Stack::State::complete_half_open(uint32_t index, const ParsedPacket& parsed,
                                      uint32_t flow_hash, Instant now) {
  const uint32_t place = take_place(parsed.flow);
  if (place == no_place) {
    ++counters.connections_full;
    // While those that are gone make room, the peer says it again. Else it goes elsewhere at once.
    if (attached < options.connections_max) return false;
    drop_half_open(index);
    reset(parsed, flow_hash, now);
    return false;
  }
  const HalfOpen entry = half_open[index];
  half_open.give_back(index);
  flows.replace(flow_hash, {FlowKind::half_open, index}, {FlowKind::connection, place});
  slots[place].path_mtu = entry.path_mtu;
  PassiveOpen open;
  open.own_first = entry.own_first;
  open.peer_first = entry.peer_first;
  open.peer_window = entry.peer_window;
  open.negotiated = negotiate(parsed.flow, entry.options, entry.path_mtu);
  open.timestamp_recent = entry.timestamp_recent;
  open.timestamp_offset = entry.timestamp_offset;
  open.syn_ack_retransmitted = entry.retransmissions > 0;
  if (!open.syn_ack_retransmitted) open.rtt_ns = now.since(entry.sent_at);
  open_passive(place, open, now);
  return for_connection(place, parsed.segment, now);
}

/// False when it is no cookie. `kept` is what becomes of the packet.
bool Stack::State::complete_cookie(const ParsedPacket& parsed, uint32_t flow_hash, bool& kept,
                                   Instant now) {
  const SegmentIn& segment = parsed.segment;
  const auto size =
      cookies.check(parsed.flow, segment.sequence - 1, segment.acknowledgment - 1, now);
  if (!size) {
    ++counters.cookies_bad;
    return false;
  }
  const uint32_t place = take_place(parsed.flow);
  if (place == no_place) {
    ++counters.connections_full;
    reset(parsed, flow_hash, now);  // it would never hear of us again: nothing is left of its SYN
    return true;
  }
  ++counters.cookies_good;
  flows.insert(flow_hash, {FlowKind::connection, place});
  SynOptions agreed{.segment_bytes_max = *size};
  PassiveOpen open;
  open.timestamp_offset = numbers.timestamp_offset(parsed.flow);
  if (segment.options.has_timestamps) {
    SynCookies::read_timestamp(segment.options.timestamp_echo, agreed);
    agreed.ecn = agreed.ecn && options.ecn;
  }
  slots[place].path_mtu = path_mtus.of(parsed.flow, now);
  open.own_first = segment.acknowledgment - 1;
  open.peer_first = segment.sequence - 1;
  open.peer_window = segment.window;
  open.negotiated = negotiate(parsed.flow, agreed, slots[place].path_mtu);
  open.timestamp_recent = segment.options.timestamp;
  open_passive(place, open, now);
  kept = for_connection(place, segment, now);
  return true;
}

void Stack::State::open_passive(uint32_t place, const PassiveOpen& open, Instant now) {
  ++counters.connections_passive;
  connections[place].open_passive(parts, open, now);
}

void Stack::State::expire_half_open(Instant now) {
  while (HalfOpen* entry = half_open.take_due(now)) {
    if (entry->retransmissions > HalfOpenTable::retransmissions_max) {
      ++counters.half_open_expired;
      drop_half_open(half_open.index_of(*entry));
    } else {
      resend_syn_ack(*entry, now);
    }
  }
}

}  // namespace penstock::engine::tcp

#include <algorithm>

#include "dataplane/engine/tcp/stack_state.h"

// What a stack does with ARP, neighbour discovery and ICMP.
namespace penstock::engine::tcp {

LocalAddress Stack::State::local_of(const IpAddress& own_address) const {
  if (!own_address.ipv6) return LocalAddress::ipv4;
  return own_address.bytes == own.link_local ? LocalAddress::link_local : LocalAddress::ipv6;
}

NeighbourRef Stack::State::neighbour_for(const FlowKey& flow, Instant now) {
  const auto hop = own.next_hop(flow.remote_address());
  return hop ? neighbours.entry_of(*hop, now) : NeighbourRef{};
}

/// False: it is of no use here, and may be to somebody else on this host.
bool Stack::State::take_arp(const ParsedPacket& parsed, Instant now) {
  ++counters.arp_in;
  const auto message = parse_arp(parsed.message);
  if (!message) {
    ++counters.malformed;
    return false;
  }
  return own.has_ipv4 && take_neighbour_message(*message, now);
}

bool Stack::State::take_icmp(const ParsedPacket& parsed, Instant now) {
  if (parsed.flow.ipv6() && is_ndp(parsed.message)) {
    ++counters.ndp_in;
    const auto message = parse_ndp(parsed);
    return message && take_neighbour_message(*message, now);
  }
  ++counters.icmp_in;
  if (const auto data = echo_request_data(parsed)) {
    // To a group everybody would answer at once.
    if (!parsed.to_group) answer_echo(parsed, *data, now);
    return true;
  }
  const auto error = parse_icmp_error(parsed, own);
  if (error) take_icmp_error(*error, now);
  return error.has_value();
}

bool Stack::State::take_neighbour_message(const NeighbourMessage& message, Instant now) {
  if (message.mac && own.is_own(message.request ? message.sender : message.target)) {
    // RFC 5227 (2.4): defended, but not so often that two hosts answer each other for ever.
    if (*message.mac != own.mac) {
      ++counters.address_conflicts;
      if (defend_limit.allow(now)) announcements = 0x7;
    }
    return true;
  }
  if (message.request) {
    const bool asks_us = own.is_own(message.target);
    if (message.mac) {
      hear({message.sender, *message.mac, false}, asks_us, asks_us, now);
    }
    if (asks_us) answer_request(message, now);
    return asks_us;
  }
  if (message.mac) hear({message.target, *message.mac, message.solicited}, false, true, now);
  // Answers may be somebody else's on this host, too.
  return false;
}

void Stack::State::answer_request(const NeighbourMessage& message, Instant now) {
  const LocalAddress which = local_of(message.target);
  if (message.mac || is_unspecified(message.sender)) {
    PacketOut* packet = replies.add();
    if (packet != nullptr) {
      write_answer(*packet, own, which, Asker{message.sender, message.mac.value_or(MacAddress{})});
    }
    return;
  }
  // A solicitation without its sender's Ethernet address: that has to be known (RFC 4861: 4.3).
  FlowKey flow;
  flow.local = which;
  set_remote(flow, message.sender);
  MacAddress to;
  PacketOut* packet = reply_packet(flow, to, now);
  if (packet != nullptr) write_answer(*packet, own, which, Asker{message.sender, to});
}

/// `share`: other stacks may have waited for it.
void Stack::State::hear(const NeighbourNews& news, bool asks_us, bool share, Instant now) {
  const bool gateway = (own.gateway && *own.gateway == news.address) ||
                       (own.gateway6 && *own.gateway6 == news.address);
  if (is_unspecified(news.address) || own.is_own(news.address)) return;
  if (!gateway && !own.on_link(news.address)) return;
  neighbours.heard(news, asks_us, now);
  if (neighbours.take_changed()) {
    replies.settle(neighbours, now);
    wake_parked();
  }
  if (!share || !options.shares_addresses) return;
  if (neighbour_news.size() == neighbour_news_max) {
    ++counters.neighbour_news_lost;
    return;
  }
  neighbour_news.push_back(news);
}

void Stack::State::answer_echo(const ParsedPacket& parsed, Bytes data, Instant now) {
  const Bytes kept =
      echo_limit.allow(now) ? replies.keep(data, parts.packets_transmitted) : Bytes{};
  if (kept.data() == nullptr) {
    ++counters.echo_limited;
    return;
  }
  MacAddress to;
  PacketOut* packet = reply_packet(parsed.flow, to, now);
  if (packet == nullptr) return replies.forget_kept();
  write_echo_reply(*packet, own, parsed, to, kept, options.ip_checksum_offload);
  ++counters.echo_replies;
}

void Stack::State::take_icmp_error(const IcmpError& error, Instant now) {
  const FlowValue value = find_flow(error.flow, hash.of(error.flow));
  if (value.kind == FlowKind::connection) return take_connection_error(value.index, error, now);
  // Who was never there has sent a SYN in somebody's name. Only who saw our answer knows its
  // number.
  if (value.kind == FlowKind::half_open && error.trouble == IcmpTrouble::hard &&
      error.sequence == half_open[value.index].own_first) {
    ++counters.icmp_errors_used;
    drop_half_open(value.index);
    return;
  }
  ++counters.icmp_errors_ignored;
}

/// RFC 5927: only what is about something in flight, and nothing of it ends what stands.
void Stack::State::take_connection_error(uint32_t index, const IcmpError& error, Instant now) {
  Connection& connection = connections[index];
  if (!connection.in_flight(error.sequence)) {
    ++counters.icmp_errors_ignored;
    return;
  }
  ++counters.icmp_errors_used;
  Slot& slot = slots[index];
  if (error.trouble == IcmpTrouble::too_big) {
    const uint16_t mtu = path_mtus.learn(slot.flow, error.mtu, slot.path_mtu, now);
    if (mtu == slot.path_mtu) return;
    ++counters.path_mtu_lowered;
    slot.path_mtu = mtu;
    connection.lower_segment_bytes(segment_bytes_for(slot.flow, mtu), now);
  } else if (error.trouble == IcmpTrouble::hard) {
    connection.unreachable(EndReason::refused);
  }
  settle(index, now);
}

}  // namespace penstock::engine::tcp

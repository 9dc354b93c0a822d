#include <algorithm>

#include "dataplane/engine/tcp/stack_state.h"
#include "penstock/base/assert.h"

namespace penstock::engine::tcp {

/// Somewhere to write a packet of our own to `flow`'s peer; null when it cannot go anywhere. `to`
/// stays as it is while the neighbour is asked for.
PacketOut* Stack::State::reply_packet(const FlowKey& flow, MacAddress& to, Instant now) {
  const NeighbourRef neighbour = neighbour_for(flow, now);
  if (const MacAddress* mac = neighbours.use(neighbour, now)) {
    to = *mac;
    return replies.add();
  }
  if (!neighbours.failed(neighbour)) return replies.add_waiting(neighbour);
  ++counters.waiting_dropped;
  return nullptr;
}

void Stack::State::reply(const FlowKey& flow, uint32_t flow_hash, const SegmentOut& segment,
                         Instant now) {
  MacAddress to;
  PacketOut* packet = reply_packet(flow, to, now);
  if (packet == nullptr) return;
  ++counters.tcp_segments_out;
  write_tcp_packet(*packet, own, flow, to, flow_hash, segment,
                   {options.ip_checksum_offload, options.tcp_checksum_offload});
}

void Stack::State::acknowledge(const FlowKey& flow, uint32_t flow_hash, const SegmentOut& segment,
                               Instant now) {
  if (!acknowledge_limit.allow(now)) {
    ++counters.challenge_acks_limited;
    return;
  }
  ++counters.challenge_acks;
  reply(flow, flow_hash, segment, now);
}

/// RFC 9293 (3.10.7.1): for what belongs to nobody.
void Stack::State::reset(const ParsedPacket& parsed, uint32_t flow_hash, Instant now) {
  const SegmentIn& segment = parsed.segment;
  if (segment.has(flag::rst)) return;
  if (!reset_limit.allow(now)) {
    ++counters.resets_limited;
    return;
  }
  SegmentOut answer;
  if (segment.has(flag::ack)) {
    answer.sequence = segment.acknowledgment;
    answer.flags = flag::rst;
  } else {
    answer.acknowledgment = segment.sequence + segment.sequence_bytes();
    answer.flags = flag::rst | flag::ack;
  }
  ++counters.resets_out;
  reply(parsed.flow, flow_hash, answer, now);
}

void Stack::State::wake_parked() {
  for (const uint32_t index : parked) {
    slots[index].parked = false;
    ready.push(index);
  }
  parked.clear();
  parked_until = Instant::never();
}

/// As many as there are records now. Who gets none waits again, behind the others.
void Stack::State::feed_starving(Instant now) {
  for (auto count = std::min<size_t>(starving.size(), parts.records.left()); count > 0; --count) {
    const uint32_t index = starving.front();
    starving.pop();
    slots[index].starves = false;
    if (!slots[index].used) continue;
    connections[index].feed();
    settle(index, now);
  }
}

/// Announcements and questions to the link.
size_t Stack::State::output_link(std::span<PacketOut> room) {
  size_t count = 0;
  for (const LocalAddress which :
       {LocalAddress::ipv4, LocalAddress::ipv6, LocalAddress::link_local}) {
    const auto bit = static_cast<uint8_t>(1u << static_cast<unsigned>(which));
    if ((announcements & bit) == 0 || count == room.size()) continue;
    announcements = static_cast<uint8_t>(announcements & ~bit);
    if ((which == LocalAddress::ipv4 && !own.has_ipv4) ||
        (which == LocalAddress::ipv6 && !own.has_ipv6)) {
      continue;
    }
    write_answer(room[count++], own, which, std::nullopt);
  }
  while (count < room.size()) {
    const auto query = neighbours.next_query();
    if (!query) break;
    const auto source = own.source_for(query->target);
    if (!source) continue;
    ++counters.neighbour_queries_out;
    write_request(room[count++], own, *source, query->target, query->mac);
  }
  parts.packets_out += count;
  return count;
}

size_t Stack::State::output_connection(uint32_t index, std::span<PacketOut> room, Instant now) {
  Slot& slot = slots[index];
  Connection& connection = connections[index];
  if (!neighbours.valid(slot.neighbour)) slot.neighbour = neighbour_for(slot.flow, now);
  const MacAddress* mac = neighbours.use(slot.neighbour, now);
  if (mac == nullptr) {
    if (neighbours.failed(slot.neighbour)) connection.unreachable(EndReason::unreachable);
    slot.parked = true;
    parked.push_back(index);
    if (parked_until == Instant::never()) parked_until = now.after_ns(parked_ns);
    settle(index, now);
    return 0;
  }
  const uint32_t label = slot.flow.ipv6() ? hash.of(slot.flow) : 0;
  const ChecksumOffload offload{options.ip_checksum_offload, options.tcp_checksum_offload};
  const size_t turn = std::min<size_t>(room.size(), turn_segments);
  size_t count = 0;
  while (count < turn && connection.transmit(outgoing, now)) {
    write_tcp_packet(room[count++], own, slot.flow, *mac, label, outgoing, offload);
    ++parts.packets_out;
  }
  counters.tcp_segments_out += count;
  PENSTOCK_ASSERT(count > 0 || !connection.wants_output());
  slot.ready = false;
  if (connection.starved() && !slot.starves) {
    slot.starves = true;
    starving.push(index);
  }
  settle(index, now);
  return count;
}

/// An ACK needs what a segment needed, which is there as a rule; only who has bytes to send needs
/// the rest, and that is known when the first part is there.
[[gnu::always_inline]] inline void Stack::State::prefetch_ready() const {
  if (ready.size() > 6) prefetch(ready.at(6), hot_lines);
  if (ready.size() > 3 && connections[ready.at(3)].sending()) prefetch(ready.at(3), all_lines);
}

std::span<PacketOut> Stack::State::output(std::span<PacketOut> room, Instant now) {
  clock = now;
  if (neighbours.take_changed()) {
    replies.settle(neighbours, now);
    wake_parked();
  }
  size_t count = output_link(room);
  for (; count < room.size() && !replies.empty(); ++count) {
    replies.take(room[count], ++parts.packets_out);
  }
  if (!starving.empty()) feed_starving(now);
  while (count < room.size() && !ready.empty()) {
    const uint32_t index = ready.front();
    prefetch_ready();
    ready.pop();
    if (!slots[index].used) {
      slots[index].ready = false;
      continue;
    }
    count += output_connection(index, room.subspan(count), now);
  }
  // What was parked just now has asked for its neighbours.
  count += output_link(room.subspan(count));
  counters.packets_out += count;
  return room.first(count);
}

void Stack::State::transmitted(uint64_t count) {
  parts.packets_transmitted = count;
  // Not sorted strictly, but no entry is beyond the packets that are out: those behind one that
  // still waits wait at most for that.
  while (!transmitting.empty() && transmitting.front().packet <= count) {
    const uint32_t index = transmitting.front().index;
    transmitting.pop();
    slots[index].transmits = false;
    settle(index, clock);
  }
}

}  // namespace penstock::engine::tcp

#include "dataplane/engine/tcp/stack.h"

#include <algorithm>

#include "dataplane/engine/tcp/stack_state.h"
#include "penstock/base/assert.h"

namespace penstock::engine::tcp {
namespace {

/// One secret for each use, so that what is seen of one says nothing about another.
Secret derived(const uint64_t (&secret)[2], uint8_t use) {
  const Secret root{{secret[0], secret[1]}};
  const uint8_t low[2] = {use, 0};
  const uint8_t high[2] = {use, 1};
  return {{siphash(root, low), siphash(root, high)}};
}

constexpr uint32_t no_place = UINT32_MAX;
// Paths are few; their ages need no timer of their own.
constexpr uint64_t look_at_paths_ns = 30 * ns_per_s;

}  // namespace

// Connections whose `closed` was reported stay until their FIN is through; a quarter more places
// than connections, so that a round of reconnects finds some.
uint32_t Stack::State::places_for(const StackOptions& options) {
  return options.connections_max + options.connections_max / 4 + 16;
}

Stack::State::State(const StackOptions& given)
    : options(given),
      own(options),
      parts(options, counters),
      hash(derived(options.secret, 1)),
      numbers(derived(options.secret, 2)),
      cookies(numbers),
      flows(places_for(options) + std::max(options.half_open_max, 1u) +
            std::max(options.time_wait_max, 1u)),
      half_open(options.half_open_max),
      time_waits(options.time_wait_max),
      neighbours(options.neighbours_max, derived(options.secret, 3), counters),
      path_mtus(options.mtu, derived(options.secret, 4)),
      local_ports(derived(options.secret, 5)),
      replies(options.mtu, counters),
      slots(places_for(options)),
      connections(std::make_unique<Connection[]>(places_for(options))),
      wheel(places_for(options)),
      ready(places_for(options)),
      eventful(places_for(options)),
      transmitting(places_for(options)),
      starving(places_for(options)),
      detached(2 * places_for(options)) {
  // RFC 8200 (5) for the one, RFC 791 for the other: less is no link for this.
  PENSTOCK_ASSERT(options.mtu >= (own.has_ipv6 ? PathMtus::ipv6_min : PathMtus::ipv4_min));
  free_places.reserve(slots.size());
  for (size_t i = slots.size(); i > 0; --i) free_places.push_back(static_cast<uint32_t>(i - 1));
  parked.reserve(slots.size());
  neighbour_news.reserve(options.shares_addresses ? neighbour_news_max : 0);
}

bool Stack::State::listens(uint16_t port) const {
  return std::find(ports.begin(), ports.begin() + static_cast<ptrdiff_t>(port_count), port) !=
         ports.begin() + static_cast<ptrdiff_t>(port_count);
}

const FlowKey& Stack::State::flow_of(FlowValue value) {
  switch (value.kind) {
    case FlowKind::half_open:
      return half_open[value.index].flow;
    case FlowKind::time_wait:
      return time_waits[value.index].flow;
    default:
      return slots[value.index].flow;
  }
}

FlowValue Stack::State::find_flow(const FlowKey& flow, uint32_t flow_hash) {
  return flows.find(flow_hash, [&](FlowValue value) { return flow_of(value) == flow; });
}

/// What lies between IP's header and the end of the packet, but for 20 bytes of TCP's.
uint16_t Stack::State::segment_bytes_for(const FlowKey& flow, uint16_t mtu) const {
  return static_cast<uint16_t>(mtu - tcp_bytes - (flow.ipv6() ? ipv6_bytes : ipv4_bytes));
}

uint32_t Stack::State::take_place(const FlowKey& flow) {
  if (attached >= options.connections_max) return no_place;
  if (free_places.empty()) reclaim_place(clock);
  if (free_places.empty()) return no_place;
  const uint32_t index = free_places.back();
  free_places.pop_back();
  Slot& slot = slots[index];
  slot.flow = flow;
  slot.neighbour = {};
  slot.used = true;
  slot.hashed = true;
  slot.attached = true;
  ++attached;
  if (slot.parked) {
    // Who was here before waited for a neighbour; this one has not asked yet.
    slot.parked = false;
    slot.ready = false;
    std::erase(parked, index);
  }
  return index;
}

/// Gives up the connection that has waited longest for its peer after the caller was done with it.
/// Its place is free once its reset is out, so whoever asked comes too early, once.
void Stack::State::reclaim_place(Instant now) {
  while (!detached.empty()) {
    const ConnectionId oldest = detached.front();
    detached.pop();
    if (!is_detached(oldest)) continue;
    connections[oldest.index].abort(EndReason::timeout);
    settle(oldest.index, now);
    return;
  }
}

/// Takes the flow out of the table: no segment belongs to the connection any more.
void Stack::State::leave_flows(uint32_t index, Instant now) {
  Slot& slot = slots[index];
  const uint32_t flow_hash = hash.of(slot.flow);
  slot.hashed = false;
  const FlowValue from{FlowKind::connection, index};
  const auto state = connections[index].time_wait();
  if (!state) {
    flows.erase(flow_hash, from);
    return;
  }
  ++counters.time_wait_entered;
  if (time_waits.full()) {
    const uint32_t oldest = time_waits.oldest();
    flows.erase(hash.of(time_waits[oldest].flow), {FlowKind::time_wait, oldest});
    time_waits.remove(oldest);
    ++counters.time_wait_evicted;
  }
  const uint32_t place = time_waits.add(slot.flow, *state, now);
  flows.replace(flow_hash, from, {FlowKind::time_wait, place});
}

/// After anything happened to a connection: puts it where it will be looked at again.
void Stack::State::settle(uint32_t index, Instant now) {
  Slot& slot = slots[index];
  Connection& connection = connections[index];
  if (!slot.used) return;
  if (!slot.ready && connection.wants_output()) {
    slot.ready = true;
    ready.push(index);
  }
  if (!slot.eventful && connection.has_event()) {
    slot.eventful = true;
    eventful.push(index);
  }
  if (!slot.transmits) {
    const uint64_t packet = connection.waits_for_packet();
    if (packet != 0) {
      slot.transmits = true;
      transmitting.push({packet, index});
    }
  }
  const Instant deadline = connection.deadline();
  if (deadline != Instant::never()) wheel.add_or_keep(index, deadline, now);
  if (!connection.gone()) return;
  if (slot.hashed) leave_flows(index, now);
  if (!connection.done() || slot.attached) return;
  if (wheel.waits(index)) wheel.remove(index);
  slot.used = false;
  ++slot.generation;
  free_places.push_back(index);
}

Connection* Stack::State::find(ConnectionId id, uint32_t& index) {
  if (id.index >= slots.size()) return nullptr;
  const Slot& slot = slots[id.index];
  if (!slot.used || !slot.attached || slot.generation != id.generation) return nullptr;
  index = id.index;
  return &connections[id.index];
}

std::optional<ConnectionId> Stack::State::connect(const SocketAddress& peer, Instant now,
                                                  bool (*usable)(const Flow&, void*),
                                                  void* context) {
  clock = now;
  const auto local = own.source_for(peer.address);
  if (!local || peer.port == 0 || own.is_own(peer.address)) return std::nullopt;
  if (!own.next_hop(peer.address)) return std::nullopt;
  FlowKey flow;
  flow.local = *local;
  flow.remote_port = peer.port;
  set_remote(flow, peer.address);
  Flow named{{{}, 0}, peer};
  named.local.address.ipv6 = peer.address.ipv6;
  copy_bytes(named.local.address.bytes.data(), own.of(*local));
  const bool chosen = local_ports.choose(flow, [&](const FlowKey& candidate) {
    named.local.port = candidate.local_port;
    return !listens(candidate.local_port) && (usable == nullptr || usable(named, context)) &&
           find_flow(candidate, hash.of(candidate)).kind == FlowKind::none;
  });
  if (!chosen) {
    ++counters.ports_exhausted;
    return std::nullopt;
  }
  const uint32_t index = take_place(flow);
  if (index == no_place) {
    ++counters.connections_full;
    return std::nullopt;
  }
  Slot& slot = slots[index];
  slot.path_mtu = path_mtus.of(flow, now);
  flows.insert(hash.of(flow), {FlowKind::connection, index});
  ++counters.connections_active;
  const ActiveOpen open{numbers.isn(flow, now), segment_bytes_for(flow, slot.path_mtu),
                        numbers.timestamp_offset(flow)};
  connections[index].open_active(parts, open, now);
  settle(index, now);
  return ConnectionId{index, slot.generation};
}

std::span<StackEvent> Stack::State::events(std::span<StackEvent> room) {
  size_t count = 0;
  while (count < room.size() && !eventful.empty()) {
    const uint32_t index = eventful.front();
    if (eventful.size() > 2) {
      const uint32_t ahead = eventful.at(2);
      __builtin_prefetch(&connections[ahead]);
      __builtin_prefetch(reinterpret_cast<const uint8_t*>(&connections[ahead]) + 64);
    }
    eventful.pop();
    Slot& slot = slots[index];
    slot.eventful = false;
    if (!slot.used) continue;
    Connection& connection = connections[index];
    bool more = true;
    while (count < room.size() && (more = connection.next_event(room[count], clock))) {
      StackEvent& event = room[count++];
      event.id = {index, slot.generation};
      if (event.kind == StackEventKind::accepted || event.kind == StackEventKind::connected) {
        event.peer = {slot.flow.remote_address(), slot.flow.remote_port};
        event.port = slot.flow.local_port;
      } else if (event.kind == StackEventKind::closed) {
        slot.attached = false;
        --attached;
        break;
      }
    }
    settle(index, clock);
    if (slot.used && !slot.attached) note_detached(index);
  }
  return room.first(count);
}

void Stack::State::note_detached(uint32_t index) {
  while (!detached.empty() && !is_detached(detached.front())) detached.pop();
  // Full of those that went in another order: this one cannot be reclaimed early, and goes in time.
  if (!detached.full()) detached.push({index, slots[index].generation});
}

bool Stack::State::is_detached(ConnectionId id) const {
  const Slot& slot = slots[id.index];
  return slot.used && !slot.attached && slot.generation == id.generation;
}

void Stack::State::expire_connections(Instant now) {
  std::array<uint32_t, batch_packets> due;
  for (size_t count = due.size(); count == due.size();) {
    for (count = 0; count < due.size(); ++count) {
      due[count] = wheel.take_due(now);
      if (due[count] == DeadlineWheel::none) break;
      prefetch(due[count], hot_lines);
    }
    for (const uint32_t index : std::span(due).first(count)) {
      // One of these may have been given up for another's sake.
      if (!slots[index].used) continue;
      // Deadlines that moved away were left where they were.
      Connection& connection = connections[index];
      if (connection.deadline() <= now) connection.expire(now);
      settle(index, now);
    }
  }
}

void Stack::State::expire(Instant now) {
  clock = now;
  expire_connections(now);
  expire_half_open(now);
  while (time_waits.deadline() <= now) {
    const uint32_t oldest = time_waits.oldest();
    flows.erase(hash.of(time_waits[oldest].flow), {FlowKind::time_wait, oldest});
    time_waits.remove(oldest);
  }
  neighbours.expire(now);
  if (parked_until <= now) wake_parked();
  if (now.since(paths_looked_at) >= look_at_paths_ns) {
    paths_looked_at = now;
    counters.path_mtu_aged += path_mtus.expire(now);
  }
}

size_t Stack::State::memory_bytes() const {
  return sizeof(State) + parts.memory_bytes() + flows.memory_bytes() + half_open.memory_bytes() +
         time_waits.memory_bytes() + neighbours.memory_bytes() + replies.memory_bytes() +
         slots.size() * (sizeof(Slot) + sizeof(Connection) + 2 * sizeof(uint32_t)) +
         ready.memory_bytes() + eventful.memory_bytes() + transmitting.memory_bytes() +
         starving.memory_bytes() +
         detached.memory_bytes() + wheel.memory_bytes() +
         neighbour_news.capacity() * sizeof(NeighbourNews);
}

Stack::Stack(const StackOptions& options) : state_(std::make_unique<State>(options)) {}
Stack::~Stack() = default;

void Stack::input(std::span<const PacketIn> packets, Instant now) { state_->input(packets, now); }

std::span<PacketToken> Stack::take_released(std::span<PacketToken> room) {
  return state_->parts.memory.released().take(room);
}

std::span<const PacketIn> Stack::exceptions() const { return state_->exceptions; }

std::span<PacketOut> Stack::output(std::span<PacketOut> room, Instant now) {
  return state_->output(room, now);
}

void Stack::transmitted(uint64_t count) { state_->transmitted(count); }

std::span<StackEvent> Stack::events(std::span<StackEvent> room) { return state_->events(room); }

Instant Stack::deadline() const {
  return std::min({state_->wheel.next(), state_->half_open.deadline(),
                   state_->time_waits.deadline(), state_->neighbours.deadline(),
                   state_->parked_until});
}

void Stack::expire(Instant now) { state_->expire(now); }

bool Stack::listen(uint16_t port) {
  if (port == 0) return false;
  if (state_->listens(port)) return true;
  if (state_->port_count == ports_max) return false;
  state_->ports[state_->port_count++] = port;
  return true;
}

void Stack::stop_listening(uint16_t port) {
  for (size_t i = 0; i < state_->port_count; ++i) {
    if (state_->ports[i] == port) state_->ports[i] = state_->ports[--state_->port_count];
  }
}

std::optional<ConnectionId> Stack::connect(const SocketAddress& peer, Instant now,
                                           bool (*usable)(const Flow&, void*), void* context) {
  return state_->connect(peer, now, usable, context);
}

void Stack::prefetch(ConnectionId id) const {
  if (id.index < state_->slots.size()) state_->prefetch(id.index, State::all_lines);
}

void Stack::send(ConnectionId id, std::span<const Bytes> slices, Instant now) {
  uint32_t index = 0;
  Connection* connection = state_->find(id, index);
  if (connection == nullptr) return;
  connection->send(slices, now);
  state_->settle(index, now);
}

void Stack::set_reading(ConnectionId id, bool on, Instant now) {
  uint32_t index = 0;
  Connection* connection = state_->find(id, index);
  if (connection == nullptr) return;
  connection->set_reading(on, now);
  state_->settle(index, now);
}

void Stack::set_low_water(ConnectionId id, uint32_t bytes) {
  uint32_t index = 0;
  Connection* connection = state_->find(id, index);
  if (connection == nullptr) return;
  connection->set_low_water(bytes);
  state_->settle(index, state_->clock);
}

void Stack::finish(ConnectionId id, Instant now) {
  uint32_t index = 0;
  Connection* connection = state_->find(id, index);
  if (connection == nullptr) return;
  connection->finish(now);
  state_->settle(index, now);
}

void Stack::close(ConnectionId id, Instant now) {
  uint32_t index = 0;
  Connection* connection = state_->find(id, index);
  if (connection == nullptr) return;
  connection->close(now);
  state_->settle(index, now);
}

void Stack::announce() { state_->announcements = 0x7; }

std::span<NeighbourNews> Stack::take_neighbour_news(std::span<NeighbourNews> room) {
  std::vector<NeighbourNews>& news = state_->neighbour_news;
  const size_t count = std::min(room.size(), news.size());
  std::copy_n(news.begin(), count, room.begin());
  news.erase(news.begin(), news.begin() + static_cast<ptrdiff_t>(count));
  return room.first(count);
}

void Stack::hear_neighbour(const NeighbourNews& news, Instant now) {
  state_->hear(news, false, false, now);
}

const StackCounters& Stack::counters() const { return state_->counters; }

size_t Stack::memory_bytes() const { return state_->memory_bytes(); }

}  // namespace penstock::engine::tcp

#include "tests/sim/sim_engine.h"

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::sim {
namespace {

using engine::CloseReason;
using engine::ConnectionId;
using engine::EngineEvent;
using engine::EngineEventKind;

// The most that one receive hands over: less than a message, more than a chunk header.
constexpr size_t receive_bytes_max = 16 * 1024;

uint64_t digest_of(
    Bytes bytes) {  // FNV-1a over words: fast enough to check every byte that is sent
  uint64_t digest = 0xCBF29CE484222325;
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8)
    digest = (digest ^ load_u64(bytes.data() + i)) * 0x100000001B3;
  for (; i < bytes.size(); ++i) digest = (digest ^ bytes[i]) * 0x100000001B3;
  return digest;
}

}  // namespace

SimEngine::Connection* SimEngine::find(ConnectionId id) {
  if (id.index >= connections_.size()) return nullptr;
  Connection& connection = connections_[id.index];
  return connection.in_use && connection.generation == id.generation ? &connection : nullptr;
}

EngineEvent& SimEngine::report(EngineEventKind kind, const Connection& connection) {
  EngineEvent& event = events_[filled_++];
  event = {};
  event.kind = kind;
  event.id = {static_cast<uint32_t>(&connection - connections_.data()), connection.generation};
  return event;
}

std::span<EngineEvent> SimEngine::poll(std::span<EngineEvent> events, Instant wake_at) {
  PENSTOCK_ASSERT(!events.empty());
  for (auto& run : shown_) std::fill(run.begin(), run.end(), uint8_t{0xDD});
  shown_.clear();
  events_ = events;
  filled_ = 0;
  for (;;) {
    accept_offered();
    const size_t count = connections_.size();
    const size_t first = network_.prng().below(count);
    for (size_t i = 0; i < count && room(); ++i) turn(connections_[(first + i) % count]);
    if (filled_ > 0 || woken_ || network_.now() >= wake_at) break;
    if (mode_ == ClockMode::caller_advances) break;
    network_.advance_to(std::min(wake_at, next_at()));
  }
  woken_ = false;
  return events.first(filled_);
}

void SimEngine::accept_offered() {
  for (size_t left = offered_.size(); left > 0 && room(); --left) {
    std::shared_ptr<Link> link = std::move(offered_.front());
    offered_.pop_front();
    if (accepting_ && (descriptors_dry_ || link->connects_at > network_.now())) {
      offered_.push_back(std::move(link));
      continue;
    }
    Connection* free = free_place();
    if (!accepting_ || free == nullptr) {
      link->engine_reset = true;
      link->engine_gone = true;
      link->reset_at = network_.arrival();
      continue;
    }
    free->in_use = true;
    free->link = std::move(link);
    report(EngineEventKind::accepted, *free).peer = free->link->peer;
  }
}

/// A place as new but for its generation.
SimEngine::Connection* SimEngine::free_place() {
  const auto free = std::find_if(connections_.begin(), connections_.end(),
                                 [](const Connection& c) { return !c.in_use; });
  if (free == connections_.end()) return nullptr;
  const uint32_t generation = free->generation;
  *free = {};
  free->generation = generation;
  return &*free;
}

std::optional<ConnectionId> SimEngine::connect(const engine::Endpoint& peer) {
  Connection* place = descriptors_dry_ ? nullptr : free_place();
  if (place == nullptr) return std::nullopt;
  place->in_use = true;
  place->connecting = true;
  place->link = network_.make_link(peer);
  return ConnectionId{static_cast<uint32_t>(place - connections_.data()), place->generation};
}

void SimEngine::connect_step(Connection& connection) {
  if (connection.link->connects_at > network_.now()) return;
  connection.connecting = false;
  if (!network_.arrive(connection.link)) {
    connection.link->engine_reset = true;  // there is nobody to be told of an end
    return end(connection, CloseReason::refused);
  }
  report(EngineEventKind::connected, connection).peer = connection.link->peer;
  if (connection.finishing && connection.queue.empty()) {
    connection.finishing = false;
    finish({static_cast<uint32_t>(&connection - connections_.data()), connection.generation});
  }
}

void SimEngine::turn(Connection& connection) {
  if (!connection.in_use) return;
  if (connection.connecting && !connection.closing) {
    connect_step(connection);
  } else if (!connection.closing && network_.now() >= connection.stalled_until) {
    if (network_.prng().chance(network_.faults().stall)) {
      connection.stalled_until =
          network_.now().after_ns(1 + network_.prng().below(network_.faults().delay_ns_max + 1));
      return;
    }
    Link& link = *connection.link;
    if (link.peer_reset && link.reset_at <= network_.now()) {
      end(connection, CloseReason::reset);
    } else {
      bool goes_on = true;
      while (goes_on && room() && !connection.closing) {
        goes_on = receive(connection);
        if (room() && !connection.closing) goes_on = send_some(connection) || goes_on;
        if (network_.prng().chance(300)) break;  // others have their turn
      }
    }
  }
  if (connection.closing && room()) report_closed(connection);
}

void SimEngine::report_closed(Connection& connection) {
  report(EngineEventKind::closed, connection).reason = connection.reason;
  const uint32_t generation = connection.generation + 1;
  connection = {};
  connection.generation = generation;
}

bool SimEngine::can_receive(const Connection& connection) const {
  if (!connection.reading || connection.end_seen) return false;
  const size_t arrived = connection.link->to_engine.arrived(network_.now());
  // FIN completes a receive by itself, and so does a full window.
  return connection.link->to_engine.end_arrived(network_.now()) ||
         (arrived > 0 &&
          (arrived >= connection.low_water_bytes || connection.draining ||
           connection.link->peer_finished || connection.link->to_engine.room() == 0));
}

bool SimEngine::receive(Connection& connection) {
  if (!can_receive(connection)) return false;
  Prng& prng = network_.prng();
  if (prng.chance(network_.faults().reset)) {
    connection.link->engine_reset = true;
    connection.link->reset_at = network_.now();
    end(connection, CloseReason::reset);
    return false;
  }
  Link& link = *connection.link;
  const size_t arrived = link.to_engine.arrived(network_.now());
  if (arrived == 0) {
    connection.end_seen = true;
    report(EngineEventKind::ended, connection);
    if (connection.finished) end(connection, CloseReason::ours);
    return false;
  }
  size_t bytes = std::min(arrived, receive_bytes_max);
  // As io_uring's: what leaves a rest reads less than the mark, and what is left waits for it anew.
  const bool leaves_rest = connection.rest_may_wait && !connection.draining;
  if (leaves_rest) bytes = std::min<size_t>(bytes, connection.low_water_bytes - 1);
  if (prng.chance(network_.faults().short_receive))
    bytes = 1 + prng.below(std::min<size_t>(bytes, 64));
  std::vector<uint8_t>& run = shown_.emplace_back(bytes);
  link.to_engine.read(run, network_.now());
  connection.draining = arrived > bytes && !leaves_rest;
  report(EngineEventKind::received, connection).bytes = run;
  return true;
}

bool SimEngine::send_some(Connection& connection) {
  if (connection.queue.empty()) return false;
  Link& link = *connection.link;
  Prng& prng = network_.prng();
  if (link.peer_gone && !link.peer_reset) {  // the host behind it answers with a reset
    link.peer_reset = true;
    link.reset_at = network_.arrival();
    return false;
  }
  size_t budget = link.to_peer.room();
  if (budget == 0) return false;
  if (prng.chance(network_.faults().partial_send))
    budget = 1 + prng.below(std::min<size_t>(budget, 2048));
  size_t sent = 0;
  while (budget > 0 && !connection.queue.empty()) {
    QueuedSlice& slice = connection.queue.front();
    PENSTOCK_ASSERT(digest_of(slice.bytes) ==
                    slice.digest);  // the worker changed bytes that it had given away
    const Bytes part =
        slice.bytes.subspan(slice.sent, std::min(budget, slice.bytes.size() - slice.sent));
    link.to_peer.push(part, network_.arrival());
    slice.sent += part.size();
    sent += part.size();
    budget -= part.size();
    if (slice.sent == slice.bytes.size()) connection.queue.pop_front();
  }
  report(EngineEventKind::sent, connection).sent_bytes = static_cast<uint32_t>(sent);
  const ConnectionId id{static_cast<uint32_t>(&connection - connections_.data()),
                        connection.generation};
  if (connection.queue.empty() && connection.finishing) {
    connection.finishing = false;
    finish(id);
  }
  return true;
}

void SimEngine::end(Connection& connection, CloseReason reason) {
  if (connection.closing) return;
  connection.closing = true;
  connection.reason = reason;
  connection.queue.clear();
  Link& link = *connection.link;
  link.engine_gone = true;
  if (connection.connecting) return;  // nobody has seen it
  if (link.peer_reset || link.engine_reset) return;
  if (link.to_engine.unread() > 0) {
    link.engine_reset = true;
    link.reset_at = network_.arrival();
  } else if (!connection.finished) {
    link.to_peer.push_end(network_.arrival());
  }
}

void SimEngine::send(ConnectionId id, std::span<const Bytes> slices) {
  PENSTOCK_ASSERT(slices.size() <= send_slices_max);
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing) return;
  PENSTOCK_ASSERT(!connection->finishing && !connection->finished);
  for (const Bytes slice : slices) {
    if (!slice.empty()) connection->queue.push_back({slice, digest_of(slice)});
  }
}

void SimEngine::set_reading(ConnectionId id, bool on) {
  if (Connection* connection = find(id)) connection->reading = on;
}

void SimEngine::set_low_water(ConnectionId id, uint32_t bytes, engine::Rest rest) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  bytes = std::max(bytes, 1U);
  connection->draining = bytes < connection->low_water_bytes;
  connection->low_water_bytes = bytes;
  connection->rest_may_wait = rest == engine::Rest::may_wait && bytes > 1;
}

void SimEngine::finish(ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing || connection->finishing || connection->finished)
    return;
  connection->finishing = true;
  if (!connection->queue.empty() || connection->connecting) return;
  connection->finished = true;
  connection->link->to_peer.push_end(network_.arrival());
  if (connection->end_seen) end(*connection, CloseReason::ours);
}

void SimEngine::close(ConnectionId id) {
  if (Connection* connection = find(id)) end(*connection, CloseReason::ours);
}

bool SimEngine::set_accepting(bool on) {
  accepting_ = on;
  return true;
}

size_t SimEngine::connections_open() const {
  const auto open = std::ranges::count_if(connections_, &Connection::in_use);
  return static_cast<size_t>(open) + offered_.size();
}

size_t SimEngine::bytes_queued() const {
  size_t bytes = 0;
  for (const Connection& connection : connections_) {
    for (const QueuedSlice& slice : connection.queue) bytes += slice.bytes.size() - slice.sent;
  }
  return bytes;
}

Instant SimEngine::next_at() const {
  const Instant now = network_.now();
  Instant next = Instant::never();
  const auto consider = [&](Instant at) {
    if (at > now) next = std::min(next, at);
  };
  for (const auto& link : offered_) consider(link->connects_at);
  for (const Connection& connection : connections_) {
    if (!connection.in_use) continue;
    if (connection.connecting) {
      consider(connection.link->connects_at);
      continue;
    }
    consider(connection.stalled_until);
    consider(connection.link->to_engine.next_arrival(now));
    if (connection.link->peer_reset) consider(connection.link->reset_at);
  }
  return next;
}

}  // namespace penstock::sim

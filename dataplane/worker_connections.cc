#include <algorithm>
#include <variant>

#include "dataplane/address_text.h"
#include "dataplane/worker.h"
#include "penstock/base/assert.h"

// One peer's life: accepted, fed, dropped, closed.
namespace penstock::dataplane {
namespace {

using control::Counter;
using control::Tunable;

// After our FIN the peer may still send for this long, so that what we said last reaches it before
// a reset can overtake it.
constexpr uint64_t linger_ns = 1 * ns_per_s;

// Input kept while a verdict is awaited: reading is off, so it is what was already on its way.
constexpr size_t held_bytes_max = 1024 * 1024;

// Answers that a peer has not taken yet. A play takes 2 KB of them; a pause 200 bytes.
constexpr uint64_t control_bytes_max = 256 * 1024;

// connection_id: 6 bits worker, 26 bits generation, 20 bits index; 52 bits pass through JSON's
// doubles whole. The generation starts at 1 in the id, so that no connection has id 0.
constexpr uint64_t index_bits = 20;
constexpr uint64_t generation_bits = 26;
static_assert(workers_max <= 64);

}  // namespace

uint64_t Worker::connection_id_of(engine::ConnectionId id) const {
  const uint64_t generation =
      (uint64_t{id.generation} + 1) & ((uint64_t{1} << generation_bits) - 1);
  return uint64_t{parts_.id} << (index_bits + generation_bits) | generation << index_bits |
         id.index;
}

Connection* Worker::find(engine::ConnectionId id) const {
  if (id.index >= connections_.size()) return nullptr;
  Connection* connection = connections_[id.index].get();
  return connection != nullptr && connection->id == id ? connection : nullptr;
}

Connection* Worker::find(uint64_t connection_id) const {
  const uint64_t index = connection_id & ((uint64_t{1} << index_bits) - 1);
  if (index >= connections_.size()) return nullptr;
  Connection* connection = connections_[index].get();
  return connection != nullptr && connection->connection_id == connection_id ? connection : nullptr;
}

void Worker::accept(const engine::EngineEvent& event) {
  PENSTOCK_ASSERT(event.id.index < connections_.size());
  PENSTOCK_ASSERT(connections_[event.id.index] == nullptr);
  uint64_t everywhere = 1;
  for (WorkerId worker = 0; worker < worker_count_; ++worker) {
    everywhere += mesh_.connections(worker).get();
  }
  // Each worker sees the others' number a moment late: the bound may be passed by as many as there
  // are workers.
  const uint64_t limit = std::min(tunable(Tunable::connections_max), parts_.connections_max);
  if (everywhere > limit || stopping_) {
    count(Counter::connections_refused);
    log(LogEvent::connection_refused, nullptr, {}, "limits.connections_max is reached", limit);
    engine_.close(event.id);
    return;
  }
  auto made = std::make_unique<Connection>(
      session_settings_,
      parts_.random_seed ^ (uint64_t{event.id.generation} << 32 | event.id.index), now_);
  Connection& connection = *made;
  connection.id = event.id;
  connection.connection_id = connection_id_of(event.id);
  connection.row = event.id.index;
  connection.peer = event.peer;
  connection.peer_text.set(address_text(event.peer));
  connection.transport = event.transport;
  connection.since_unix_ms = unix_ms();
  connections_[event.id.index] = std::move(made);
  ++connection_count_;
  count(Counter::connections_accepted);
  connections_changed();
  choose_gather();
  if (connection_slots_used_ <= connection.row) {
    connection_slots_used_ = connection.row + 1;
    area_.connection_slots_used.publish(connection_slots_used_);
  }
  log(LogEvent::connection_opened, &connection, {}, {});
  report_connection(connection);
  schedule(connection);
}

/// What lies below the session has found out what the peer speaks, and for whom a load balancer
/// speaks.
void Worker::identified(Connection& connection, const engine::EngineEvent& event) {
  if (event.handshake_done) {
    connection.session.skip_handshake();
    count(Counter::handshakes_digest);
  }
  connection.transport = event.transport;
  connection.peer = event.peer;
  connection.peer_text.set(address_text(event.peer));
  report_connection(connection);
}

void Worker::connections_changed() {
  gauge(Counter::connections, connection_count_ + engine_seen_.unseen);
  gauge(Counter::carriers, engine_seen_.unseen);
  mesh_.connections(parts_.id).set(connection_count_ + engine_seen_.unseen);
}

/// Those that never became a connection here.
void Worker::take_engine_counts() {
  const engine::EngineCounts counts = engine_.counts();
  const uint64_t refused = counts.refused - engine_seen_.refused;
  const bool changed = counts.unseen != engine_seen_.unseen;
  engine_seen_ = counts;
  if (changed) connections_changed();
  if (refused == 0) return;
  count(Counter::connections_refused, refused);
  log(LogEvent::connection_refused, nullptr, {}, "no place is left on this worker",
      tunable(Tunable::connections_max));
}

void Worker::receive(Connection& connection, Bytes bytes) {
  count(Counter::bytes_received, bytes.size());
  connection.bytes_received += bytes.size();
  if (connection.closing) return;
  if (connection.waiting_for_answer()) {
    if (connection.held.size() + bytes.size() > held_bytes_max) {
      drop(connection, Fault::partial_messages_exceeded);
      return;
    }
    connection.held.insert(connection.held.end(), bytes.begin(), bytes.end());
    return;
  }
  feed(connection, bytes);
}

void Worker::feed(Connection& connection, Bytes bytes) {
  // Once media flows, more of it only moves the deadline away: the timer finds that out when it
  // fires, so that nobody has to for every message.
  const bool flowing = connection.published != nullptr &&
                       connection.published->frames_received > 0 && connection.timer_slot != 0;
  connection.session.feed(bytes, now_);
  const bool media_alone = pull(connection);
  if (flowing && media_alone && connection.session.outbox().empty()) return;
  settle(connection);
}

/// Whether there was nothing but media.
bool Worker::pull(Connection& connection) {
  bool media_alone = true;
  while (!connection.closing) {
    const std::expected<rtmp::Event, Fault> event = connection.session.next();
    if (!event) {
      drop(connection, event.error());
      return false;
    }
    if (const auto* piece = std::get_if<rtmp::MediaPiece>(&*event)) [[likely]] {
      on(connection, *piece);
      continue;
    }
    if (std::holds_alternative<rtmp::NeedInput>(*event)) return media_alone;
    media_alone = false;
    std::visit([&](const auto& what) { on(connection, what); }, *event);
    if (connection.waiting_for_answer()) {
      const Bytes rest = connection.session.take_unread();
      connection.held.assign(rest.begin(), rest.end());
      if (connection.reading) engine_.set_reading(connection.id, false);
      connection.reading = false;
      return false;
    }
  }
  return false;
}

/// Goes on with what was held back while an answer was awaited.
void Worker::resume(Connection& connection) {
  // Only a session that was parked has input here; one that got its answer within pull() goes on
  // there, and feeding it would take away what it has not read yet.
  if (connection.reading || connection.closing || connection.waiting_for_answer()) return;
  std::vector<uint8_t> held;
  held.swap(connection.held);
  connection.session.feed(held, now_);
  pull(connection);
  if (!connection.reading && !connection.waiting_for_answer() && !connection.closing) {
    connection.reading = true;
    engine_.set_reading(connection.id, true);
  }
  settle(connection);
}

/// What follows every turn of a session: its answers go out, its deadline is minded.
void Worker::settle(Connection& connection) {
  rtmp::Outbox& outbox = connection.session.outbox();
  if (!outbox.empty()) {
    const std::vector<uint8_t> bytes = outbox.take();
    Frame* frame = frames_.make_own(bytes);
    if (frame != nullptr) {
      connection.egress.push(frame);
      frames_.release(frame);
      mark_dirty(connection);
    }
    // Without its answer the peer would wait for ever; and one that asks and asks but does not read
    // the answers would make us keep them.
    if (frame == nullptr || connection.egress.control_bytes() > control_bytes_max) {
      count_fault(connection, Fault::write_stalled);
      log(LogEvent::peer_dropped, &connection, {}, fault_info(Fault::write_stalled).text);
      cut(connection);
    }
  }
  schedule(connection);
}

void Worker::schedule(Connection& connection) {
  Instant deadline = connection.close_at;
  if (!connection.closing) {
    if (connection.waiting_for_answer()) {
      for (const Ask& open : connection.asks) {
        if (open.stage == Ask::Stage::verdict) deadline = std::min(deadline, open.decide_at);
      }
    } else {
      deadline = std::min(deadline, connection.session.deadline());
    }
  }
  if (connection.egress.sending()) deadline = std::min(deadline, stalled_at(connection));
  if (deadline != Instant::never()) wake_by(connection, deadline);
}

Instant Worker::stalled_at(const Connection& connection) const {
  return connection.egress.progress_at().after_ms(tunable(Tunable::write_stalled_ms));
}

void Worker::wake_by(Connection& connection, Instant deadline) {
  // An entry that fires too early sets itself again; only one that would fire too late must be
  // replaced.
  if (connection.timer_slot != 0 && connection.timer_slot * TimerWheel::slot_ns <= deadline.ns)
    return;
  connection.timer_slot = wheel_.add(connection.id, deadline);
}

void Worker::mark_dirty(Connection& connection) {
  if (connection.dirty) return;
  connection.dirty = true;
  stirred_connections_[connection.row] = true;
  dirty_.push_back(connection.id);
}

void Worker::count_fault(Connection&, Fault fault) {
  area_.faults[static_cast<size_t>(fault)].add(1);
}

/// The one place where a peer is dropped for what it did.
void Worker::drop(Connection& connection, Fault fault, std::string_view why) {
  if (connection.closing) return;
  count_fault(connection, fault);
  const std::string_view name = connection.published != nullptr
                                    ? std::string_view(connection.published->name)
                                    : std::string_view{};
  std::string text(fault_info(fault).text);
  if (!why.empty()) text.append(": ").append(why);
  log(LogEvent::peer_dropped, &connection, name, text);
  if (connection.published != nullptr) end_publish(*connection.published, fault_info(fault).text);
  finish(connection);
}

/// Orderly end from our side: what is queued goes out, then FIN, then the peer has linger_ns to
/// leave by itself.
void Worker::finish(Connection& connection) {
  if (connection.closing) return;
  settle(connection);
  if (connection.published != nullptr) end_publish(*connection.published, "connection closed");
  while (!connection.subscriptions.empty()) unsubscribe(*connection.subscriptions.back());
  forget_asks(connection);
  connection.closing = true;
  connection.egress.drop_media(frames_);
  if (!connection.reading) {
    connection.reading = true;
    engine_.set_reading(connection.id, true);  // or the peer's FIN would never be seen
  }
  set_low_water(connection, 1);
  connection.close_at = now_.after_ns(linger_ns);
  mark_dirty(connection);
  schedule(connection);
}

/// The end without a word: the peer does not take any. What it published or played ends with
/// `closed`, which the engine reports after this.
void Worker::cut(Connection& connection) {
  connection.closing = true;
  connection.cut = true;
  forget_asks(connection);
  engine_.close(connection.id);
}

void Worker::peer_ended(Connection& connection) {
  if (!connection.closing) {
    if (connection.published != nullptr)
      end_publish(*connection.published, "publisher closed the connection");
    finish(connection);
  }
  if (connection.egress.idle()) {
    engine_.close(connection.id);
  }
}

/// The engine has let go of it: nothing of it is with the engine any more.
void Worker::closed(Connection& connection) {
  if (connection.published != nullptr) end_publish(*connection.published, "connection lost");
  while (!connection.subscriptions.empty()) unsubscribe(*connection.subscriptions.back());
  forget_asks(connection);
  connection.egress.clear(frames_);
  log(LogEvent::connection_closed, &connection, {}, {}, connection.bytes_received);
  control::ConnectionRow gone;
  parts_.region.write_row(parts_.id, connection.row, gone);
  count(Counter::connections_closed);
  if (connection.gathered) --gathered_connections_;
  connections_[connection.id.index].reset();
  --connection_count_;
  connections_changed();
}

}  // namespace penstock::dataplane

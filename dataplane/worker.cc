#include "dataplane/worker.h"

#include <algorithm>
#include <utility>

#include "penstock/base/assert.h"
#include "penstock/base/prefetch.h"

namespace penstock::dataplane {
namespace {

using control::Counter;
using control::Tunable;

// Per tick, so that no kind of work starves another. 4096 events is what 2000 streams bring in half
// a second.
constexpr size_t events_per_tick = 4096;
constexpr size_t commands_per_tick = 64;
// A burst of sends to 2000 sockets holds the core for 12 ms; 512 hold it for 3.
constexpr size_t sends_per_tick = 512;

// Events before it: memory takes 100 ns or so, an event 200 ns at least.
constexpr size_t fetch_connection_ahead = 4;
constexpr size_t fetch_stream_ahead = 2;

// The control plane cannot ring us: its verdicts and commands are looked for this often.
constexpr uint64_t verdict_look_ns = 1 * ns_per_ms;

// What is left to say to peers when the process stops has this long to go out.
constexpr uint64_t stop_ns = 1 * ns_per_s;

}  // namespace

Worker::Worker(WorkerParts parts, Instant now)
    : parts_(std::move(parts)),
      engine_(*parts_.engine),
      mesh_(*parts_.mesh),
      area_(parts_.region.worker(parts_.id)),
      worker_count_(mesh_.workers()),
      now_(now),
      ticked_at_(now),
      frames_(parts_.frame_memory),
      wheel_(now),
      admission_(parts_.admission != nullptr ? *parts_.admission : no_feed_),
      logins_(parts_.login_secret, parts_.random_seed, worker_count_),
      events_(events_per_tick),
      report_at_(now) {
  for (WorkerId other = 0; other < worker_count_; ++other) {
    frames_.set_return_ring(other, &mesh_.link(other, parts_.id).returns);
  }
  connections_.resize(parts_.region.plan().connections_max);
  streams_by_row_.resize(parts_.region.plan().streams_max, nullptr);
  stirred_connections_.resize(connections_.size());
  stirred_streams_.resize(streams_by_row_.size());
  for (uint32_t row = parts_.region.plan().streams_max; row > 0; --row) {
    free_stream_rows_.push_back(row - 1);
  }
  area_.frame_memory_bytes.set(frames_.blocks().bytes_total());
  apply_wanted();
  log(LogEvent::worker_started, nullptr, {}, {});
}

Worker::~Worker() {
  for (auto& connection : connections_) {
    if (connection != nullptr) closed(*connection);
  }
}

void Worker::wait(Instant now) {
  area_.busy_ns.add(now.since(ticked_at_));
  Instant wake_at = std::min(wheel_.next(), report_at_);
  if (asks_open_ > 0) wake_at = std::min(wake_at, now.after_ns(verdict_look_ns));
  if (!held_.empty()) wake_at = std::min(wake_at, held_.front().until);
  if (!dirty_.empty()) wake_at = now;
  Doorbell& doorbell = mesh_.doorbell(parts_.id);
  doorbell.prepare_sleep();
  if (!rings_empty()) wake_at = now;
  event_count_ = engine_.poll(events_, wake_at).size();
  doorbell.woke_up();
}

void Worker::tick(Instant now) {
  now_ = now;
  ticked_at_ = now;
  count(Counter::ticks);
  apply_wanted();
  take_commands();
  take_returns();
  flush_deferred();
  take_rings();
  take_events();
  take_engine_counts();
  expire_timers();
  release_held();
  flush();
  if (now_ >= report_at_) report();
  if (parts_.stop != nullptr && parts_.stop->raised()) stop_step();
  // One wake per worker and tick, however much was put into its rings.
  while (rung_ != 0) {
    const auto other = static_cast<WorkerId>(std::countr_zero(rung_));
    rung_ &= rung_ - 1;
    if (mesh_.doorbell(other).ring(parts_.id)) parts_.engines[other]->wake();
  }
  if (std::exchange(main_has_to_look_, false) && parts_.ring_main) parts_.ring_main();
  if (std::exchange(asked_, false) && parts_.ring_control) parts_.ring_control();
}

void Worker::apply_wanted() {
  control::Wanted& wanted = parts_.region.wanted();
  const uint32_t sequence = wanted.state.sequence();
  if (sequence == wanted_sequence_) return;
  control::WantedState state;
  if (!wanted.state.read(state)) return;
  bool sane =
      state.admission <= control::AdmissionMode::login &&
      static_cast<uint32_t>(state.log_level) <= static_cast<uint32_t>(control::LogLevel::error) &&
      state.keys_bytes <= control::keys_bytes_max &&
      state.users_bytes <= control::users_bytes_max &&
      state.login_offer <= control::LoginOffer::query;
  for (size_t i = 0; i < control::tunable_count; ++i) {
    sane = sane && control::tunable_table[i].accepts(state.tunables[i]);
  }
  if (!sane) {
    wanted_sequence_ = sequence;
    count(Counter::commands_refused);
    log(LogEvent::config_refused, nullptr, {}, "a value is out of its range", state.epoch);
    return;
  }
  // Main is still reading them, and wakes us then; or their writer has died over them.
  if (!admission_.has(state)) return;
  admission_.take(state);
  logins_.use(admission_.current());
  const bool first = wanted_sequence_ == UINT32_MAX;
  const bool drain_differs =
      state.draining != wanted_.draining || state.drain_to.view() != wanted_.drain_to.view();
  wanted_sequence_ = sequence;
  wanted_ = state;
  session_settings_.login = state.admission == control::AdmissionMode::login;
  session_settings_.message_bytes_max = static_cast<uint32_t>(tunable(Tunable::message_bytes_max));
  // Room for two largest messages at once: a keyframe with audio between its chunks never needs
  // more.
  session_settings_.partial_bytes_max = 2 * session_settings_.message_bytes_max;
  session_settings_.handshake_ns = tunable(Tunable::handshake_ms) * ns_per_ms;
  session_settings_.connect_to_publish_ns = tunable(Tunable::connect_to_publish_ms) * ns_per_ms;
  session_settings_.first_media_ns = tunable(Tunable::first_media_ms) * ns_per_ms;
  session_settings_.silent_publisher_ns = tunable(Tunable::silent_publisher_ms) * ns_per_ms;
  if (parts_.tuned) parts_.tuned(wanted_.tunables);
  choose_gather();
  if (tunable(Tunable::gop_bytes) == 0) {
    for (auto& [name, stream] : streams_) drop_gop(*stream);
  }
  // A shorter deadline holds for those who are connected already, too.
  if (!first) {
    for (auto& connection : connections_) {
      if (connection != nullptr) schedule(*connection);
    }
  }
  if (drain_differs) drain_changed();
  const bool accept = wanted_.draining == 0;
  if (accept != accepting_ && !stopping_) {
    accepting_ = accept;
    engine_.set_accepting(accept);
    if (!accept) log(LogEvent::draining, nullptr, {}, {});
  }
  area_.applied_epoch.publish(state.epoch);
  main_has_to_look_ = true;
  log(LogEvent::config_applied, nullptr, {}, {}, state.epoch);
}

void Worker::take_commands() {
  control::Command commands[8];
  for (size_t taken = 0; taken < commands_per_tick;) {
    const uint32_t count = area_.commands.pop(commands);
    if (count == 0) return;
    for (uint32_t i = 0; i < count; ++i) take_command(commands[i]);
    taken += count;
  }
}

void Worker::take_command(const control::Command& command) {
  switch (command.kind) {
    case control::CommandKind::kick_stream: {
      const auto found = streams_by_id_.find(command.stream_id);
      if (found == streams_by_id_.end() || !found->second->owned_here()) break;
      Connection& publisher = *found->second->publisher;
      publisher.session.end_publish(found->second->publisher_message_stream_id,
                                    command.text.view());
      end_publish(*found->second, command.text.view());
      finish(publisher);
      count(Counter::commands_applied);
      return;
    }
    case control::CommandKind::kick_connection: {
      Connection* connection = find(command.connection_id);
      if (connection == nullptr) break;
      if (connection->published != nullptr) {
        connection->session.end_publish(connection->published->publisher_message_stream_id,
                                        command.text.view());
        end_publish(*connection->published, command.text.view());
      }
      finish(*connection);
      count(Counter::commands_applied);
      return;
    }
    case control::CommandKind::verdict: {
      Connection* connection = find(command.connection_id);
      if (connection == nullptr) return;  // it has left while the verdict was on its way
      verdict(*connection, command.request_id, command.allowed != 0, command.text.view());
      return;
    }
    case control::CommandKind::trace: {
      Connection* connection = find(command.connection_id);
      if (connection == nullptr) break;
      connection->traced = command.allowed != 0;
      count(Counter::commands_applied);
      return;
    }
  }
  count(Counter::commands_refused);
  log(LogEvent::command_refused, nullptr, {}, "what it names is not here, or the kind is unknown",
      static_cast<uint64_t>(command.kind));
}

/// Between two events of one connection lie those of a thousand others, and a kernel's work: what
/// an event touches is fetched while those before it are handled, each part by way of the one that
/// was fetched before.
void Worker::take_events() {
  for (size_t i = 0; i < event_count_; ++i) {
    if (i + fetch_connection_ahead < event_count_) {
      const size_t index = events_[i + fetch_connection_ahead].id.index;
      if (index < connections_.size()) {
        prefetch_lines(connections_[index].get(), connection_hot_bytes);
      }
    }
    if (i + fetch_stream_ahead < event_count_) prefetch(events_[i + fetch_stream_ahead]);
    take_event(events_[i]);
  }
  event_count_ = 0;
}

void Worker::prefetch(const engine::EngineEvent& event) const {
  if (event.kind != engine::EngineEventKind::received) return;
  const Connection* connection = find(event.id);
  if (connection == nullptr) return;
  connection->session.prefetch();
  if (connection->published != nullptr) connection->published->prefetch();
  __builtin_prefetch(event.bytes.data());
}

void Worker::take_event(const engine::EngineEvent& event) {
  if (event.kind == engine::EngineEventKind::accepted) {
    accept(event);
    return;
  }
  if (event.kind == engine::EngineEventKind::dropped) {
    area_.faults[static_cast<size_t>(event.fault)].add(1);
    if (!fault_info(event.fault).fatal) return;  // a request that was answered so, no end
    log(LogEvent::peer_dropped, nullptr, {}, fault_info(event.fault).text, 0, &event.peer);
    return;
  }
  Connection* connection = find(event.id);
  if (connection == nullptr) return;
  stirred_connections_[connection->row] = true;
  switch (event.kind) {
    case engine::EngineEventKind::accepted:
    case engine::EngineEventKind::dropped:
    case engine::EngineEventKind::connected:  // a worker begins no connection yet
      return;
    case engine::EngineEventKind::received:
      receive(*connection, event.bytes);
      return;
    case engine::EngineEventKind::ended:
      peer_ended(*connection);
      return;
    case engine::EngineEventKind::sent:
      connection->bytes_sent += event.sent_bytes;
      count(Counter::bytes_sent, event.sent_bytes);
      connection->egress.sent(frames_, event.sent_bytes, now_);
      if (!connection->egress.idle() || connection->closing) mark_dirty(*connection);
      return;
    case engine::EngineEventKind::identified:
      identified(*connection, event);
      return;
    case engine::EngineEventKind::failed:
      drop(*connection, event.fault,
           {reinterpret_cast<const char*>(event.bytes.data()), event.bytes.size()});
      return;
    case engine::EngineEventKind::closed:
      if (event.reason == engine::CloseReason::reset && connection->published != nullptr) {
        count_fault(*connection, Fault::peer_reset);
        log(LogEvent::peer_dropped, connection, connection->published->name,
            fault_info(Fault::peer_reset).text);
      }
      closed(*connection);
      return;
  }
}

void Worker::expire_timers() {
  due_.clear();
  wheel_.expire(now_, due_);
  for (const TimerWheel::Entry& entry : due_) {
    Connection* connection = find(entry.id);
    if (connection == nullptr || connection->timer_slot != entry.slot) continue;
    connection->timer_slot = 0;
    expire(*connection);
  }
}

void Worker::expire(Connection& connection) {
  if (now_ >= connection.close_at) {
    engine_.close(connection.id);  // `closed` comes with a later poll
    connection.close_at = Instant::never();
    return;
  }
  if (connection.egress.sending() && now_ >= stalled_at(connection)) {
    count_fault(connection, Fault::write_stalled);
    log(LogEvent::peer_dropped, &connection, {}, fault_info(Fault::write_stalled).text);
    cut(connection);
    return;
  }
  for (size_t i = 0; i < connection.asks.size(); ++i) {
    const Ask& open = connection.asks[i];
    if (open.stage == Ask::Stage::verdict && now_ >= open.decide_at) {
      count(Counter::verdicts_late);
      log(LogEvent::verdict_late, &connection, open.name, {});
      decide_by_own_policy(connection, open.request_id);
      break;  // asks may have changed; what is left comes with the next expiry
    }
  }
  if (!connection.closing && !connection.waiting_for_answer()) {
    if (const auto alive = connection.session.expire(now_); !alive) {
      // It is the clock that ends it, not a broken session: a publisher that comes back is told
      // why.
      if (const Stream* stream = connection.published; stream != nullptr) {
        connection.session.end_publish(stream->publisher_message_stream_id,
                                       fault_info(alive.error()).text);
      }
      drop(connection, alive.error());
    }
  }
  schedule(connection);
}

void Worker::flush() {
  size_t sends = 0;
  for (; dirty_head_ < dirty_.size() && sends < sends_per_tick; ++dirty_head_) {
    Connection* connection = find(dirty_[dirty_head_]);
    if (connection == nullptr) continue;
    connection->dirty = false;
    if (connection->egress.aggregates()) [[unlikely]]
      connection->egress.aggregate(frames_);
    sends += connection->egress.flush(engine_, connection->id, now_);
    if (connection->egress.idle() && connection->closing && !connection->finished) {
      connection->finished = true;
      engine_.finish(connection->id);
    }
    // A send changes nothing but when it would be stalled.
    if (connection->egress.sending()) wake_by(*connection, stalled_at(*connection));
  }
  count(Counter::sends, sends);
  // Half of it at a time, so that each entry is moved once at most, and a list that never runs dry
  // does not grow for ever.
  if (dirty_head_ * 2 < dirty_.size()) return;
  dirty_.erase(dirty_.begin(), dirty_.begin() + static_cast<ptrdiff_t>(dirty_head_));
  dirty_head_ = 0;
}

void Worker::stop_step() {
  if (!stopping_) {
    stopping_ = true;
    stop_at_ = now_.after_ns(stop_ns);
    engine_.set_accepting(false);
    for (auto& connection : connections_) {
      if (connection == nullptr) continue;
      if (Stream* stream = connection->published; stream != nullptr) {
        connection->session.end_publish(stream->publisher_message_stream_id, "server stopping");
        end_publish(*stream, "server stopping");
      }
      finish(*connection);
    }
    flush();
  }
  if (connection_count_ > 0 && now_ < stop_at_) return;
  // The engine must have let go of every frame before the frames go.
  for (auto& connection : connections_) {
    if (connection != nullptr && !connection->cut) cut(*connection);
  }
  if (connection_count_ > 0 && now_ < stop_at_.after_ns(stop_ns)) return;
  if (!stopped_) log(LogEvent::worker_stopped, nullptr, {}, {});
  stopped_ = true;
}

}  // namespace penstock::dataplane

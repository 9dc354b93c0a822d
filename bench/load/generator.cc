#include "bench/load/generator.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/load/stall.h"
#include "bench/load/variant.h"
#include "dataplane/engine/uring/ring.h"
#include "penstock/base/assert.h"

namespace penstock::load {
namespace {

constexpr uint32_t player_bit = 1u << 31;

// Sends are handed to the kernel by the poll behind them: more of them at once would make the last
// wait for all others (64 * 6 us), and what players have received, too.
constexpr uint32_t sends_per_tick_max = 64;

constexpr size_t events_per_tick = 1024;

// A server that has not accepted a stream for so long will not.
constexpr uint64_t start_ms_max = 10'000;
constexpr std::string_view silent_start = "no answer in 10 s";

constexpr std::string_view turned_away = "closed by the server before the stream started";
// Connections that have no layers begin with the connection itself, and cannot end before that.
constexpr std::string_view no_layers =
    "closed by the server before RTMP began; is it this --variant that listens there?";

std::string_view connect_failure(const engine::EngineEvent& event) {
  if (event.kind == engine::EngineEventKind::failed) return fault_info(event.fault).name;
  if (event.kind == engine::EngineEventKind::ended) return no_layers;
  switch (event.reason) {
    case engine::CloseReason::refused:
      return "connection refused";
    case engine::CloseReason::timeout:
      return "connection timed out";
    case engine::CloseReason::no_address:
      return "no local port or no way to the server";
    case engine::CloseReason::ours:
      return "closed by us";
    case engine::CloseReason::reset:
      break;
  }
  return "connection failed";
}

/// Of a live one.
std::string_view loss(const engine::EngineEvent& event) {
  if (event.kind == engine::EngineEventKind::failed) return fault_info(event.fault).name;
  if (event.kind == engine::EngineEventKind::ended) return "ended by the server";
  return event.reason == engine::CloseReason::timeout ? "timed out" : "reset by the server";
}

}  // namespace

Generator::Generator(engine::Engine& engine, const Options& options, const MediaLoop& loop,
                     Instant now)
    : options_(options),
      setup_{.link = {.engine = engine,
                      .server = options.endpoint,
                      .chunk_bytes = options.chunk_bytes,
                      .digest = options.digest,
                      .raw = options.raw,
                      .handshake_below = has_handshake(options.variant)},
             .loop = loop,
             .blast = options.mode == Mode::blast,
             .silent = options.mode == Mode::connect},
      publishers_(options.publishers),
      due_(std::max(options.publishers, 1u), now),
      reading_(std::max(options.players, 1u), now),
      events_(events_per_tick),
      now_(now),
      starts_checked_(now) {
  // Of a foreign stream nothing is known, of our own everything.
  const bool ours = options.publishers > 0;
  players_.reserve(options.players);
  for (uint32_t i = 0; i < options.players; ++i) players_.emplace_back(ours ? loop.step_ms_max : 0);
}

StreamName Generator::name_of(uint32_t number) const {
  std::string name = fmt::format("{}-{}", options_.name, number);
  if (!options_.query.empty()) name += "?" + options_.query;
  return {.app = options_.app,
          .tc_url = fmt::format("{}://{}/{}", variant_name(options_.variant), options_.server,
                                options_.app),
          .name = std::move(name)};
}

void Generator::own(const Link& link, uint32_t owner) {
  if (link.id().index >= owners_.size()) owners_.resize(link.id().index + 1);
  owners_[link.id().index] = owner;
}

void Generator::start_publisher(uint32_t publisher, uint32_t name_number) {
  Link& link = publishers_[publisher].link;
  if (link.open(setup_.link, true, name_of(name_number), name_number, now_)) {
    own(link, publisher);
  } else {
    note_failure(publishers_[publisher], "no descriptor left");
    fail(link, "no descriptor left");
    ended_.push_back(publisher);
  }
}

void Generator::start_player(uint32_t player) {
  Link& link = players_[player].link;
  const uint32_t stream = player % options_.streams;
  if (link.open(setup_.link, false, name_of(stream), stream, now_)) {
    own(link, player | player_bit);
  } else {
    fail(link, "no descriptor left");
  }
}

void Generator::close_publisher(uint32_t publisher) {
  publishers_[publisher].link.close(setup_.link, now_);
}

void Generator::close_everything() {
  for (Publisher& publisher : publishers_) publisher.link.close(setup_.link, now_);
  for (Player& player : players_) player.link.close(setup_.link, now_);
}

void Generator::begin_window() {
  tally_.begin_window();
  for (Publisher& publisher : publishers_)
    publisher.held = publisher.link.state() == LinkState::live;
  for (Player& player : players_) player.begin_window();
}

void Generator::end_window(Instant began) {
  const MediaLoop& loop = setup_.loop;
  const uint64_t limit_ns = stall_limit_ns(now_.since(began), loop.step_ms_max);
  const uint64_t interval_ns = loop.period_us * ns_per_us / loop.messages.size();
  for (uint32_t i = 0; i < players_.size(); ++i) {
    Player& player = players_[i];
    const uint32_t stream = i % options_.streams;
    if (stream >= publishers_.size()) continue;  // others publish it, or nobody
    const Publisher& publisher = publishers_[stream];
    if (player.link.state() != LinkState::live || publisher.link.state() != LinkState::live)
      continue;
    const Flow flow{.live_since = std::max(player.link.since(), publisher.link.since()),
                    .last_received_at = player.last_received_at,
                    .may_read_at = player.may_read_at,
                    .last_sent_at = publisher.last_sent_at,
                    .blocked = publisher.link.unsent_bytes() > 0};
    const Instant since = stalled_since(flow, now_, limit_ns);
    player.stalled = since != Instant::never();
    if (player.stalled && loop.stamped && !setup_.blast)
      age_missing(tally_.latency, flow, since, now_, interval_ns);
  }
}

void Generator::tick(Instant wake_at) {
  published_.clear();
  ended_.clear();
  now_ = engine::monotonic_now();
  uint32_t sends = 0;
  while (sends < sends_per_tick_max) {
    const uint32_t publisher = due_.take_due(now_);
    if (publisher == Schedule::none) break;
    publishers_[publisher].scheduled = false;
    const Instant due = publishers_[publisher].due_at(setup_);
    if (due == Instant::never()) continue;
    if (due <= now_) {
      publishers_[publisher].send_due(setup_, now_, tally_);
      ++sends;
    } else {
      put(publisher, due);  // beyond the wheel, or of the connection before
    }
  }
  for (;;) {
    const uint32_t player = reading_.take_due(now_);
    if (player == Schedule::none) break;
    if (players_[player].link.state() != LinkState::live) continue;
    if (players_[player].may_read_at > now_) {
      reading_.put(player, players_[player].may_read_at);
    } else {
      setup_.link.engine.set_reading(players_[player].link.id(), true);
    }
  }
  if (now_.since(starts_checked_) >= ns_per_s) end_silent_starts();
  // On loopback it is the sender's core that wakes a sleeping receiver, which in a virtual machine
  // costs more than the message.
  const Instant until =
      options_.spin ? now_ : std::min({wake_at, due_.wake_at(), reading_.wake_at()});
  const auto events = setup_.link.engine.poll(events_, until);
  now_ = engine::monotonic_now();
  for (const engine::EngineEvent& event : events) on_event(event);
}

void Generator::end_silent_starts() {
  starts_checked_ = now_;
  const auto check = [&](Link& link) {
    const bool starting =
        link.state() == LinkState::starting || link.state() == LinkState::connecting;
    if (!starting || now_.since(link.since()) <= start_ms_max * ns_per_ms) return false;
    fail(link, silent_start);
    return true;
  };
  for (Publisher& publisher : publishers_) {
    if (check(publisher.link)) note_failure(publisher, silent_start);
  }
  for (Player& player : players_) check(player.link);
}

void Generator::on_event(const engine::EngineEvent& event) {
  if (event.id.index >= owners_.size()) return;
  const uint32_t owner = owners_[event.id.index];
  const uint32_t index = owner & ~player_bit;
  if ((owner & player_bit) != 0) {
    if (players_[index].link.id() == event.id) on_player(index, event);
  } else if (index < publishers_.size()) {
    if (publishers_[index].link.id() == event.id) on_publisher(index, event);
  }
}

void Generator::on_publisher(uint32_t index, const engine::EngineEvent& event) {
  Publisher& publisher = publishers_[index];
  Link& link = publisher.link;
  switch (event.kind) {
    case engine::EngineEventKind::accepted:
    case engine::EngineEventKind::identified:
    case engine::EngineEventKind::dropped:
      break;
    case engine::EngineEventKind::connected:
      link.on_connected(setup_.link, now_);
      if (link.state() == LinkState::live) {
        publisher.begin(setup_, now_, tally_);
        published_.push_back(index);
      }
      break;
    case engine::EngineEventKind::received:
      on_received(publisher, index, event.bytes);
      break;
    case engine::EngineEventKind::sent:
      publisher.last_sent_at = now_;
      publisher.on_sent(setup_, event.sent_bytes, tally_);
      schedule_next(index);
      break;
    case engine::EngineEventKind::ended:
    case engine::EngineEventKind::failed:
    case engine::EngineEventKind::closed:
      publisher.held = false;
      if (link.state() == LinkState::connecting) {
        note_failure(publisher, connect_failure(event));
      } else if (link.state() == LinkState::starting) {
        note_failure(publisher, turned_away);
      }
      on_lost(link, event);
      if (link.state() == LinkState::idle) ended_.push_back(index);
      break;
  }
}

void Generator::on_received(Publisher& publisher, uint32_t index, Bytes bytes) {
  Link& link = publisher.link;
  if (link.state() == LinkState::closing) return;
  const bool was_live = link.state() == LinkState::live;
  if (const auto failure = link.feed(setup_.link, bytes, now_)) {
    note_failure(publisher, *failure);
    return fail(link, *failure);
  }
  if (!was_live && link.state() == LinkState::live) {
    publisher.begin(setup_, now_, tally_);
    published_.push_back(index);
    schedule_next(index);
  }
  for (;;) {
    const auto piece = link.next_piece(setup_.link);
    if (!piece) return fail(link, fault_info(piece.error()).name);
    if (!*piece) return;
  }
}

/// When the message before is out: the next one by time, or at once when it should be out already.
void Generator::schedule_next(uint32_t index) {
  Publisher& publisher = publishers_[index];
  const Instant due = publisher.due_at(setup_);
  if (due == Instant::never() || publisher.scheduled) return;
  if (due <= now_) {
    publisher.send_due(setup_, now_, tally_);
  } else {
    put(index, due);
  }
}

void Generator::put(uint32_t publisher, Instant due) {
  publishers_[publisher].scheduled = true;
  due_.put(publisher, due);
}

void Generator::on_player(uint32_t index, const engine::EngineEvent& event) {
  Player& player = players_[index];
  Link& link = player.link;
  switch (event.kind) {
    case engine::EngineEventKind::accepted:
    case engine::EngineEventKind::identified:
    case engine::EngineEventKind::dropped:
      break;
    case engine::EngineEventKind::connected:
      link.on_connected(setup_.link, now_);
      if (link.state() == LinkState::live) player.begin(tally_);
      break;
    case engine::EngineEventKind::received:
      on_received(player, index, event.bytes);
      break;
    case engine::EngineEventKind::sent:
      link.on_sent(setup_.link, event.sent_bytes);
      break;
    case engine::EngineEventKind::ended:
    case engine::EngineEventKind::failed:
    case engine::EngineEventKind::closed:
      player.held = false;
      on_lost(link, event);
      break;
  }
}

void Generator::on_received(Player& player, uint32_t index, Bytes bytes) {
  if (player.link.state() == LinkState::closing) return;
  tally_.bytes_received += bytes.size();
  if (const auto failure = player.take(setup_.link, bytes, now_, tally_))
    return fail(player.link, *failure);
  if (options_.read_bits_per_second == 0 || player.link.state() != LinkState::live) return;
  // As much time as these bytes are worth has to pass before more is read.
  const uint64_t worth_ns = bytes.size() * 8 * ns_per_s / options_.read_bits_per_second;
  const bool resting = player.may_read_at > now_;
  player.may_read_at = std::max(player.may_read_at, now_).after_ns(worth_ns);
  setup_.link.engine.set_reading(player.link.id(), false);
  if (!resting) reading_.put(index, player.may_read_at);
}

void Generator::fail(Link& link, std::string_view kind) {
  tally_.count_error(kind);
  ++tally_.connections_failed;
  if (first_failure_.empty()) first_failure_ = kind;
  link.close(setup_.link, now_);
}

void Generator::note_failure(Publisher& publisher, std::string_view kind) {
  publisher.failed = true;
  if (first_publish_failure_.empty()) first_publish_failure_ = kind;
}

/// The server ended it, or the engine did what close() asked for.
void Generator::on_lost(Link& link, const engine::EngineEvent& event) {
  if (link.state() == LinkState::connecting) {
    fail(link, connect_failure(event));
  } else if (link.state() == LinkState::starting) {
    fail(link, turned_away);
  } else if (link.state() == LinkState::live) {
    ++tally_.closed_by_server;
    tally_.count_error(loss(event));
    link.close(setup_.link, now_);
  }
  if (event.kind == engine::EngineEventKind::closed) link.on_closed(now_);
}

}  // namespace penstock::load

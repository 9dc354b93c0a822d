#include "dataplane/transport/transport_engine.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "penstock/base/assert.h"
#include "penstock/base/prefetch.h"
#include "penstock/tunnel/sniff.h"

namespace penstock::transport {

using engine::ConnectionId;
using engine::EngineEvent;
using engine::EngineEventKind;
using engine::Transport;

namespace {

// What a peer may send before it has had its turn to exchange keys: a ClientHello is below 4 KiB,
// C0 and C1 are 1537 bytes, and neither is followed by anything before we have answered.
constexpr size_t first_flight_bytes_max = 16 * 1024;

// Input that waits for room in the arena: what one poll brings of one peer, which the engine's
// receive memory (16 MiB) bounds. Nothing is read from it meanwhile.
constexpr size_t kept_bytes_max = 20 * 1024 * 1024;

// Events before it, as in Worker::take_events(): each thing is found by way of the one before.
constexpr size_t fetch_stack_ahead = 6;
constexpr size_t fetch_layer_ahead = 4;
constexpr size_t fetch_kept_ahead = 2;

Transport transport_of(bool secure, bool tunnel, bool rtmpe) {
  if (tunnel) return secure ? Transport::rtmpts : rtmpe ? Transport::rtmpte : Transport::rtmpt;
  return secure ? Transport::rtmps : rtmpe ? Transport::rtmpe : Transport::rtmp;
}

bool nothing_but_rtmp(const Accepts& accepts) {
  return accepts.rtmp && !accepts.rtmpe && !accepts.http && !accepts.tls();
}

}  // namespace

TransportEngine::TransportEngine(engine::Engine& inner, TransportOptions options)
    : inner_(inner),
      options_(std::move(options)),
      // Who has shown nothing yet has a quarter of all places at most.
      tunnels_(*options_.mesh, options_.id, options_.tunnels_max, options_.connections_max / 4) {
  stacks_.resize(connections_max());
}

TransportEngine::~TransportEngine() = default;

void TransportEngine::set_rates(const Rates& rates) {
  tls_ration_.set_rate(rates.tls_handshakes_per_second);
  rtmpe_ration_.set_rate(rates.rtmpe_handshakes_per_second);
  tunnels_.set(rates.tunnels);
}

TransportEngine::Stack* TransportEngine::find(ConnectionId id) {
  if (stack_count_ == 0 || id.index >= stacks_.size()) return nullptr;
  Stack* stack = stacks_[id.index].get();
  return stack != nullptr && stack->id == id ? stack : nullptr;
}

TransportEngine::Stack& TransportEngine::add(ConnectionId id, const engine::Endpoint& peer,
                                             const Accepts& accepts) {
  PENSTOCK_ASSERT(id.index < stacks_.size() && stacks_[id.index] == nullptr);
  auto stack = std::make_unique<Stack>();
  stack->id = id;
  stack->peer = peer;
  stack->accepts = accepts;
  ++stack_count_;
  stacks_[id.index] = std::move(stack);
  return *stacks_[id.index];
}

void TransportEngine::forget(ConnectionId id) {
  stacks_[id.index].reset();
  --stack_count_;
}

// A turn
// ------------------------------------------------------------------------------------------------

std::span<EngineEvent> TransportEngine::poll(std::span<EngineEvent> events, Instant wake_at) {
  // What was shown last time is dead now; what was not shown is still in the arena.
  if (later_.empty()) {
    arena_.clear();
    if (!postponed_.empty()) {
      go_on();
      turn_tunnels();  // before the arena may be cleared again
    }
  }
  size_t count = take_later(events, 0);
  if (count == events.size()) return events;
  if (count > 0) wake_at = {};
  const std::span<EngineEvent> rest = events.subspan(count);
  const size_t come = inner_.poll(rest, std::min(wake_at, due())).size();
  now_ = options_.now();
  // Never ahead of what is read: what becomes more than one event goes behind, and all after it:
  // a place whose `closed` waits there may have been taken by a new peer already.
  for (size_t i = 0; i < come; ++i) {
    if (stack_count_ > 0) prefetch(rest.first(come).subspan(i));
    EngineEvent& event = rest[i];
    if (!passes(event)) continue;
    if (later_.empty()) {
      events[count++] = event;
    } else {
      later_.push_back(event);
    }
  }
  exchange_keys();
  turn_tunnels();
  count = take_later(events, count);
  return events.first(count);
}

/// Of the events that come soon: first the stack, then its layer, then what that keeps.
void TransportEngine::prefetch(std::span<const EngineEvent> events) const {
  const auto stack_of = [&](size_t ahead) -> const Stack* {
    if (ahead >= events.size() || events[ahead].id.index >= stacks_.size()) return nullptr;
    return stacks_[events[ahead].id.index].get();
  };
  prefetch_lines(stack_of(fetch_stack_ahead), sizeof(Stack));
  if (const Stack* stack = stack_of(fetch_layer_ahead)) __builtin_prefetch(stack->layer.get(), 1);
  const Stack* next = stack_of(fetch_kept_ahead);
  if (next != nullptr && next->layer != nullptr) next->layer->prefetch();
}

size_t TransportEngine::take_later(std::span<EngineEvent> events, size_t from) {
  while (from < events.size() && !later_.empty()) {
    events[from++] = later_.front();
    later_.pop_front();
  }
  return from;
}

Instant TransportEngine::due() const {
  if (!postponed_.empty() || !later_.empty()) return {};
  return std::min({tls_ration_.due(), rtmpe_ration_.due(), tunnels_.deadline()});
}

EngineEvent& TransportEngine::later(EngineEventKind kind, const Stack& stack) {
  EngineEvent& event = later_.emplace_back();
  event.kind = kind;
  event.id = stack.id;
  return event;
}

/// Whether the event is one of a peer that speaks plain RTMP, or of nobody in particular.
bool TransportEngine::passes(EngineEvent& event) {
  if (event.kind == EngineEventKind::accepted) {
    accepted(event);
    return true;
  }
  Stack* stack = find(event.id);
  if (stack == nullptr) return true;
  switch (event.kind) {
    case EngineEventKind::received:
      if (first_bytes(*stack, event.bytes) || steps_aside(*stack)) return true;
      received(*stack, event.bytes);
      return false;
    case EngineEventKind::ended:
      stack->ended = true;
      if (stack->kept.empty() || stack->stage == Stage::sniffing) tell_ended(*stack);
      return false;
    case EngineEventKind::sent:
      sent(*stack, event.sent_bytes);
      return false;
    case EngineEventKind::closed:
      closed(*stack, event);
      return false;
    default:
      return true;
  }
}

void TransportEngine::accepted(const EngineEvent& event) {
  const Accepts& accepts = options_.listeners[event.listener];
  const bool may_proxy = options_.may_proxy && options_.may_proxy(event.peer);
  if (nothing_but_rtmp(accepts) && !may_proxy) return;
  add(event.id, event.peer, accepts).may_proxy = may_proxy;
}

/// Plain RTMP behind a PROXY header: once what came with the header is through, the rest passes.
bool TransportEngine::steps_aside(Stack& stack) {
  if (stack.stage != Stage::session || stack.layer != nullptr || stack.tunnel || stack.postponed ||
      !stack.outgoing.empty() || !later_.empty()) {
    return false;
  }
  forget(stack.id);
  return true;
}

// From the engine up
// ------------------------------------------------------------------------------------------------

void TransportEngine::received(Stack& stack, Bytes bytes) {
  // The worker gave it up before it was known: whoever it was, it gets no session any more.
  if (stack.finished && stack.stage != Stage::session) return;
  switch (stack.stage) {
    case Stage::sniffing:
      sniff(stack, bytes);
      return;
    case Stage::layered:
    case Stage::inner:
    case Stage::session:
      open(stack, bytes);
      return;
    case Stage::carrier:
      if (stack.layer != nullptr) return open(stack, bytes);
      tunnels_.carrier_received(stack.id, bytes, now_);
      return;
    case Stage::failed:
      return;
  }
}

void TransportEngine::begin_layer(Stack& stack, std::unique_ptr<tunnel::Layer> layer, Bytes bytes) {
  if (layer == nullptr) {
    return fail(stack, Fault::transport_disabled,
                stack.secure ? "RTMPS: no certificate is loaded" : "RTMPE");
  }
  stack.layer = std::move(layer);
  stack.stage = Stage::layered;
  if (!ration_of(stack).wait(stack.id, stack.peer)) {
    return fail(stack, Fault::handshakes_exceeded);
  }
  stack.waiting = true;
  keep(stack, bytes);
}

void TransportEngine::stop_waiting(Stack& stack) {
  if (std::exchange(stack.waiting, false)) ration_of(stack).leave(stack.id);
}

void TransportEngine::keep(Stack& stack, Bytes bytes) {
  if (stack.waiting && stack.kept.size() + bytes.size() > first_flight_bytes_max) {
    return fail(stack, stack.secure ? Fault::tls_handshake : Fault::handshake_version);
  }
  if (stack.kept.size() + bytes.size() > kept_bytes_max) {
    return fail(stack, Fault::partial_messages_exceeded);
  }
  stack.kept.insert(stack.kept.end(), bytes.begin(), bytes.end());
}

/// Nothing is read from a peer whose input waits for room. One that waits for its turn sends
/// nothing but its first flight, and to stop and start its receive would cost more than that.
void TransportEngine::choose_reading(const Stack& stack) {
  const bool on = stack.reading_wanted && !stack.postponed;
  if (stack.tunnel) {
    tunnels_.set_reading(tunnel_of(stack.id), on);
  } else {
    inner_.set_reading(stack.id, on);
  }
}

void TransportEngine::open(Stack& stack, Bytes bytes) {
  if (stack.waiting || stack.postponed) return keep(stack, bytes);
  open_now(stack, bytes);
}

void TransportEngine::open_now(Stack& stack, Bytes bytes) {
  std::vector<uint8_t> to_peer;
  while (stack.stage != Stage::failed) {
    const MutableBytes room = arena_.room();
    if (room.empty()) {
      if (!stack.postponed) postponed_.push_back(stack.id);
      stack.postponed = true;
      choose_reading(stack);
      keep(stack, bytes);
      break;
    }
    if (stack.layer == nullptr) {  // nothing lies between but what may come in portions
      const size_t count = std::min(bytes.size(), room.size());
      if (count == 0) break;
      std::copy_n(bytes.begin(), count, room.begin());
      arena_.take(count);
      deliver(stack, room.first(count));
      bytes = bytes.subspan(count);
      continue;
    }
    const auto opened_now = stack.layer->open(bytes, room, to_peer);
    if (!to_peer.empty()) say(stack, std::exchange(to_peer, {}), 0);
    if (!opened_now) return fail(stack, opened_now.error());
    if (stack.stage == Stage::layered && stack.layer->established()) {
      if (stack.secure) {
        stack.stage = Stage::inner;
      } else {
        become_session(stack);
      }
    }
    bytes = bytes.subspan(opened_now->input_bytes);
    if (opened_now->output_bytes > 0) {
      arena_.take(opened_now->output_bytes);
      if (!opened(stack, room.first(opened_now->output_bytes))) return;
    } else if (opened_now->input_bytes == 0) {
      break;
    }
  }
  if (stack.stage != Stage::failed && !stack.postponed && stack.layer != nullptr &&
      stack.layer->ended()) {
    stack.ended = true;
  }
  if (stack.ended && !stack.postponed) tell_ended(stack);
}

/// Plain bytes of a layer. False when the stack is not to be opened any further.
bool TransportEngine::opened(Stack& stack, Bytes plain) {
  if (stack.stage == Stage::inner) {
    // What TLS carries is told by its first bytes, as on the wire. Those of a request may come a
    // byte at a time; nothing else that we take begins like it.
    const tunnel::Spoken spoken = tunnel::sniff(plain);
    const bool rtmp = spoken == tunnel::Spoken::rtmp;
    const bool http = spoken == tunnel::Spoken::http || spoken == tunnel::Spoken::need_more;
    if (!rtmp && !http) {
      fail(stack, Fault::transport_unknown);
      return false;
    }
    if (!(rtmp ? stack.accepts.tls_rtmp : stack.accepts.tls_http)) {
      fail(stack, Fault::transport_disabled, rtmp ? "RTMPS" : "RTMPTS");
      return false;
    }
    if (rtmp) {
      become_session(stack);
    } else {
      become_carrier(stack);
    }
  }
  if (stack.stage == Stage::carrier) {
    tunnels_.carrier_received(stack.id, plain, now_);
  } else {
    deliver(stack, plain);
  }
  return true;
}

void TransportEngine::become_session(Stack& stack) {
  stack.stage = Stage::session;
  const bool rtmpe = stack.layer != nullptr && !stack.secure;
  EngineEvent& event = later(EngineEventKind::identified, stack);
  event.transport = transport_of(stack.secure, stack.tunnel, rtmpe);
  event.peer = stack.peer;
  event.handshake_done = rtmpe;
}

void TransportEngine::become_carrier(Stack& stack) {
  stack.stage = Stage::carrier;
  stack.carrier = true;
  later(EngineEventKind::closed, stack).reason = engine::CloseReason::ours;
  stack.reading_wanted = true;
  choose_reading(stack);
  tunnels_.carrier_opened(stack.id, stack.peer, stack.secure, now_);
}

void TransportEngine::deliver(Stack& stack, Bytes plain) {
  if (!later_.empty()) {
    EngineEvent& last = later_.back();
    const bool follows = last.kind == EngineEventKind::received && last.id == stack.id &&
                         last.bytes.data() + last.bytes.size() == plain.data();
    if (follows) {
      last.bytes = {last.bytes.data(), last.bytes.size() + plain.size()};
      return;
    }
  }
  later(EngineEventKind::received, stack).bytes = plain;
}

void TransportEngine::tell_ended(Stack& stack) {
  if (stack.carrier) {
    inner_.close(stack.id);
    return;
  }
  if (stack.stage != Stage::failed && !stack.ended_told) later(EngineEventKind::ended, stack);
  stack.ended_told = true;
}

void TransportEngine::fail(Stack& stack, Fault fault, std::string_view reason) {
  const bool seen = !stack.carrier;
  stack.stage = Stage::failed;
  stack.kept.clear();
  stop_waiting(stack);
  EngineEvent& event = later(seen ? EngineEventKind::failed : EngineEventKind::dropped, stack);
  event.fault = fault;
  event.peer = stack.peer;
  if (reason.empty() && stack.layer != nullptr) reason = stack.layer->reason();
  // Copied: the layer may be gone when the event is shown.
  const MutableBytes room = arena_.room();
  const size_t count = std::min(reason.size(), room.size());
  std::copy_n(reason.begin(), count, room.begin());
  arena_.take(count);
  event.bytes = room.first(count);
  if (!seen) inner_.close(stack.id);
}

void TransportEngine::sent(Stack& stack, uint32_t sealed_bytes) {
  const uint32_t plain_bytes = stack.outgoing.sent(sealed_bytes);
  if (stack.carrier) {
    tunnels_.carrier_sent(stack.id, {stack.outgoing.count(), stack.outgoing.bytes()}, now_);
    if (stack.close_after && stack.outgoing.empty() && !stack.finished) finish(stack);
    return;
  }
  if (plain_bytes > 0) later(EngineEventKind::sent, stack).sent_bytes = plain_bytes;
}

void TransportEngine::closed(Stack& stack, const EngineEvent& event) {
  if (stack.carrier) {
    tunnels_.carrier_closed(stack.id, now_);
  } else {
    later_.push_back(event);
  }
  stop_waiting(stack);
  forget(event.id);
}

// Down to the engine
// ------------------------------------------------------------------------------------------------

std::optional<ConnectionId> TransportEngine::connect(const engine::Endpoint& peer) {
  return inner_.connect(peer);
}

void TransportEngine::send(ConnectionId id, std::span<const Bytes> slices) {
  Stack* stack = find(id);
  if (stack == nullptr) return inner_.send(id, slices);
  if (stack->carrier) return;  // its `closed` is on the way to the caller
  if (stack->stage == Stage::failed) {
    // Nobody will get it, and the caller waits for it to be gone before it closes.
    uint32_t bytes = 0;
    for (const Bytes slice : slices) bytes += static_cast<uint32_t>(slice.size());
    later(EngineEventKind::sent, *stack).sent_bytes = bytes;
    return;
  }
  if (stack->layer != nullptr) return seal(*stack, slices);
  if (stack->tunnel) return tunnels_.send(tunnel_of(id), slices);
  // After a PROXY header: plain, but counted like the rest.
  for (const Bytes slice : slices) {
    say(*stack, {slice.begin(), slice.end()}, static_cast<uint32_t>(slice.size()));
  }
}

/// Sealed bytes on their way; they hold `plain_bytes` of the caller's.
void TransportEngine::say(Stack& stack, std::vector<uint8_t> sealed, uint32_t plain_bytes) {
  // A layer may have something to answer to what still comes in.
  if (stack.finished) return;
  const Bytes run = stack.outgoing.push(std::move(sealed), plain_bytes);
  if (stack.tunnel) {
    tunnels_.send(tunnel_of(stack.id), {&run, 1});
  } else {
    inner_.send(stack.id, {&run, 1});
  }
}

void TransportEngine::seal(Stack& stack, std::span<const Bytes> slices) {
  std::vector<uint8_t> sealed;
  uint32_t plain_bytes = 0;
  for (const Bytes slice : slices) plain_bytes += static_cast<uint32_t>(slice.size());
  tunnel::seal_gathered(*stack.layer, slices, gathered_, sealed);
  if (!sealed.empty()) say(stack, std::move(sealed), plain_bytes);
}

void TransportEngine::set_reading(ConnectionId id, bool on) {
  Stack* stack = find(id);
  if (stack == nullptr) {
    if (!is_tunnel(id)) inner_.set_reading(id, on);
    return;
  }
  if (stack->carrier) return;  // its `closed` is on the way to the caller
  stack->reading_wanted = on;
  choose_reading(*stack);
}

engine::EngineCounts TransportEngine::counts() const {
  engine::EngineCounts counts = inner_.counts();
  counts.unseen += static_cast<uint32_t>(tunnels_.carrier_count());
  return counts;
}

void TransportEngine::set_low_water(ConnectionId id, uint32_t bytes, engine::Rest rest) {
  // A tunnel's bytes come in requests, which are gathered already.
  if (!is_tunnel(id)) inner_.set_low_water(id, bytes, rest);
}

void TransportEngine::finish(ConnectionId id) {
  Stack* stack = find(id);
  if (stack == nullptr) return inner_.finish(id);
  if (!stack->carrier) finish(*stack);
}

void TransportEngine::finish(Stack& stack) {
  if (stack.layer != nullptr && stack.layer->established() && stack.stage != Stage::failed) {
    std::vector<uint8_t> last;
    stack.layer->finish(last);
    if (!last.empty()) say(stack, std::move(last), 0);
  }
  stack.finished = true;
  stop_waiting(stack);
  if (stack.tunnel) {
    tunnels_.finish(tunnel_of(stack.id));
  } else {
    inner_.finish(stack.id);
  }
}

void TransportEngine::close(ConnectionId id) {
  if (is_tunnel(id)) return tunnels_.close(tunnel_of(id));
  const Stack* stack = find(id);
  if (stack == nullptr || !stack->carrier) inner_.close(id);
}

// What waits
// ------------------------------------------------------------------------------------------------

/// Those that found the arena full.
void TransportEngine::go_on() {
  std::vector<ConnectionId> ids;
  ids.swap(postponed_);
  for (const ConnectionId id : ids) {
    Stack* stack = find(id);
    if (stack == nullptr) continue;
    stack->postponed = false;
    choose_reading(*stack);
    const std::vector<uint8_t> kept = std::exchange(stack->kept, {});
    open_now(*stack, kept);
  }
}

void TransportEngine::exchange_keys() {
  for (Ration* ration : {&tls_ration_, &rtmpe_ration_}) {
    while (const auto id = ration->next(now_)) {
      Stack* stack = find(*id);
      PENSTOCK_ASSERT(stack != nullptr && stack->waiting);
      stack->waiting = false;
      const std::vector<uint8_t> kept = std::exchange(stack->kept, {});
      open_now(*stack, kept);
    }
  }
}

void TransportEngine::turn_tunnels() {
  tunnels_.turn(now_);
  TunnelEvent event;
  CarrierAnswer answer;
  while (tunnels_.take(event)) take_tunnel_event(event);
  lent_.clear();
  while (tunnels_.take(answer)) take_answer(answer);
  for (uint64_t rung = tunnels_.take_rung(); rung != 0; rung &= rung - 1) {
    options_.engines[static_cast<size_t>(std::countr_zero(rung))]->wake();
  }
}

void TransportEngine::take_tunnel_event(const TunnelEvent& event) {
  const ConnectionId id{event.id.index + options_.connections_max, event.id.generation};
  if (event.kind == TunnelEvent::Kind::opened) {
    Stack& stack = add(id, event.peer,
                       {.rtmp = true, .rtmpe = !event.secure && options_.make_rtmpe != nullptr});
    stack.tunnel = true;
    stack.secure = event.secure;
    EngineEvent& accepted = later(EngineEventKind::accepted, stack);
    accepted.peer = event.peer;
    accepted.transport = transport_of(event.secure, true, false);
    return;
  }
  Stack* stack = find(id);
  if (stack == nullptr) return;
  switch (event.kind) {
    case TunnelEvent::Kind::opened:
      return;
    case TunnelEvent::Kind::received:
      received(*stack, event.bytes);
      return;
    case TunnelEvent::Kind::ended:
      stack->ended = true;
      if (stack->kept.empty()) tell_ended(*stack);
      return;
    case TunnelEvent::Kind::sent:
      if (stack->layer != nullptr) return sent(*stack, event.sent_bytes);
      later(EngineEventKind::sent, *stack).sent_bytes = event.sent_bytes;
      return;
    case TunnelEvent::Kind::closed:
      if (event.fault != Fault::count_) later(EngineEventKind::failed, *stack).fault = event.fault;
      later(EngineEventKind::closed, *stack);
      stop_waiting(*stack);
      forget(id);
      return;
  }
}

void TransportEngine::take_answer(CarrierAnswer& answer) {
  Stack* stack = find(answer.carrier);
  if (stack == nullptr || stack->stage != Stage::carrier) return;
  if (answer.reading) {
    stack->reading_wanted = *answer.reading;
    choose_reading(*stack);
    return;
  }
  if (answer.fault != Fault::count_) {
    EngineEvent& event = later(EngineEventKind::dropped, *stack);
    event.fault = answer.fault;
    event.peer = stack->peer;
  }
  stack->close_after = stack->close_after || answer.close_after;
  if (answer.bytes.empty()) {
    if (answer.close_after) inner_.close(stack->id);
    return;
  }
  if (stack->layer == nullptr) return say(*stack, std::move(answer.bytes), 0);
  const Bytes plain = answer.bytes;
  seal(*stack, {&plain, 1});
}

}  // namespace penstock::transport

#include "bench/load/layered_engine.h"

#include <algorithm>
#include <utility>

#include "penstock/base/assert.h"

namespace penstock::load {

using engine::ConnectionId;
using engine::EngineEvent;
using engine::EngineEventKind;

namespace {

constexpr size_t block_bytes = 256 * 1024;
// A TLS record opens into one run of 16 KiB at most.
constexpr size_t room_bytes_min = 17 * 1024;

// A server holds a poll for half a second, and a tunnel is closed after the answer.
constexpr uint64_t goodbye_ms_max = 1000;

}  // namespace

MutableBytes OpenedBytes::room() {
  if (block_bytes - used_ < room_bytes_min) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size())
    blocks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(block_bytes));
  return {blocks_[block_].get() + used_, block_bytes - used_};
}

LayeredEngine::Stack* LayeredEngine::find(ConnectionId id) {
  if (id.index >= stacks_.size()) return nullptr;
  Stack* stack = stacks_[id.index].get();
  return stack != nullptr && stack->id == id ? stack : nullptr;
}

EngineEvent& LayeredEngine::later(EngineEventKind kind, const Stack& stack) {
  EngineEvent& event = later_.emplace_back();
  event.kind = kind;
  event.id = stack.id;
  event.peer = stack.peer;
  return event;
}

std::span<EngineEvent> LayeredEngine::poll(std::span<EngineEvent> events, Instant wake_at) {
  if (later_.empty()) {
    // Everything that was opened has been shown.
    opened_.clear();
    if (!due_.empty()) {
      expire_due();
      if (!due_.empty()) wake_at = std::min(wake_at, due_.top().at);
    }
    for (const EngineEvent& event : inner_.poll(events, wake_at)) take(event);
  }
  size_t count = 0;
  for (; count < events.size() && !later_.empty(); ++count) {
    events[count] = later_.front();
    later_.pop_front();
  }
  return events.first(count);
}

// From the engine up
// ------------------------------------------------------------------------------------------------

void LayeredEngine::take(const EngineEvent& event) {
  Stack* stack = find(event.id);
  if (stack == nullptr) return;
  switch (event.kind) {
    case EngineEventKind::connected:
      stack->peer = event.peer;
      stack->reached = true;
      return open(*stack, {});
    case EngineEventKind::received:
      return open(*stack, event.bytes);
    case EngineEventKind::sent:
      return sent(*stack, event.sent_bytes);
    case EngineEventKind::ended:
      return end(*stack);
    case EngineEventKind::closed:
      return closed(*stack, event);
    default:
      return;
  }
}

void LayeredEngine::open(Stack& stack, Bytes input) {
  if (stack.failed) return;
  if (!open(stack, 0, input)) return;
  if (stack.layers.tunnel != nullptr) {
    tell_tunnel_sent(stack);
    plan(stack);
  }
  if (stack.closing()) close_when_said(stack);
}

/// Opens what came for the layer `depth`. False when the stack is not to be opened any further.
bool LayeredEngine::open(Stack& stack, size_t depth, Bytes input) {
  if (depth == stack.layers.all.size()) {
    if (!input.empty() && !stack.closing()) deliver(stack, input);
    return true;
  }
  tunnel::Layer& layer = *stack.layers.all[depth];
  std::vector<uint8_t> to_peer;
  for (;;) {
    const MutableBytes room = opened_.room();
    const auto opened = layer.open(input, room, to_peer);
    if (!to_peer.empty()) say(stack, depth, std::exchange(to_peer, {}), 0);
    if (!opened) {
      fail(stack, opened.error());
      return false;
    }
    opened_.take(opened->output_bytes);
    input = input.subspan(opened->input_bytes);
    if (depth == stack.standing && layer.established() && !rise(stack)) return false;
    if (opened->output_bytes > 0) {
      if (!open(stack, depth + 1, room.first(opened->output_bytes))) return false;
    } else if (opened->input_bytes == 0) {
      break;
    }
  }
  if (layer.ended()) end(stack);
  return true;
}

/// One more layer stands: the next one begins, or the caller does.
bool LayeredEngine::rise(Stack& stack) {
  ++stack.standing;
  if (!stack.stands()) return open(stack, stack.standing, {});
  if (!stack.closing()) later(EngineEventKind::connected, stack);
  return true;
}

void LayeredEngine::deliver(Stack& stack, Bytes plain) {
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

void LayeredEngine::fail(Stack& stack, Fault fault) {
  stack.failed = true;
  if (stack.closing()) return shut(stack);
  later(EngineEventKind::failed, stack).fault = fault;
}

void LayeredEngine::end(Stack& stack) {
  if (stack.failed || stack.closing() || std::exchange(stack.ended, true)) return;
  later(EngineEventKind::ended, stack);
}

void LayeredEngine::sent(Stack& stack, uint32_t sealed_bytes) {
  const uint32_t caller_bytes = stack.outgoing.sent(sealed_bytes);
  if (stack.closing()) return close_when_said(stack);
  if (caller_bytes > 0) later(EngineEventKind::sent, stack).sent_bytes = caller_bytes;
}

/// What a tunnel took is sent when the request that had it was answered: who counted it before
/// would give it more than requests carry. The layer within speaks before the caller does, and
/// never after.
void LayeredEngine::tell_tunnel_sent(Stack& stack) {
  const uint64_t given = stack.tunnel_own_bytes + stack.tunnel_caller_bytes;
  const uint64_t answered = given - stack.layers.tunnel->unsent_bytes();
  if (stack.closing() || answered <= stack.tunnel_own_bytes + stack.tunnel_told_bytes) return;
  const uint64_t told = answered - stack.tunnel_own_bytes;
  later(EngineEventKind::sent, stack).sent_bytes =
      static_cast<uint32_t>(told - std::exchange(stack.tunnel_told_bytes, told));
}

void LayeredEngine::closed(Stack& stack, const EngineEvent& event) {
  // Reached, and turned away before RTMP could begin: not what a refused connection is.
  if (stack.reached && !stack.stands()) end(stack);
  later_.push_back(event);
  stacks_[event.id.index].reset();
}

// Down to it
// ------------------------------------------------------------------------------------------------

std::optional<ConnectionId> LayeredEngine::connect(const engine::Endpoint& peer) {
  const auto id = inner_.connect(peer);
  if (!id) return std::nullopt;
  if (id->index >= stacks_.size()) stacks_.resize(id->index + 1);
  auto stack = std::make_unique<Stack>();
  stack->id = *id;
  stack->peer = peer;
  stack->layers = make_layers_();
  PENSTOCK_ASSERT(!stack->layers.all.empty());
  stacks_[id->index] = std::move(stack);
  return id;
}

void LayeredEngine::send(ConnectionId id, std::span<const Bytes> slices) {
  Stack* stack = find(id);
  if (stack == nullptr || stack->failed || stack->closing()) return;
  PENSTOCK_ASSERT(stack->stands());
  // As one: a record or a request for each slice would be more than an encoder sends.
  gathered_.clear();
  for (const Bytes slice : slices) gathered_.insert(gathered_.end(), slice.begin(), slice.end());
  const size_t innermost = stack->layers.all.size() - 1;
  const auto caller_bytes = static_cast<uint32_t>(gathered_.size());
  if (stack->layers.all[innermost].get() == stack->layers.tunnel)
    stack->tunnel_caller_bytes += caller_bytes;
  std::vector<uint8_t> sealed;
  stack->layers.all[innermost]->seal(gathered_, sealed);
  say(*stack, innermost, std::move(sealed), caller_bytes);
  if (stack->layers.tunnel != nullptr) plan(*stack);
}

/// What the layer `depth` has for the peer, through the layers outside of it.
void LayeredEngine::say(Stack& stack, size_t depth, std::vector<uint8_t> bytes,
                        uint32_t caller_bytes) {
  while (depth > 0 && !bytes.empty()) {
    tunnel::Layer& outer = *stack.layers.all[--depth];
    if (&outer == stack.layers.tunnel) {
      // RTMPE makes nothing longer.
      (caller_bytes > 0 ? stack.tunnel_caller_bytes : stack.tunnel_own_bytes) += bytes.size();
    }
    std::vector<uint8_t> sealed;
    outer.seal(bytes, sealed);
    bytes = std::move(sealed);
  }
  if (bytes.empty()) return;
  const Bytes run =
      stack.outgoing.push(std::move(bytes), stack.layers.tunnel == nullptr ? caller_bytes : 0);
  inner_.send(stack.id, {&run, 1});
}

void LayeredEngine::finish(ConnectionId id) {
  Stack* stack = find(id);
  if (stack == nullptr || stack->closing()) return;
  say_goodbye(*stack);
  inner_.finish(id);
}

void LayeredEngine::say_goodbye(Stack& stack) {
  if (stack.failed) return;
  for (size_t depth = stack.standing; depth-- > 0;) {
    std::vector<uint8_t> last;
    stack.layers.all[depth]->finish(last);
    say(stack, depth, std::move(last), 0);
  }
}

void LayeredEngine::close(ConnectionId id) {
  Stack* stack = find(id);
  if (stack == nullptr || stack->closing()) return;
  const bool tunnel = stack->layers.tunnel != nullptr && stack->stands() && !stack->ended;
  // A server that takes nothing any more is not waited for.
  const bool stuck = stack->failed || (!tunnel && !stack->outgoing.empty());
  stack->close_by = now_().after_ms(goodbye_ms_max);
  if (stuck) return shut(*stack);
  if (tunnel) {
    // What it has to say may have to wait for an answer: whatever is outside of it stays open.
    std::vector<uint8_t> last;
    stack->layers.tunnel->finish(last);
    say(*stack, stack->layers.tunnel_depth, std::move(last), 0);
    plan(*stack);
  } else {
    say_goodbye(*stack);
  }
  close_when_said(*stack);
}

void LayeredEngine::close_when_said(Stack& stack) {
  const RtmptLayer* tunnel = stack.stands() && !stack.ended ? stack.layers.tunnel : nullptr;
  const bool said = stack.outgoing.empty() && (tunnel == nullptr || tunnel->ended());
  if (said || now_() >= stack.close_by) shut(stack);
}

void LayeredEngine::shut(Stack& stack) {
  if (!std::exchange(stack.shut, true)) inner_.close(stack.id);
}

// By time
// ------------------------------------------------------------------------------------------------

/// An entry for what has to be done next; one that lies before it will see to it.
void LayeredEngine::plan(Stack& stack) {
  const Instant at = std::min(stack.layers.tunnel->deadline(), stack.close_by);
  if (at >= stack.due_at) return;
  stack.due_at = at;
  due_.push({at, stack.id});
}

void LayeredEngine::expire_due() {
  const Instant now = now_();
  while (!due_.empty() && due_.top().at <= now) {
    const Due due = due_.top();
    due_.pop();
    Stack* stack = find(due.id);
    if (stack == nullptr || stack->failed || due.at != stack->due_at) continue;
    stack->due_at = Instant::never();
    if (now >= stack->close_by) {
      shut(*stack);
      continue;
    }
    std::vector<uint8_t> to_peer;
    stack->layers.tunnel->expire(to_peer);
    say(*stack, stack->layers.tunnel_depth, std::move(to_peer), 0);
    plan(*stack);
  }
}

}  // namespace penstock::load

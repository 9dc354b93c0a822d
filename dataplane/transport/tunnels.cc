#include "dataplane/transport/tunnels.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "penstock/base/assert.h"

// The tunnels of a worker, and requests that cross to it from others.
namespace penstock::transport {

using tunnel::TunnelBody;
using tunnel::TunnelSession;

namespace {

TunnelSession::Tag tag_of(TunnelRequest* request) {
  return reinterpret_cast<TunnelSession::Tag>(request);
}
TunnelRequest* request_of(TunnelSession::Tag tag) { return reinterpret_cast<TunnelRequest*>(tag); }

}  // namespace

Tunnels::Tunnels(TunnelMesh& mesh, WorkerId self, uint32_t tunnels_max, uint32_t unserved_max,
                 TunnelSettings settings)
    : mesh_(mesh),
      self_(self),
      settings_(settings),
      tunnels_(tunnels_max),
      unserved_max_(std::max<uint32_t>(unserved_max, 1)) {
  PENSTOCK_ASSERT(self < mesh.workers() && tunnels_max <= tunnel::tunnel_places_max);
  for (uint32_t index = tunnels_max; index-- > 0;) free_.push_back(index);
}

Tunnels::Tunnel* Tunnels::find(TunnelId id) {
  if (id.index >= tunnels_.size()) return nullptr;
  Tunnel& tunnel = tunnels_[id.index];
  return tunnel.live && tunnel.generation == id.generation ? &tunnel : nullptr;
}

/// A session that was opened within TLS is not to be had without.
Tunnels::Tunnel* Tunnels::find_named(std::string_view name, bool secure) {
  const auto place = tunnel::tunnel_place(name);
  if (!place || place->worker != self_ || place->place >= tunnels_.size()) return nullptr;
  Tunnel& tunnel = tunnels_[place->place];
  const bool found = tunnel.live && tunnel.name.matches(name) && (secure || !tunnel.secure);
  return found ? &tunnel : nullptr;
}

// A tunnel's life
// ------------------------------------------------------------------------------------------------

void Tunnels::open(const Carrier& carrier, TunnelRequest* request) {
  uint32_t& of_address = by_address_[engine::address_key(carrier.peer)];
  const bool room = !free_.empty() && of_address < settings_.tunnels_per_address;
  if (!room || !tunnels_[free_.back()].name.make(self_, free_.back())) {
    if (of_address == 0) by_address_.erase(engine::address_key(carrier.peer));
    request->fault = Fault::tunnels_exceeded;
    request->close_after = true;
    return respond(request, 503, {});
  }
  ++of_address;
  ++tunnel_count_;
  const uint32_t index = free_.back();
  free_.pop_back();
  Tunnel& tunnel = tunnels_[index];
  tunnel.live = true;
  tunnel.secure = carrier.secure;
  tunnel.peer = carrier.peer;
  tunnel.session.emplace(settings_.idle_ms, now_);
  TunnelEvent& event = report(TunnelEvent::Kind::opened, index);
  event.peer = carrier.peer;
  event.secure = carrier.secure;
  // librtmp takes all but the last byte for the id, FFmpeg all but white space at its end.
  std::array<uint8_t, tunnel::tunnel_name_bytes + 1> body;
  copy_bytes(body.data(), as_bytes(tunnel.name.text()));
  body.back() = '\n';
  respond(request, 200, body);
  drain(index);
}

/// Passes on what the session has for everybody, and looks when it wants to be looked at again.
void Tunnels::drain(uint32_t index) {
  Tunnel& tunnel = tunnels_[index];
  if (!tunnel.session) return;
  TunnelBody body;
  while (tunnel.session->take_body(body)) {
    Queued& queued = events_.emplace_back();
    queued.event = {.kind = TunnelEvent::Kind::received, .id = {index, tunnel.generation}};
    queued.event.bytes = body.run;
    queued.sequence = body.sequence;
    queued.owned = std::move(body.owned);
    body = {};
  }
  TunnelSession::Answer answer;
  while (tunnel.session->take_answer(answer, now_)) {
    TunnelRequest* request = request_of(answer.tag);
    request->counts = answer.counts;
    respond(request, answer.status, answer.body);
  }
  if (const uint32_t sent = tunnel.session->take_sent(); sent > 0) {
    report(TunnelEvent::Kind::sent, index).sent_bytes = sent;
  }
  if (!tunnel.live) return;
  if (tunnel.session->over()) return end(index);
  // Later costs nothing: the timer finds out when it fires.
  const Instant deadline = tunnel.session->deadline();
  if (deadline < tunnel.timer_at) tunnel_deadlines_.move(index, tunnel.timer_at, deadline);
}

void Tunnels::end(uint32_t index) {
  Tunnel& tunnel = tunnels_[index];
  tunnel.live = false;
  --tunnel_count_;
  tunnel_deadlines_.move(index, tunnel.timer_at, Instant::never());
  const auto of_address = by_address_.find(engine::address_key(tunnel.peer));
  PENSTOCK_ASSERT(of_address != by_address_.end());
  if (--of_address->second == 0) by_address_.erase(of_address);
  if (tunnel.session->closed_by_peer()) report(TunnelEvent::Kind::ended, index);
  report(TunnelEvent::Kind::closed, index).fault = tunnel.session->fault().value_or(Fault::count_);
}

/// Its `closed` has been taken.
void Tunnels::release(uint32_t index) {
  Tunnel& tunnel = tunnels_[index];
  tunnel.session.reset();
  tunnel.muted = tunnel.dirty = false;
  ++tunnel.generation;
  free_.push_back(index);
}

TunnelEvent& Tunnels::report(TunnelEvent::Kind kind, uint32_t index) {
  TunnelEvent& event = events_.emplace_back().event;
  event.kind = kind;
  event.id = {index, tunnels_[index].generation};
  return event;
}

// Requests
// ------------------------------------------------------------------------------------------------

void Tunnels::deliver(TunnelRequest* request) {
  Tunnel* tunnel = find_named(request->session, request->secure);
  if (tunnel == nullptr) {
    request->fault = Fault::tunnel_unknown;
    return respond(request, 404, {});
  }
  const auto index = static_cast<uint32_t>(tunnel - tunnels_.data());
  request->tunnel = {index, tunnel->generation};
  TunnelBody body{.sequence = request->sequence,
                  .run = std::exchange(request->run, {}),
                  .owned = std::exchange(request->body, {})};
  tunnel->session->ask(tag_of(request), request->verb, std::move(body), now_);
  drain(index);
}

void Tunnels::respond(TunnelRequest* request, uint16_t status, Bytes body) {
  request->answer.clear();
  request->served = status == 200;
  const bool keep_alive = request->keep_alive && !request->close_after;
  tunnel::append_http_answer(status, body, keep_alive, request->answer);
  request->step = TunnelRequest::Step::answered;
  if (request->home == self_) {
    answered(request);
  } else {
    mesh_.push(self_, request->home, request);
  }
}

/// What became of an answer. What follows from it is left to the turn: it may be answers to others
/// on a carrier that is just being closed.
void Tunnels::heard(TunnelRequest* request) {
  Tunnel* tunnel = find(request->tunnel);
  if (tunnel == nullptr) return;
  if (request->step == TunnelRequest::Step::written) {
    tunnel->session->written(tag_of(request));
  } else {
    tunnel->session->lost(tag_of(request), now_);
  }
  mark_dirty(request->tunnel, *tunnel);
}

void Tunnels::take_mail() {
  std::array<TunnelRequest*, 64> batch;
  for (uint64_t rung = mesh_.take_rung(self_); rung != 0; rung &= rung - 1) {
    const auto from = static_cast<WorkerId>(std::countr_zero(rung));
    while (const uint32_t count = mesh_.pop(from, self_, batch)) {
      for (TunnelRequest* request : std::span(batch).first(count)) take_mail(request);
    }
  }
}

void Tunnels::take_mail(TunnelRequest* request) {
  switch (request->step) {
    case TunnelRequest::Step::asked:
      return deliver(request);
    case TunnelRequest::Step::answered:
      return answered(request);
    case TunnelRequest::Step::written:
    case TunnelRequest::Step::lost:
      heard(request);
      request->step = TunnelRequest::Step::settled;
      return mesh_.push(self_, request->home, request);
    case TunnelRequest::Step::settled:
      return mesh_.give_back(request);
  }
}

// What the worker does
// ------------------------------------------------------------------------------------------------

void Tunnels::mark_dirty(TunnelId id, Tunnel& tunnel) {
  if (std::exchange(tunnel.dirty, true)) return;
  dirty_.push_back(id);
}

void Tunnels::send(TunnelId id, std::span<const Bytes> slices) {
  Tunnel* tunnel = find(id);
  if (tunnel == nullptr) return;
  for (const Bytes slice : slices) tunnel->session->send(slice);
  if (tunnel->session->queued_bytes() > queued_bytes_max) {
    tunnel->session->end(Fault::write_stalled);
  }
  mark_dirty(id, *tunnel);
}

void Tunnels::set_reading(TunnelId id, bool on) {
  Tunnel* tunnel = find(id);
  if (tunnel == nullptr) return;
  tunnel->session->set_reading(on);
  mark_dirty(id, *tunnel);
}

void Tunnels::finish(TunnelId id) {
  Tunnel* tunnel = find(id);
  if (tunnel == nullptr) return;
  tunnel->session->finish();
  mark_dirty(id, *tunnel);
}

void Tunnels::close(TunnelId id) {
  if (id.index >= tunnels_.size() || tunnels_[id.index].generation != id.generation) return;
  Tunnel& tunnel = tunnels_[id.index];
  tunnel.muted = true;  // also when its end is already queued
  if (!tunnel.live) return;
  tunnel.session->end();
  mark_dirty(id, tunnel);
}

// A turn
// ------------------------------------------------------------------------------------------------

void Tunnels::turn(Instant now) {
  now_ = now;
  lent_.clear();
  take_mail();
  settle();
  resume();
  expire();
}

/// Goes on where the worker has been since the last turn.
void Tunnels::settle() {
  for (const Used& used : std::exchange(used_, {})) {
    Tunnel* tunnel = find(used.id);
    if (tunnel == nullptr) continue;
    tunnel->session->settled(used.sequence);
    drain(used.id.index);
  }
  for (const TunnelId id : std::exchange(dirty_, {})) {
    Tunnel* tunnel = find(id);
    if (tunnel == nullptr) continue;
    tunnel->dirty = false;
    drain(id.index);
  }
}

void Tunnels::expire() {
  while (const auto index = tunnel_deadlines_.due(now_)) {
    Tunnel& tunnel = tunnels_[*index];
    tunnel_deadlines_.move(*index, tunnel.timer_at, Instant::never());
    tunnel.session->expire(now_);
    drain(*index);
  }
  while (const auto index = carrier_deadlines_.due(now_)) {
    const auto carrier = carriers_.find(*index);
    PENSTOCK_ASSERT(carrier != carriers_.end());
    expire(*carrier->second);
  }
}

Instant Tunnels::deadline() const {
  const bool at_once = !used_.empty() || !dirty_.empty() || !events_.empty() || !answers_.empty() ||
                       !resuming_.empty();
  if (at_once) return {};
  return std::min(tunnel_deadlines_.next(), carrier_deadlines_.next());
}

bool Tunnels::take(TunnelEvent& event) {
  while (!events_.empty()) {
    Queued queued = std::move(events_.front());
    events_.pop_front();
    const bool last = queued.event.kind == TunnelEvent::Kind::closed;
    const uint32_t index = queued.event.id.index;
    if (tunnels_[index].muted && !last) continue;
    event = queued.event;
    if (!queued.owned.empty()) {
      lent_.push_back(std::move(queued.owned));
      event.bytes = lent_.back();
    }
    if (event.kind == TunnelEvent::Kind::received) used_.push_back({event.id, queued.sequence});
    if (last) release(index);
    return true;
  }
  return false;
}

}  // namespace penstock::transport

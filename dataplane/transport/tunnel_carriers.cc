#include <algorithm>
#include <utility>

#include "dataplane/transport/tunnels.h"
#include "penstock/base/assert.h"

// The HTTP side of tunnels: requests off carriers, and answers back in the order of the requests.
namespace penstock::transport {

using engine::ConnectionId;
using tunnel::HttpRequestReader;
using tunnel::RtmptVerb;

Tunnels::Carrier* Tunnels::find(ConnectionId id) {
  const auto found = carriers_.find(id.index);
  if (found != carriers_.end() && found->second->id == id) return found->second.get();
  for (const std::unique_ptr<Carrier>& orphan : orphans_) {
    if (orphan->id == id) return orphan.get();
  }
  return nullptr;
}

// A carrier's life
// ------------------------------------------------------------------------------------------------

void Tunnels::carrier_opened(ConnectionId id, const engine::Endpoint& peer, bool secure,
                             Instant now) {
  now_ = now;
  if (carriers_.size() >= carriers_per_tunnel * tunnels_.size()) {
    answers_.push_back({.carrier = id, .close_after = true, .fault = Fault::tunnels_exceeded});
    return;
  }
  auto carrier = std::make_unique<Carrier>();
  carrier->id = id;
  carrier->peer = peer;
  carrier->secure = secure;
  carrier->active_at = now;
  carrier_deadlines_.move(id.index, carrier->timer_at, now.after_ms(settings_.handshake_ms));
  if (unserved_.size() >= unserved_max_) {
    hang_up(*carriers_.at(unserved_.front()), Fault::http_timeout);
  }
  carrier->unserved = unserved_.insert(unserved_.end(), id.index);
  const bool is_new = carriers_.emplace(id.index, std::move(carrier)).second;
  PENSTOCK_ASSERT(is_new);
}

void Tunnels::carrier_received(ConnectionId id, Bytes bytes, Instant now) {
  now_ = now;
  Carrier* carrier = find(id);
  if (carrier == nullptr || carrier->stopped) return;
  if (!carrier->later.empty()) return keep(*carrier, bytes);
  carrier->reader.feed(bytes);
  read(*carrier);
  keep(*carrier, carrier->reader.take_rest());
}

/// Requests off what was fed, as many as may wait for their answers.
void Tunnels::read(Carrier& carrier) {
  while (!carrier.stopped && carrier.waiting.size() < pipelined_max) {
    const auto step = carrier.reader.next();
    if (!step) return refuse(carrier, step.error().status, step.error().fault);
    bool more = true;
    switch (*step) {
      case HttpRequestReader::Step::need_input:
        return;
      case HttpRequestReader::Step::head:
        more = take_head(carrier);
        break;
      case HttpRequestReader::Step::body:
        more = take_body(carrier, carrier.reader.body());
        break;
      case HttpRequestReader::Step::finished:
        more = take_request(carrier);
        break;
    }
    if (!more) return;
  }
}

void Tunnels::keep(Carrier& carrier, Bytes bytes) {
  if (bytes.empty() || carrier.stopped) return;
  carrier.later.insert(carrier.later.end(), bytes.begin(), bytes.end());
  const size_t kept = carrier.later.size() - carrier.later_at;
  if (kept > (carrier.served ? later_bytes_limit : unserved_later_bytes_limit)) {
    return hang_up(carrier, Fault::http_too_large);
  }
  if (kept > later_bytes_max && std::exchange(carrier.reading, false)) {
    answers_.push_back({.carrier = carrier.id, .reading = false});
  }
  resume(carrier);
}

/// Has the kept input looked at in a turn, when there is some and something may wait again.
void Tunnels::resume(Carrier& carrier) {
  if (carrier.later.empty() || carrier.waiting.size() >= pipelined_max) return;
  if (!std::exchange(carrier.resuming, true)) resuming_.push_back(carrier.id);
}

/// True when it was an orphan, of which nothing is left.
bool Tunnels::forget(Carrier& carrier) {
  if (!carrier.orphan) return false;
  forget_body(carrier);
  orphans_.remove_if([&](const auto& orphan) { return orphan.get() == &carrier; });
  return true;
}

void Tunnels::resume() {
  for (const ConnectionId id : std::exchange(resuming_, {})) {
    Carrier* carrier = find(id);
    if (carrier == nullptr) continue;
    carrier->resuming = false;
    if (carrier->stopped) {
      forget(*carrier);
      continue;
    }
    // Bodies are shown where they lie. What is used is cut off with the next look, when they have
    // been seen.
    carrier->later.erase(carrier->later.begin(),
                         carrier->later.begin() + static_cast<ptrdiff_t>(carrier->later_at));
    carrier->later_at = 0;
    if (carrier->later.empty()) {
      carrier->later = {};
      if (forget(*carrier)) continue;
      if (!std::exchange(carrier->reading, true)) {
        answers_.push_back({.carrier = id, .reading = true});
      }
      continue;
    }
    carrier->reader.feed(carrier->later);
    read(*carrier);
    carrier->later_at = carrier->later.size() - carrier->reader.take_rest().size();
    if (carrier->orphan) abandon_waiting(*carrier);
    resume(*carrier);
  }
}

void Tunnels::carrier_sent(ConnectionId id, Left left, Instant now) {
  now_ = now;
  Carrier* carrier = find(id);
  if (carrier == nullptr) return;
  // What TLS itself has to say goes out among the answers: fewer have gone than could have.
  if (carrier->taken > left.answers) {
    carrier->sent = std::max(carrier->sent, carrier->taken - left.answers);
  }
  carrier->answer_bytes = carrier->untaken_bytes + left.bytes;
  std::vector<TunnelRequest*> gone;
  std::erase_if(carrier->given, [&](TunnelRequest* request) {
    const bool sent = request->number <= carrier->sent;
    if (sent) gone.push_back(request);
    return sent;
  });
  for (TunnelRequest* request : gone) tell(request, TunnelRequest::Step::written);
}

void Tunnels::carrier_closed(ConnectionId id, Instant now) {
  now_ = now;
  const auto found = carriers_.find(id.index);
  if (found == carriers_.end() || found->second->id != id) return;
  Carrier& carrier = *found->second;
  carrier_deadlines_.move(id.index, carrier.timer_at, Instant::never());
  serve(carrier);
  // What it brought before it went is still looked at: the end of a stream, of a publisher that
  // reads no answers.
  carrier.orphan = !carrier.stopped && carrier.later.size() > carrier.later_at;
  carrier.ending = true;
  if (!carrier.orphan) {
    carrier.stopped = true;
    forget_body(carrier);
  }
  // A tunnel that hears of one may answer others that wait here. So the carrier stays until all are
  // told, where answered() finds them.
  for (TunnelRequest* request : std::exchange(carrier.given, {})) {
    tell(request, TunnelRequest::Step::lost);
  }
  abandon_waiting(carrier);
  resume(carrier);
  if (carrier.orphan) orphans_.push_back(std::move(found->second));
  carriers_.erase(id.index);
}

/// Its list is looked at anew after each: telling of one may answer others.
void Tunnels::abandon_waiting(Carrier& carrier) {
  while (!carrier.waiting.empty()) {
    const Waiting first = carrier.waiting.front();
    carrier.waiting.pop_front();
    abandon({&first, 1});
  }
}

/// Requests that nobody waits for any more. One that is with another worker finds that out when it
/// comes back.
void Tunnels::abandon(std::span<const Waiting> waiting) {
  for (const Waiting& place : waiting) {
    if (place.answered && !place.request->counts) {
      mesh_.give_back(place.request);
    } else if (place.answered || place.here) {
      tell(place.request, TunnelRequest::Step::lost);
    }
  }
}

/// To the tunnel of a request, what became of its answer.
void Tunnels::tell(TunnelRequest* request, TunnelRequest::Step fate) {
  request->step = fate;
  if (request->owner != self_) return mesh_.push(self_, request->owner, request);
  heard(request);
  mesh_.give_back(request);
}

/// No longer one of those that have served no tunnel.
void Tunnels::serve(Carrier& carrier) {
  if (!std::exchange(carrier.served, true)) unserved_.erase(carrier.unserved);
}

void Tunnels::expire(Carrier& carrier) {
  const uint64_t patience_ms = carrier.ending   ? linger_ms
                               : carrier.served ? carrier_idle_ms
                                                : settings_.handshake_ms;
  Instant next = carrier.active_at.after_ms(patience_ms);
  if (next <= now_ && (carrier.waiting.empty() || carrier.ending)) {
    // One that was used and is not any more is nobody's fault.
    hang_up(carrier, carrier.served || carrier.ending ? Fault::count_ : Fault::http_timeout);
    next = Instant::never();
  }
  if (next <= now_) next = now_.after_ms(carrier_idle_ms);
  carrier_deadlines_.move(carrier.id.index, carrier.timer_at, next);
}

void Tunnels::hang_up(Carrier& carrier, Fault fault) {
  carrier.stopped = carrier.ending = true;
  forget_body(carrier);
  serve(carrier);  // or it would be hung up once more when the next one comes
  answers_.push_back({.carrier = carrier.id, .close_after = true, .fault = fault});
}

// Requests
// ------------------------------------------------------------------------------------------------

/// What needs no body to be refused.
bool Tunnels::take_head(Carrier& carrier) {
  const tunnel::HttpRequestHead& head = carrier.reader.head();
  if (head.method != tunnel::HttpMethod::post) {
    refuse(carrier, 405, Fault::tunnel_request);
    return false;
  }
  const auto asked = tunnel::parse_rtmpt_target(head.target);
  if (!asked) {
    refuse(carrier, 404, Fault::tunnel_request);
    return false;
  }
  const bool media = asked->verb == RtmptVerb::send;
  if (media && head.content_bytes == 0) {
    refuse(carrier, 400, Fault::http_malformed);
    return false;
  }
  // Megabytes for nobody would take the room of those who publish. What another worker has is not
  // known here.
  const auto place = tunnel::tunnel_place(asked->session);
  const bool elsewhere = place && place->worker != self_ && place->worker < mesh_.workers();
  const bool for_nobody =
      media && !elsewhere && find_named(asked->session, carrier.secure) == nullptr;
  if ((for_nobody || !media) && head.content_bytes > poll_body_bytes_max) {
    refuse(carrier, for_nobody ? 404 : 413,
           for_nobody ? Fault::tunnel_unknown : Fault::http_too_large);
    return false;
  }
  return true;
}

bool Tunnels::take_body(Carrier& carrier, Bytes run) {
  if (run.size() == carrier.reader.head().content_bytes) {
    carrier.run = run;
    return true;
  }
  partial_bytes_ += run.size();
  carrier.body.insert(carrier.body.end(), run.begin(), run.end());
  if (partial_bytes_ > partial_bytes_max) make_room_for_bodies(carrier);
  return !carrier.stopped;
}

/// `newest` may be an orphan, and nobody else may have any.
void Tunnels::make_room_for_bodies(Carrier& newest) {
  Carrier* largest = &newest;
  for (const auto& [index, carrier] : carriers_) {
    if (carrier->body.size() > largest->body.size()) largest = carrier.get();
  }
  refuse(*largest, 503, Fault::http_too_large);
}

void Tunnels::forget_body(Carrier& carrier) {
  partial_bytes_ -= carrier.body.size();
  carrier.body = {};
  carrier.run = {};
}

bool Tunnels::take_request(Carrier& carrier) {
  const tunnel::HttpRequestHead& head = carrier.reader.head();
  const auto asked = tunnel::parse_rtmpt_target(head.target);
  PENSTOCK_ASSERT(asked);
  const auto place = tunnel::tunnel_place(asked->session);
  const bool elsewhere = place && place->worker < mesh_.workers() && place->worker != self_;
  TunnelRequest* request = add_request(carrier, elsewhere ? place->worker : self_);
  if (request == nullptr) return false;
  carrier.stopped = !head.keep_alive;
  request->verb = asked->verb;
  request->sequence = asked->sequence;
  request->session = asked->session;
  request->secure = carrier.secure;
  request->run = carrier.run;
  request->body.swap(carrier.body);
  partial_bytes_ -= request->body.size();
  forget_body(carrier);
  if (asked->verb == RtmptVerb::ident) {
    // Flash goes on with what it has when there is no ident, and tries another host when there is.
    respond(request, 404, {});
  } else if (asked->verb == RtmptVerb::open) {
    open(carrier, request);
  } else if (!elsewhere) {
    deliver(request);
  } else {
    if (request->body.empty()) request->body.assign(request->run.begin(), request->run.end());
    request->run = {};
    request->step = TunnelRequest::Step::asked;
    mesh_.push(self_, request->owner, request);
  }
  return true;
}

/// Whether it has more answers under way than it may.
bool Tunnels::overdone(const Carrier& carrier) {
  return carrier.answer_bytes > (carrier.served ? answer_bytes_max : unserved_answer_bytes_max);
}

/// Null when there is no room, which the carrier has then been told.
TunnelRequest* Tunnels::add_request(Carrier& carrier, WorkerId owner) {
  if (overdone(carrier)) {
    hang_up(carrier, Fault::http_too_large);
    return nullptr;
  }
  TunnelRequest* request = mesh_.take(self_, owner);
  if (request == nullptr) {
    refuse(carrier, 503, Fault::tunnels_exceeded);
    return nullptr;
  }
  request->carrier = carrier.id;
  request->keep_alive = carrier.reader.head().keep_alive;
  carrier.waiting.push_back({.request = request, .here = owner == self_});
  return request;
}

/// The last answer of a carrier.
void Tunnels::refuse(Carrier& carrier, uint16_t status, Fault fault) {
  carrier.stopped = true;
  forget_body(carrier);
  if (overdone(carrier)) return hang_up(carrier, fault);
  TunnelRequest* request = add_request(carrier, self_);
  if (request == nullptr) return;
  request->close_after = true;
  request->fault = fault;
  respond(request, status, {});
}

// Answers
// ------------------------------------------------------------------------------------------------

/// A request is back with its home, and has its answer.
void Tunnels::answered(TunnelRequest* request) {
  Carrier* carrier = find(request->carrier);
  Waiting* place = nullptr;
  if (carrier != nullptr) {
    const auto found = std::ranges::find(carrier->waiting, request, &Waiting::request);
    if (found != carrier->waiting.end()) place = &*found;
  }
  if (place == nullptr) {
    const Waiting alone{.request = request, .answered = true};
    return abandon({&alone, 1});
  }
  place->answered = true;
  flush(*carrier);
}

/// Gives what is answered as far as nothing earlier is still to come. Behind a last answer nothing
/// is given any more.
void Tunnels::flush(Carrier& carrier) {
  while (!carrier.ending && !carrier.waiting.empty() && carrier.waiting.front().answered) {
    TunnelRequest* request = carrier.waiting.front().request;
    carrier.waiting.pop_front();
    give(carrier, request);
  }
  resume(carrier);
  if (!carrier.ending) return;
  std::vector<Waiting> unheard;
  std::erase_if(carrier.waiting, [&](const Waiting& place) {
    if (place.answered) unheard.push_back(place);
    return place.answered;
  });
  abandon(unheard);
}

void Tunnels::give(Carrier& carrier, TunnelRequest* request) {
  // Only what a tunnel answers keeps a carrier: who asks for nothing but names that nobody has
  // would hold its place for ever.
  if (request->served) {
    serve(carrier);
    carrier.active_at = now_;
  }
  carrier.ending = request->close_after || !request->keep_alive;
  if (carrier.ending) {
    carrier_deadlines_.move(carrier.id.index, carrier.timer_at, now_.after_ms(linger_ms));
  }
  request->number = ++carrier.answers;
  carrier.answer_bytes += request->answer.size();
  carrier.untaken_bytes += request->answer.size();
  answers_.push_back({.carrier = carrier.id,
                      .bytes = std::move(request->answer),
                      .close_after = carrier.ending,
                      .fault = request->fault});
  if (request->counts) {
    carrier.given.push_back(request);
  } else {
    mesh_.give_back(request);
  }
}

bool Tunnels::take(CarrierAnswer& answer) {
  while (!answers_.empty()) {
    answer = std::move(answers_.front());
    answers_.pop_front();
    Carrier* carrier = find(answer.carrier);
    // One that was refused at once is not among ours.
    if (carrier == nullptr && !answer.bytes.empty()) continue;
    if (carrier != nullptr && !answer.bytes.empty()) {
      ++carrier->taken;
      carrier->untaken_bytes -= answer.bytes.size();
    }
    return true;
  }
  return false;
}

}  // namespace penstock::transport

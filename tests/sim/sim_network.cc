#include "tests/sim/sim_network.h"

#include <algorithm>

#include "tests/sim/sim_engine.h"

namespace penstock::sim {

void Pipe::push(Bytes bytes, Instant arrives_at) {
  if (bytes.empty()) return;
  last_arrival_ = std::max(last_arrival_, arrives_at);
  used_ += bytes.size();
  segments_.push_back({last_arrival_, {bytes.begin(), bytes.end()}});
}

void Pipe::push_end(Instant arrives_at) {
  last_arrival_ = std::max(last_arrival_, arrives_at);
  segments_.push_back({last_arrival_, {}, 0, true});
}

size_t Pipe::arrived(Instant now) const {
  size_t bytes = 0;
  for (const Segment& segment : segments_) {
    if (segment.arrives_at > now) break;
    bytes += segment.bytes.size() - segment.read;
  }
  return bytes;
}

bool Pipe::end_arrived(Instant now) const {
  return !segments_.empty() && segments_.front().end && segments_.front().arrives_at <= now;
}

size_t Pipe::read(MutableBytes out, Instant now) {
  size_t done = 0;
  while (done < out.size() && !segments_.empty()) {
    Segment& segment = segments_.front();
    if (segment.end || segment.arrives_at > now) break;
    const size_t part = std::min(out.size() - done, segment.bytes.size() - segment.read);
    std::copy_n(segment.bytes.data() + segment.read, part, out.data() + done);
    segment.read += part;
    done += part;
    if (segment.read == segment.bytes.size()) segments_.pop_front();
  }
  used_ -= done;
  return done;
}

void Pipe::clear() {
  segments_.clear();
  used_ = 0;
}

Instant Pipe::next_arrival(Instant now) const {
  for (const Segment& segment : segments_) {
    if (segment.arrives_at > now) return segment.arrives_at;
  }
  return Instant::never();
}

size_t SimPeer::write(Bytes bytes) {
  if (link_->peer_finished || link_->peer_gone || was_reset() || link_->peer_reset) return 0;
  if (link_->engine_gone) return bytes.size();  // goes nowhere, as into a closed socket
  const size_t part = std::min(bytes.size(), link_->to_engine.room());
  link_->to_engine.push(bytes.first(part), network_->arrival());
  return part;
}

size_t SimPeer::read(MutableBytes out) { return link_->to_peer.read(out, network_->now()); }

size_t SimPeer::readable() const { return link_->to_peer.arrived(network_->now()); }

bool SimPeer::at_end() const { return link_->to_peer.end_arrived(network_->now()); }

bool SimPeer::was_reset() const {
  return link_->engine_reset && link_->reset_at <= network_->now();
}

void SimPeer::finish() {
  if (link_->peer_finished || link_->peer_gone) return;
  link_->peer_finished = true;
  link_->to_engine.push_end(network_->arrival());
}

void SimPeer::reset() {
  if (link_->peer_reset) return;
  link_->peer_reset = true;
  link_->peer_gone = true;
  link_->reset_at = network_->arrival();
}

void SimPeer::close() {
  if (link_->peer_gone) return;
  // A host answers data that nobody will read with a reset.
  if (link_->to_peer.unread() > 0) return reset();
  finish();
  link_->peer_gone = true;
}

std::shared_ptr<Link> SimNetwork::make_link(const engine::Endpoint& peer) {
  const auto window = [this] {
    const uint32_t spread = faults_.window_bytes_max - faults_.window_bytes_min + 1;
    return faults_.window_bytes_min + static_cast<uint32_t>(prng_.below(spread));
  };
  const uint32_t window_in = window();
  auto link = std::make_shared<Link>(window_in, window());
  link->peer = peer;
  link->connects_at = arrival();
  return link;
}

SimPeer SimNetwork::connect(SimEngine& engine) {
  engine::Endpoint peer;
  peer.address[0] = 10;
  store_u16(peer.address + 2, static_cast<uint16_t>(connected_ >> 14));
  peer.port = static_cast<uint16_t>(32768 + connected_ % 16384);
  ++connected_;
  auto link = make_link(peer);
  engine.offer(link);
  return {*this, link};
}

bool SimNetwork::arrive(const std::shared_ptr<Link>& link) {
  if (link->peer.port != listening_port_) return false;
  arrived_.push_back(link);
  return true;
}

SimPeer SimNetwork::accept() {
  if (arrived_.empty()) return {};
  SimPeer peer{*this, std::move(arrived_.front())};
  arrived_.pop_front();
  return peer;
}

}  // namespace penstock::sim

#include "bench/micro/null_engine.h"

#include <algorithm>

namespace penstock::bench {

using engine::ConnectionId;
using engine::EngineEvent;
using engine::EngineEventKind;

ConnectionId NullEngine::offer() {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(places_.size()));
    places_.emplace_back();
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  places_[index].in_use = true;
  const ConnectionId id{index, places_[index].generation};
  EngineEvent event;
  event.kind = EngineEventKind::accepted;
  event.id = id;
  event.peer = {.address = {127, 0, 0, 1}, .port = static_cast<uint16_t>(index)};
  pending_.push_back(event);
  return id;
}

void NullEngine::arrive(ConnectionId id, Bytes bytes) {
  EngineEvent event;
  event.kind = EngineEventKind::received;
  event.id = id;
  event.bytes = bytes;
  pending_.push_back(event);
}

void NullEngine::leave(ConnectionId id) {
  EngineEvent event;
  event.kind = EngineEventKind::ended;
  event.id = id;
  pending_.push_back(event);
}

std::vector<uint8_t> NullEngine::take_sent(ConnectionId id) {
  std::vector<uint8_t> sent;
  sent.swap(places_[id.index].sent);
  return sent;
}

std::span<EngineEvent> NullEngine::poll(std::span<EngineEvent> events, Instant wake_at) {
  wake_at_ = wake_at;
  const size_t count = std::min(events.size(), pending_.size() - taken_);
  std::copy_n(pending_.begin() + static_cast<ptrdiff_t>(taken_), count, events.begin());
  taken_ += count;
  if (taken_ == pending_.size()) {
    pending_.clear();
    taken_ = 0;
  }
  return events.first(count);
}

void NullEngine::send(ConnectionId id, std::span<const Bytes> slices) {
  if (!known(id)) return;
  EngineEvent event;
  event.kind = EngineEventKind::sent;
  event.id = id;
  for (const Bytes slice : slices) event.sent_bytes += static_cast<uint32_t>(slice.size());
  if (recording_) {
    std::vector<uint8_t>& sent = places_[id.index].sent;
    for (const Bytes slice : slices) sent.insert(sent.end(), slice.begin(), slice.end());
  }
  ++sends_;
  bytes_sent_ += event.sent_bytes;
  pending_.push_back(event);
}

/// The peer is taken to leave as soon as it is told to.
void NullEngine::finish(ConnectionId id) { end(id); }
void NullEngine::close(ConnectionId id) { end(id); }

void NullEngine::end(ConnectionId id) {
  if (!known(id)) return;
  places_[id.index].in_use = false;
  ++places_[id.index].generation;
  free_.push_back(id.index);
  EngineEvent event;
  event.kind = EngineEventKind::closed;
  event.id = id;
  pending_.push_back(event);
}

}  // namespace penstock::bench

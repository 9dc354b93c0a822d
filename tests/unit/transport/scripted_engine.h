#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "dataplane/engine/engine.h"

namespace penstock::transport {

/// An engine whose peers are the test: it says what comes, and reads what was sent.
class ScriptedEngine final : public engine::Engine {
 public:
  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent> events, Instant) override {
    shown_.clear();
    size_t count = 0;
    while (count < events.size() && !coming_.empty()) {
      Coming& next = coming_.front();
      engine::EngineEvent& event = events[count++] = next.event;
      if (event.kind == engine::EngineEventKind::received) {
        shown_.push_back(std::move(next.bytes));
        event.bytes = {reinterpret_cast<const uint8_t*>(shown_.back().data()),
                       shown_.back().size()};
      }
      coming_.pop_front();
    }
    return events.first(count);
  }
  std::optional<engine::ConnectionId> connect(const engine::Endpoint&) override { return {}; }
  void send(engine::ConnectionId id, std::span<const Bytes> slices) override {
    for (const Bytes slice : slices) {
      sent_[id.index].append(reinterpret_cast<const char*>(slice.data()), slice.size());
    }
  }
  void set_reading(engine::ConnectionId, bool) override {}
  void set_low_water(engine::ConnectionId, uint32_t, engine::Rest) override {}
  void finish(engine::ConnectionId id) override { finished_[id.index] = true; }
  void close(engine::ConnectionId id) override { comes(engine::EngineEventKind::closed, id); }
  bool set_accepting(bool) override { return true; }
  void set_gather_max(uint64_t) override {}
  void wake() override { ++wakes_; }

  engine::EngineEvent& comes(engine::EngineEventKind kind, engine::ConnectionId id,
                             std::string bytes = {}) {
    Coming& coming = coming_.emplace_back();
    coming.event.kind = kind;
    coming.event.id = id;
    coming.bytes = std::move(bytes);
    return coming.event;
  }
  /// What was given to send() since the last time.
  std::string take_sent(engine::ConnectionId id) { return std::exchange(sent_[id.index], {}); }
  [[nodiscard]] bool finished(engine::ConnectionId id) { return finished_[id.index]; }
  [[nodiscard]] int wakes() const { return wakes_; }

 private:
  struct Coming {
    engine::EngineEvent event;
    std::string bytes;
  };
  std::deque<Coming> coming_;
  std::deque<std::string> shown_;
  std::map<uint32_t, std::string> sent_;
  std::map<uint32_t, bool> finished_;
  int wakes_ = 0;
};

}  // namespace penstock::transport

#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/engine/engine.h"

namespace penstock::bench {

/// An engine that moves nothing: what a peer would send is put in by the bench, and what is sent
/// counts as sent at once. What is left of a tick is the worker's own cost. Owner: one thread.
class NullEngine final : public engine::Engine {
 public:
  /// A new connection; `accepted` comes with the next poll().
  engine::ConnectionId offer();
  /// `bytes` arrive with the next poll() and stay the caller's: they must stay put until the one
  /// after it.
  void arrive(engine::ConnectionId, Bytes bytes);
  /// The peer has gone: FIN, as after a reset nothing is worth measuring.
  void leave(engine::ConnectionId);
  /// While on, what is sent is kept for take_sent().
  void set_recording(bool on) { recording_ = on; }
  [[nodiscard]] std::vector<uint8_t> take_sent(engine::ConnectionId);

  [[nodiscard]] uint64_t sends() const { return sends_; }
  [[nodiscard]] uint64_t bytes_sent() const { return bytes_sent_; }
  /// Until when the last poll() might have slept.
  [[nodiscard]] Instant wake_at() const { return wake_at_; }
  [[nodiscard]] bool idle() const { return taken_ == pending_.size(); }

  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent> events,
                                      Instant wake_at) override;
  std::optional<engine::ConnectionId> connect(const engine::Endpoint&) override { return {}; }
  void send(engine::ConnectionId, std::span<const Bytes> slices) override;
  void set_reading(engine::ConnectionId, bool) override {}
  void set_low_water(engine::ConnectionId, uint32_t, engine::Rest) override {}
  void finish(engine::ConnectionId) override;
  void close(engine::ConnectionId) override;
  bool set_accepting(bool) override { return true; }
  void set_gather_max(uint64_t) override {}
  void wake() override {}

 private:
  struct Place {
    uint32_t generation = 1;
    bool in_use = false;
    std::vector<uint8_t> sent;
  };
  [[nodiscard]] bool known(engine::ConnectionId id) const {
    return places_[id.index].in_use && places_[id.index].generation == id.generation;
  }
  void end(engine::ConnectionId);

  std::vector<Place> places_;
  std::vector<uint32_t> free_;
  std::vector<engine::EngineEvent> pending_;
  size_t taken_ = 0;  // of pending_, from the front
  bool recording_ = false;
  uint64_t sends_ = 0;
  uint64_t bytes_sent_ = 0;
  Instant wake_at_;
};

}  // namespace penstock::bench

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/engine/engine.h"
#include "dataplane/frame.h"

namespace penstock::dataplane {

/// What one peer is still to get, in order. At most one send is with the engine; what queues up
/// behind it goes out together with the next. Owner: the connection's worker.
class Egress {
 public:
  Egress() = default;
  Egress(const Egress&) = delete;
  Egress& operator=(const Egress&) = delete;

  /// Takes a reference of its own.
  void push(Frame* frame);

  [[nodiscard]] bool idle() const { return count_ == 0; }
  /// Bytes queued and not yet reported as sent.
  [[nodiscard]] uint64_t queued_bytes() const { return queued_bytes_; }
  /// Of these, what the engine does not hold yet.
  [[nodiscard]] uint64_t waiting_bytes() const { return queued_bytes_ - in_flight_bytes_; }
  /// Of these, what drop_media() would free.
  [[nodiscard]] uint64_t droppable_bytes() const { return droppable_bytes_; }
  /// Of queued_bytes(), answers of the session: they are never dropped, so their owner bounds them.
  [[nodiscard]] uint64_t control_bytes() const { return control_bytes_; }
  /// Frames queued and not yet sent that another worker waits to get back.
  [[nodiscard]] uint32_t leased_frames() const { return leased_count_; }
  [[nodiscard]] bool sending() const { return in_flight_bytes_ > 0; }
  /// When the engine last took bytes, or when the first were given to it after an idle time.
  [[nodiscard]] Instant progress_at() const { return progress_at_; }

  /// From now on media that waits together goes in aggregate messages (RTMP 1.0, 7.1.6): the peer
  /// has asked for that. Nothing waits for it: a message that is alone goes as it is.
  void use_aggregates() { aggregates_ = true; }
  [[nodiscard]] bool aggregates() const { return aggregates_; }
  /// Before flush().
  void aggregate(FramePool& pool);

  /// Hands the front of the queue to the engine, unless a send is on its way. Returns the number of
  /// sends, 0 or 1.
  uint32_t flush(engine::Engine& engine, engine::ConnectionId id, Instant now);
  /// `bytes` more were sent.
  void sent(FramePool& pool, uint32_t bytes, Instant now);
  /// Drops what is media and not yet with the engine. Answers stay, and of headers and metadata the
  /// newest of each. Returns how many frames went.
  uint32_t drop_media(FramePool& pool);
  void clear(FramePool& pool);

  // A send this large takes a 1 Gbit/s port 2 ms; larger ones would let one peer hold the core.
  static constexpr uint32_t send_bytes_max = 256 * 1024;
  // What the engine holds cannot be dropped, and of small frames (sound of 32 kbit/s: 100 B) 256
  // KiB are 2600. Half of the leases that one subscriber may hold, where they are fewest
  // (Mesh::leases_per_subscriber_max): when the rest is dropped, there is room for a keyframe.
  static constexpr uint32_t send_frames_max = 512;

 private:
  [[nodiscard]] Frame*& at(uint32_t index) { return ring_[(head_ + index) & (ring_.size() - 1)]; }
  void grow();
  [[nodiscard]] uint32_t run_at(uint32_t first, std::span<Frame*> run);
  void count(const Frame& frame);
  void uncount(const Frame& frame);

  std::vector<Frame*> ring_;  // size 0 or a power of two
  uint32_t head_ = 0;
  uint32_t count_ = 0;
  uint32_t in_flight_count_ = 0;  // frames from the front that the engine holds bytes of
  uint32_t leased_count_ = 0;
  uint32_t front_sent_ = 0;  // bytes of the front frame already sent
  uint64_t in_flight_bytes_ = 0;
  uint64_t queued_bytes_ = 0;
  uint64_t droppable_bytes_ = 0;
  uint64_t control_bytes_ = 0;
  bool aggregates_ = false;
  Instant progress_at_{};
};

}  // namespace penstock::dataplane

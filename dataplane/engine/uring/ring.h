#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "dataplane/engine/uring/uring_compat.h"
#include "penstock/base/time.h"

namespace penstock::engine {

/// CLOCK_MONOTONIC, which is also the clock of the worker's Instants.
[[nodiscard]] Instant monotonic_now();

/// One io_uring: set up, probed, entered. Made on any thread and adopted by the one that enters it
/// (SINGLE_ISSUER).
class Ring {
 public:
  struct Wait {
    uint32_t completions = 0;  // return when so many are there; 0: do not wait
    uint64_t timeout_ns = 0;
    uint64_t min_wait_ns = 0;  // after so long, one completion is enough; 0: wait for all of them
  };

  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  std::expected<void, std::string> open(uint32_t sqes, uint32_t cqes);
  /// From here on only the calling thread may use the ring.
  void adopt_by_this_thread();
  [[nodiscard]] bool adopted() const { return owner_ != 0; }
  [[nodiscard]] bool owned_by_this_thread() const;

  /// A zeroed SQE; enters the kernel to make room when all are taken.
  io_uring_sqe& next_sqe();
  /// Hands over the SQEs, runs deferred completions, and waits.
  void enter(const Wait&);

  [[nodiscard]] uint32_t completions_ready() const { return io_uring_cq_ready(&ring_); }
  /// The oldest completion; one must be ready. Valid until pop_completion().
  [[nodiscard]] const io_uring_cqe& front_completion() const {
    const io_uring_cq& cq = ring_.cq;
    return cq.cqes[*cq.khead & cq.ring_mask];
  }
  void pop_completion() { io_uring_cq_advance(&ring_, 1); }

  [[nodiscard]] bool has_min_wait() const { return has_min_wait_; }
  [[nodiscard]] uint64_t enters() const { return enters_; }
  [[nodiscard]] uint64_t memory_bytes() const;
  io_uring& raw() { return ring_; }

 private:
  io_uring ring_{};
  bool open_ = false;
  bool registered_ = false;
  bool has_min_wait_ = false;
  int owner_ = 0;  // thread id
  uint64_t enters_ = 0;
};

}  // namespace penstock::engine

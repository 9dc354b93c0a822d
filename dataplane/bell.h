#pragma once

#include <cstdint>

#include "penstock/base/spsc_ring.h"

namespace penstock::dataplane {

/// A doorbell of one who sleeps in poll(): workers ring, and pay for a system call only when it
/// sleeps. Nothing that becomes of the sleeper makes ring() wait.
class Bell {
 public:
  /// The doorbell, which may lie in shared memory, lives longer.
  explicit Bell(Doorbell& doorbell);
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  [[nodiscard]] int descriptor() const { return descriptor_; }  // -1: the host has no more

  /// Any thread; what is to be found has been written before.
  void ring(uint32_t ringer);

  /// The sleeper, after its last look: how long it may poll, with the descriptor among what it
  /// polls.
  [[nodiscard]] int prepare_sleep(int wait_ms);
  /// The sleeper, after poll() and before it looks.
  void woke_up();

 private:
  Doorbell& doorbell_;
  int descriptor_;
};

}  // namespace penstock::dataplane

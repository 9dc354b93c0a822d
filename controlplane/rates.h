#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "controlplane/region.h"

namespace penstock::controlplane {

struct WorkerRates {
  uint64_t bits_per_second_in = 0;
  uint64_t bits_per_second_out = 0;
  double busy_percent = 0;
};

/// What the workers' counters say per second, over the last 3 s. Any thread.
class Rates {
 public:
  // A shorter window jumps with every keyframe, a longer one answers late.
  static constexpr uint64_t window_ns = 3'000'000'000;
  static constexpr uint64_t sample_every_ns = 500'000'000;

  /// Looks at the counters; keeps one look per sample_every_ns.
  void sample(const Attachment& attachment, uint64_t now_ns);
  void forget();

  /// One per worker; all 0 before the second look.
  [[nodiscard]] std::vector<WorkerRates> workers() const;

 private:
  struct Numbers {
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    uint64_t busy_ns = 0;
  };
  struct Sample {
    uint64_t at_ns = 0;
    std::vector<Numbers> workers;
  };

  mutable std::mutex mutex_;
  uint64_t run_id_ = 0;
  std::deque<Sample> samples_;  // oldest first, window_ns / sample_every_ns + 1 of them
};

}  // namespace penstock::controlplane

#pragma once

#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/engine/tcp/types.h"
#include "penstock/base/spsc_ring.h"

struct rte_mbuf;

namespace penstock::engine {

/// From one worker's engine to another's: packets whose connection lives there, and what was heard
/// of hosts of the link.
struct Crossing {
  // A turn of the other worker at 10 Gbit/s of full packets: 0.8 us each, 0.8 ms for 1024. More
  // than that and it does not keep up anyway.
  SpscRing<rte_mbuf*, 1024> packets;
  SpscRing<tcp::NeighbourNews, 256> news;
};

/// Which of those who rang is looked at first, in turn among them: a counter over all numbers would
/// nearly always come to the first of a few that lie side by side.
class Rota {
 public:
  /// `rung`: a bit for each, at least one.
  [[nodiscard]] uint32_t first_of(uint64_t rung) {
    const auto ahead = static_cast<uint32_t>(std::countr_zero(std::rotr(rung, next_)));
    const uint32_t first = (static_cast<uint32_t>(next_) + ahead) % Doorbell::ringers_max;
    next_ = static_cast<int>((first + 1) % Doorbell::ringers_max);
    return first;
  }

 private:
  int next_ = 0;
};

/// All rings between the engines of a host, and a doorbell for each engine.
class Crossings {
 public:
  // Who rings an engine's doorbell: wake(), the keeper of the host for its two reasons, and the
  // other engines.
  static constexpr uint32_t ringer_wake = 0;
  static constexpr uint32_t ringer_kernel = 1;  // packets of the kernel's are to go out
  static constexpr uint32_t ringer_link = 2;    // the link came back
  static constexpr uint32_t ringer_first_worker = 3;
  static constexpr size_t workers_max = Doorbell::ringers_max - ringer_first_worker;

  explicit Crossings(size_t workers) : workers_(workers) {
    for (size_t i = 0; i < workers * workers; ++i) {
      crossings_.push_back(i % workers == i / workers ? nullptr : std::make_unique<Crossing>());
    }
    for (size_t i = 0; i < workers; ++i) bells_.push_back(std::make_unique<Doorbell>());
  }

  [[nodiscard]] size_t workers() const { return workers_; }
  /// Two different workers.
  [[nodiscard]] Crossing& between(size_t from, size_t to) {
    return *crossings_[from * workers_ + to];
  }
  [[nodiscard]] Doorbell& bell(size_t worker) { return *bells_[worker]; }
  [[nodiscard]] uint64_t memory_bytes() const {
    return workers_ * (workers_ - 1) * sizeof(Crossing) + workers_ * sizeof(Doorbell);
  }

 private:
  size_t workers_;
  std::vector<std::unique_ptr<Crossing>> crossings_;
  std::vector<std::unique_ptr<Doorbell>> bells_;
};

}  // namespace penstock::engine

#pragma once

#include <memory>

#include "bench/load/generator.h"
#include "bench/load/options.h"

namespace penstock::load {

/// The course of a run: who connects when, when is measured, when it is over.
class Workload {
 public:
  enum class Phase : uint8_t { starting, warming, measuring, over };

  virtual ~Workload() = default;
  /// After each tick: starts and ends what is due. Returns when it wants to be asked again.
  virtual Instant step(Generator& generator) = 0;
  [[nodiscard]] Phase phase() const { return phase_; }

 protected:
  Phase phase_ = Phase::starting;
};

[[nodiscard]] std::unique_ptr<Workload> make_workload(const Options& options, Instant now);

}  // namespace penstock::load

#pragma once

#include <cstdint>
#include <deque>

#include "penstock/base/prng.h"
#include "penstock/base/time.h"
#include "penstock/control/layout.h"

namespace penstock::sim {

enum class ControlMode : uint8_t {
  absent,   // never there: every verdict is the data plane's own
  answers,  // allows everything, after a while
  moody,    // refuses some, answers some late and some twice, kicks, commands nonsense
  dies,     // beats and answers, then stops in the middle; another comes later
  mute,     // beats and never answers
};

/// Plays the control process against the shared region.
class SimControl {
 public:
  SimControl(control::Region region, ControlMode mode, uint64_t seed)
      : region_(region), mode_(mode), prng_(seed) {}

  /// The first state, before the workers start.
  void write_state(const control::TunableValues& values);
  void step(Instant now);
  void die(bool dead) { dead_ = dead; }

 private:
  struct Answer {
    Instant at;
    uint32_t worker = 0;
    control::Command command;
  };
  void take_requests(uint32_t worker, Instant now);
  void meddle(uint32_t worker, Instant now);

  control::Region region_;
  ControlMode mode_;
  Prng prng_;
  bool dead_ = false;
  Instant dies_at_;
  std::deque<Answer> answers_;
  control::TunableValues values_{};
  control::AdmissionMode admission_ = control::AdmissionMode::open;
  uint64_t epoch_ = 0;
};

}  // namespace penstock::sim

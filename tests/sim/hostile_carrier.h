#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/sim/ways.h"

namespace penstock::sim {

/// What speaks HTTP as no player or encoder does.
enum class Hostility : uint8_t {
  half_request,     // and then nothing
  endless_body,     // for a session of its own, some bytes at a time
  flood,            // hundreds of requests at once, and no answer is read
  unknown_session,  // asks for what nobody has, of this worker and others
  leaves_at_once,   // asks and closes, or is reset
  spoils,           // asks, and then sends what TLS does not take
  count_,
};

class HostileCarrier {
 public:
  HostileCarrier(std::unique_ptr<DirectWay> way, Hostility hostility, uint64_t seed)
      : way_(std::move(way)), hostility_(hostility), prng_(seed) {}

  void step(Instant now);
  /// Half of them stay, and say nothing more.
  void leave() {
    if (prng_.chance(500)) way_->close(true);
  }
  [[nodiscard]] bool gone() const { return gone_; }
  /// never(): it has not spoilt anything, or was shown out for it.
  [[nodiscard]] Instant spoilt_at() const { return gone_ ? Instant::never() : spoilt_at_; }

 private:
  void begin();
  void go_on(Instant now);
  std::string some_request();
  std::string request(const std::string& target, const std::string& body);

  std::unique_ptr<DirectWay> way_;
  Hostility hostility_;
  Prng prng_;
  std::vector<uint8_t> answers_;
  Instant spoilt_at_ = Instant::never();
  bool begun_ = false;
  bool body_begun_ = false;
  bool gone_ = false;
};

}  // namespace penstock::sim

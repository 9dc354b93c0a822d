#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "penstock/base/time.h"
#include "penstock/tunnel/layer.h"
#include "penstock/tunnel/rtmpt_initiator.h"

namespace penstock::load {

/// RTMPT as a layer: what is sealed goes out with the next request, which may have to wait for an
/// answer, and polls go out by time. One connection carries all of it, as with FFmpeg and librtmp.
class RtmptLayer final : public tunnel::Layer {
 public:
  RtmptLayer(std::string host, Instant (*now)());

  [[nodiscard]] std::expected<Opened, Fault> open(Bytes input, MutableBytes room,
                                                  std::vector<uint8_t>& to_peer) override;
  void seal(Bytes plain, std::vector<uint8_t>& to_peer) override;
  [[nodiscard]] bool established() const override { return requests_.open(); }
  [[nodiscard]] bool ended() const override { return requests_.closed(); }
  void finish(std::vector<uint8_t>& to_peer) override;

  /// When expire() has a poll to make.
  [[nodiscard]] Instant deadline() const { return requests_.deadline(); }
  void expire(std::vector<uint8_t>& to_peer);
  /// Sealed, and in no request that was answered.
  [[nodiscard]] size_t unsent_bytes() const { return requests_.unsent_bytes(); }

 private:
  void take_requests(std::vector<uint8_t>& to_peer);

  Instant (*now_)();
  tunnel::RtmptInitiator requests_;
  std::vector<uint8_t> received_;
  size_t given_ = 0;  // of received_, from the front
};

}  // namespace penstock::load

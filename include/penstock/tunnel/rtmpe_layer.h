#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/tunnel/layer.h"
#include "penstock/tunnel/rtmpe.h"
#include "penstock/tunnel/rtmpe_handshake.h"

namespace penstock::tunnel {

/// RTMPE below a session: the handshake, then RC4 both ways. The session above begins after its
/// own handshake (skip_handshake()). Not for peers whose first byte says 3: they speak plain RTMP.
///
/// The initiating side says its first bytes with the first open(), which may have no input.
class RtmpeLayer final : public Layer {
 public:
  explicit RtmpeLayer(const RtmpeSettings& settings)
      : handshake_(std::make_unique<RtmpeHandshake>(settings)) {}

  /// Faults: handshake_version, handshake_digest, rtmpe_key; none once established.
  [[nodiscard]] std::expected<Opened, Fault> open(Bytes input, MutableBytes room,
                                                  std::vector<uint8_t>& to_peer) override;
  void seal(Bytes plain, std::vector<uint8_t>& to_peer) override;
  [[nodiscard]] bool established() const override { return handshake_ == nullptr; }
  // RTMPE has no word for the end.
  [[nodiscard]] bool ended() const override { return false; }
  void finish(std::vector<uint8_t>& /*to_peer*/) override {}

  /// Once established, accepting side: C2 was neither signed nor an echo. For statistics only.
  [[nodiscard]] bool echo_differs() const { return echo_differs_; }

 private:
  std::unique_ptr<RtmpeHandshake> handshake_;  // until it is done
  bool echo_differs_ = false;
  std::optional<Rc4Stream> receiving_;
  std::optional<Rc4Stream> sending_;
};

}  // namespace penstock::tunnel

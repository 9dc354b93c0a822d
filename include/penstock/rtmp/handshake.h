#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/rtmp/handshake_digest.h"
#include "penstock/rtmp/outbox.h"

namespace penstock::rtmp {

constexpr uint8_t handshake_version_plain = 3;

/// The accepting side of the handshake: simple, or digest when C1 is signed (both schemes; the
/// answer uses the peer's).
///
/// S0, S1 and S2 go out together as soon as C1 is there: FFmpeg and GStreamer send C2 only after
/// all three, librtmp after S1, and waiting for C2 would lock up with the former. Whatever C2 holds
/// is accepted. About 3 KB: free it when done.
class Handshake {
 public:
  /// `random_seed` fills S1 and S2; nothing secret depends on it.
  explicit Handshake(uint64_t random_seed) : random_seed_(random_seed) {}

  /// Takes from the front of `input` what belongs to the handshake and returns how many bytes that
  /// was. Faults: handshake_version.
  std::expected<size_t, Fault> feed(Bytes input, Outbox& outbox);

  [[nodiscard]] bool done() const { return step_ == Step::done; }
  /// C1 was signed.
  [[nodiscard]] bool digest() const { return scheme_.has_value(); }
  /// Once done: C2 is neither S1 (but for its second time field) nor properly signed. For
  /// statistics only.
  [[nodiscard]] bool echo_differs() const { return echo_differs_; }

 private:
  enum class Step : uint8_t { version, first_packet, second_packet, done };

  void answer(Outbox& outbox);
  void answer_simple(MutableBytes s1, MutableBytes s2);
  void answer_digest(MutableBytes s1, MutableBytes s2);
  [[nodiscard]] bool second_packet_matches() const;

  uint64_t random_seed_;
  Step step_ = Step::version;
  bool echo_differs_ = false;
  std::optional<DigestScheme> scheme_;
  uint16_t received_ = 0;  // bytes of the packet that is being received
  std::array<uint8_t, handshake_packet_bytes> packet_{};  // C1, then C2
  std::array<uint8_t, handshake_packet_bytes> s1_{};
};

}  // namespace penstock::rtmp

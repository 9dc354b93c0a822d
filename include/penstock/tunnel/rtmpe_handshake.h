#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/prng.h"
#include "penstock/rtmp/handshake_digest.h"
#include "penstock/tunnel/rtmpe.h"

namespace penstock::tunnel {

/// 256 bits: as many as the group is worth, at a quarter of what 1024 cost.
using DhExponent = std::array<uint8_t, 32>;

struct RtmpeSettings {
  bool initiates = false;
  /// What C0 says (initiating; 0: 6), or S0 (accepting; 0: the peer's own number, which every peer
  /// takes; librtmp takes any of the three).
  uint8_t version = 0;
  /// Of our C1. An accepting side answers with the peer's.
  rtmp::DigestScheme scheme = rtmp::DigestScheme::key_first;
  /// Fills C1, S1, S2 and C2: nothing secret depends on it.
  uint64_t random_seed = 0;
  /// Drawn from the system unless given; a test or a simulation that must repeat itself gives one.
  std::optional<DhExponent> exponent;
};

struct RtmpeKeys {
  Rc4Key receiving{};
  Rc4Key sending{};
};

/// The handshake of RTMPE, either side: signed always, with a public key in each first packet. Two
/// modular exponentiations when the peer's first packet is complete. About 3.5 KB: free it when
/// done.
class RtmpeHandshake {
 public:
  explicit RtmpeHandshake(const RtmpeSettings& settings)
      : settings_(settings), prng_(settings.random_seed) {}

  /// Takes from the front of `input` what belongs to the handshake and returns how many bytes that
  /// was; answers are appended to `to_peer`. The initiating side begins with its first call,
  /// which may have no input. Faults: handshake_version, handshake_digest, rtmpe_key.
  std::expected<size_t, Fault> feed(Bytes input, std::vector<uint8_t>& to_peer);

  [[nodiscard]] bool done() const { return step_ == Step::done; }
  /// Once done.
  [[nodiscard]] const RtmpeKeys& keys() const { return keys_; }
  /// Once done, accepting side: C2 is neither S1 (but for its second time field) nor properly
  /// signed. For statistics only.
  [[nodiscard]] bool echo_differs() const { return echo_differs_; }

 private:
  enum class Step : uint8_t { begin, version, first_packet, second_packet, done };
  using Taken = std::expected<void, Fault>;

  void begin(std::vector<uint8_t>& to_peer);
  Taken take(std::vector<uint8_t>& to_peer);
  Taken take_version();
  Taken agree(Bytes digest_key);
  void answer_first(std::vector<uint8_t>& to_peer);
  [[nodiscard]] bool second_packet_echoes() const;
  [[nodiscard]] bool second_packet_signed(Bytes key_of_signer) const;
  void append_second(Bytes key_of_signer, std::vector<uint8_t>& to_peer);
  void write_own_first(Bytes digest_key);
  [[nodiscard]] DhExponent exponent() const;

  using Packet = std::array<uint8_t, rtmp::handshake_packet_bytes>;

  RtmpeSettings settings_;
  Prng prng_;
  Step step_ = Step::begin;
  uint8_t version_ = 0;  // 6, 8 or 9: what S0 says
  bool echo_differs_ = false;
  uint16_t received_ = 0;        // bytes of `packet_`
  rtmp::DigestScheme scheme_{};  // of our first packet
  rtmp::Digest peer_digest_{};   // of the peer's
  std::optional<DhKey> key_;
  RtmpeKeys keys_;
  Packet packet_{};     // the peer's, while it is being received
  Packet own_first_{};  // S1 (C1)
};

}  // namespace penstock::tunnel

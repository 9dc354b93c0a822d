#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/rtmp/hmac.h"

// The ciphers of RTMPE: key agreement, the RC4 streams, and what the forms 8 and 9 do to the
// signatures of the handshake. No confidentiality is claimed: all keys of the handshake are public.
namespace penstock::tunnel {

constexpr size_t dh_bytes = 128;
using DhNumber = std::array<uint8_t, dh_bytes>;  // big-endian, padded with zeros in front

/// In 2 .. p - 2: what remains would make the secret 0, 1 or p - 1.
[[nodiscard]] bool is_public_key(Bytes big_endian);

/// One side of the key agreement in the second Oakley group (RFC 2409, 6.2). A modular
/// exponentiation each way: off the path of media, and rationed per address.
class DhKey {
 public:
  /// `secret` is the private exponent, big-endian; at least 256 random bits outside of tests.
  explicit DhKey(Bytes secret);

  [[nodiscard]] const DhNumber& public_key() const { return public_key_; }
  /// None for a public key of the peer outside 2 .. p - 2.
  [[nodiscard]] std::optional<DhNumber> shared_secret(Bytes peer_public_key) const;

 private:
  std::vector<uint8_t> secret_;
  DhNumber public_key_{};
};

using Rc4Key = std::array<uint8_t, 16>;

/// The key of the direction whose receiver has `receiver_public_key`.
[[nodiscard]] Rc4Key stream_key(const DhNumber& shared_secret, Bytes receiver_public_key);

/// One direction's cipher, with the first 1536 bytes of its key stream already discarded. Ciphering
/// twice is deciphering.
class Rc4Stream {
 public:
  explicit Rc4Stream(const Rc4Key& key);
  /// Into `to`, which has room for as many bytes; may be where `from` is.
  void apply(Bytes from, uint8_t* to);
  void apply(MutableBytes bytes) { apply(bytes, bytes.data()); }

 private:
  std::array<uint8_t, 256> state_{};
  uint8_t i_ = 0;
  uint8_t j_ = 0;
};

constexpr uint8_t version_rtmpe = 6;           // plain signatures
constexpr uint8_t version_rtmpe_xtea = 8;      // signatures through XTEA
constexpr uint8_t version_rtmpe_blowfish = 9;  // signatures through Blowfish

/// Blowfish comes from OpenSSL's legacy provider, which this opens on the first call. False where
/// the host has none: form 9 is then refused. To be called at start where RTMPE is switched on, so
/// that no file is opened later.
[[nodiscard]] bool load_blowfish();

/// Enciphers a signature of the handshake in place as the form `version` (6, 8 or 9) wants it;
/// `key` is the HMAC key of that signature.
void encipher_signature(uint8_t version, rtmp::Digest& signature, const rtmp::Digest& key);

// One block (8 bytes) under one of the 16 built-in keys; for encipher_signature, and for the tests.
void encipher_xtea(uint8_t key_index, MutableBytes block);
void encipher_blowfish(uint8_t key_index, MutableBytes block);

}  // namespace penstock::tunnel

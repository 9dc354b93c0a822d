#include "penstock/tunnel/rtmpe_handshake.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "penstock/base/assert.h"

namespace penstock::tunnel {
namespace {

using rtmp::Digest;
using rtmp::DigestScheme;
using rtmp::handshake_packet_bytes;
using rtmp::handshake_signed_bytes;

// What librtmp and FFmpeg name as their version over RTMPE; and ours, of which FFmpeg's player only
// wants that it begins with 3 or more.
constexpr std::array<uint8_t, 4> initiating_version = {0x80, 0, 3, 2};
constexpr std::array<uint8_t, 4> accepting_version = {4, 5, 0, 1};

constexpr size_t time_bytes = 4;
constexpr size_t random_at = 8;

bool is_spoken(uint8_t version) {
  return version == version_rtmpe || version == version_rtmpe_xtea ||
         (version == version_rtmpe_blowfish && load_blowfish());
}

Digest signature_of(Bytes packet, Bytes key_of_signer, Bytes peer_digest, uint8_t version) {
  const Digest key = rtmp::signature_key(key_of_signer, peer_digest);
  Digest signature = rtmp::packet_signature(packet, key);
  encipher_signature(version, signature, key);
  return signature;
}

}  // namespace

std::expected<size_t, Fault> RtmpeHandshake::feed(Bytes input, std::vector<uint8_t>& to_peer) {
  if (step_ == Step::begin) begin(to_peer);
  size_t used = 0;
  while (step_ != Step::done) {
    const size_t wanted = step_ == Step::version ? 1 : packet_.size();
    const size_t count = std::min(input.size() - used, wanted - received_);
    copy_bytes(packet_.data() + received_, input.subspan(used, count));
    used += count;
    received_ = static_cast<uint16_t>(received_ + count);
    if (received_ < wanted) break;
    received_ = 0;
    if (const Taken taken = take(to_peer); !taken) return std::unexpected(taken.error());
  }
  return used;
}

void RtmpeHandshake::begin(std::vector<uint8_t>& to_peer) {
  step_ = Step::version;
  if (!settings_.initiates) return;
  version_ = settings_.version == 0 ? version_rtmpe : settings_.version;
  PENSTOCK_ASSERT(is_spoken(version_));
  scheme_ = settings_.scheme;
  key_.emplace(exponent());
  write_own_first(rtmp::flash_player_text());
  to_peer.push_back(version_);
  to_peer.insert(to_peer.end(), own_first_.begin(), own_first_.end());
}

RtmpeHandshake::Taken RtmpeHandshake::take(std::vector<uint8_t>& to_peer) {
  switch (step_) {
    case Step::version:
      step_ = Step::first_packet;
      return take_version();
    case Step::first_packet:
      step_ = Step::second_packet;
      if (settings_.initiates) return agree(rtmp::media_server_text());
      if (const Taken agreed = agree(rtmp::flash_player_text()); !agreed) return agreed;
      answer_first(to_peer);
      return {};
    default:
      step_ = Step::done;
      if (!settings_.initiates) {
        echo_differs_ = !second_packet_echoes() && !second_packet_signed(rtmp::flash_player_key());
        return {};
      }
      if (!second_packet_signed(rtmp::media_server_key()))
        return std::unexpected(Fault::handshake_digest);
      append_second(rtmp::flash_player_key(), to_peer);
      return {};
  }
}

RtmpeHandshake::Taken RtmpeHandshake::take_version() {
  // The number of S0 holds for both directions, whatever C0 was.
  version_ = packet_[0];
  if (!is_spoken(version_)) return std::unexpected(Fault::handshake_version);
  if (!settings_.initiates && settings_.version != 0) version_ = settings_.version;
  return {};
}

/// Takes the peer's first packet: its digest, and its public key.
RtmpeHandshake::Taken RtmpeHandshake::agree(Bytes digest_key) {
  const auto scheme = rtmp::find_digest(packet_, digest_key);
  if (!scheme) return std::unexpected(Fault::handshake_digest);
  copy_bytes(peer_digest_.data(), rtmp::digest_of(packet_, *scheme));
  const Bytes peer_key = Bytes(packet_).subspan(rtmp::dh_key_offset(packet_, *scheme), dh_bytes);
  // Before our own key, so that a bad one costs no exponentiation.
  if (!is_public_key(peer_key)) return std::unexpected(Fault::rtmpe_key);
  if (!settings_.initiates) {
    scheme_ = *scheme;
    key_.emplace(exponent());
  }
  const auto secret = key_->shared_secret(peer_key);
  PENSTOCK_ASSERT(secret.has_value());
  keys_.receiving = stream_key(*secret, key_->public_key());
  keys_.sending = stream_key(*secret, peer_key);
  return {};
}

/// S0, S1 and S2 at once: FFmpeg sends C2 only after all three.
void RtmpeHandshake::answer_first(std::vector<uint8_t>& to_peer) {
  write_own_first(rtmp::media_server_text());
  to_peer.push_back(version_);
  to_peer.insert(to_peer.end(), own_first_.begin(), own_first_.end());
  append_second(rtmp::media_server_key(), to_peer);
}

/// Fill, then the key, then the digest, which covers both.
void RtmpeHandshake::write_own_first(Bytes digest_key) {
  const MutableBytes packet = own_first_;
  std::fill_n(packet.begin(), time_bytes, uint8_t{0});
  copy_bytes(packet.data() + time_bytes,
             settings_.initiates ? initiating_version : accepting_version);
  prng_.fill(packet.subspan(random_at));
  if (!settings_.initiates && scheme_ == DigestScheme::key_first) {
    // FFmpeg's publishers take our key from where digest_first has it, though their own C1 is
    // key_first; librtmp and players go by the digest. So the key lies at both places. About two
    // draws in three fit.
    while (!rtmp::both_keys_fit(packet)) prng_.fill(packet.subspan(random_at));
    copy_bytes(packet.data() + rtmp::dh_key_offset(packet, DigestScheme::digest_first),
               key_->public_key());
  }
  copy_bytes(packet.data() + rtmp::dh_key_offset(packet, scheme_), key_->public_key());
  rtmp::write_digest(packet, scheme_, digest_key);
}

void RtmpeHandshake::append_second(Bytes key_of_signer, std::vector<uint8_t>& to_peer) {
  const size_t before = to_peer.size();
  to_peer.resize(before + handshake_packet_bytes);
  const MutableBytes packet = MutableBytes(to_peer).subspan(before);
  prng_.fill(packet.first(handshake_signed_bytes));
  copy_bytes(packet.data() + handshake_signed_bytes,
             signature_of(packet, key_of_signer, peer_digest_, version_));
}

bool RtmpeHandshake::second_packet_echoes() const {
  // Bytes 4..7 may hold the time at which the peer read S1.
  return std::memcmp(packet_.data(), own_first_.data(), time_bytes) == 0 &&
         std::memcmp(packet_.data() + random_at, own_first_.data() + random_at,
                     handshake_packet_bytes - random_at) == 0;
}

bool RtmpeHandshake::second_packet_signed(Bytes key_of_signer) const {
  const Digest expected =
      signature_of(packet_, key_of_signer, rtmp::digest_of(own_first_, scheme_), version_);
  return rtmp::equal_constant_time(expected, Bytes(packet_).last(sizeof(Digest)));
}

DhExponent RtmpeHandshake::exponent() const {
  if (settings_.exponent) return *settings_.exponent;
  DhExponent drawn;
  PENSTOCK_ASSERT(RAND_bytes(drawn.data(), static_cast<int>(drawn.size())) == 1);
  return drawn;
}

}  // namespace penstock::tunnel

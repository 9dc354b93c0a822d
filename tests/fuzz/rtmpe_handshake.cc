// The handshake of RTMPE and what follows it, either side: the same answer, the same plain bytes
// and the same end however the input was cut, and whatever room there is for what comes out.
//
// Input: a byte that seeds the cuts and says which side takes it, and which number and scheme the
// signed round has; then what the peer sends. Shorter inputs are filled up to three packets and a
// few bytes.

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/prng.h"
#include "penstock/rtmp/handshake_digest.h"
#include "penstock/tunnel/rtmpe_layer.h"

using namespace penstock;
using namespace penstock::tunnel;
using rtmp::DigestScheme;
using rtmp::handshake_packet_bytes;

namespace {

constexpr size_t handshake_bytes = 1 + 2 * handshake_packet_bytes;

// An exponent of a few bits: what is large takes 0.1 ms and finds nothing more.
constexpr DhExponent exponent() {
  DhExponent number{};
  number.back() = 23;
  return number;
}

struct Outcome {
  std::optional<Fault> fault;
  bool established = false, echo_differs = false;
  std::vector<uint8_t> plain, sent;
  bool operator==(const Outcome&) const = default;
};

Outcome open_all(bool initiates, Bytes stream, Prng* cuts) {
  RtmpeLayer layer({.initiates = initiates, .random_seed = 1, .exponent = exponent()});
  Outcome outcome;
  std::vector<uint8_t> room(1 << 16);
  while (!stream.empty()) {
    const Bytes run =
        cuts == nullptr ? stream : stream.first(std::min(stream.size(), 1 + cuts->below(2000)));
    stream = stream.subspan(run.size());
    for (Bytes left = run;;) {
      const size_t room_bytes = cuts == nullptr ? room.size() : 1 + cuts->below(3000);
      const auto opened = layer.open(left, MutableBytes(room).first(room_bytes), outcome.sent);
      if (!opened) {
        outcome.fault = opened.error();
        return outcome;
      }
      PENSTOCK_ASSERT(opened->output_bytes <= room_bytes && opened->input_bytes <= left.size());
      outcome.plain.insert(outcome.plain.end(), room.data(), room.data() + opened->output_bytes);
      left = left.subspan(opened->input_bytes);
      if (opened->input_bytes == 0 && opened->output_bytes == 0) break;
    }
  }
  outcome.established = layer.established();
  outcome.echo_differs = layer.echo_differs();
  return outcome;
}

Outcome open_twice(bool initiates, Bytes stream, Prng& cuts) {
  const Outcome whole = open_all(initiates, stream, nullptr);
  PENSTOCK_ASSERT(open_all(initiates, stream, &cuts) == whole);
  PENSTOCK_ASSERT(whole.established != whole.fault.has_value());
  PENSTOCK_ASSERT(whole.fault || whole.plain.size() == stream.size() - handshake_bytes);
  return whole;
}

/// Makes S2 of `stream` the one that belongs to the C1 of our initiating side.
void sign_second(MutableBytes stream) {
  const std::vector<uint8_t> first = open_all(true, stream.first(1), nullptr).sent;
  const rtmp::Digest key = rtmp::signature_key(
      rtmp::media_server_key(), rtmp::digest_of(Bytes(first).subspan(1), DigestScheme::key_first));
  const MutableBytes s2 = stream.subspan(1 + handshake_packet_bytes, handshake_packet_bytes);
  rtmp::Digest signature = rtmp::packet_signature(s2, key);
  encipher_signature(stream[0], signature, key);
  copy_bytes(s2.data() + rtmp::handshake_signed_bytes, signature);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> stream(data + 1, data + size);
  if (stream.size() < handshake_bytes) stream.resize(handshake_bytes + 7);
  constexpr std::array<uint8_t, 4> numbers = {version_rtmpe, version_rtmpe_xtea,
                                              version_rtmpe_blowfish, version_rtmpe};
  const uint8_t number = numbers[data[0] & 3];
  const auto scheme = (data[0] & 4) != 0 ? DigestScheme::key_first : DigestScheme::digest_first;
  const bool initiates = (data[0] & 8) != 0;
  Prng cuts(data[0]);
  open_twice(initiates, stream, cuts);

  // Signed, it goes on behind the first packet, or ends with the key.
  stream[0] = number;
  const MutableBytes packet = MutableBytes(stream).subspan(1, handshake_packet_bytes);
  rtmp::write_digest(packet, scheme,
                     initiates ? rtmp::media_server_text() : rtmp::flash_player_text());
  if (initiates) sign_second(stream);
  const bool key_good =
      is_public_key(Bytes(packet).subspan(rtmp::dh_key_offset(packet, scheme), dh_bytes));
  const Outcome outcome = open_twice(initiates, stream, cuts);
  PENSTOCK_ASSERT(outcome.established == key_good);
  PENSTOCK_ASSERT(key_good || outcome.fault == Fault::rtmpe_key);
  return 0;
}

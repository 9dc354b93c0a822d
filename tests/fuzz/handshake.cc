// The handshake: the same answer and the same end however the input was cut; a digest is found
// where one was written.
//
// Input: a byte that seeds the cuts, then what the peer sends; shorter inputs are filled up to C0,
// C1 and C2.

#include "penstock/rtmp/handshake.h"

#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/prng.h"

using namespace penstock;
using namespace penstock::rtmp;

namespace {

constexpr size_t handshake_bytes = 1 + 2 * handshake_packet_bytes;

struct Outcome {
  std::optional<Fault> fault;
  size_t used = 0;
  bool done = false, digest = false, echo_differs = false;
  std::vector<uint8_t> sent;
  bool operator==(const Outcome&) const = default;
};

Outcome shake(Bytes stream, Prng* cuts) {
  Handshake handshake(1);
  Outbox outbox;
  Outcome outcome;
  while (outcome.used < stream.size() && !handshake.done()) {
    Bytes run = stream.subspan(outcome.used);
    if (cuts != nullptr) run = run.first(std::min<size_t>(run.size(), 1 + cuts->below(2000)));
    const auto used = handshake.feed(run, outbox);
    if (!used) {
      outcome.fault = used.error();
      break;
    }
    PENSTOCK_ASSERT(*used == run.size() || handshake.done());
    outcome.used += *used;
  }
  PENSTOCK_ASSERT(outcome.used <= handshake_bytes);
  outcome.done = handshake.done();
  outcome.digest = handshake.digest();
  outcome.echo_differs = handshake.echo_differs();
  outcome.sent = outbox.take();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> stream(data + 1, data + size);
  if (stream.size() < handshake_bytes) stream.resize(handshake_bytes);
  Prng cuts(data[0]);
  const Outcome whole = shake(stream, nullptr);
  PENSTOCK_ASSERT(shake(stream, &cuts) == whole);
  PENSTOCK_ASSERT(whole.done == !whole.fault);
  for (const DigestScheme scheme : {DigestScheme::digest_first, DigestScheme::key_first}) {
    const MutableBytes packet = MutableBytes(stream).subspan(1, handshake_packet_bytes);
    packet[4] = 9;
    write_digest(packet, scheme, flash_player_text());
    PENSTOCK_ASSERT(find_digest(packet, flash_player_text()).has_value());
    stream[0] = handshake_version_plain;
    const Outcome digest = shake(stream, &cuts);
    PENSTOCK_ASSERT(digest.digest && digest.done);
  }
  return 0;
}

// A session: whatever a peer sends, no assertion is reached, what it reports and sends does not
// depend on where the input was cut or on whether rests of messages were taken in one go, and what
// it sends is a chunk stream.
//
// Input: a byte that says where the peer begins (0 with the handshake, 1 behind it, 2 as a
// publisher, 3 as a player) and how it is answered, a byte that seeds the cuts, then what it sends.

#include "penstock/rtmp/session.h"

#include "penstock/base/assert.h"
#include "penstock/rtmp/handshake_digest.h"
#include "tests/unit/rtmp/session_probe.h"

using namespace penstock;

namespace {

// Below the sizes at which acknowledgements and the flood limit look at how much came at once.
constexpr size_t input_bytes_max = 16 * 1024;

struct Outcome {
  std::vector<std::string> events, sent;
  std::vector<test::Media> media;
  std::vector<test::Octets> data;
  std::optional<Fault> fault;
  bool operator==(const Outcome&) const = default;
};

/// S0, S1 and S2 go before the chunk stream.
void drop_handshake(rtmp::Outbox& outbox) {
  const std::vector<uint8_t> sent = outbox.take();
  outbox.append(Bytes(sent).subspan(std::min(sent.size(), 1 + 2 * rtmp::handshake_packet_bytes)));
}

Outcome talk(uint8_t begin, Bytes stream, Prng* cuts, Prng* rests) {
  test::SessionProbe peer;
  peer.rests = rests;
  if (begin % 4 == 1) peer.shaken();
  if (begin % 4 == 2) peer.publishing();
  if (begin % 4 == 3) peer.playing();
  peer.answers = begin & 4 ? rtmp::Refusal::denied : rtmp::Refusal::none;
  while (!stream.empty() && !peer.fault) {
    const size_t count =
        cuts == nullptr ? stream.size() : std::min<size_t>(stream.size(), 1 + cuts->below(60));
    peer.feed(stream.first(count));
    stream = stream.subspan(count);
    (void)peer.session.expire(peer.session.deadline());
  }
  Outcome outcome{.fault = peer.fault};
  if (begin % 4 == 0) drop_handshake(peer.session.outbox());
  outcome.sent = peer.sent();
  outcome.events = peer.take_events();
  outcome.media = peer.media;
  outcome.data = peer.data;
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Bytes stream = Bytes(data + 2, size - 2).first(std::min(size - 2, input_bytes_max));
  Prng cuts(data[1]);
  const Outcome expected = talk(data[0], stream, nullptr, nullptr);
  PENSTOCK_ASSERT(talk(data[0], stream, &cuts, nullptr) == expected);
  PENSTOCK_ASSERT(talk(data[0], stream, nullptr, &cuts) == expected);
  PENSTOCK_ASSERT(talk(data[0], stream, &cuts, &cuts) == expected);
  return 0;
}

// What comes instead of TLS records. Whatever it is: open() keeps its word (bytes taken, room, both
// 0 at the end), never gives bytes of a peer that has not shaken hands, gives what the peer sealed
// up to the first byte that was changed and nothing else, and the same however the input was cut.
//
// Input: a byte that says what is done, a byte that seeds the cuts, then either bytes from a
// stranger or orders to somebody in the middle of a connection that stands: each of two bytes,
// where to change a byte and by what.

#include <algorithm>

#include "dataplane/tls/tls_layer.h"
#include "penstock/base/assert.h"
#include "penstock/base/prng.h"
#include "tests/unit/tls/made_certificate.h"

using namespace penstock;
using namespace penstock::tls;

namespace {

constexpr uint8_t from_a_stranger = 1;
constexpr uint8_t with_tls_1_2 = 2;

struct Side {
  std::unique_ptr<TlsLayer> layer;
  std::vector<uint8_t> to_peer;
  std::vector<uint8_t> plain;
  bool fault = false;

  void take(Bytes input, Prng* cuts) {
    std::vector<uint8_t> room(cuts != nullptr ? 1 + cuts->below(5000) : 20'000);
    while (!fault) {
      const size_t count =
          cuts != nullptr ? std::min<size_t>(input.size(), cuts->below(4000) + 1) : input.size();
      const auto opened = layer->open(input.first(count), room, to_peer);
      if (!opened) {
        fault = true;
        PENSTOCK_ASSERT(!layer->reason().empty());
        return;
      }
      PENSTOCK_ASSERT(opened->input_bytes <= count && opened->output_bytes <= room.size());
      PENSTOCK_ASSERT(layer->established() || opened->output_bytes == 0);
      plain.insert(plain.end(), room.begin(),
                   room.begin() + static_cast<ptrdiff_t>(opened->output_bytes));
      input = input.subspan(opened->input_bytes);
      if (opened->input_bytes == 0 && opened->output_bytes == 0) {
        PENSTOCK_ASSERT(input.empty());
        return;
      }
    }
  }
};

const CertificateSet& certificates() {
  static const std::unique_ptr<const CertificateSet> set = make_set();
  return *set;
}

void stranger(Bytes input, Prng& cuts) {
  Side whole{.layer = TlsLayer::accept(certificates())};
  whole.take(input, nullptr);
  Side cut{.layer = TlsLayer::accept(certificates())};
  cut.take(input, &cuts);
  PENSTOCK_ASSERT(whole.fault == cut.fault && whole.plain.empty() && cut.plain.empty());
  PENSTOCK_ASSERT(whole.layer->reason() == cut.layer->reason());
}

void in_the_middle(Bytes orders, bool tls_1_2, Prng& cuts) {
  using Versions = InitiatorContext::Versions;
  static const InitiatorContext older(Versions::tls_1_2);
  static const InitiatorContext newer(Versions::tls_1_3);
  Side accepting{.layer = TlsLayer::accept(certificates())};
  Side initiating{.layer = TlsLayer::initiate(tls_1_2 ? older : newer)};
  initiating.take({}, nullptr);
  while (!initiating.to_peer.empty() || !accepting.to_peer.empty()) {
    const auto up = std::move(initiating.to_peer);
    initiating.to_peer.clear();
    accepting.take(up, nullptr);
    const auto down = std::move(accepting.to_peer);
    accepting.to_peer.clear();
    initiating.take(down, nullptr);
  }
  PENSTOCK_ASSERT(accepting.layer->established() && initiating.layer->established());

  std::vector<uint8_t> said(6000);
  cuts.fill(said);
  size_t at = 0;
  for (const size_t count : {10, 1000, 4990}) {
    initiating.layer->seal(Bytes(said).subspan(at, count), initiating.to_peer);
    at += count;
  }
  std::vector<uint8_t>& wire = initiating.to_peer;
  const std::vector<uint8_t> as_sent = wire;
  for (size_t i = 0; i + 1 < orders.size(); i += 2) {
    wire[orders[i] * wire.size() / 256] ^= orders[i + 1];
  }
  accepting.take(wire, &cuts);
  const bool same = wire == as_sent;
  PENSTOCK_ASSERT(accepting.plain.size() <= said.size());
  PENSTOCK_ASSERT(std::equal(accepting.plain.begin(), accepting.plain.end(), said.begin()));
  PENSTOCK_ASSERT(same == (accepting.plain.size() == said.size()) && !(same && accepting.fault));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  Prng cuts(data[1]);
  const Bytes rest(data + 2, size - 2);
  if ((data[0] & from_a_stranger) != 0) {
    stranger(rest, cuts);
  } else {
    in_the_middle(rest.first(std::min<size_t>(rest.size(), 64)), (data[0] & with_tls_1_2) != 0,
                  cuts);
  }
  return 0;
}

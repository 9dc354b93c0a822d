// Aggregate messages: the same messages and the same fault however the payload was cut; no message
// that begins and does not end; at most one fault.
//
// Input: a byte that seeds the cuts, a timestamp (4), then the payload.

#include "penstock/rtmp/aggregate.h"

#include <tuple>
#include <utility>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/prng.h"

using namespace penstock;
using namespace penstock::rtmp;

namespace {

using Messages = std::vector<std::tuple<uint8_t, uint32_t, std::vector<uint8_t>>>;

struct Outcome {
  Messages messages;
  int faults = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome split(Bytes body, uint32_t timestamp, Prng* cuts) {
  AggregateReader reader(static_cast<uint32_t>(body.size()), timestamp);
  Outcome outcome;
  std::vector<uint8_t> payload;
  while (!body.empty()) {
    const size_t count =
        cuts == nullptr ? body.size() : std::min<size_t>(body.size(), 1 + cuts->below(40));
    reader.feed(body.first(count));
    body = body.subspan(count);
    for (;;) {
      const auto piece = reader.next();
      if (!piece) {
        ++outcome.faults;
        continue;
      }
      if (!*piece) break;
      PENSTOCK_ASSERT((*piece)->offset == payload.size());
      payload.insert(payload.end(), (*piece)->bytes.begin(), (*piece)->bytes.end());
      PENSTOCK_ASSERT(payload.size() <= (*piece)->message_bytes);
      if (payload.size() < (*piece)->message_bytes) {
        PENSTOCK_ASSERT(reader.unfinished_type() == (*piece)->message_type);
        continue;
      }
      outcome.messages.emplace_back((*piece)->message_type, (*piece)->timestamp,
                                    std::exchange(payload, {}));
    }
  }
  PENSTOCK_ASSERT(payload.empty() && outcome.faults <= 1);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5) return 0;
  Prng cuts(data[0]);
  const uint32_t timestamp = load_u32(data + 1);
  const Bytes body(data + 5, size - 5);
  PENSTOCK_ASSERT(split(body, timestamp, nullptr) == split(body, timestamp, &cuts));
  return 0;
}

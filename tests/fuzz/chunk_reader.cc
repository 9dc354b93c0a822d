// The chunk layer: the same messages, in the same order, and the same fault as a naive reader,
// however the input was cut, and whether messages come in pieces alone or their rests in one go;
// and every promise of a piece (checked by ChunkCollector).
//
// Input: a byte that seeds the cuts, then the stream.

#include "penstock/rtmp/chunk_reader.h"

#include "penstock/base/assert.h"
#include "penstock/base/prng.h"
#include "tests/unit/rtmp/chunk_collector.h"

using namespace penstock;

namespace {

// Small enough that a short input reaches both.
constexpr uint32_t message_bytes_max = 4096;
constexpr uint32_t partial_bytes_max = 6000;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes stream(data + 1, size - 1);
  const test::Decoded expected =
      test::NaiveChunkReader({stream.begin(), stream.end()}, message_bytes_max, partial_bytes_max)
          .decode();
  Prng prng(data[0]);
  for (const size_t run_bytes_max : {size_t{1}, size_t{20}, size_t{300}, stream.size() + 1}) {
    for (Prng* rests : {static_cast<Prng*>(nullptr), &prng}) {
      test::ChunkCollector collector(message_bytes_max, partial_bytes_max, rests);
      bool good = true;
      for (size_t at = 0; at < stream.size() && good;) {
        const size_t count = std::min<size_t>(1 + prng.below(run_bytes_max), stream.size() - at);
        // A copy of its own, so that a reader that looks outside of it is seen by the memory
        // checker.
        const std::vector<uint8_t> run(stream.begin() + static_cast<ptrdiff_t>(at),
                                       stream.begin() + static_cast<ptrdiff_t>(at + count));
        good = collector.feed(run);
        at += count;
      }
      PENSTOCK_ASSERT(collector.decoded.fault == expected.fault);
      PENSTOCK_ASSERT(collector.decoded.messages == expected.messages);
    }
  }
  return 0;
}

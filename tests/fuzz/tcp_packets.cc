// Whole Ethernet frames into a stack with a connection that stands: what TcpUnderFuzz promises.
//
// Input: a byte that chooses IPv4 or IPv6, then frames: a byte of what is mended in it, a byte of
// milliseconds (times 4) that pass before it, two of its length (little-endian), and its bytes.

#include "tests/fuzz/tcp_under_fuzz.h"

using namespace penstock;
using namespace penstock::engine::tcp;

namespace {

constexpr uint8_t right_checksums = 1;
constexpr uint8_t of_the_connection = 2;  // addresses and ports
constexpr uint8_t near_numbers = 4;    // sequence and acknowledgment are added to what is expected
constexpr uint8_t answers_before = 8;  // the caller closes, reads no more, or sends, by the length
constexpr size_t frames_max = 64;

void aim(const TcpUnderFuzz& target, std::vector<uint8_t>& frame, uint8_t what) {
  const size_t at = transport_at(frame);
  if (at == 0 || frame.size() < at + 12) return;
  if ((what & of_the_connection) != 0) {
    const std::vector<uint8_t> right = target.packet(target.segment(flag::ack, 0, 0));
    const size_t headers = target.v6() ? 54 : 34;
    if (at == headers) std::copy_n(right.begin(), headers + 4, frame.begin());
  }
  if ((what & near_numbers) != 0) {
    uint8_t* tcp = frame.data() + at;
    store_u32(tcp + 4, load_u32(tcp + 4) + target.expected());
    store_u32(tcp + 8, load_u32(tcp + 8) + target.next());
  }
}

void call(TcpUnderFuzz& target, size_t number) {
  Stack& stack = target.stack();
  if (target.first_closed()) return;
  switch (number % 5) {
    case 0:
      return stack.close(target.id(), target.now());
    case 1:
      return stack.set_reading(target.id(), false, target.now());
    case 2:
      return stack.set_reading(target.id(), true, target.now());
    case 3:
      return stack.set_low_water(target.id(), 5000);
    default: {
      const Bytes slices[] = {Bytes(target.bytes()).first(3000)};
      return stack.send(target.id(), slices, target.now());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  TcpUnderFuzz target((data[0] & 1) != 0);
  size_t at = 1;
  for (size_t frames = 0; frames < frames_max && size - at >= 4; ++frames) {
    const uint8_t what = data[at];
    const uint8_t wait = data[at + 1];
    const size_t said = data[at + 2] | size_t{data[at + 3]} << 8;
    at += 4;
    const size_t length = std::min(said, size - at);
    std::vector<uint8_t> frame(data + at, data + at + length);
    at += length;
    if (wait != 0) target.pass(wait * 4 * ns_per_ms);
    if ((what & answers_before) != 0) call(target, said);
    aim(target, frame, what);
    if ((what & right_checksums) != 0) mend(frame);
    target.arrive(std::move(frame));
  }
  target.finish();
  return 0;
}

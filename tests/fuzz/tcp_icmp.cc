// ICMP, ICMPv6, NDP and ARP into a stack with a connection whose bytes are on their way. Whatever
// they say, with right checksums: the connection that stands is not ended by them, no segment
// becomes smaller than the least that is believed, and what TcpUnderFuzz promises.
//
// Input: a byte that chooses IPv4 or IPv6, then messages: a byte of what is quoted, a byte of their
// length, and their bytes, from ICMP's header on (ARP: from its own on).

#include "tests/fuzz/tcp_under_fuzz.h"

using namespace penstock;
using namespace penstock::engine::tcp;

namespace {

constexpr uint8_t is_arp = 1;
constexpr uint8_t quotes = 2;  // bytes from the 8th on are laid over a packet that was sent
constexpr uint8_t from_router = 4;
constexpr size_t messages_max = 32;
constexpr size_t icmp_bytes = 8;

std::vector<uint8_t> message_of(const TcpUnderFuzz& target, Bytes said, uint8_t what) {
  std::vector<uint8_t> message(said.begin(), said.end());
  if ((what & quotes) == 0 || message.size() < icmp_bytes) return message;
  const auto& frames = target.sent_frames();
  const std::vector<uint8_t>& frame = frames[(what >> 4) % frames.size()];
  std::vector<uint8_t> quoted(frame.begin() + 14, frame.end());
  quoted.resize(std::min<size_t>(quoted.size(), 68));
  for (size_t i = icmp_bytes; i < message.size() && i - icmp_bytes < quoted.size(); ++i) {
    quoted[i - icmp_bytes] ^= message[i];
  }
  message.resize(icmp_bytes);
  message.insert(message.end(), quoted.begin(), quoted.end());
  return message;
}

std::vector<uint8_t> frame_of(const TcpUnderFuzz& target, const std::vector<uint8_t>& message,
                              uint8_t what) {
  const StackOptions from = options_of_host((what & from_router) != 0 ? 254 : 2);
  const OwnAddresses own(from);
  const StackOptions to = TcpUnderFuzz::options();
  PacketOut packet;
  if ((what & is_arp) != 0) {
    write_ethernet(packet, own, to.mac, ethertype_arp);
  } else {
    const FlowKey flow = flow_to(target.v6() ? *to.address6 : *to.address, 0, 0);
    const Addressing addressing{
        .to = to.mac, .protocol = target.v6() ? protocol::icmp6 : protocol::icmp, .hop_limit = 255};
    write_ip(packet, own, flow, addressing, message.size(), false);
  }
  std::vector<uint8_t> frame = bytes_of(packet);
  frame.insert(frame.end(), message.begin(), message.end());
  if ((what & is_arp) == 0) mend(frame);
  return frame;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  TcpUnderFuzz target((data[0] & 1) != 0);
  size_t at = 1;
  for (size_t messages = 0; messages < messages_max && size - at >= 2; ++messages) {
    const uint8_t what = data[at];
    const size_t length = std::min<size_t>(data[at + 1], size - at - 2);
    const std::vector<uint8_t> message = message_of(target, {data + at + 2, length}, what);
    at += 2 + length;
    target.arrive(frame_of(target, message, what));
    target.pass(ns_per_ms);
  }
  PENSTOCK_ASSERT(!target.first_closed());
  // What is sent now: full segments of the least that is believed, or more.
  const size_t least = target.v6() ? 1280 : 552;
  size_t largest = 0;
  for (int i = 0; i < 8 && largest == 0; ++i) {
    target.pass(ns_per_s);
    for (const auto& frame : target.out()) largest = std::max(largest, frame.size());
  }
  PENSTOCK_ASSERT(largest == 0 || largest >= 14 + least || largest < 200);
  target.finish();
  return 0;
}

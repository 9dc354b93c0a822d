#include <algorithm>

#include "dataplane/engine/tcp/neighbour_wire.h"
#include "tests/unit/tcp/kernel_peer.h"

namespace penstock::engine::tcp {
// The host --------------------------------------------------------------------------------------

KernelHost::KernelHost(const KernelOptions& options, const std::vector<Plan>& plans, uint64_t seed)
    : options_(options), own_(options.addresses), plans_(plans), prng_(seed) {}

void KernelHost::connect(const Plan& plan, Instant now) {
  FlowKey flow;
  flow.local = plan.v6 ? LocalAddress::ipv6 : LocalAddress::ipv4;
  set_remote(flow, plan.v6 ? options_.peer6 : options_.peer);
  flow.remote_port = options_.port;
  flow.local_port = next_port_++;
  talks_.emplace_back(plans_, initiator, &plan, now);
  sockets_.push_back(
      std::make_unique<KernelSocket>(options_, flow, talks_.back(), prng_.next(), now));
  sockets_.back()->connect(now);
}

KernelSocket* KernelHost::find(const FlowKey& flow) {
  for (const auto& socket : sockets_) {
    if (socket->flow() == flow) return socket.get();
  }
  return nullptr;
}

void KernelHost::put(const FlowKey& flow, const SegmentOut& segment, Bytes payload,
                     std::vector<Frame>& out) {
  SegmentOut whole = segment;
  if (!payload.empty()) {
    whole.slices[0] = payload;
    whole.slice_count = 1;
  }
  PacketOut packet;
  write_tcp_packet(packet, own_, flow, options_.peer_mac, 0, whole, {});
  Frame frame(packet.header.begin(), packet.header.begin() + packet.header_bytes);
  frame.insert(frame.end(), payload.begin(), payload.end());
  out.push_back(std::move(frame));
}

void KernelHost::neighbours(const ParsedPacket& parsed, std::vector<Frame>& out) {
  const auto message = parsed.kind == PacketKind::arp ? parse_arp(parsed.message)
                       : is_ndp(parsed.message)       ? parse_ndp(parsed)
                                                      : std::nullopt;
  if (!message || !message->request || !own_.is_own(message->target)) return;
  const LocalAddress which = !message->target.ipv6                ? LocalAddress::ipv4
                             : message->target.bytes == own_.ipv6 ? LocalAddress::ipv6
                                                                  : LocalAddress::link_local;
  PacketOut packet;
  write_answer(packet, own_, which, Asker{message->sender, options_.peer_mac});
  out.emplace_back(packet.header.begin(), packet.header.begin() + packet.header_bytes);
  for (size_t i = 0; i < packet.slice_count; ++i) {
    out.back().insert(out.back().end(), packet.slices[i].begin(), packet.slices[i].end());
  }
}

void KernelHost::segment(const FlowKey& flow, const SegmentIn& in, Instant now,
                         std::vector<Frame>& out) {
  KernelSocket* socket = find(flow);
  if (socket != nullptr && !socket->over()) return socket->receive(in, now);
  const bool opens = in.has(flag::syn) && !in.has(flag::ack) && !in.has(flag::rst);
  if (socket == nullptr && opens && flow.local_port == options_.port) {
    talks_.emplace_back(plans_, acceptor, nullptr, now);
    sockets_.push_back(
        std::make_unique<KernelSocket>(options_, flow, talks_.back(), prng_.next(), now));
    sockets_.back()->accept(in, now);
    return;
  }
  if (in.has(flag::rst)) return;
  SegmentOut answer;
  if (in.has(flag::ack)) {
    answer.sequence = in.acknowledgment;
    answer.flags = flag::rst;
  } else {
    answer.acknowledgment = in.sequence + in.sequence_bytes();
    answer.flags = flag::rst | flag::ack;
  }
  // TIME_WAIT acknowledges what comes again.
  if (socket != nullptr && socket->talk().ended_ && socket->talk().finished_) {
    if (in.sequence_bytes() == 0 || !in.has(flag::ack)) return;
    answer = {};
    answer.sequence = in.acknowledgment;
    answer.acknowledgment = in.sequence + in.sequence_bytes();
    answer.flags = flag::ack;
    answer.options.has_timestamps = in.options.has_timestamps;
    answer.options.timestamp = in.options.timestamp_echo;
    answer.options.timestamp_echo = in.options.timestamp;
  }
  put(flow, answer, {}, out);
}

void KernelHost::turn(std::vector<Frame> arrived, Instant now, std::vector<Frame>& out) {
  std::vector<Merged> merged;
  for (const Frame& frame : arrived) {
    ParsedPacket parsed;
    parse_packet({.bytes = frame}, own_, counters_, parsed);
    if (parsed.kind == PacketKind::arp || parsed.kind == PacketKind::icmp) {
      neighbours(parsed, out);
    }
    if (parsed.kind != PacketKind::tcp) continue;
    const SegmentIn& in = parsed.segment;
    Merged* last = nullptr;
    for (Merged& one : merged) {
      if (one.flow == parsed.flow) last = &one;
    }
    constexpr uint8_t special = flag::syn | flag::fin | flag::rst;
    // dev_gro_receive(): the same but for number and payload, and in order.
    const bool fits =
        options_.merges && last != nullptr && !in.payload.empty() && !last->payload.empty() &&
        ((in.flags | last->segment.flags) & special) == 0 && !last->segment.has(flag::psh) &&
        in.sequence == last->segment.sequence + last->payload.size() &&
        in.acknowledgment == last->segment.acknowledgment && in.options.sack_count == 0 &&
        in.options.timestamp == last->segment.options.timestamp &&
        last->payload.size() + in.payload.size() < 65536 && last->pieces < 44;
    if (fits) {
      last->payload.insert(last->payload.end(), in.payload.begin(), in.payload.end());
      last->segment.flags |= in.flags;
      last->segment.window = in.window;
      ++last->pieces;
      continue;
    }
    merged.push_back({parsed.flow, in, {in.payload.begin(), in.payload.end()}});
  }
  for (Merged& one : merged) {
    one.segment.payload = one.payload;
    segment(one.flow, one.segment, now, out);
  }
  for (const auto& socket : sockets_) {
    if (socket->deadline() <= now) socket->expire(now);
    socket->use(now);
    for (const KernelSocket::Out& one : socket->out_) {
      put(socket->flow(), one.segment, one.payload, out);
    }
    socket->out_.clear();
  }
}

Instant KernelHost::wake_at(Instant now) const {
  Instant at = Instant::never();
  for (const auto& socket : sockets_) {
    if (socket->over()) continue;
    at = std::min(at, socket->deadline());
    const Talk& talk = socket->talk();
    if (talk.plan() != nullptr && talk.own().bytes_per_s != 0 && !talk.all_written()) {
      at = std::min(at, now.after_ms(5));
    }
  }
  return at;
}

bool KernelHost::quiet() const {
  return std::all_of(sockets_.begin(), sockets_.end(),
                     [](const auto& socket) { return socket->over(); });
}

}  // namespace penstock::engine::tcp

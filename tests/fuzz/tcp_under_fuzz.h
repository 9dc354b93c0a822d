#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/engine/tcp/checksum.h"
#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/stack.h"
#include "dataplane/engine/tcp/wire.h"
#include "penstock/base/assert.h"
#include "tests/unit/tcp/packets.h"

// A stack, host 1, with one connection that stands and has bytes on their way, and whoever sends it
// packets. Whatever comes: each packet comes back exactly once, what goes out is well formed, and
// in the end every connection is over.
namespace penstock::engine::tcp {

class TcpUnderFuzz {
 public:
  static constexpr uint16_t own_port = 1;
  static constexpr uint16_t peer_port = 5000;

  explicit TcpUnderFuzz(bool v6)
      : v6_(v6), peer_(options_of_host(2)), peer_addresses_(peer_), stack_(options()) {
    PENSTOCK_ASSERT(stack_.listen(own_port));
    bytes_.resize(40'000);
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<uint8_t>(i * 7 + i / 251);
    SegmentOut syn = segment(flag::syn, 1000, 0);
    syn.options.segment_bytes_max = 1460;
    syn.options.window_scale = 7;
    syn.options.sack_permitted = true;
    syn.options.has_timestamps = true;
    syn.options.timestamp = 77;
    arrive(packet(syn));
    // Its neighbour is asked for first.
    stack_.hear_neighbour({v6 ? *peer_.address6 : *peer_.address, peer_.mac, true}, now_);
    turn({});
    PENSTOCK_ASSERT(next_ != 0);
    arrive(packet(segment(flag::ack, 1001, next_)));
    PENSTOCK_ASSERT(opened_ == 1);
    const Bytes slices[] = {Bytes(bytes_).first(700), Bytes(bytes_).subspan(700)};
    stack_.send(id_, slices, now_);
    turn({});
    sent_frames_ = out_;
    PENSTOCK_ASSERT(sent_frames_.size() >= 4);
  }

  /// A packet of the connection's peer with these numbers.
  [[nodiscard]] SegmentOut segment(uint8_t flags, uint32_t sequence,
                                   uint32_t acknowledgment) const {
    SegmentOut made;
    made.flags = flags;
    made.sequence = sequence;
    made.acknowledgment = acknowledgment;
    made.window = 60'000;
    made.options.has_timestamps = true;
    made.options.timestamp = 78;
    return made;
  }
  [[nodiscard]] std::vector<uint8_t> packet(const SegmentOut& made) const {
    return tcp_packet(peer_, options(), v6_, peer_port, own_port, made);
  }

  void arrive(std::vector<uint8_t> frame) {
    const uintptr_t token = next_token_++;
    // A block of its own of exactly this size: a sanitizer sees the first byte read beyond it.
    auto& kept = lent_[token];
    kept.size = frame.size();
    kept.bytes = std::make_unique_for_overwrite<uint8_t[]>(frame.size());
    std::copy(frame.begin(), frame.end(), kept.bytes.get());
    turn({.bytes = {kept.bytes.get(), kept.size}, .token = {token}});
  }
  void pass(uint64_t ns) {
    now_ = now_.after_ns(ns);
    turn({});
  }
  /// Everything comes to an end by itself: timeouts, keepalive, TIME_WAIT.
  void finish() {
    for (const ConnectionId id : ids_) stack_.close(id, now_);
    for (int i = 0; i < 3000 && stack_.deadline() != Instant::never(); ++i) {
      now_ = std::max(now_.after_ns(ns_per_ms), stack_.deadline());
      turn({});
    }
    PENSTOCK_ASSERT(closed_ == opened_);
    PENSTOCK_ASSERT(lent_.empty());
  }

  [[nodiscard]] Stack& stack() { return stack_; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] ConnectionId id() const { return id_; }
  [[nodiscard]] bool first_closed() const { return first_closed_; }
  [[nodiscard]] bool v6() const { return v6_; }
  [[nodiscard]] const std::vector<std::vector<uint8_t>>& sent_frames() const {
    return sent_frames_;
  }
  /// What the last turn sent.
  [[nodiscard]] const std::vector<std::vector<uint8_t>>& out() const { return out_; }
  [[nodiscard]] uint32_t next() const { return next_; }          // the stack's sequence number
  [[nodiscard]] uint32_t expected() const { return expected_; }  // what it acknowledges
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return bytes_; }

  static StackOptions options() {
    StackOptions made = options_of_host(1);
    made.user_timeout_ns = 10 * ns_per_s;
    made.keepalive_ns = 5 * ns_per_s;
    made.connections_max = 3;
    made.half_open_max = 2;
    made.time_wait_max = 2;
    made.held_packets_max = 16;
    made.receive_blocks = 4;
    made.sent_segments_max = 64;
    made.out_of_order_bytes_max = 20'000;
    return made;
  }

 private:
  struct Lent {
    std::unique_ptr<uint8_t[]> bytes;
    size_t size = 0;
  };

  void turn(const PacketIn& packet) {
    out_.clear();
    give_back();
    if (packet.bytes.data() != nullptr) {
      stack_.input({&packet, 1}, now_);
    } else {
      stack_.input({}, now_);
    }
    stack_.expire(now_);
    take_events();
    std::array<PacketOut, 16> room;
    for (bool more = true; more;) {
      const auto packets = stack_.output(room, now_);
      for (const PacketOut& one : packets) note(bytes_of(one));
      packets_out_ += packets.size();
      more = packets.size() == room.size();
    }
    stack_.transmitted(packets_out_);
    take_events();
    give_back();
  }
  void give_back() {
    std::array<PacketToken, 8> room;
    for (bool more = true; more;) {
      const auto tokens = stack_.take_released(room);
      for (const PacketToken token : tokens) PENSTOCK_ASSERT(lent_.erase(token.value) == 1);
      more = tokens.size() == room.size();
    }
  }
  void take_events() {
    std::array<StackEvent, 4> room;
    for (bool more = true; more;) {
      const auto events = stack_.events(room);
      for (const StackEvent& event : events) {
        if (event.kind == StackEventKind::accepted) {
          if (opened_++ == 0) id_ = event.id;
          ids_.push_back(event.id);
        } else if (event.kind == StackEventKind::closed) {
          ++closed_;
          first_closed_ |= event.id == id_;
          PENSTOCK_ASSERT(std::erase(ids_, event.id) == 1);
        } else if (event.kind == StackEventKind::received) {
          // Looked at, so that a sanitizer sees bytes that are gone.
          for (const uint8_t byte : event.bytes) sum_ += byte;
        }
      }
      more = events.size() == room.size();
    }
  }
  /// What goes out is understood by its receiver.
  void note(std::vector<uint8_t> frame) {
    PENSTOCK_ASSERT(frame.size() <= 14u + options().mtu);
    StackCounters counters;
    ParsedPacket parsed;
    parse_packet(packet_of(frame), peer_addresses_, counters, parsed);
    PENSTOCK_ASSERT(counters.malformed == 0 && counters.ip_checksum_bad == 0 &&
                    counters.tcp_checksum_bad == 0 && counters.icmp_checksum_bad == 0 &&
                    counters.tcp_options_malformed == 0);
    const bool ours = parsed.kind == PacketKind::tcp && parsed.flow.local_port == peer_port &&
                      parsed.flow.remote_port == own_port && parsed.flow.ipv6() == v6_;
    if (ours && !parsed.segment.has(flag::rst)) {
      next_ = parsed.segment.sequence + parsed.segment.sequence_bytes();
      expected_ = parsed.segment.acknowledgment;
    }
    out_.push_back(std::move(frame));
  }

  bool v6_;
  StackOptions peer_;
  OwnAddresses peer_addresses_;
  Stack stack_;
  Instant now_{24 * 3600 * ns_per_s};
  std::vector<uint8_t> bytes_;
  std::map<uintptr_t, Lent> lent_;
  uintptr_t next_token_ = 1;
  uint64_t packets_out_ = 0;
  std::vector<std::vector<uint8_t>> out_;
  std::vector<std::vector<uint8_t>> sent_frames_;
  std::vector<ConnectionId> ids_;
  ConnectionId id_;
  uint32_t opened_ = 0;
  uint32_t closed_ = 0;
  bool first_closed_ = false;
  uint32_t next_ = 0;
  uint32_t expected_ = 0;
  uint64_t sum_ = 0;
};

/// Where the transport begins; 0 when it is no packet of this kind, or too short.
inline size_t transport_at(const std::vector<uint8_t>& frame) {
  if (frame.size() < 14 + 20) return 0;
  if (load_u16(frame.data() + 12) == ethertype_ipv4) {
    const size_t at = 14 + size_t{4} * (frame[14] & 0x0f);
    return at >= 34 && at < frame.size() ? at : 0;
  }
  return load_u16(frame.data() + 12) == ethertype_ipv6 && frame.size() > 54 ? 54 : 0;
}

/// Right lengths and checksums for whatever a packet says now, so that it is looked at.
inline void mend(std::vector<uint8_t>& frame) {
  const size_t at = transport_at(frame);
  if (at == 0) return;
  uint8_t* ip = frame.data() + 14;
  const bool v6 = load_u16(frame.data() + 12) == ethertype_ipv6;
  const size_t rest = frame.size() - at;
  if (v6) {
    store_u16(ip + 4, static_cast<uint16_t>(frame.size() - 54));
  } else {
    store_u16(ip + 2, static_cast<uint16_t>(frame.size() - 14));
    store_u16(ip + 10, 0);
    Checksum header;
    header.add({ip, at - 14});
    store_u16(ip + 10, header.value());
  }
  const uint8_t kind = v6 ? ip[6] : ip[9];
  const size_t field = kind == protocol::tcp ? 16 : 2;
  if (rest < field + 2) return;
  store_u16(frame.data() + at + field, 0);
  Checksum checksum;
  const auto size = static_cast<uint32_t>(rest);
  if (v6) {
    checksum = pseudo_header({ip + 8, 16}, {ip + 24, 16}, kind, size);
  } else if (kind == protocol::tcp) {
    checksum = pseudo_header({ip + 12, 4}, {ip + 16, 4}, kind, size);
  }
  checksum.add({frame.data() + at, rest});
  store_u16(frame.data() + at + field, checksum.value());
}

}  // namespace penstock::engine::tcp

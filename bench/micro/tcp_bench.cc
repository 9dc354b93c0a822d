// What one segment costs in Penstock's own TCP alone: no device, no driver, packets in memory.
//
// cycles_* are of the time stamp counter, per segment. A turn is what an engine calls for a batch
// of 32: tokens back, packets in, timers, events out, ACKs out. Packets are made in runs of 512 (1
// MiB with the rooms that they lie in) before they are timed, so that they lie in the caches, as a
// device writes them there; in which level depends on what else is in them. `checked` is the same
// with checksums that the device has looked at: the difference is the checksum with its misses.

#include <benchmark/benchmark.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/engine/tcp/checksum.h"
#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/stack.h"
#include "dataplane/engine/tcp/wire.h"
#include "penstock/base/prng.h"

namespace {

using namespace penstock;
using namespace penstock::engine::tcp;

constexpr size_t batch_packets = 32;
constexpr size_t run_packets = 512;
constexpr size_t packet_room = 2048;
constexpr size_t sends_ahead = 6;
// 1500 - 20 (IPv4) - 20 (TCP) - 12 (timestamps).
constexpr size_t payload_bytes = 1448;
// What a new connection acknowledges one by one: an old one is measured.
constexpr int first_segments = 20;
constexpr uint16_t port = 1935;
constexpr uint32_t ports_per_host = 20000;
constexpr uint16_t first_port = 20000;

uint64_t cycles_now() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

/// How many of cycles_now() there are in a second.
double cycles_per_s() {
  static const double measured = [] {
    const auto from = std::chrono::steady_clock::now();
    const uint64_t first = cycles_now();
    while (std::chrono::steady_clock::now() - from < std::chrono::milliseconds(50)) {
    }
    const uint64_t last = cycles_now();
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - from;
    return static_cast<double>(last - first) / passed.count();
  }();
  return measured;
}

IpAddress ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
  IpAddress address;
  address.bytes = {a, b, c, d};
  return address;
}

/// A stack with so many connections, and their peers as a few numbers each.
class Rig {
 public:
  explicit Rig(uint32_t connections)
      : options_(options_for(connections)), stack_(options_), memory_(run_packets * packet_room) {
    if (!stack_.listen(port)) std::abort();
    for (size_t i = 0; i < payload_.size(); ++i) payload_[i] = static_cast<uint8_t>(i * 31);
    peers_.resize(connections);
    for (uint32_t i = 0; i < connections; ++i) open(i);
    for (int i = 0; i < first_segments; ++i) {
      for (uint32_t at = 0; at < connections; at += batch_packets) take_from_each(at);
    }
  }

  struct Peer {
    FlowKey flow;  // as the peer has it: we are the remote
    uint32_t next = 1000;
    uint32_t expects = 0;
    ConnectionId id;
  };

  static StackOptions options_for(uint32_t connections) {
    StackOptions options;
    options.mac = {{2, 0, 0, 0, 0, 1}};
    options.address = ipv4(10, 0, 0, 1);
    options.gateway = ipv4(10, 0, 0, 254);
    options.connections_max = connections;
    options.secret[0] = 42;
    return options;
  }

  /// A full segment of a random peer, as the next packet of the run.
  void make_data() { make_data_of(peers_[prng_.below(peers_.size())]); }
  void make_data_of(Peer& peer) {
    SegmentOut segment = segment_of(peer);
    segment.slice_count = 1;
    segment.slices[0] = payload_;
    add_packet(peer, segment);
    peer.next += static_cast<uint32_t>(payload_bytes);
  }
  /// For what the last take_output() sent.
  void make_acks() {
    for (const PacketOut& packet : std::span(out_).first(out_count_)) {
      const uint8_t* at = packet.header.data() + ethernet_bytes;
      const uint32_t host = at[ipv4_bytes - 2] * 256u + at[ipv4_bytes - 1] - 1u;
      const uint8_t* tcp = at + ipv4_bytes;
      Peer& peer = peers_[host * ports_per_host + load_u16(tcp + 2) - first_port];
      peer.expects = load_u32(tcp + 4) + packet.payload_bytes;
      make_ack(peer);
    }
  }
  void make_ack(const Peer& peer) { add_packet(peer, segment_of(peer)); }
  Peer& random_peer() { return peers_[prng_.below(peers_.size())]; }

  /// The next batch of full segments. A run of them is made ahead of the ACKs: the window of one
  /// connection is 64 KiB at first and a batch is 46, so each fits when the one before was taken.
  std::span<const PacketIn> next_data(bool checked) {
    if (run_at_ + batch_packets > packets_.size()) {
      clear_packets();
      for (size_t i = 0; i < run_packets; ++i) make_data();
    }
    run_at_ += batch_packets;
    for (PacketIn& packet : std::span(packets_).subspan(run_at_ - batch_packets, batch_packets)) {
      packet.ip_checksum_good = packet.l4_checksum_good = checked;
    }
    return packets(run_at_ - batch_packets, batch_packets);
  }

  void clear_packets() {
    packets_.clear();
    run_at_ = 0;
  }
  [[nodiscard]] std::span<const PacketIn> packets(size_t from, size_t count) const {
    return std::span(packets_).subspan(from, count);
  }
  [[nodiscard]] size_t packet_count() const { return packets_.size(); }
  void tick() { now_ = now_.after_ns(40 * ns_per_us); }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] Stack& stack() { return stack_; }
  [[nodiscard]] Bytes payload() const { return payload_; }

  void take_released() {
    while (stack_.take_released(tokens_).size() == tokens_.size()) {
    }
  }
  /// Bytes that were received.
  uint64_t take_events() {
    uint64_t bytes = 0;
    for (bool more = true; more;) {
      const auto events = stack_.events(events_);
      for (const StackEvent& event : events) bytes += event.bytes.size();
      more = events.size() == events_.size();
    }
    return bytes;
  }
  size_t take_output() {
    size_t packets = 0;
    do {
      out_count_ = stack_.output(out_, now_).size();
      packets += out_count_;
    } while (out_count_ == out_.size());
    packets_out_ += packets;
    stack_.transmitted(packets_out_);
    return packets;
  }

 private:
  [[nodiscard]] SegmentOut segment_of(const Peer& peer) const {
    SegmentOut segment;
    segment.sequence = peer.next;
    segment.acknowledgment = peer.expects;
    segment.window = 60000;
    segment.flags = flag::ack;
    segment.options.has_timestamps = true;
    segment.options.timestamp = static_cast<uint32_t>(now_.ns / ns_per_ms);
    return segment;
  }

  void add_packet(const Peer& peer, const SegmentOut& segment) {
    uint8_t* at = memory_.data() + packets_.size() * packet_room;
    PacketOut packet;
    StackOptions theirs = options_for(1);
    OwnAddresses addresses(theirs);
    addresses.mac = {{2, 0, 0, 0, 0, 2}};
    addresses.ipv4 = peer_ipv4(static_cast<uint32_t>(&peer - peers_.data()));
    write_tcp_packet(packet, addresses, peer.flow, options_.mac, 0, segment, {});
    std::memcpy(at, packet.header.data(), packet.header_bytes);
    size_t bytes = packet.header_bytes;
    for (size_t i = 0; i < packet.slice_count; ++i) {
      std::memcpy(at + bytes, packet.slices[i].data(), packet.slices[i].size());
      bytes += packet.slices[i].size();
    }
    packets_.push_back({.bytes = {at, bytes}, .token = {packets_.size()}});
  }

  /// A turn with a segment of each of a batch of peers.
  void take_from_each(uint32_t first) {
    clear_packets();
    const auto end = std::min<size_t>(first + batch_packets, peers_.size());
    for (size_t i = first; i < end; ++i) make_data_of(peers_[i]);
    take_released();
    stack_.input(packets_, now_);
    stack_.expire(now_);
    (void)take_events();
    (void)take_output();
    take_released();
    clear_packets();
    tick();
  }

  static std::array<uint8_t, 4> peer_ipv4(uint32_t index) {
    const uint32_t host = index / ports_per_host + 1;
    return {10, 1, static_cast<uint8_t>(host >> 8), static_cast<uint8_t>(host)};
  }

  void open(uint32_t index) {
    Peer& peer = peers_[index];
    peer.flow.set_remote_ipv4(options_.address->bytes.data());
    peer.flow.remote_port = port;
    peer.flow.local_port = static_cast<uint16_t>(first_port + index % ports_per_host);
    clear_packets();
    SegmentOut syn = segment_of(peer);
    syn.flags = flag::syn;
    syn.acknowledgment = 0;
    syn.options.segment_bytes_max = 1460;
    syn.options.window_scale = 10;
    syn.options.sack_permitted = true;
    add_packet(peer, syn);
    stack_.input(packets_, now_);
    // The first answer waits for the gateway's Ethernet address.
    auto out = stack_.output(out_, now_);
    packets_out_ += out.size();
    if (index == 0) {
      stack_.hear_neighbour({*options_.gateway, {{2, 0, 0, 0, 0, 2}}, true}, now_);
      out = stack_.output(out_, now_);
      packets_out_ += out.size();
    }
    if (out.empty()) std::abort();
    ++peer.next;
    peer.expects = load_u32(out.back().header.data() + 14 + 20 + 4) + 1;
    clear_packets();
    make_ack(peer);
    tick();
    stack_.input(packets_, now_);
    const auto events = stack_.events(events_);
    if (events.size() != 1 || events[0].kind != StackEventKind::accepted) std::abort();
    peer.id = events[0].id;
    (void)take_output();
    take_released();
  }

  StackOptions options_;
  Stack stack_;
  std::vector<uint8_t> memory_;
  std::vector<PacketIn> packets_;
  std::vector<Peer> peers_;
  std::array<uint8_t, payload_bytes> payload_{};
  std::array<StackEvent, 64> events_;
  std::array<PacketOut, 1024> out_;
  size_t out_count_ = 0;
  size_t run_at_ = 0;
  std::array<PacketToken, 256> tokens_;
  uint64_t packets_out_ = 0;
  Instant now_{1000 * ns_per_s};
  Prng prng_{7};
};

/// One at a time: 100,000 connections are a lot of memory, and a bench runs several times.
Rig& rig_with(uint32_t connections) {
  static std::map<uint32_t, std::unique_ptr<Rig>> rigs;
  if (!rigs.contains(connections)) {
    rigs.clear();
    rigs[connections] = std::make_unique<Rig>(connections);
  }
  return *rigs[connections];
}

/// Cycles of the parts of each turn. The medians are what is said, because other processes of
/// the machine are in the means; the tenth percentile is what a quiet machine may do.
class Cost {
 public:
  void add(uint64_t input, uint64_t events, uint64_t output) {
    const std::array<uint64_t, 4> parts = {input, events, output, input + events + output};
    for (size_t i = 0; i < parts.size(); ++i) turns_[i].push_back(static_cast<uint32_t>(parts[i]));
  }
  void report(benchmark::State& state) {
    static constexpr const char* names[] = {"cycles_input", "cycles_events", "cycles_output",
                                            "cycles"};
    const auto segments = static_cast<double>(turns_[0].size() * batch_packets);
    for (size_t i = 0; i < turns_.size(); ++i) {
      const auto middle = turns_[i].begin() + static_cast<ptrdiff_t>(turns_[i].size() / 2);
      std::nth_element(turns_[i].begin(), middle, turns_[i].end());
      state.counters[names[i]] = *middle / static_cast<double>(batch_packets);
    }
    const auto quiet = turns_[3].begin() + static_cast<ptrdiff_t>(turns_[3].size() / 10);
    std::nth_element(turns_[3].begin(), quiet, turns_[3].end());
    state.counters["cycles_p10"] = *quiet / static_cast<double>(batch_packets);
    // What is done in few turns, timers above all, is in no median; the uppermost hundredth is
    // other processes.
    std::sort(turns_[3].begin(), turns_[3].end());
    const size_t counted = turns_[3].size() - turns_[3].size() / 100;
    double sum = 0;
    for (size_t i = 0; i < counted; ++i) sum += turns_[3][i];
    state.counters["cycles_mean"] = sum / static_cast<double>(counted * batch_packets);
    state.counters["ns"] = state.counters["cycles"].value / cycles_per_s() * 1e9;
    state.counters["packets_out"] = static_cast<double>(packets_out) / segments;
    state.SetItemsProcessed(static_cast<int64_t>(segments));
  }

  uint64_t packets_out = 0;

 private:
  std::array<std::vector<uint32_t>, 4> turns_;
};

void received(benchmark::State& state, bool checked) {
  Rig& rig = rig_with(static_cast<uint32_t>(state.range(0)));
  Cost cost;
  for (auto _ : state) {
    const auto packets = rig.next_data(checked);
    rig.tick();
    const uint64_t t0 = cycles_now();
    rig.take_released();
    rig.stack().input(packets, rig.now());
    rig.stack().expire(rig.now());
    const uint64_t t1 = cycles_now();
    const uint64_t bytes = rig.take_events();
    const uint64_t t2 = cycles_now();
    cost.packets_out += rig.take_output();
    const uint64_t t3 = cycles_now();
    if (bytes != batch_packets * payload_bytes) {
      state.SkipWithError("bytes were lost");
      return;
    }
    cost.add(t1 - t0, t2 - t1, t3 - t2);
    state.SetIterationTime(static_cast<double>(t3 - t0) / cycles_per_s());
  }
  cost.report(state);
}

void received_segment(benchmark::State& state) { received(state, false); }
void received_segment_checked(benchmark::State& state) { received(state, true); }

/// A full segment of the caller's bytes each for a batch of random connections, and their ACKs.
void sent_segment(benchmark::State& state) {
  Rig& rig = rig_with(static_cast<uint32_t>(state.range(0)));
  Cost cost;
  std::array<Rig::Peer*, batch_packets> peers;
  const Bytes slice = rig.payload();
  for (auto _ : state) {
    rig.tick();
    for (auto& peer : peers) peer = &rig.random_peer();
    const uint64_t t0 = cycles_now();
    for (size_t i = 0; i < peers.size(); ++i) {
      if (i + sends_ahead < peers.size()) rig.stack().prefetch(peers[i + sends_ahead]->id);
      rig.stack().send(peers[i]->id, {&slice, 1}, rig.now());
    }
    const size_t sent = rig.take_output();
    const uint64_t t1 = cycles_now();
    rig.clear_packets();
    rig.make_acks();
    const auto acks = rig.packets(0, rig.packet_count());
    const uint64_t t2 = cycles_now();
    rig.take_released();
    rig.stack().input(acks, rig.now());
    rig.stack().expire(rig.now());
    const uint64_t t3 = cycles_now();
    (void)rig.take_events();
    const uint64_t t4 = cycles_now();
    if (rig.stack().counters().segments_retransmitted != 0) {
      state.SkipWithError("segments were sent again");
      return;
    }
    cost.add(t3 - t2, t4 - t3, t1 - t0);
    cost.packets_out += sent;
    state.SetIterationTime(static_cast<double>(t1 - t0 + t4 - t2) / cycles_per_s());
  }
  cost.report(state);
}

/// The second argument is how much memory the segments come from, in turn.
void checksum_of_segment(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const auto rooms = std::max<size_t>(1, static_cast<size_t>(state.range(1)) * 1024 / packet_room);
  const std::vector<uint8_t> memory(rooms * packet_room, 0x5a);
  size_t at = 0;
  const uint64_t from = cycles_now();
  for (auto _ : state) {
    Checksum checksum;
    checksum.add(Bytes{memory}.subspan(at * packet_room, bytes));
    if (++at == rooms) at = 0;
    benchmark::DoNotOptimize(checksum.value());
  }
  state.counters["cycles"] =
      static_cast<double>(cycles_now() - from) / static_cast<double>(state.iterations());
}

BENCHMARK(checksum_of_segment)
    ->ArgNames({"bytes", "KiB"})
    ->Args({64, 0})
    ->Args({1480, 0})
    ->Args({1480, 512})
    ->Args({1480, 4096})
    ->Args({1480, 65536});
BENCHMARK(received_segment)
    ->ArgName("connections")
    ->Arg(1)
    ->Arg(1000)
    ->Arg(100000)
    ->UseManualTime();
BENCHMARK(received_segment_checked)
    ->ArgName("connections")
    ->Arg(1)
    ->Arg(1000)
    ->Arg(100000)
    ->UseManualTime();
BENCHMARK(sent_segment)->ArgName("connections")->Arg(1)->Arg(1000)->Arg(100000)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/engine/tcp/connection.h"
#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/deadline_wheel.h"
#include "dataplane/engine/tcp/flow_key.h"
#include "dataplane/engine/tcp/flow_table.h"
#include "dataplane/engine/tcp/half_open.h"
#include "dataplane/engine/tcp/icmp.h"
#include "dataplane/engine/tcp/isn.h"
#include "dataplane/engine/tcp/local_ports.h"
#include "dataplane/engine/tcp/neighbour_wire.h"
#include "dataplane/engine/tcp/neighbours.h"
#include "dataplane/engine/tcp/own_addresses.h"
#include "dataplane/engine/tcp/path_mtu.h"
#include "dataplane/engine/tcp/rate_limit.h"
#include "dataplane/engine/tcp/replies.h"
#include "dataplane/engine/tcp/ring.h"
#include "dataplane/engine/tcp/stack.h"
#include "dataplane/engine/tcp/syn_cookies.h"
#include "dataplane/engine/tcp/time_wait.h"
#include "dataplane/engine/tcp/wire.h"

namespace penstock::engine::tcp {

/// What a stack is made of. Only the sources of Stack know it.
struct Stack::State {
  // So many packets are parsed before the first is looked at by its connection: their buckets and
  // connections are on their way from memory meanwhile. 16 times 5 lines of 64 bytes are a tenth of
  // a first-level cache.
  static constexpr size_t batch_packets = 16;
  // Of a connection, what a segment in order touches (connection.h has it in front), and all of it:
  // who sends needs nearly everything.
  static constexpr size_t hot_lines = Connection::hot_bytes / 64;
  static constexpr size_t all_lines = sizeof(Connection) / 64;
  // Segments that one connection sends before the next has its turn; 64 KiB is about 45.
  static constexpr uint32_t turn_segments = 16;
  static constexpr uint32_t neighbour_news_max = 256;
  // Who waits for a neighbour looks again then, whatever became of it: the table may have been
  // full.
  static constexpr uint64_t parked_ns = ns_per_s;

  /// What the stack itself knows of a connection: one line of the cache.
  struct alignas(64) Slot {
    FlowKey flow;
    uint32_t generation = 0;
    NeighbourRef neighbour;
    uint16_t path_mtu = 0;
    bool used : 1 = false;
    bool hashed : 1 = false;    // in the table of flows
    bool attached : 1 = false;  // `closed` was not reported
    // These outlive the connection, as what they say does.
    bool ready : 1 = false;      // in `ready` or in `parked`
    bool parked : 1 = false;     // in `parked`
    bool eventful : 1 = false;   // in `eventful`
    bool transmits : 1 = false;  // in `transmitting`
    bool starves : 1 = false;    // in `starving`
  };
  static_assert(sizeof(Slot) == 64);
  static_assert(alignof(Connection) >= 64);

  struct Transmitting {
    uint64_t packet = 0;
    uint32_t index = 0;
  };

  explicit State(const StackOptions& given);

  // stack.cc: places of connections
  [[nodiscard]] static uint32_t places_for(const StackOptions& options);
  [[nodiscard]] uint32_t take_place(const FlowKey& flow);
  void reclaim_place(Instant now);
  void note_detached(uint32_t index);
  [[nodiscard]] bool is_detached(ConnectionId id) const;
  void settle(uint32_t index, Instant now);
  void leave_flows(uint32_t index, Instant now);
  [[nodiscard]] Connection* find(ConnectionId id, uint32_t& index);
  [[nodiscard]] bool listens(uint16_t port) const;
  [[nodiscard]] const FlowKey& flow_of(FlowValue value);
  [[nodiscard]] FlowValue find_flow(const FlowKey& flow, uint32_t hash);
  [[nodiscard]] uint16_t segment_bytes_for(const FlowKey& flow, uint16_t mtu) const;
  [[nodiscard]] std::optional<ConnectionId> connect(const SocketAddress& peer, Instant now,
                                                    bool (*usable)(const Flow&, void*),
                                                    void* context);
  [[nodiscard]] std::span<StackEvent> events(std::span<StackEvent> room);
  void expire(Instant now);
  void expire_connections(Instant now);
  [[nodiscard]] size_t memory_bytes() const;

  // stack_input.cc: packets of TCP
  void input(std::span<const PacketIn> packets, Instant now);
  void input_batch(std::span<const PacketIn> packets, Instant now);
  // Inlined by force: g++ takes a function that does nothing but prefetch for one without effect,
  // and its calls away.
  [[gnu::always_inline]] void prefetch(uint32_t index, size_t lines) const {
    __builtin_prefetch(&slots[index]);
    wheel.prefetch(index);
    const auto* connection = reinterpret_cast<const uint8_t*>(&connections[index]);
    for (size_t line = 0; line < lines; ++line) __builtin_prefetch(connection + line * 64);
  }
  [[nodiscard]] bool take_segment(const PacketIn& packet, const ParsedPacket& parsed, uint32_t hash,
                                  Instant now);
  [[nodiscard]] bool for_connection(uint32_t index, const SegmentIn& segment, Instant now);
  [[nodiscard]] bool for_half_open(uint32_t index, const ParsedPacket& parsed, uint32_t hash,
                                   Instant now);
  void for_time_wait(uint32_t index, const ParsedPacket& parsed, uint32_t hash, Instant now);
  [[nodiscard]] bool for_nobody(const PacketIn& packet, const ParsedPacket& parsed, uint32_t hash,
                                Instant now);
  [[nodiscard]] bool listens_for_syn(const ParsedPacket& parsed) const;

  // stack_handshake.cc: passive opens
  void receive_syn(const ParsedPacket& parsed, uint32_t hash, const uint32_t* above, Instant now);
  void send_syn_ack(const FlowKey& flow, uint32_t hash, uint32_t own_first, uint32_t peer_first,
                    const SynOptions& options, uint32_t timestamp, uint32_t timestamp_echo,
                    Instant now);
  void resend_syn_ack(const HalfOpen& entry, Instant now);
  [[nodiscard]] bool complete_half_open(uint32_t index, const ParsedPacket& parsed, uint32_t hash,
                                        Instant now);
  [[nodiscard]] bool complete_cookie(const ParsedPacket& parsed, uint32_t hash, bool& kept,
                                     Instant now);
  void open_passive(uint32_t place, const PassiveOpen& open, Instant now);
  [[nodiscard]] Negotiated negotiate(const FlowKey& flow, const SynOptions& options,
                                     uint16_t path_mtu) const;
  void drop_half_open(uint32_t index);
  void expire_half_open(Instant now);

  // stack_link.cc: neighbours and ICMP
  [[nodiscard]] bool take_arp(const ParsedPacket& parsed, Instant now);
  [[nodiscard]] bool take_icmp(const ParsedPacket& parsed, Instant now);
  [[nodiscard]] bool take_neighbour_message(const NeighbourMessage& message, Instant now);
  void answer_request(const NeighbourMessage& message, Instant now);
  void hear(const NeighbourNews& news, bool asks_us, bool share, Instant now);
  void answer_echo(const ParsedPacket& parsed, Bytes data, Instant now);
  void take_icmp_error(const IcmpError& error, Instant now);
  void take_connection_error(uint32_t index, const IcmpError& error, Instant now);
  [[nodiscard]] LocalAddress local_of(const IpAddress& own_address) const;
  [[nodiscard]] NeighbourRef neighbour_for(const FlowKey& flow, Instant now);

  // stack_output.cc
  [[nodiscard]] std::span<PacketOut> output(std::span<PacketOut> room, Instant now);
  [[nodiscard]] size_t output_link(std::span<PacketOut> room);
  [[nodiscard]] size_t output_connection(uint32_t index, std::span<PacketOut> room, Instant now);
  void prefetch_ready() const;
  void transmitted(uint64_t count);
  [[nodiscard]] PacketOut* reply_packet(const FlowKey& flow, MacAddress& to, Instant now);
  void reply(const FlowKey& flow, uint32_t hash, const SegmentOut& segment, Instant now);
  /// Says where we are to somebody who does not seem to know; at a limited rate.
  void acknowledge(const FlowKey& flow, uint32_t hash, const SegmentOut& segment, Instant now);
  void reset(const ParsedPacket& parsed, uint32_t hash, Instant now);
  void wake_parked();
  void feed_starving(Instant now);

  [[nodiscard]] uint32_t milliseconds(Instant now) const {
    return static_cast<uint32_t>(now.ns / ns_per_ms);
  }

  StackOptions options;
  OwnAddresses own;
  StackCounters counters;
  ConnectionParts parts;
  FlowHash hash;
  FlowNumbers numbers;
  SynCookies cookies;
  FlowTable flows;
  HalfOpenTable half_open;
  TimeWaits time_waits;
  Neighbours neighbours;
  PathMtus path_mtus;
  LocalPorts local_ports;
  Replies replies;

  std::vector<Slot> slots;
  std::unique_ptr<Connection[]> connections;
  std::vector<uint32_t> free_places;
  uint32_t attached = 0;
  DeadlineWheel wheel;
  Ring<uint32_t> ready;             // want to send
  Ring<uint32_t> eventful;          // have something to report
  Ring<Transmitting> transmitting;  // wait for packets to leave the device
  Ring<uint32_t> starving;          // have more to send than there are records for
  Ring<ConnectionId> detached;      // need their place still
  std::vector<uint32_t> parked;     // wait for a neighbour
  Instant parked_until = Instant::never();

  std::array<ParsedPacket, batch_packets> batch;
  SegmentOut outgoing;  // kept, because to clear it all for one ACK costs as much as to write it
  std::array<uint32_t, batch_packets> batch_hashes{};
  std::vector<PacketIn> exceptions;
  std::vector<NeighbourNews> neighbour_news;
  std::array<uint16_t, ports_max> ports{};
  size_t port_count = 0;

  Instant clock;  // of the last call that said it
  // ACKs are taken for cookies only while there can be some.
  Instant cookies_until;
  Instant paths_looked_at;
  uint8_t announcements = 0;  // a bit for each of our addresses
  // Per second and at once. A host that was restarted has as many peers to reset as it had
  // connections; a scan of ports has many more.
  RateLimit reset_limit{5000, 1000};
  RateLimit acknowledge_limit{5000, 1000};
  RateLimit echo_limit{1000, 100};
  RateLimit defend_limit{1, 1};
};

}  // namespace penstock::engine::tcp

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"
#include "penstock/base/time.h"

namespace penstock::engine::tcp {

/// All of it is read once; memory is sized by it at start.
struct StackOptions {
  MacAddress mac;
  std::optional<IpAddress> address;  // IPv4
  uint8_t prefix_bits = 24;
  std::optional<IpAddress> address6;  // beside the link-local one, which is made from the MAC
  uint8_t prefix6_bits = 64;
  std::optional<IpAddress> gateway;
  std::optional<IpAddress> gateway6;
  std::optional<uint16_t> vlan;
  uint16_t mtu = 1500;
  bool ip_checksum_offload = false;
  bool tcp_checksum_offload = false;

  uint32_t connections_max = 1000;
  uint32_t half_open_max = 1024;   // more SYNs are answered with cookies
  uint32_t time_wait_max = 16384;  // more end early, the oldest first
  uint32_t neighbours_max = 1024;
  uint32_t held_packets_max = 4096;  // received packets held (out of order, or not read yet)
  uint32_t receive_blocks = 4096;    // of 2 KiB: where such bytes are copied when those run low
  uint32_t receive_window_max = 6u << 20;      // bytes, per connection; the window grows up to it
  uint32_t out_of_order_bytes_max = 1u << 20;  // per connection
  // Segments sent and not acknowledged, of all connections: 64 bytes each. 1000 subscribers of 8
  // Mbit/s at 60 ms have 42 each.
  uint32_t sent_segments_max = 65536;

  std::string_view congestion = "cubic";  // or "reno"
  bool ecn = true;
  // Several stacks share the addresses, each with its part of the packets: what one hears of the
  // link's hosts is for the others as well (take_neighbour_news).
  bool shares_addresses = false;
  // Somebody else on this host listens behind the exception path, by the same addresses: segments
  // of no flow of ours to a port that is not listened on go there, instead of being reset.
  bool foreign_ports_are_exceptions = false;
  uint64_t keepalive_ns = 60 * ns_per_s;     // silent for so long: a probe; 0: none
  uint64_t user_timeout_ns = 60 * ns_per_s;  // unacknowledged for so long: given up
  uint64_t secret[2] = {};  // of ISNs, cookies and hashes: from the system's entropy
};

enum class StackEventKind : uint8_t { accepted, connected, received, ended, sent, closed };
enum class EndReason : uint8_t { ours, reset, timeout, refused, unreachable };

/// As in the seam of engines (engine.h), which this becomes.
struct StackEvent {
  StackEventKind kind{};
  EndReason reason{};
  ConnectionId id;
  uint32_t sent_bytes = 0;
  Bytes bytes;  // received: valid until the next input()
  SocketAddress peer;
  uint16_t port = 0;  // accepted: the local one
};

/// What happened since the start. Each has one writer: this stack.
struct StackCounters;

/// TCP, IPv4, IPv6, ARP, NDP and ICMP for one core: packets in, packets out. It knows no device,
/// reads no clock, draws no random number but from its secret, and calls nobody back. The order of
/// a turn is: take_released(), input(), expire(), events(), calls, output(). RFC 9293.
class Stack {
 public:
  static constexpr size_t ports_max = 16;  // that are listened on

  explicit Stack(const StackOptions& options);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// Takes packets in the order in which they came. Their tokens come back by take_released(), some
  /// at once, some much later.
  void input(std::span<const PacketIn> packets, Instant now);
  /// Packets that are no longer needed; call until it fills less than `room`.
  [[nodiscard]] std::span<PacketToken> take_released(std::span<PacketToken> room);
  /// Packets that are not for TCP, ICMP, ARP or NDP of this stack, or not for its addresses: for an
  /// exception path. They are released as the others; views until then.
  [[nodiscard]] std::span<const PacketIn> exceptions() const;

  /// Fills `room` from the front with what is to go out now; call until it fills less than that.
  [[nodiscard]] std::span<PacketOut> output(std::span<PacketOut> room, Instant now);
  /// `count` packets of output() in all have left the device and their bytes are not looked at any
  /// more; in order. `sent` events wait for it.
  void transmitted(uint64_t count);

  [[nodiscard]] std::span<StackEvent> events(std::span<StackEvent> room);
  /// When expire() has to be called at the latest; never() without a timer.
  [[nodiscard]] Instant deadline() const;
  void expire(Instant now);

  /// Ports that are listened on; false when there are too many.
  [[nodiscard]] bool listen(uint16_t port);
  void stop_listening(uint16_t port);

  /// `connected` follows, or `closed`. Nothing when no place or local port is left. `usable` is
  /// asked of each local port that is tried: several stacks behind one address share the ports by
  /// where the device steers the answers.
  [[nodiscard]] std::optional<ConnectionId> connect(const SocketAddress& peer, Instant now,
                                                    bool (*usable)(const Flow&, void*) = nullptr,
                                                    void* context = nullptr);
  /// Says that a call with this id comes soon: a caller with many connections to send on asks for a
  /// few ahead, and what the calls touch is there when they come.
  void prefetch(ConnectionId id) const;
  /// As in engine.h. Calls with an id whose `closed` was reported do nothing.
  void send(ConnectionId id, std::span<const Bytes> slices, Instant now);
  void set_reading(ConnectionId id, bool on, Instant now);
  void set_low_water(ConnectionId id, uint32_t bytes);
  void finish(ConnectionId id, Instant now);
  void close(ConnectionId id, Instant now);

  /// Says to the whole link whose addresses these are: after start, or when the device's link came
  /// back. The packets come with output().
  void announce();
  /// What was heard of neighbours and is to be given to hear_neighbour() of each other stack that
  /// shares the addresses; call until it fills less than `room`. Losing some does no harm.
  [[nodiscard]] std::span<NeighbourNews> take_neighbour_news(std::span<NeighbourNews> room);
  void hear_neighbour(const NeighbourNews& news, Instant now);

  [[nodiscard]] const StackCounters& counters() const;
  /// Bytes of memory, all taken at start.
  [[nodiscard]] size_t memory_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::engine::tcp

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/own_addresses.h"
#include "dataplane/engine/tcp/sequence.h"
#include "dataplane/engine/tcp/wire.h"
#include "tests/unit/tcp/network.h"

// A host whose TCP behaves as Linux' does (6.x, its defaults), written apart from ours and as
// plainly as can be: nothing is fast, and bytes are where one finds them.
namespace penstock::engine::tcp {

struct KernelOptions {
  StackOptions addresses;  // of it only MAC, addresses, MTU, VLAN
  MacAddress peer_mac;
  IpAddress peer;
  IpAddress peer6;
  uint16_t port = 1935;
  bool sack = true;
  bool timestamps = true;
  bool scaling = true;
  bool nodelay = true;
  bool merges = true;   // GRO: what comes in one turn and fits together is one segment, and one ACK
  bool prunes = false;  // drops what it has SACKed when memory runs low (tcp_prune_ofo_queue)
  bool autotunes = true;
  uint32_t window_max = 3u << 20;  // half of tcp_rmem[2]
};

/// The count whose low bits are `number`, near `near`.
constexpr uint64_t unwrapped(uint32_t number, uint32_t first, uint64_t near) {
  const auto step = static_cast<int32_t>(number - (first + static_cast<uint32_t>(near)));
  return near + static_cast<uint64_t>(static_cast<int64_t>(step));
}
constexpr bool below(uint64_t left, uint64_t right) {
  return static_cast<int64_t>(left - right) < 0;
}

/// One socket. Bytes are counted from the SYN on: 0 is the SYN, 1 the first byte of data.
class KernelSocket {
 public:
  KernelSocket(const KernelOptions& options, const FlowKey& flow, Talk& talk, uint64_t seed,
               Instant now);
  void connect(Instant now);
  void accept(const SegmentIn& syn, Instant now);

  void receive(const SegmentIn& segment, Instant now);
  void expire(Instant now);
  [[nodiscard]] Instant deadline() const;
  /// What the process does: reads, writes, ends.
  void use(Instant now);

  struct Out {
    SegmentOut segment;
    std::vector<uint8_t> payload;
  };
  std::vector<Out> out_;
  [[nodiscard]] const FlowKey& flow() const { return flow_; }
  [[nodiscard]] bool over() const { return state_ == State::closed || state_ == State::time_wait; }
  [[nodiscard]] Talk& talk() { return talk_; }

 private:
  enum class State : uint8_t { syn_sent, syn_received, open, time_wait, closed };
  struct Sent {
    uint64_t begin = 0;
    uint64_t end = 0;
    Instant at;
    bool sacked = false;
    bool lost = false;
    bool again = false;
  };

  void take_options(const TcpOptions& options);
  void receive_syn_sent(const SegmentIn& segment, Instant now);
  [[nodiscard]] bool acceptable(const SegmentIn& segment, uint64_t begin, Instant now);
  void receive_ack(const SegmentIn& segment, uint64_t begin, Instant now);
  void take_sacks(const SegmentIn& segment, Instant& newest, uint64_t& newest_end, Instant now);
  void receive_data(const SegmentIn& segment, uint64_t begin, Instant now);
  void queue_beyond(uint64_t begin, Bytes bytes, Instant now);
  void delivered(Sent& sent, Instant now, Instant& newest, uint64_t& newest_end);
  void find_lost(Instant newest, uint64_t newest_end, Instant now);
  void sample(uint64_t rtt_ns);
  void grow(uint64_t acked);
  void end(EndReason reason, bool reset);
  void orphan(Instant now);

  void emit(uint64_t begin, uint64_t end, uint8_t flags, Instant now);
  void emit_syn(Instant now);
  void emit_ack(Instant now);
  void emit_limited_ack(Instant now);
  void push(Instant now);
  [[nodiscard]] bool push_new(Instant now);
  void resend(Sent& sent, Instant now);
  void arm(Instant now);
  [[nodiscard]] uint64_t in_flight() const;
  [[nodiscard]] bool through() const { return fin_acked_ && fin_received_; }
  [[nodiscard]] uint64_t mss() const { return mss_ - (timestamps_ ? 12 : 0); }
  [[nodiscard]] uint64_t rto_ns() const;
  [[nodiscard]] uint32_t select_window();
  [[nodiscard]] uint32_t stamp(Instant now) const {
    return static_cast<uint32_t>(now.ns / ns_per_ms) + stamp_offset_;
  }
  void ack_soon(Instant now);
  void ack_now(Instant now);
  [[nodiscard]] uint64_t end_of_data() const { return 1 + talk_.written_; }

  const KernelOptions& options_;
  FlowKey flow_;
  Talk& talk_;
  Prng prng_;
  State state_ = State::syn_sent;
  bool timestamps_, sack_, scaling_;
  uint8_t peer_scale_ = 0;
  static constexpr uint8_t own_scale = 7;
  uint32_t stamp_offset_;
  uint32_t stamp_recent_ = 0;
  uint32_t own_first_;
  uint32_t peer_first_ = 0;
  uint64_t mss_ = 536;

  // Sending.
  uint64_t unacked_ = 0;
  uint64_t next_ = 0;
  uint64_t window_end_ = 0;  // the peer lets us send up to it
  std::deque<Sent> sent_;
  double congestion_ = 10;  // segments
  double threshold_ = 1e9;
  bool recovering_ = false;
  bool after_timeout_ = false;
  uint64_t recovery_end_ = 0;
  uint64_t duplicate_acks_ = 0;
  uint64_t smoothed_ns_ = 0;
  uint64_t variation_ns_ = 0;
  uint64_t least_ns_ = UINT64_MAX;
  int backoff_ = 0;
  int tries_ = 0;
  bool fin_wanted_ = false;
  bool fin_sent_ = false;
  bool fin_acked_ = false;
  bool orphan_ = false;
  bool probe_out_ = false;
  Instant timeout_at_ = Instant::never();  // or the zero window's probe
  Instant probe_at_ = Instant::never();
  Instant rack_at_ = Instant::never();
  Instant rack_newest_;
  uint64_t rack_newest_end_ = 0;
  uint64_t rack_rtt_ns_ = 0;

  Instant patience_until_;

  // Receiving.
  uint64_t expected_ = 0;
  std::deque<uint8_t> unread_;
  std::map<uint64_t, std::vector<uint8_t>> beyond_;  // by where they begin; may overlap
  uint64_t beyond_bytes_ = 0;
  std::vector<SequenceRange> recent_;
  SequenceRange duplicate_;
  bool has_duplicate_ = false;
  uint64_t fin_at_ = UINT64_MAX;
  bool fin_received_ = false;
  uint64_t offered_ = 0;          // the right edge that was said
  uint64_t window_up_ = 0;        // expected_ when the last ACK went (rcv_wup)
  uint64_t slow_window_ = 65535;  // rcv_ssthresh
  uint64_t largest_ = 536;        // the peer's segments
  int quick_ = 16;
  bool pingpong_ = false;
  uint64_t wait_ns_ = 40 * ns_per_ms;
  Instant last_received_;
  Instant ack_at_ = Instant::never();
  uint64_t compressed_ = 0;
  uint64_t same_acks_ = 0;
  Instant compressed_at_ = Instant::never();
  Instant limited_at_;
  Instant orphan_until_ = Instant::never();
};

class KernelHost : public NetworkHost {
 public:
  KernelHost(const KernelOptions& options, const std::vector<Plan>& plans, uint64_t seed);
  void connect(const Plan& plan, Instant now) override;
  void turn(std::vector<Frame> arrived, Instant now, std::vector<Frame>& out) override;
  [[nodiscard]] Instant wake_at(Instant now) const override;
  [[nodiscard]] bool quiet() const override;
  [[nodiscard]] std::string broken() const override { return broken_; }

 private:
  struct Merged {
    FlowKey flow;
    SegmentIn segment;
    std::vector<uint8_t> payload;
    uint32_t pieces = 1;
  };
  void neighbours(const ParsedPacket& parsed, std::vector<Frame>& out);
  void segment(const FlowKey& flow, const SegmentIn& in, Instant now, std::vector<Frame>& out);
  void put(const FlowKey& flow, const SegmentOut& segment, Bytes payload, std::vector<Frame>& out);
  KernelSocket* find(const FlowKey& flow);

  KernelOptions options_;
  OwnAddresses own_;
  const std::vector<Plan>& plans_;
  Prng prng_;
  StackCounters counters_;
  std::deque<std::unique_ptr<KernelSocket>> sockets_;
  uint16_t next_port_ = 33000;
  std::string broken_;
};

}  // namespace penstock::engine::tcp

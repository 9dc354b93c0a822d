#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/engine/tcp/connection.h"
#include "penstock/base/prng.h"

// Two connections over a network of one virtual clock and one seed: delay, jitter, loss,
// duplication, a rate with a queue, marks. Handshakes and TIME_WAIT, which are the stack's, are
// played in their smallest form.
namespace penstock::engine::tcp {

struct LinkOptions {
  uint64_t delay_ns = 10 * ns_per_ms;
  uint64_t jitter_ns = 0;  // up to so much more, each packet for itself: reorders
  uint32_t loss_per_10000 = 0;
  uint32_t duplicates_per_10000 = 0;
  uint64_t bytes_per_s = 0;  // 0: no limit
  uint64_t queue_bytes = 256 * 1024;
  uint64_t mark_above_bytes = UINT64_MAX;  // CE, for packets that can have it
};

struct EndOptions {
  StackOptions stack;
  uint64_t send_bytes = 0;
  uint64_t write_bytes_max = 20'000;  // per write, at random below it
  uint64_t bytes_per_s = 0;           // writes come at this pace; 0: as much as is wanted
  uint32_t pauses_per_1000 = 0;       // turns in which reading goes off for a while
  uint32_t low_water_max = 1;
  uint64_t device_delay_ns = 0;  // from output to transmitted()
  bool sack = true;
  bool timestamps = true;
  bool scaling = true;
  bool ends = true;  // finishes after its last byte
};

StackOptions small_stack();

/// The byte at a place of what an end sends.
constexpr uint8_t pattern_at(uint64_t position) {
  return static_cast<uint8_t>((position * 0x9E3779B97F4A7C15) >> 56);
}

/// A segment on its way, with its bytes.
struct Packet {
  SegmentIn segment;
  std::vector<uint8_t> bytes;
};

class End {
 public:
  End(const EndOptions& options, uint64_t seed);

  void open(bool active, Instant now);
  /// One turn, as a stack does it.
  void turn(std::vector<std::unique_ptr<Packet>> arrived, Instant now);
  [[nodiscard]] Instant wake_at(Instant now) const;
  [[nodiscard]] bool through() const { return opened_ && connection_.done(); }
  /// Empty when every piece of memory is back.
  [[nodiscard]] std::string leaks();

  EndOptions options_;
  StackCounters counters_;
  ConnectionParts parts_;
  Connection connection_;
  std::vector<Packet> out_;  // what the last turn sent
  bool opened_ = false;
  uint64_t received_ = 0;
  uint64_t written_ = 0;
  uint64_t reported_sent_ = 0;
  uint64_t received_events_ = 0;
  uint64_t segments_in_ = 0;
  uint64_t segments_out_ = 0;
  bool connected_ = false;
  bool ended_ = false;
  bool closed_ = false;
  bool wrong_bytes_ = false;
  std::string wrong_segment_;  // the first that should not have been sent
  EndReason reason_{};
  Instant closed_at_;
  uint64_t held_max_ = 0;
  uint64_t backlog_max_ = 0;          // written and not acknowledged
  bool close_when_received_ = false;  // close() as soon as something was received

 private:
  friend class TwoEnds;
  void take_input(std::vector<std::unique_ptr<Packet>> arrived, Instant now);
  void handshake(const SegmentIn& segment, Instant now);
  void answer_late(const SegmentIn& segment);
  void take_events(Instant now);
  void write(Instant now);
  void send_out(Instant now);
  void emit(const SegmentOut& segment);
  void check_segment(const SegmentOut& segment, size_t bytes);
  void note_window(const SegmentIn& segment);
  void give_back();

  Prng prng_;
  // What was written, until `sent` says that it is not needed: poisoned then.
  struct Written {
    std::unique_ptr<uint8_t[]> bytes;
    uint64_t size;
  };
  std::deque<Written> kept_;
  uint64_t kept_from_ = 0;
  std::map<uintptr_t, std::unique_ptr<Packet>> lent_;
  std::deque<std::pair<Instant, uint64_t>> in_device_;
  bool finished_ = false;
  bool reading_ = true;
  Instant read_again_at_ = Instant::never();
  Instant start_;
  // The passive side's handshake.
  bool syn_seen_ = false;
  SegmentIn syn_;
  Instant syn_ack_at_ = Instant::never();
  uint32_t own_first_ = 0;
  // How far the peer has let us send.
  bool edge_known_ = false;
  uint32_t edge_ = 0;
  uint8_t scale_ = 0;
  std::optional<TimeWaitState> time_wait_;
};

class TwoEnds {
 public:
  TwoEnds(uint64_t seed, const EndOptions& active, const EndOptions& passive,
          const LinkOptions& there, const LinkOptions& back, bool simultaneous = false);

  /// Until both are through and nothing is in the network; false when `limit_ns` come first.
  bool run(uint64_t limit_ns);
  /// Until `until` or the limit; whether it was.
  template <typename Condition>
  bool run_until(Condition until, uint64_t limit_ns) {
    const Instant end = now_.after_ns(limit_ns);
    while (!until()) {
      if (now_ > end || !step()) return until();
    }
    return true;
  }

  End active_;
  End passive_;
  Instant now_{1'000'000'000};
  uint64_t lost_ = 0;

 private:
  struct Link {
    LinkOptions options;
    Instant free_at;
    std::multimap<Instant, std::unique_ptr<Packet>> flying;
  };
  bool step();
  void put(Link& link, std::vector<Packet>& packets);
  std::vector<std::unique_ptr<Packet>> arrived(Link& link) const;

  Prng prng_;
  Link there_;
  Link back_;
};

}  // namespace penstock::engine::tcp

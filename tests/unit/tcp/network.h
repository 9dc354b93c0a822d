#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/stack.h"
#include "penstock/base/prng.h"

// Two hosts as packets see them, on one virtual clock and from one seed: every byte of every packet
// goes over a wire that delays, reorders, loses, repeats, cuts and changes it.
namespace penstock::engine::tcp {

using Frame = std::vector<uint8_t>;

struct WireOptions {
  uint64_t delay_ns = ns_per_ms;
  uint64_t jitter_ns = 0;  // up to so much more, each packet for itself
  uint32_t loss_per_10000 = 0;
  uint32_t duplicates_per_10000 = 0;
  uint32_t corrupted_per_10000 = 0;  // a bit is turned, or the end is missing
  uint32_t held_per_10000 = 0;       // comes 20 ms after the others
  uint64_t bytes_per_s = 0;          // 0: no limit
  uint64_t queue_bytes = 256 * 1024;
  uint64_t mark_above_bytes = UINT64_MAX;  // CE, for IPv4 packets that can have it
};

/// One direction.
class Wire {
 public:
  Wire(const WireOptions& options, uint64_t seed) : options_(options), prng_(seed) {}
  void put(Frame frame, Instant now);
  [[nodiscard]] std::vector<Frame> take(Instant now);
  [[nodiscard]] Instant next() const {
    return flying_.empty() ? Instant::never() : flying_.begin()->first;
  }

 private:
  void damage(Frame& frame);

  WireOptions options_;
  Prng prng_;
  Instant free_at_;
  std::multimap<Instant, Frame> flying_;
};

/// What one end of a connection does.
struct SidePlan {
  uint64_t send_bytes = 0;
  uint64_t write_bytes_max = 20'000;
  uint64_t bytes_per_s = 0;  // 0: as fast as it goes
  uint32_t pauses_per_1000 = 0;
  uint32_t low_water_max = 1;
  uint64_t close_at = UINT64_MAX;  // closes when so many bytes have come
};

enum Side : uint8_t { initiator, acceptor };

struct Plan {
  uint32_t number = 0;
  bool from_left = true;
  bool v6 = false;
  uint64_t begins_ns = 0;
  std::array<SidePlan, 2> sides;
  [[nodiscard]] bool closes_early() const {
    return sides[0].close_at != UINT64_MAX || sides[1].close_at != UINT64_MAX;
  }
};

/// One end of a connection as its process sees it. The first bytes of the initiator name the plan,
/// so that the acceptor knows what to expect.
class Talk {
 public:
  static constexpr uint64_t name_bytes = 4;

  Talk(const std::vector<Plan>& plans, Side side, const Plan* plan, Instant now)
      : plans_(plans), side_(side), plan_(plan), start_(now) {}

  void received(Bytes bytes);
  /// Bytes that may be written by now, of all.
  [[nodiscard]] uint64_t writable(Instant now) const;
  void fill(uint64_t position, MutableBytes out) const;
  [[nodiscard]] bool all_written() const {
    return plan_ != nullptr && written_ == own().send_bytes;
  }
  [[nodiscard]] bool wants_close() const { return plan_ != nullptr && received_ >= own().close_at; }
  [[nodiscard]] const SidePlan& own() const { return plan_->sides[side_]; }
  [[nodiscard]] const Plan* plan() const { return plan_; }
  [[nodiscard]] Side side() const { return side_; }
  /// Empty, or what went wrong.
  [[nodiscard]] std::string verdict() const;

  uint64_t written_ = 0;
  uint64_t received_ = 0;
  bool connected_ = false;
  bool ended_ = false;
  bool finished_ = false;
  bool reading_ = true;
  Instant read_again_at_ = Instant::never();
  std::optional<EndReason> closed_;

 private:
  const std::vector<Plan>& plans_;
  Side side_;
  const Plan* plan_;
  Instant start_;
  std::array<uint8_t, name_bytes> name_{};
  bool wrong_ = false;
};

/// A host on the wire.
class NetworkHost {
 public:
  virtual ~NetworkHost() = default;
  virtual void connect(const Plan& plan, Instant now) = 0;
  virtual void turn(std::vector<Frame> arrived, Instant now, std::vector<Frame>& out) = 0;
  [[nodiscard]] virtual Instant wake_at(Instant now) const = 0;
  /// Nothing of a connection is left, but for what waits a while for segments that come late.
  [[nodiscard]] virtual bool quiet() const = 0;
  /// Empty, or which bound was broken.
  [[nodiscard]] virtual std::string broken() const = 0;

  std::deque<Talk> talks_;
};

struct StackHostOptions {
  StackOptions stack;
  IpAddress peer;
  IpAddress peer6;
  uint16_t port = 1935;
  uint64_t device_delay_ns = 0;  // from output() to transmitted()
};

/// A Stack with everything that its engine does for it.
class StackHost : public NetworkHost {
 public:
  StackHost(const StackHostOptions& options, const std::vector<Plan>& plans, uint64_t seed);
  void connect(const Plan& plan, Instant now) override;
  void turn(std::vector<Frame> arrived, Instant now, std::vector<Frame>& out) override;
  [[nodiscard]] Instant wake_at(Instant now) const override;
  [[nodiscard]] bool quiet() const override;
  [[nodiscard]] std::string broken() const override { return broken_; }
  [[nodiscard]] const StackCounters& counters() const { return stack_.counters(); }

 private:
  struct Written {
    std::unique_ptr<uint8_t[]> bytes;
    uint64_t size;
  };
  struct Open {
    ConnectionId id;
    Talk* talk = nullptr;
    std::deque<Written> kept;  // until `sent` says that it is not needed: poisoned then
    uint64_t kept_from = 0;
    uint64_t reported_sent = 0;
  };
  struct InDevice {
    Instant at;
    PacketOut packet;
  };
  void give_back();
  void take_events(Instant now);
  void use(Open& open, Instant now);
  void write(Open& open, Instant now);
  void forget(Open& open, bool all);
  void take_output(Instant now);
  Open* find(ConnectionId id);

  StackHostOptions options_;
  const std::vector<Plan>& plans_;
  Prng prng_;
  Stack stack_;
  std::map<uintptr_t, Frame> lent_;
  uintptr_t next_token_ = 1;
  std::deque<InDevice> device_;
  uint64_t transmitted_ = 0;
  std::deque<Open> open_;
  bool more_events_ = false;
  std::string broken_;
};

/// Turns until all that is planned is over. Empty, or what was wrong.
[[nodiscard]] std::string run_network(NetworkHost& left, NetworkHost& right, Wire& there,
                                      Wire& back, const std::vector<Plan>& plans, uint64_t limit_ns,
                                      bool trace);

}  // namespace penstock::engine::tcp

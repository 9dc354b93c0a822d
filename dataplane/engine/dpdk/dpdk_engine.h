#pragma once

#include <rte_seqcount.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/engine/dpdk/crossings.h"
#include "dataplane/engine/dpdk/device.h"
#include "dataplane/engine/dpdk/engine_counters.h"
#include "dataplane/engine/dpdk/exception_path.h"
#include "dataplane/engine/dpdk/idle.h"
#include "dataplane/engine/dpdk/packet_pools.h"
#include "dataplane/engine/dpdk/steering.h"
#include "dataplane/engine/dpdk/transmitter.h"
#include "dataplane/engine/engine.h"
#include "dataplane/engine/tcp/counters.h"
#include "dataplane/engine/tcp/stack.h"

namespace penstock::engine {

/// What one engine works with; all of it is its host's and outlives it.
struct DpdkEngineParts {
  size_t id = 0;
  Device* device = nullptr;
  uint16_t queue = 0;
  PacketPools* pools = nullptr;
  Steering* steering = nullptr;
  Crossings* crossings = nullptr;
  ExceptionPath* exceptions = nullptr;  // none where what is not ours is dropped
  tcp::StackOptions stack;
  std::vector<uint16_t> ports;
  uint32_t connections_max = 0;
};

/// Engine over one queue of a device and a TCP stack of its own: run to completion, no lock, no
/// system call but to sleep. The thread that polls first owns it.
class DpdkEngine final : public Engine {
 public:
  /// What is told of an engine while it runs.
  struct Told {
    EngineCounters engine;
    tcp::StackCounters tcp;
  };

  explicit DpdkEngine(DpdkEngineParts parts);
  ~DpdkEngine() override;
  DpdkEngine(const DpdkEngine&) = delete;
  DpdkEngine& operator=(const DpdkEngine&) = delete;

  std::span<EngineEvent> poll(std::span<EngineEvent> events, Instant wake_at) override;
  std::optional<ConnectionId> connect(const Endpoint& peer) override;
  void send(ConnectionId, std::span<const Bytes> slices) override;
  void set_reading(ConnectionId, bool on) override;
  void set_low_water(ConnectionId, uint32_t bytes, Rest) override;
  void finish(ConnectionId) override;
  void close(ConnectionId) override;
  bool set_accepting(bool on) override;
  /// Polling never waits for more: a turn that finds packets takes all of them.
  void set_gather_max(uint64_t) override {}
  [[nodiscard]] EngineCounts counts() const override;
  void wake() override { ring(Crossings::ringer_wake); }

  /// Any thread, under the number of its reason (Crossings); several may have the same: main and
  /// all workers wake.
  void ring(uint32_t ringer);
  void set_others(std::vector<DpdkEngine*> engines) { engines_ = std::move(engines); }
  void offer_memory(Bytes memory) { transmitter_.offer_memory(memory); }
  /// Ends every connection, as far as one moment allows: peers need not find out by themselves.
  /// After the owner's last poll().
  void end();
  /// Any thread; at most told_every_ns old, or of the last poll().
  [[nodiscard]] Told told() const;
  [[nodiscard]] uint64_t memory_bytes() const;

 private:
  /// A connection of the caller's. The stack has more places than that, for those that only it
  /// still knows.
  struct Place {
    tcp::ConnectionId stack_id;
    uint32_t generation = 1;
    bool in_use = false;
  };

  void adopt_thread();
  [[nodiscard]] Place* find(ConnectionId id);
  [[nodiscard]] uint32_t take_place(tcp::ConnectionId stack_id);

  // A turn, in this order.
  void give_back();
  [[nodiscard]] size_t receive(uint64_t rung);
  void send_out();
  [[nodiscard]] size_t report(std::span<EngineEvent> events);
  [[nodiscard]] bool convert(const tcp::StackEvent& from, EngineEvent& to);

  // dpdk_engine_receive.cc
  [[nodiscard]] size_t take_burst();
  [[nodiscard]] size_t take_crossings(uint64_t rung);
  void take(rte_mbuf* packet);
  [[nodiscard]] bool redirect(rte_mbuf* packet);
  void offer_exceptions();
  void except(rte_mbuf* packet);
  void take_kernel_packets();
  void hear_news(uint64_t rung);
  void share_news();
  void ring_others();

  void wait(Instant wake_at);
  void sleep(uint64_t ns);
  [[nodiscard]] bool interrupt_armed();
  void tell();

  static constexpr size_t burst_packets = 64;
  // A turn takes a burst from the device and one from each other worker while there is room.
  static constexpr size_t input_packets = 4 * burst_packets;
  static constexpr size_t report_events = 64;
  // Often enough for who looks once a second, and 1.5 KB copied ten times a second are nothing.
  static constexpr uint64_t told_every_ns = 100 * ns_per_ms;

  DpdkEngineParts parts_;
  EngineCounters counters_;
  tcp::Stack stack_;
  Transmitter transmitter_;
  Doorbell& bell_;
  std::vector<DpdkEngine*> engines_;  // of all workers
  int wake_fd_ = -1;
  int epoll_fd_ = -1;
  bool adopted_ = false;
  bool interrupts_ = false;
  bool trusts_queue_ = false;  // the device puts a connection's packets where they belong
  bool accepting_ = true;

  std::vector<Place> places_;
  std::vector<uint32_t> of_stack_;  // place of each of the stack's
  std::vector<uint32_t> free_;
  size_t free_first_ = 0;

  Instant now_;
  Instant told_at_;
  Idle idle_;
  uint64_t unvisited_ = 0;  // ringers whose ring was not emptied
  uint64_t rang_ = 0;       // engines to ring: a bit for each
  Rota rota_;               // of ringers
  bool news_taken_ = false;
  uint64_t transmitted_told_ = 0;
  std::array<tcp::PacketIn, input_packets> input_{};
  size_t input_count_ = 0;
  std::array<tcp::PacketOut, Transmitter::burst_packets> output_;
  std::array<tcp::StackEvent, report_events> reported_;

  rte_seqcount_t told_sequence_{};
  Told told_;
};

}  // namespace penstock::engine

#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/engine/tcp/types.h"
#include "penstock/base/spsc_ring.h"
#include "penstock/base/time.h"

struct rte_mbuf;
struct rte_mempool;

namespace penstock::engine {

struct ExceptionOptions {
  std::string interface;
  tcp::MacAddress mac;
  uint16_t mtu = 1500;
  uint32_t packets_per_second = 2000;  // per worker
  size_t workers = 1;
};

/// What is not the stacks' goes to the kernel through a TAP, and what the kernel sends there goes
/// out through the first worker's queue. Workers only put packets into rings: a thread of the host
/// makes the system calls (carry()).
class ExceptionPath {
 public:
  static std::expected<std::unique_ptr<ExceptionPath>, std::string> open(
      const ExceptionOptions& options);
  ExceptionPath(const ExceptionPath&) = delete;
  ExceptionPath& operator=(const ExceptionPath&) = delete;
  ~ExceptionPath();

  /// Worker: takes the reference to `packet`, or says no: too many, or the ring is full.
  [[nodiscard]] bool offer(size_t worker, rte_mbuf* packet, Instant now);
  /// First worker: what the kernel wants sent.
  [[nodiscard]] SpscRing<rte_mbuf*, 256>& from_kernel() { return from_kernel_; }

  /// The host's thread. Writes what workers offered, reads what the kernel sends into packets of
  /// `memory`; true: there is something for the first worker.
  [[nodiscard]] bool carry(rte_mempool* memory);
  [[nodiscard]] int descriptor() const { return fd_; }
  [[nodiscard]] uint64_t memory_bytes() const;

 private:
  /// One worker's way to the kernel.
  struct Lane {
    SpscRing<rte_mbuf*, 256> packets;
    // Worker's: a bucket that holds a tenth of a second.
    uint64_t tokens = 0;
    Instant filled_at;
  };

  ExceptionPath() = default;

  int fd_ = -1;
  uint16_t mtu_ = 1500;
  uint32_t packets_per_second_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
  SpscRing<rte_mbuf*, 256> from_kernel_;
};

}  // namespace penstock::engine

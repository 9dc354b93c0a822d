#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "dataplane/engine/uring/ring.h"
#include "penstock/base/bytes.h"

namespace penstock::engine {

/// Receive memory of one engine: slabs that the kernel fills, in a provided-buffer ring. A slab
/// goes back to the kernel when the kernel is done with it and every run of bytes in it has been
/// released.
class ReceiveSlabs {
 public:
  ReceiveSlabs() = default;
  ReceiveSlabs(const ReceiveSlabs&) = delete;
  ReceiveSlabs& operator=(const ReceiveSlabs&) = delete;
  ~ReceiveSlabs();

  std::expected<void, std::string> open(Ring&, uint32_t slabs, uint32_t slab_bytes,
                                        bool incremental);

  /// The bytes of a receive completion, which must carry a buffer. Held until released.
  Bytes take(const io_uring_cqe&);
  /// The bytes of this completion are not needed.
  void release(const io_uring_cqe&);
  /// The bytes of this completion were shown to the caller: they stay until release_shown().
  void mark_shown(const io_uring_cqe&);
  void release_shown();

  [[nodiscard]] bool incremental() const { return incremental_; }
  [[nodiscard]] uint64_t memory_bytes() const { return memory_bytes_; }
  static constexpr uint16_t group = 0;

 private:
  struct Slab {
    uint32_t filled_bytes = 0;
    uint32_t held = 0;   // runs taken and not released
    uint32_t shown = 0;  // of these, released with the next release_shown()
    bool full = false;   // the kernel is done with it
  };

  void let_go(uint16_t index, uint32_t runs);
  void give_to_kernel(uint16_t index);

  io_uring_buf_ring* ring_ = nullptr;
  uint8_t* memory_ = nullptr;
  uint64_t memory_bytes_ = 0;
  uint64_t ring_bytes_ = 0;
  uint32_t slab_bytes_ = 0;
  bool incremental_ = false;
  std::vector<Slab> slabs_;
  std::vector<uint16_t> shown_;  // slabs with shown > 0; never longer than slabs_
};

}  // namespace penstock::engine

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/engine/tcp/segment.h"
#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// Slices that one connection has given to send().
struct SendBlock {
  static constexpr uint32_t slices_max = 16;  // as many as one send() of the seam has at most
  Bytes slices[slices_max];
  uint32_t end = 0;
  SendBlock* next = nullptr;
};

/// Blocks for all connections of a stack. Grows when it runs dry, because a byte that was given to
/// send() must not be lost, and counts that.
class SendBlocks {
 public:
  explicit SendBlocks(uint32_t blocks) { grow(blocks); }

  [[nodiscard]] SendBlock* take();
  void give_back(SendBlock* block);
  [[nodiscard]] uint64_t grown() const { return grown_; }
  [[nodiscard]] uint32_t in_use() const { return in_use_; }
  [[nodiscard]] size_t memory_bytes() const;

 private:
  static constexpr uint32_t growth_blocks = 64;
  void grow(uint32_t blocks);

  std::vector<std::unique_ptr<SendBlock[]>> runs_;
  SendBlock* free_ = nullptr;
  uint32_t blocks_ = 0;
  uint32_t in_use_ = 0;
  uint64_t grown_ = 0;
};

/// A byte in a send queue; block null: there is none yet.
struct SendCursor {
  SendBlock* block = nullptr;
  uint32_t slice = 0;
  uint32_t offset = 0;
};

/// FIFO of slices of one connection, from the oldest byte that is not acknowledged on. Invariant: a
/// cursor to a byte that is not acknowledged stays good.
class SendQueue {
 public:
  void push(SendBlocks& blocks, Bytes slice);
  /// Forgets the first `bytes`: they are acknowledged.
  void consume(SendBlocks& blocks, uint32_t bytes);
  void clear(SendBlocks& blocks);

  /// Fills `out.slices` with up to `bytes` from `cursor` on, and moves it behind them. As many as
  /// fit into the slices of one packet; says how many.
  static uint32_t gather(SendCursor& cursor, uint32_t bytes, SegmentOut& out);
  /// Where the first byte that was never sent lies; only while unsent_bytes() > 0.
  [[nodiscard]] SendCursor unsent_cursor();
  /// What gather() took from unsent_cursor() is sent now.
  void sent(const SendCursor& behind, uint32_t bytes);
  /// `cursor` moved on by `bytes`.
  static void advance(SendCursor& cursor, uint32_t bytes);

  [[nodiscard]] uint64_t bytes() const { return bytes_; }  // not acknowledged
  [[nodiscard]] uint64_t unsent_bytes() const { return unsent_bytes_; }

 private:
  SendBlock* tail_ = nullptr;
  SendCursor oldest_;
  SendCursor unsent_;
  uint64_t bytes_ = 0;
  uint64_t unsent_bytes_ = 0;
};

}  // namespace penstock::engine::tcp

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "penstock/base/bytes.h"

namespace penstock::dataplane {

/// A run of frame memory, its bookkeeping in its first bytes. Counted by the owner core alone.
struct Block {
  uint32_t references = 0;
  uint32_t order = 0;     // the block is block_bytes_min << order bytes, this header included
  uint32_t capacity = 0;  // bytes after the header
  Block* next_free = nullptr;
  Block* previous_free = nullptr;

  [[nodiscard]] uint8_t* data();
};

constexpr size_t block_header_bytes = 64;
constexpr size_t block_bytes_min = 4096;
// The largest message is 16 MiB; with headers it needs the next power of two. 4 KiB << 13 = 32 MiB.
constexpr uint32_t block_order_max = 13;

inline uint8_t* Block::data() { return reinterpret_cast<uint8_t*>(this) + block_header_bytes; }

/// Power-of-two blocks out of one arena that is sized at start (a buddy allocator: Knuth, TAOCP
/// 1, 2.5). Splitting and merging cost a few steps per order; nothing is asked of the system after
/// start, and memory that no stream used is never touched. Owner: one worker.
class BlockPool {
 public:
  /// The arena must outlive the pool and be aligned to block_bytes_min.
  explicit BlockPool(MutableBytes arena);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  /// A block with one reference and at least `data_bytes` of capacity; null when there is none.
  [[nodiscard]] Block* take(size_t data_bytes);
  static void add_references(Block* block, uint32_t count) { block->references += count; }
  /// Gives the memory back with the last reference.
  void release(Block* block, uint32_t references = 1);

  [[nodiscard]] size_t bytes_in_use() const { return bytes_in_use_; }
  [[nodiscard]] size_t bytes_total() const { return units_.size() * block_bytes_min; }

 private:
  [[nodiscard]] Block* at(size_t unit) const;
  [[nodiscard]] size_t unit_of(const Block* block) const;
  void push_free(size_t unit, uint32_t order);
  void unlink_free(size_t unit, uint32_t order);

  uint8_t* arena_;
  std::vector<uint8_t> units_;  // order + 1 where a free block starts, else 0
  std::array<Block*, block_order_max + 1> free_{};
  size_t bytes_in_use_ = 0;
};

}  // namespace penstock::dataplane

#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/bytes.h"

namespace penstock::engine {

/// Slices that one connection has given to send(), as the kernel wants them.
struct SendBlock {
  // One block is one SENDMSG. As many as Engine::send_slices_max, so that a send() into an empty
  // queue is one operation.
  static constexpr uint32_t slices_max = 16;
  iovec slices[slices_max];
  uint32_t first = 0;
  uint32_t end = 0;
  SendBlock* next = nullptr;
};

/// Blocks for all connections of an engine. Grows when it runs dry, because a byte that was given
/// to send() must not be lost: it is a bug of nobody's, only a plan that was too small, and it is
/// counted.
class SendBlockPool {
 public:
  explicit SendBlockPool(uint32_t blocks) { grow(blocks); }

  SendBlock* take() {
    if (free_ == nullptr) {
      grow(growth_blocks);
      grown_ += growth_blocks;
    }
    SendBlock* block = free_;
    free_ = block->next;
    block->first = block->end = 0;
    block->next = nullptr;
    return block;
  }
  void give_back(SendBlock* block) {
    block->next = free_;
    free_ = block;
  }
  [[nodiscard]] uint64_t grown() const { return grown_; }

 private:
  static constexpr uint32_t growth_blocks = 64;

  void grow(uint32_t blocks) {
    runs_.push_back(std::make_unique_for_overwrite<SendBlock[]>(blocks));
    for (uint32_t i = 0; i < blocks; ++i) give_back(&runs_.back()[i]);
  }

  std::vector<std::unique_ptr<SendBlock[]>> runs_;
  SendBlock* free_ = nullptr;
  uint64_t grown_ = 0;
};

/// FIFO of slices of one connection. The first block is what the operation in flight points at.
struct SendQueue {
  SendBlock* head = nullptr;
  SendBlock* tail = nullptr;

  [[nodiscard]] bool empty() const { return head == nullptr; }

  void push(SendBlockPool& pool, Bytes slice) {
    if (tail == nullptr || tail->end == SendBlock::slices_max) {
      SendBlock* block = pool.take();
      (tail == nullptr ? head : tail->next) = block;
      tail = block;
    }
    tail->slices[tail->end++] = {const_cast<uint8_t*>(slice.data()), slice.size()};
  }

  /// Forgets the first `bytes`, all of which lie in the first block: the kernel was shown no more.
  void consume(SendBlockPool& pool, size_t bytes) {
    PENSTOCK_ASSERT(head != nullptr);
    while (bytes > 0) {
      PENSTOCK_ASSERT(head->first < head->end);
      iovec& slice = head->slices[head->first];
      const size_t part = bytes < slice.iov_len ? bytes : slice.iov_len;
      slice.iov_base = static_cast<uint8_t*>(slice.iov_base) + part;
      slice.iov_len -= part;
      bytes -= part;
      if (slice.iov_len == 0) ++head->first;
    }
    if (head->first == head->end) drop_head(pool);
  }

  void clear(SendBlockPool& pool) {
    while (head != nullptr) drop_head(pool);
  }

 private:
  void drop_head(SendBlockPool& pool) {
    SendBlock* block = head;
    head = block->next;
    if (head == nullptr) tail = nullptr;
    pool.give_back(block);
  }
};

}  // namespace penstock::engine

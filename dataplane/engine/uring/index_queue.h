#pragma once

#include <cstdint>
#include <vector>

#include "penstock/base/assert.h"

namespace penstock::engine {

/// FIFO of connection indices, sized once. The owner keeps every index in it at most once, so it
/// never fills.
class IndexQueue {
 public:
  explicit IndexQueue(uint32_t capacity) : slots_(capacity) {}

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] uint32_t size() const { return size_; }

  void push(uint32_t index) {
    PENSTOCK_ASSERT(size_ < slots_.size());
    const size_t at = size_t{first_} + size_;
    slots_[at < slots_.size() ? at : at - slots_.size()] = index;
    ++size_;
  }
  uint32_t pop() {
    PENSTOCK_ASSERT(size_ > 0);
    const uint32_t index = slots_[first_];
    first_ = first_ + 1 == slots_.size() ? 0 : first_ + 1;
    --size_;
    return index;
  }

 private:
  std::vector<uint32_t> slots_;
  uint32_t first_ = 0;
  uint32_t size_ = 0;
};

}  // namespace penstock::engine

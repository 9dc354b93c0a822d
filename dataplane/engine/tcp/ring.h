#pragma once

#include <cstdint>
#include <memory>

#include "penstock/base/assert.h"

namespace penstock::engine::tcp {

/// FIFO of at most as many as at construction. Not a list through the things themselves, because
/// what comes next can be prefetched from here without a look at what comes before it.
template <typename T>
class Ring {
 public:
  explicit Ring(uint32_t count_max) {
    uint32_t size = 16;
    while (size < count_max) size *= 2;
    mask_ = size - 1;
    items_ = std::make_unique<T[]>(size);
  }

  [[nodiscard]] bool empty() const { return head_ == tail_; }
  [[nodiscard]] bool full() const { return size() > mask_; }
  [[nodiscard]] uint32_t size() const { return tail_ - head_; }
  void push(const T& item) {
    PENSTOCK_ASSERT(!full());
    items_[tail_++ & mask_] = item;
  }
  /// The place of a new last one, as whoever was there left it.
  [[nodiscard]] T& push_in_place() {
    PENSTOCK_ASSERT(!full());
    return items_[tail_++ & mask_];
  }
  [[nodiscard]] T& front() { return items_[head_ & mask_]; }
  [[nodiscard]] const T& front() const { return items_[head_ & mask_]; }
  /// `ahead` < size().
  [[nodiscard]] const T& at(uint32_t ahead) const { return items_[(head_ + ahead) & mask_]; }
  void pop() { ++head_; }
  [[nodiscard]] size_t memory_bytes() const { return (size_t{mask_} + 1) * sizeof(T); }

 private:
  uint32_t head_ = 0;
  uint32_t tail_ = 0;
  uint32_t mask_ = 0;
  std::unique_ptr<T[]> items_;
};

}  // namespace penstock::engine::tcp

#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "penstock/base/assert.h"

namespace penstock {

/// Up to Capacity values in place. push_back on a full one is a bug of ours: ask full() where a
/// peer decides the count.
template <typename T, size_t Capacity>
class BoundedVector {
 public:
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == Capacity; }
  [[nodiscard]] static constexpr size_t capacity() { return Capacity; }

  T& push_back(T value) {
    PENSTOCK_ASSERT(size_ < Capacity);
    return items_[size_++] = std::move(value);
  }
  void pop_back() {
    PENSTOCK_ASSERT(size_ > 0);
    items_[--size_] = T{};
  }
  /// Order is not kept: the last one takes the place.
  void erase_unordered(size_t index) {
    PENSTOCK_ASSERT(index < size_);
    if (index + 1 != size_) items_[index] = std::move(items_[size_ - 1]);
    items_[--size_] = T{};
  }
  void clear() {
    while (size_ > 0) items_[--size_] = T{};
  }

  T& operator[](size_t index) {
    PENSTOCK_ASSERT(index < size_);
    return items_[index];
  }
  const T& operator[](size_t index) const {
    PENSTOCK_ASSERT(index < size_);
    return items_[index];
  }
  T* begin() { return items_.data(); }
  T* end() { return items_.data() + size_; }
  const T* begin() const { return items_.data(); }
  const T* end() const { return items_.data() + size_; }
  [[nodiscard]] std::span<const T> view() const { return {items_.data(), size_}; }

 private:
  std::array<T, Capacity> items_{};
  size_t size_ = 0;
};

}  // namespace penstock

#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "penstock/base/assert.h"

namespace penstock {

constexpr size_t cache_line_bytes = 64;

/// In place of a ring's capacity: it is told to the constructor.
constexpr uint32_t sized_at_start = 0;

/// Where a ring keeps its values: in itself, or, sized at start, on the heap.
template <typename T, uint32_t Capacity>
class RingSlots {
 public:
  static constexpr uint32_t capacity() { return Capacity; }
  T& operator[](uint32_t index) { return slots_[index & (Capacity - 1)]; }

 private:
  static_assert(std::has_single_bit(Capacity));
  std::array<T, Capacity> slots_{};
};

template <typename T>
class RingSlots<T, sized_at_start> {
 public:
  explicit RingSlots(uint32_t capacity)
      : mask_(capacity - 1), slots_(std::make_unique<T[]>(capacity)) {
    PENSTOCK_ASSERT(std::has_single_bit(capacity));
  }
  [[nodiscard]] uint32_t capacity() const { return mask_ + 1; }
  T& operator[](uint32_t index) { return slots_[index & mask_]; }

 private:
  uint32_t mask_;
  std::unique_ptr<T[]> slots_;
};

/// Single producer, single consumer, bounded, lock-free. Unless sized at start, it holds no pointer
/// of its own, so that it may lie in memory shared by two processes; either side may die at any
/// point and a successor goes on from the indices. Neither side ever waits: push on a full ring
/// answers false and the caller counts the drop.
///
/// Indices run freely and are masked on use, so full and empty differ without a spare slot.
template <typename T, uint32_t Capacity>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  SpscRing() = default;
  explicit SpscRing(uint32_t capacity) requires(Capacity == sized_at_start) : slots_(capacity) {}

  static constexpr uint32_t capacity() requires(Capacity != sized_at_start) { return Capacity; }
  [[nodiscard]] uint32_t capacity() const requires(Capacity == sized_at_start) {
    return slots_.capacity();
  }

  /// Producer only.
  [[nodiscard]] bool push(const T& value) {
    const uint32_t tail =
        tail_.load(std::memory_order_relaxed);  // relaxed: the producer alone writes it
    if (tail - head_cache_ == slots_.capacity()) {
      // acquire: the slots that the consumer gave back must not be written before it has read them
      head_cache_ = head_.load(std::memory_order_acquire);
      if (tail - head_cache_ >= slots_.capacity()) return false;
    }
    slots_[tail] = value;
    // release: the slot's content is visible before the index that covers it
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  /// Producer only. Places that a push is certain to find.
  [[nodiscard]] uint32_t free_slots() {
    // acquire: as in push
    head_cache_ = head_.load(std::memory_order_acquire);
    const uint32_t used =
        tail_.load(std::memory_order_relaxed) - head_cache_;  // relaxed: own index
    return used > slots_.capacity() ? 0 : slots_.capacity() - used;
  }

  /// Consumer only. Takes up to out.size() values; returns how many.
  uint32_t pop(std::span<T> out) {
    const uint32_t head =
        head_.load(std::memory_order_relaxed);  // relaxed: the consumer alone writes it
    // acquire: pairs with the release in push, so that the slots below tail are complete
    const uint32_t tail = tail_.load(std::memory_order_acquire);
    uint32_t count = tail - head;
    // In shared memory the other side is not trusted: a wild index reads as a full ring and no
    // more.
    if (count > slots_.capacity()) count = slots_.capacity();
    if (count > out.size()) count = static_cast<uint32_t>(out.size());
    for (uint32_t i = 0; i < count; ++i) out[i] = slots_[head + i];
    // release: the reads above are done before the producer may write those slots again
    head_.store(head + count, std::memory_order_release);
    return count;
  }

  /// Either side; exact for the consumer, a lower bound of the free room for the producer.
  [[nodiscard]] bool empty() const {
    // acquire: who sees a value here will find its slot complete
    return tail_.load(std::memory_order_acquire) ==
           head_.load(std::memory_order_relaxed);  // relaxed: own or hint
  }

 private:
  alignas(cache_line_bytes) std::atomic<uint32_t> tail_{0};
  uint32_t head_cache_ = 0;  // producer's line: spares it the consumer's line while there is room
  alignas(cache_line_bytes) std::atomic<uint32_t> head_{0};
  alignas(cache_line_bytes) RingSlots<T, Capacity> slots_{};
};

/// Between a consumer of up to 64 rings and their producers: tells the consumer which of them to
/// look at, and the producers whether it sleeps, so that they pay for a wake only then (a wake
/// costs the waker 11-16 us, a flag on an awake target 7 ns).
///
/// Producer: push(), then ring() with its number; true means: wake the consumer now, and nobody
/// else needs to. Consumer: take_rung(), then look at these rings, and keep in mind those it does
/// not empty; when it has nothing to do: prepare_sleep(), sleep only if anybody_rang() is false,
/// then woke_up().
class Doorbell {
 public:
  static constexpr uint32_t ringers_max = 64;

  /// Once per batch of pushes is enough; what is pushed after it needs another.
  [[nodiscard]] bool ring(uint32_t ringer) {
    // seq_cst: the pushes before it are visible to who takes the bit; and of this and the look at
    // sleeping_ on one side, prepare_sleep() and anybody_rang() on the other, all in one order, at
    // least one side sees the other
    rung_.fetch_or(uint64_t{1} << ringer, std::memory_order_seq_cst);
    // seq_cst: as above
    if (sleeping_.load(std::memory_order_seq_cst) == 0) return false;
    // acq_rel: exactly one producer pays for the wake
    return sleeping_.exchange(0, std::memory_order_acq_rel) == 1;
  }

  /// A bit per producer that rang since the last time. A push is in its ring before its bit is
  /// here, so that a bit set after this call is left for the next: a ring may be empty by then, but
  /// none is forgotten.
  [[nodiscard]] uint64_t take_rung() {
    // relaxed: a late look leaves the bit to the next call; anybody_rang() does not miss it
    if (rung_.load(std::memory_order_relaxed) == 0) return 0;
    // acquire: pairs with ring(), so that every push before it is found; the producers' exchanges
    // in between hand the earlier ones on
    return rung_.exchange(0, std::memory_order_acquire);
  }
  void prepare_sleep() {
    // seq_cst: before anybody_rang() in the one order that ring() is in, or a ring in between is
    // missed
    sleeping_.store(1, std::memory_order_seq_cst);
  }
  [[nodiscard]] bool anybody_rang() const {
    // seq_cst: as in prepare_sleep
    return rung_.load(std::memory_order_seq_cst) != 0;
  }
  void woke_up() {
    // relaxed: a late reader wakes us once in vain, no more
    sleeping_.store(0, std::memory_order_relaxed);
  }

 private:
  // One line for both: who rings needs both.
  alignas(cache_line_bytes) std::atomic<uint64_t> rung_{0};
  std::atomic<uint32_t> sleeping_{0};
};

/// Asks a loop on another thread, or behind a signal handler, to end.
class StopFlag {
 public:
  void raise() {
    raised_.store(true, std::memory_order_release);  // release: what was written before is seen by
                                                     // who sees the flag
  }
  [[nodiscard]] bool raised() const {
    return raised_.load(std::memory_order_acquire);  // acquire: pairs with raise
  }

 private:
  std::atomic<bool> raised_{false};
};

}  // namespace penstock

#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "penstock/base/assert.h"

namespace penstock::engine::tcp {

/// What a flow is at the moment: one of these and nothing else.
enum class FlowKind : uint8_t { none, connection, half_open, time_wait };

struct FlowValue {
  FlowKind kind = FlowKind::none;
  uint32_t index = 0;  // below 2^30
  constexpr bool operator==(const FlowValue&) const = default;
};

/// From a flow's hash to what it is. A bucket is a cache line of seven entries; the flow itself is
/// compared by the caller, where it lies beside what it is. Sized at start to 3.5 entries per
/// bucket at the most: 2 % of the buckets then overflow into the next one, and a count of those
/// that did says whether to go on looking, so that a look-up that finds nothing is one line as
/// well.
class FlowTable {
 public:
  explicit FlowTable(uint32_t flows_max) {
    uint64_t buckets = 2;
    while (buckets * 7 < uint64_t{flows_max} * 2) buckets *= 2;
    mask_ = static_cast<uint32_t>(buckets - 1);
    buckets_ = std::make_unique<Bucket[]>(buckets);
  }

  [[gnu::always_inline]] void prefetch(uint32_t hash) const {
    __builtin_prefetch(&buckets_[hash & mask_]);
  }

  /// `same` is asked of each candidate: whether it is the flow that is looked for.
  template <typename Same>
  [[nodiscard]] FlowValue find(uint32_t hash, const Same& same) const {
    for (uint32_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Bucket& bucket = buckets_[at];
      for (uint32_t i = 0; i < entries; ++i) {
        if (bucket.hashes[i] != hash || bucket.values[i] == 0) continue;
        const FlowValue value = unpacked(bucket.values[i]);
        if (same(value)) return value;
      }
      if (bucket.passed == 0) return {};
    }
  }

  /// The first candidate by hash alone, for a prefetch of what it points to; usually the right one.
  [[nodiscard]] FlowValue likely(uint32_t hash) const {
    const Bucket& bucket = buckets_[hash & mask_];
    for (uint32_t i = 0; i < entries; ++i) {
      if (bucket.hashes[i] == hash && bucket.values[i] != 0) return unpacked(bucket.values[i]);
    }
    return {};
  }

  /// The flow must not be there, and not more flows than at construction.
  void insert(uint32_t hash, FlowValue value) {
    for (uint32_t at = hash & mask_, steps = 0;; at = (at + 1) & mask_, ++steps) {
      PENSTOCK_ASSERT(steps <= mask_);
      Bucket& bucket = buckets_[at];
      for (uint32_t i = 0; i < entries; ++i) {
        if (bucket.values[i] != 0) continue;
        bucket.hashes[i] = hash;
        bucket.values[i] = packed(value);
        ++size_;
        return;
      }
      ++bucket.passed;
    }
  }

  void erase(uint32_t hash, FlowValue value) {
    Bucket& bucket = *locate(hash, value);
    for (uint32_t i = 0; i < entries; ++i) {
      if (bucket.hashes[i] == hash && bucket.values[i] == packed(value)) bucket.values[i] = 0;
    }
    for (uint32_t at = hash & mask_; &buckets_[at] != &bucket; at = (at + 1) & mask_) {
      --buckets_[at].passed;
    }
    --size_;
  }

  /// The same flow becomes something else.
  void replace(uint32_t hash, FlowValue from, FlowValue to) {
    Bucket& bucket = *locate(hash, from);
    for (uint32_t i = 0; i < entries; ++i) {
      if (bucket.hashes[i] == hash && bucket.values[i] == packed(from)) {
        bucket.values[i] = packed(to);
        return;
      }
    }
  }

  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] size_t memory_bytes() const { return (size_t{mask_} + 1) * sizeof(Bucket); }

 private:
  static constexpr uint32_t entries = 7;
  struct alignas(64) Bucket {
    std::array<uint32_t, entries> hashes{};
    std::array<uint32_t, entries> values{};  // 0: free
    uint32_t passed = 0;                     // entries that belong here and lie further on
  };
  static_assert(sizeof(Bucket) == 64);

  static uint32_t packed(FlowValue value) {
    return static_cast<uint32_t>(value.kind) << 30 | value.index;
  }
  static FlowValue unpacked(uint32_t value) {
    return {static_cast<FlowKind>(value >> 30), value & 0x3fffffff};
  }

  /// Asserts that it is there: only owners of entries erase them.
  Bucket* locate(uint32_t hash, FlowValue value) {
    for (uint32_t at = hash & mask_;; at = (at + 1) & mask_) {
      Bucket& bucket = buckets_[at];
      for (uint32_t i = 0; i < entries; ++i) {
        if (bucket.hashes[i] == hash && bucket.values[i] == packed(value)) return &bucket;
      }
      PENSTOCK_ASSERT(bucket.passed != 0);
    }
  }

  uint32_t mask_ = 0;
  uint32_t size_ = 0;
  std::unique_ptr<Bucket[]> buckets_;
};

}  // namespace penstock::engine::tcp

#pragma once

#include <cstddef>

namespace penstock {

constexpr size_t prefetch_line_bytes = 64;

/// The first `bytes` from `start` are to be in the cache soon, and may be written. Null fetches
/// nothing. Inlined by force: g++ takes a function that only prefetches for pure, and deletes its
/// calls.
[[gnu::always_inline]] inline void prefetch_lines(const void* start, size_t bytes) {
  if (start == nullptr) return;
  const char* at = static_cast<const char*>(start);
  for (size_t i = 0; i < bytes; i += prefetch_line_bytes) __builtin_prefetch(at + i, 1);
}

}  // namespace penstock

#pragma once

#include <cstdint>

namespace penstock::bench {

/// What operator new has given out, in a program that is linked with counted_heap.cc: "allocates
/// nothing" and "bytes per connection" are then numbers of a bench. One thread.
struct HeapCount {
  uint64_t allocations = 0;
  int64_t bytes = 0;  // in use, as large as the allocator made them
};
[[nodiscard]] const HeapCount& heap_count();
/// Bytes are counted only while this is on: asking the allocator for sizes costs a tenth of a
/// session's bring-up.
void count_heap_bytes(bool on);

}  // namespace penstock::bench

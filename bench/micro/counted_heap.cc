#include "bench/micro/counted_heap.h"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace penstock::bench {
namespace {

HeapCount count;
bool counts_bytes = false;

}  // namespace

const HeapCount& heap_count() { return count; }
void count_heap_bytes(bool on) { counts_bytes = on; }

}  // namespace penstock::bench

void* operator new(size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) std::abort();
  ++penstock::bench::count.allocations;
  if (penstock::bench::counts_bytes)
    penstock::bench::count.bytes += static_cast<int64_t>(malloc_usable_size(memory));
  return memory;
}

void operator delete(void* memory) noexcept {
  if (penstock::bench::counts_bytes && memory != nullptr)
    penstock::bench::count.bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

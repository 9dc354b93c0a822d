#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace penstock::sim {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using ZeroedMemory = std::unique_ptr<uint8_t, FreeMemory>;

/// At least `bytes`, aligned as regions and frame memory need it.
inline ZeroedMemory zeroed_memory(uint64_t bytes) {
  constexpr uint64_t alignment = 1U << 16;
  const uint64_t whole = (bytes + alignment - 1) / alignment * alignment;
  ZeroedMemory memory(static_cast<uint8_t*>(std::aligned_alloc(alignment, whole)));
  std::memset(memory.get(), 0, whole);
  return memory;
}

}  // namespace penstock::sim

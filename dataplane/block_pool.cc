#include "dataplane/block_pool.h"

#include <new>

#include "penstock/base/assert.h"

namespace penstock::dataplane {

static_assert(sizeof(Block) <= block_header_bytes);

BlockPool::BlockPool(MutableBytes arena)
    : arena_(arena.data()), units_(arena.size() / block_bytes_min, 0) {
  PENSTOCK_ASSERT(reinterpret_cast<uintptr_t>(arena.data()) % block_bytes_min == 0);
  size_t unit = 0;
  // The largest aligned blocks that fit, from the front: the arena need not be a power of two.
  while (unit < units_.size()) {
    uint32_t order = block_order_max;
    while (unit % (size_t{1} << order) != 0 || unit + (size_t{1} << order) > units_.size()) --order;
    push_free(unit, order);
    unit += size_t{1} << order;
  }
}

Block* BlockPool::at(size_t unit) const {
  return reinterpret_cast<Block*>(arena_ + unit * block_bytes_min);
}

size_t BlockPool::unit_of(const Block* block) const {
  return static_cast<size_t>(reinterpret_cast<const uint8_t*>(block) - arena_) / block_bytes_min;
}

void BlockPool::push_free(size_t unit, uint32_t order) {
  Block* block = new (at(unit)) Block{};
  block->order = order;
  block->next_free = free_[order];
  if (free_[order] != nullptr) free_[order]->previous_free = block;
  free_[order] = block;
  units_[unit] = static_cast<uint8_t>(order + 1);
}

void BlockPool::unlink_free(size_t unit, uint32_t order) {
  Block* block = at(unit);
  if (block->previous_free != nullptr) block->previous_free->next_free = block->next_free;
  if (block->next_free != nullptr) block->next_free->previous_free = block->previous_free;
  if (free_[order] == block) free_[order] = block->next_free;
  units_[unit] = 0;
}

Block* BlockPool::take(size_t data_bytes) {
  uint32_t wanted = 0;
  while (wanted <= block_order_max &&
         (block_bytes_min << wanted) < data_bytes + block_header_bytes) {
    ++wanted;
  }
  if (wanted > block_order_max) return nullptr;
  uint32_t order = wanted;
  while (order <= block_order_max && free_[order] == nullptr) ++order;
  if (order > block_order_max) return nullptr;

  const size_t unit = unit_of(free_[order]);
  unlink_free(unit, order);
  while (order > wanted) {
    --order;
    push_free(unit + (size_t{1} << order), order);
  }
  Block* block = new (at(unit)) Block{};
  block->references = 1;
  block->order = wanted;
  block->capacity = static_cast<uint32_t>((block_bytes_min << wanted) - block_header_bytes);
  bytes_in_use_ += block_bytes_min << wanted;
  return block;
}

void BlockPool::release(Block* block, uint32_t references) {
  PENSTOCK_ASSERT(block->references >= references);
  block->references -= references;
  if (block->references > 0) return;
  uint32_t order = block->order;
  size_t unit = unit_of(block);
  bytes_in_use_ -= block_bytes_min << order;
  while (order < block_order_max) {
    const size_t buddy = unit ^ (size_t{1} << order);
    if (buddy >= units_.size() || units_[buddy] != order + 1) break;
    unlink_free(buddy, order);
    unit = unit < buddy ? unit : buddy;
    ++order;
  }
  push_free(unit, order);
}

}  // namespace penstock::dataplane

#include "dataplane/block_pool.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "penstock/base/prng.h"

namespace penstock::dataplane {
namespace {

class Arena {
 public:
  explicit Arena(size_t bytes)
      : bytes_(bytes), base_(static_cast<uint8_t*>(std::aligned_alloc(block_bytes_min, bytes))) {}
  ~Arena() { std::free(base_); }
  [[nodiscard]] MutableBytes bytes() const { return {base_, bytes_}; }

 private:
  size_t bytes_;
  uint8_t* base_;
};

TEST(block_pool, gives_what_was_asked_and_takes_all_back) {
  const Arena arena(1 << 20);
  BlockPool pool(arena.bytes());
  EXPECT_EQ(pool.bytes_total(), 1u << 20);
  Block* small = pool.take(1);
  Block* large = pool.take(100'000);
  ASSERT_NE(small, nullptr);
  ASSERT_NE(large, nullptr);
  EXPECT_GE(small->capacity, 1u);
  EXPECT_GE(large->capacity, 100'000u);
  EXPECT_EQ(pool.bytes_in_use(), 4096u + 131'072u);
  pool.release(small);
  pool.release(large);
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(block_pool, released_neighbours_merge_into_the_largest_block_again) {
  const Arena arena(1 << 20);
  BlockPool pool(arena.bytes());
  std::vector<Block*> blocks;
  while (Block* block = pool.take(4000)) blocks.push_back(block);
  EXPECT_EQ(blocks.size(), (1u << 20) / block_bytes_min);
  EXPECT_EQ(pool.take(1), nullptr);
  for (size_t i = 0; i < blocks.size(); i += 2) pool.release(blocks[i]);
  EXPECT_EQ(pool.take(5000), nullptr) << "no two neighbours are free yet";
  for (size_t i = 1; i < blocks.size(); i += 2) pool.release(blocks[i]);
  Block* whole = pool.take((1 << 20) - block_header_bytes);
  ASSERT_NE(whole, nullptr);
  pool.release(whole);
}

TEST(block_pool, an_arena_that_is_no_power_of_two_is_used_whole) {
  const Arena arena(7 * block_bytes_min);
  BlockPool pool(arena.bytes());
  std::vector<Block*> blocks;
  while (Block* block = pool.take(1)) blocks.push_back(block);
  EXPECT_EQ(blocks.size(), 7u);
  for (Block* block : blocks) pool.release(block);
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

TEST(block_pool, memory_comes_back_with_the_last_reference_only) {
  const Arena arena(block_bytes_min);
  BlockPool pool(arena.bytes());
  Block* block = pool.take(1);
  pool.add_references(block, 1);
  pool.release(block);
  EXPECT_EQ(pool.take(1), nullptr);
  pool.release(block);
  block = pool.take(1);
  EXPECT_NE(block, nullptr);
  pool.release(block);
}

TEST(block_pool, more_than_the_largest_block_is_refused) {
  const Arena arena(1 << 20);
  BlockPool pool(arena.bytes());
  EXPECT_EQ(pool.take(size_t{block_bytes_min} << (block_order_max + 1)), nullptr);
  EXPECT_EQ(pool.take(SIZE_MAX / 2), nullptr);
}

TEST(block_pool, blocks_in_use_never_overlap) {
  const Arena arena(4 << 20);
  BlockPool pool(arena.bytes());
  Prng prng(7);
  struct Held {
    Block* block;
    uint8_t mark;
  };
  std::vector<Held> held;
  for (int step = 0; step < 20'000; ++step) {
    if (held.empty() || prng.chance(550)) {
      const size_t bytes = 1 + prng.below(size_t{1} << (6 + prng.below(13)));
      if (Block* block = pool.take(bytes)) {
        const auto mark = static_cast<uint8_t>(step);
        std::memset(block->data(), mark, block->capacity);
        held.push_back({block, mark});
      }
    } else {
      const size_t at = prng.below(held.size());
      const Held gone = held[at];
      for (size_t i = 0; i < gone.block->capacity; i += 97) {
        ASSERT_EQ(gone.block->data()[i], gone.mark);
      }
      pool.release(gone.block);
      held[at] = held.back();
      held.pop_back();
    }
  }
  for (const Held& rest : held) pool.release(rest.block);
  EXPECT_EQ(pool.bytes_in_use(), 0u);
}

}  // namespace
}  // namespace penstock::dataplane

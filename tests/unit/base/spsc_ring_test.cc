#include "penstock/base/spsc_ring.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

namespace penstock {
namespace {

std::vector<uint32_t> pop(auto& ring, size_t count_max) {
  std::vector<uint32_t> values(count_max);
  values.resize(ring.pop(values));
  return values;
}

TEST(SpscRing, gives_back_in_order_what_was_pushed) {
  SpscRing<uint32_t, 8> ring;
  EXPECT_TRUE(ring.empty());
  for (uint32_t i = 0; i < 5; ++i) EXPECT_TRUE(ring.push(i));
  EXPECT_FALSE(ring.empty());
  EXPECT_EQ(pop(ring, 3), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(pop(ring, 8), (std::vector<uint32_t>{3, 4}));
  EXPECT_EQ(pop(ring, 8), (std::vector<uint32_t>{}));
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRing, uses_every_slot_and_refuses_one_more) {
  SpscRing<uint32_t, 4> ring;
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ring.free_slots(), 4 - i);
    EXPECT_TRUE(ring.push(i));
  }
  EXPECT_EQ(ring.free_slots(), 0U);
  EXPECT_FALSE(ring.push(99));
  EXPECT_EQ(pop(ring, 1), (std::vector<uint32_t>{0}));
  EXPECT_EQ(ring.free_slots(), 1U);
  EXPECT_TRUE(ring.push(4));
  EXPECT_FALSE(ring.push(99));
  EXPECT_EQ(pop(ring, 4), (std::vector<uint32_t>{1, 2, 3, 4}));
}

TEST(SpscRing, sized_at_start_behaves_the_same) {
  SpscRing<uint32_t, sized_at_start> ring(4);
  EXPECT_EQ(ring.capacity(), 4U);
  for (uint32_t round = 0; round < 10; ++round) {
    for (uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(ring.push(round + i));
    EXPECT_EQ(ring.free_slots(), 0U);
    EXPECT_FALSE(ring.push(99));
    EXPECT_EQ(pop(ring, 3), (std::vector<uint32_t>{round, round + 1, round + 2}));
    EXPECT_EQ(pop(ring, 8), (std::vector<uint32_t>{round + 3}));
  }
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRing, refused_push_leaves_no_trace) {
  SpscRing<uint32_t, 2> ring;
  EXPECT_TRUE(ring.push(1));
  EXPECT_TRUE(ring.push(2));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(ring.push(99));
  EXPECT_EQ(pop(ring, 8), (std::vector<uint32_t>{1, 2}));
  EXPECT_TRUE(ring.empty());
}

TEST(SpscRing, capacity_one_works) {
  SpscRing<uint32_t, 1> ring;
  for (uint32_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(ring.push(i));
    EXPECT_FALSE(ring.push(99));
    EXPECT_EQ(pop(ring, 2), (std::vector<uint32_t>{i}));
  }
}

TEST(SpscRing, pop_into_nothing_takes_nothing) {
  SpscRing<uint32_t, 4> ring;
  EXPECT_TRUE(ring.push(1));
  EXPECT_EQ(ring.pop({}), 0U);
  EXPECT_EQ(pop(ring, 4), (std::vector<uint32_t>{1}));
}

/// A ring whose indices stand where `turns` pushes and pops would have brought them, without 2^32
/// of those: the ring is position-independent memory, and its two indices are the first words of
/// its first two cache lines.
template <typename Ring>
void place_indices(Ring& ring, uint32_t tail, uint32_t head) {
  auto* bytes = reinterpret_cast<std::byte*>(&ring);
  std::memcpy(bytes, &tail, sizeof tail);
  std::memcpy(bytes + sizeof tail, &head, sizeof head);  // the producer's copy of the head
  std::memcpy(bytes + cache_line_bytes, &head, sizeof head);
}

TEST(SpscRing, indices_wrap_at_2_to_the_32) {
  SpscRing<uint32_t, 8> ring;
  place_indices(ring, UINT32_MAX - 2, UINT32_MAX - 2);
  for (uint32_t round = 0; round < 10; ++round) {
    EXPECT_EQ(ring.free_slots(), 8U);
    for (uint32_t i = 0; i < 8; ++i) EXPECT_TRUE(ring.push(round * 8 + i));
    EXPECT_FALSE(ring.push(99));
    const std::vector<uint32_t> values = pop(ring, 8);
    ASSERT_EQ(values.size(), 8U);
    for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(values[i], round * 8 + i);
  }
}

// In shared memory the other process may write anything into the indices. Nothing may be read or
// written outside.
TEST(SpscRing, wild_index_of_the_other_side_reads_as_full_and_stays_inside) {
  for (const uint32_t wild : {9U, 1000U, 0x80000000U, UINT32_MAX}) {
    SpscRing<uint32_t, 8> ring;
    place_indices(ring, wild, 0);
    EXPECT_LE(pop(ring, 100).size(), 8U) << wild;

    SpscRing<uint32_t, 8> filled;
    place_indices(filled, 0, wild);
    for (int i = 0; i < 100; ++i) (void)filled.push(1);
    EXPECT_LE(filled.free_slots(), 8U) << wild;
  }
}

TEST(SpscRing, successor_of_a_dead_side_goes_on_where_it_stopped) {
  alignas(SpscRing<uint32_t, 8>) std::byte memory[sizeof(SpscRing<uint32_t, 8>)];
  auto* ring = new (memory) SpscRing<uint32_t, 8>;
  for (uint32_t i = 0; i < 6; ++i) EXPECT_TRUE(ring->push(i));
  EXPECT_EQ(pop(*ring, 4).size(), 4U);
  // The same bytes at another address, as another process maps them.
  alignas(SpscRing<uint32_t, 8>) std::byte other[sizeof memory];
  std::memcpy(other, memory, sizeof memory);
  auto* mapped = std::launder(reinterpret_cast<SpscRing<uint32_t, 8>*>(other));
  EXPECT_TRUE(mapped->push(6));
  EXPECT_EQ(pop(*mapped, 8), (std::vector<uint32_t>{4, 5, 6}));
}

struct Parcel {
  uint64_t number = 0;
  uint64_t check[3] = {};  // derived from number: a torn copy does not match

  static Parcel of(uint64_t number) {
    return {number, {~number, number * 3, number ^ 0x5555555555555555}};
  }
  [[nodiscard]] bool whole() const {
    const Parcel same = of(number);
    return check[0] == same.check[0] && check[1] == same.check[1] && check[2] == same.check[2];
  }
};

// Two threads, batches of varying size, a small ring so that full and empty both happen all the
// time. The thread sanitizer build runs this one for the memory orders.
TEST(SpscRing, two_threads_lose_nothing_repeat_nothing_and_tear_nothing) {
  constexpr uint64_t parcel_count = 200'000;
  SpscRing<Parcel, 64> ring;
  std::thread producer([&] {
    for (uint64_t number = 0; number < parcel_count;) {
      if (ring.push(Parcel::of(number))) {
        ++number;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t expected = 0;
  bool right = true;
  std::array<Parcel, 48> batch;
  while (expected < parcel_count) {
    const uint32_t count = ring.pop(std::span(batch).first(1 + expected % batch.size()));
    if (count == 0) std::this_thread::yield();
    for (uint32_t i = 0; i < count; ++i) {
      right = right && batch[i].number == expected && batch[i].whole();
      ++expected;
    }
  }
  producer.join();
  EXPECT_TRUE(right);
  EXPECT_TRUE(ring.empty());
}

}  // namespace
}  // namespace penstock

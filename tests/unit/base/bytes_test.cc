#include "penstock/base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace penstock {
namespace {

TEST(Bytes, loads_read_network_order_and_le_the_other) {
  const std::array<uint8_t, 8> at = {0x81, 0x02, 0xF3, 0x04, 0x05, 0x96, 0x07, 0xE8};
  EXPECT_EQ(load_u16(at.data()), 0x8102);
  EXPECT_EQ(load_u24(at.data()), 0x8102F3U);
  EXPECT_EQ(load_u32(at.data()), 0x8102F304U);
  EXPECT_EQ(load_u32_le(at.data()), 0x04F30281U);
  EXPECT_EQ(load_u64(at.data()), 0x8102F304059607E8ULL);
}

TEST(Bytes, stores_write_their_width_and_nothing_beside_it) {
  const auto written = [](size_t width, auto store) {
    std::array<uint8_t, 10> at{};
    at.fill(0xAA);
    store(at.data() + 1);
    EXPECT_EQ(at[0], 0xAA);
    for (size_t i = width + 1; i < at.size(); ++i) EXPECT_EQ(at[i], 0xAA) << "byte " << i;
    return std::vector<uint8_t>(at.begin() + 1, at.begin() + 1 + static_cast<long>(width));
  };
  using Written = std::vector<uint8_t>;
  EXPECT_EQ(written(2, [](uint8_t* at) { store_u16(at, 0x81F2); }), (Written{0x81, 0xF2}));
  EXPECT_EQ(written(3, [](uint8_t* at) { store_u24(at, 0x81F203); }), (Written{0x81, 0xF2, 0x03}));
  EXPECT_EQ(written(4, [](uint8_t* at) { store_u32(at, 0x81F20394); }),
            (Written{0x81, 0xF2, 0x03, 0x94}));
  EXPECT_EQ(written(4, [](uint8_t* at) { store_u32_le(at, 0x81F20394); }),
            (Written{0x94, 0x03, 0xF2, 0x81}));
  EXPECT_EQ(written(8, [](uint8_t* at) { store_u64(at, 0x81F2039405060708); }),
            (Written{0x81, 0xF2, 0x03, 0x94, 0x05, 0x06, 0x07, 0x08}));
}

TEST(Bytes, store_then_load_is_identity_at_the_edges) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{0x7FFFFFFF}, uint64_t{0x80000000},
                               uint64_t{0xFFFFFFFF}, UINT64_MAX}) {
    std::array<uint8_t, 8> at{};
    store_u64(at.data(), value);
    EXPECT_EQ(load_u64(at.data()), value);
    const auto word = static_cast<uint32_t>(value);
    store_u32(at.data(), word);
    EXPECT_EQ(load_u32(at.data()), word);
    store_u32_le(at.data(), word);
    EXPECT_EQ(load_u32_le(at.data()), word);
    store_u24(at.data(), word);
    EXPECT_EQ(load_u24(at.data()), word & 0xFFFFFF);
  }
}

TEST(Bytes, text_and_bytes_are_views_of_the_same_memory) {
  const std::string_view text("a\0\xFF", 3);
  const Bytes bytes = as_bytes(text);
  EXPECT_EQ(bytes.size(), 3U);
  EXPECT_EQ(bytes[2], 0xFF);
  EXPECT_EQ(as_text(bytes), text);
  EXPECT_EQ(static_cast<const void*>(as_text(bytes).data()), text.data());
}

TEST(Bytes, copy_bytes_takes_an_empty_span_without_memory) {
  uint8_t target = 7;
  copy_bytes(&target, Bytes{});
  EXPECT_EQ(target, 7);
  const uint8_t source = 9;
  copy_bytes(&target, Bytes(&source, 1));
  EXPECT_EQ(target, 9);
}

}  // namespace
}  // namespace penstock

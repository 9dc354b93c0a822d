#include "bench/load/stamp.h"

#include <gtest/gtest.h>

#include <array>

namespace penstock::load {
namespace {

constexpr Stamp stamps[] = {
    {}, {1, 2, 3}, {0xFFFF, 0xFFFFFFFF, UINT64_MAX}, {7, 0x10203040, 1'700'000'000'123'456'789}};

TEST(Stamp, reads_what_was_written) {
  for (const Stamp& stamp : stamps) {
    std::array<uint8_t, stamp_bytes> bytes{};
    write_stamp(bytes.data(), stamp);
    EXPECT_EQ(read_stamp(bytes.data()), stamp);
  }
}

TEST(Stamp, never_looks_like_a_start_code) {
  for (const Stamp& stamp : stamps) {
    std::array<uint8_t, stamp_bytes> bytes{};
    write_stamp(bytes.data(), stamp);
    for (const uint8_t byte : bytes) EXPECT_GE(byte, 0x30);
  }
}

TEST(Stamp, other_bytes_are_none) {
  std::array<uint8_t, stamp_bytes> bytes{};
  bytes.fill('x');
  EXPECT_EQ(read_stamp(bytes.data()), std::nullopt);
  write_stamp(bytes.data(), {1, 2, 3});
  bytes[10] = 'g';
  EXPECT_EQ(read_stamp(bytes.data()), std::nullopt);
}

}  // namespace
}  // namespace penstock::load

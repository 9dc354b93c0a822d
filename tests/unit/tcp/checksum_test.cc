#include "dataplane/engine/tcp/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "penstock/base/prng.h"

namespace penstock::engine::tcp {
namespace {

/// As RFC 1071 (4.1) has it, over bytes in one piece.
uint16_t naive_checksum(Bytes bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

TEST(checksum, of_the_rfc_example) {
  const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  Checksum checksum;
  checksum.add(bytes);
  EXPECT_EQ(checksum.sum(), 0xddf2);
  EXPECT_EQ(checksum.value(), 0x220d);
}

TEST(checksum, equals_the_naive_one_at_every_length_and_alignment) {
  Prng prng(1);
  std::vector<uint8_t> bytes(2200);
  prng.fill(bytes);
  for (size_t length = 0; length < 400; ++length) {
    for (size_t offset = 0; offset < 33; offset += 1 + length % 3) {
      const Bytes part = Bytes(bytes).subspan(offset, length);
      Checksum checksum;
      checksum.add(part);
      ASSERT_EQ(checksum.value(), naive_checksum(part)) << length << " at " << offset;
    }
  }
  Checksum whole;
  whole.add(bytes);
  EXPECT_EQ(whole.value(), naive_checksum(bytes));
}

TEST(checksum, does_not_depend_on_how_bytes_are_cut) {
  Prng prng(2);
  for (int round = 0; round < 500; ++round) {
    std::vector<uint8_t> bytes(prng.below(3000));
    prng.fill(bytes);
    Checksum checksum;
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = std::min<size_t>(prng.below(200), bytes.size() - at);
      checksum.add(Bytes(bytes).subspan(at, length));
      at += length;
    }
    ASSERT_EQ(checksum.value(), naive_checksum(bytes)) << "round " << round;
  }
}

TEST(checksum, keeps_every_carry) {
  const std::vector<uint8_t> bytes(65535, 0xff);
  Checksum checksum;
  for (int i = 0; i < 100; ++i) checksum.add(Bytes(bytes).first(65534));
  EXPECT_EQ(checksum.sum(), 0xffff);
  checksum.add(bytes);
  EXPECT_EQ(checksum.sum(), 0xff00);
}

TEST(checksum, of_a_pseudo_header) {
  const uint8_t source[] = {10, 0, 0, 1};
  const uint8_t destination[] = {10, 0, 0, 2};
  const uint8_t bytes[] = {10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 20};
  EXPECT_EQ(pseudo_header(source, destination, 6, 20).value(), naive_checksum(bytes));
}

}  // namespace
}  // namespace penstock::engine::tcp

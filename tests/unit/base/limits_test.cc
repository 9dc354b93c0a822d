#include "penstock/base/limits.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

// Each of these holds by the arithmetic in limits.h; a changed limit that breaks a relation is
// found here.
TEST(Limits, limits_fit_each_other_and_the_wire) {
  EXPECT_LE(chunk_bytes_out, 0x7FFFFFFFU) << "Set Chunk Size has 31 bits";
  EXPECT_LE(data_bytes_max, 0xFFFFFFU) << "a message length has 24 bits";
  EXPECT_LE(command_bytes_max, data_bytes_max);
  EXPECT_GE(chunk_streams_max, partial_messages_max)
      << "an unfinished message needs a chunk stream";
  EXPECT_LE(workers_max, 64U) << "a set of workers is one 64-bit word";
  EXPECT_GE(address_text_bytes_max,
            sizeof("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535") - 6);
}

}  // namespace
}  // namespace penstock

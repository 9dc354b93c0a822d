#include "penstock/rtmp/swf_verification.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/rtmp/support.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

TEST(SwfVerification, response_is_that_of_the_vectors) {
  const auto hash =
      test::from_hex(test::load_vectors("swf_verification.json", "swf_hash").get<std::string>());
  const auto s1_end =
      test::from_hex(test::load_vectors("swf_verification.json", "s1_last32").get<std::string>());
  const uint32_t bytes = test::load_vectors("swf_verification.json", "swf_size");
  EXPECT_EQ(test::to_hex(swf_verify_response(bytes, hash, s1_end)),
            test::text(test::load_vectors("swf_verification.json", "response_user_control")));
}

TEST(SwfVerification, hash_is_an_hmac_under_the_public_text) {
  // HMAC-SHA256("Genuine Adobe Flash Player 001", "FWS")
  const Digest expected = hmac_sha256(as_bytes("Genuine Adobe Flash Player 001"), as_bytes("FWS"));
  EXPECT_EQ(swf_hash(as_bytes("FWS")), expected);
}

}  // namespace
}  // namespace penstock::rtmp

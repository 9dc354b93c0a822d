#include "penstock/rtmp/publisher_auth.h"

#include <gtest/gtest.h>

#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

TEST(PublisherAuth, adobe_responses_are_those_of_the_vectors) {
  const auto json = test::load_vectors("auth.json", "adobe");
  const auto field = [&](const char* key) { return test::text(json[key]); };
  const std::string hash = adobe_password_hash(field("user"), field("salt"), field("password"));
  EXPECT_EQ(hash, test::text(json["md5_1_base64"]));
  for (const auto& one : json["cases"]) {
    const std::string server_part = one.value("server_challenge", field("opaque"));
    EXPECT_EQ(adobe_response(hash, server_part, one["client_challenge"].get<std::string>()),
              test::text(one["response"]))
        << one["uses"];
  }
}

TEST(PublisherAuth, llnw_responses_are_those_of_the_vectors) {
  const auto json = test::load_vectors("auth.json", "llnw");
  const auto field = [&](const char* key) { return test::text(json[key]); };
  const std::string hash = llnw_password_hash(field("user"), field("password"));
  EXPECT_EQ(hash, test::text(json["ha1"]));
  const std::string target = llnw_target_hash(field("app"));
  EXPECT_EQ(target, test::text(json["ha2"]));
  EXPECT_EQ(llnw_response(hash, field("nonce"), field("cnonce"), target),
            test::text(json["response"]));
  const auto& with_instance = json["app_with_instance"];
  EXPECT_EQ(llnw_target_hash(with_instance["app"].get<std::string>()),
            test::text(with_instance["ha2"]));
}

TEST(PublisherAuth, base64_pads) {
  EXPECT_EQ(base64({}), "");
  EXPECT_EQ(base64(as_bytes("a")), "YQ==");
  EXPECT_EQ(base64(as_bytes("ab")), "YWI=");
  EXPECT_EQ(base64(as_bytes("abc")), "YWJj");
}

}  // namespace
}  // namespace penstock::rtmp

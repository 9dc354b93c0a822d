#include "penstock/tunnel/rtmpe.h"

#include <gtest/gtest.h>

#include "penstock/rtmp/handshake_digest.h"
#include "tests/unit/rtmp/support.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::tunnel {
namespace {

using test::from_hex;
using test::load_vectors;
using test::Octets;
using test::to_hex;

Octets padded(std::string hex) {
  if (hex.size() % 2 != 0) hex.insert(hex.begin(), '0');
  return from_hex(hex);
}

Octets octets_of(const nlohmann::json& hex) { return padded(hex.get<std::string>()); }

TEST(Rtmpe, key_agreement_and_both_streams_are_those_of_the_vectors) {
  for (const auto& one : load_vectors("rtmpe.json", "cases")) {
    SCOPED_TRACE(one["name"].get<std::string>());
    const DhKey peer(octets_of(one["client_private"]));
    const DhKey ours(octets_of(one["server_private"]));
    EXPECT_EQ(to_hex(peer.public_key()), test::text(one["client_public"]));
    EXPECT_EQ(to_hex(ours.public_key()), test::text(one["server_public"]));
    const auto secret = ours.shared_secret(peer.public_key());
    ASSERT_TRUE(secret);
    EXPECT_EQ(to_hex(*secret), test::text(one["secret"]));
    EXPECT_EQ(peer.shared_secret(ours.public_key()), secret);
    const Rc4Key in = stream_key(*secret, ours.public_key());
    const Rc4Key out = stream_key(*secret, peer.public_key());
    EXPECT_EQ(to_hex(in), test::text(one["key_client_to_server"]));
    EXPECT_EQ(to_hex(out), test::text(one["key_server_to_client"]));
    Octets key_stream(32);
    Rc4Stream(in).apply(key_stream);
    EXPECT_EQ(to_hex(key_stream), test::text(one["c2s_skip1536_first32"]));
    key_stream.assign(32, 0);
    Rc4Stream(out).apply(key_stream);
    EXPECT_EQ(to_hex(key_stream), test::text(one["s2c_skip1536_first32"]));
  }
}

TEST(Rtmpe, public_keys_outside_the_group_are_refused) {
  const DhKey ours(from_hex("1234567890"));
  const Octets prime = from_hex(load_vectors("rtmpe.json", "p").get<std::string>());
  const auto with_end = [&](uint8_t last) {
    Octets key = prime;
    key.back() = last;
    return key;
  };
  Octets small(dh_bytes);
  EXPECT_FALSE(ours.shared_secret(small));
  small.back() = 1;
  EXPECT_FALSE(ours.shared_secret(small));
  small.back() = 2;
  EXPECT_TRUE(ours.shared_secret(small));
  EXPECT_TRUE(ours.shared_secret(with_end(0xFD))) << "p - 2";
  EXPECT_FALSE(ours.shared_secret(with_end(0xFE))) << "p - 1";
  EXPECT_FALSE(ours.shared_secret(prime));
  EXPECT_FALSE(ours.shared_secret(Octets(dh_bytes, 0xFF)));
}

TEST(Rtmpe, encrypted_sample_of_the_vectors) {
  const auto sample = load_vectors("rtmpe.json", "encrypted_sample");
  const auto full = load_vectors("rtmpe.json", "cases")[2];
  Rc4Key key;
  copy_bytes(key.data(), octets_of(full["key_client_to_server"]));
  Octets bytes = octets_of(sample["plain"]);
  // In two runs: the state goes on over them.
  Rc4Stream stream(key);
  stream.apply(MutableBytes(bytes).first(5));
  stream.apply(MutableBytes(bytes).subspan(5));
  EXPECT_EQ(to_hex(bytes), test::text(sample["cipher"]));
}

TEST(Rtmpe, single_blocks_of_the_vectors) {
  for (const auto& one : load_vectors("rtmpe.json", "block_cipher_single")) {
    Octets block = octets_of(one["in"]);
    encipher_xtea(one["key_id"], block);
    EXPECT_EQ(to_hex(block), test::text(one["xtea_out"]));
    block = octets_of(one["in"]);
    encipher_blowfish(one["key_id"], block);
    EXPECT_EQ(to_hex(block), test::text(one["blowfish_out"]));
  }
}

TEST(Rtmpe, whole_handshake_of_the_vectors_in_all_three_forms) {
  using rtmp::DigestScheme;
  const auto json = load_vectors("rtmpe.json", "full_handshake_scheme1");
  const Octets c1 = octets_of(json["c1"]);
  const Octets s1 = octets_of(json["s1"]);
  ASSERT_EQ(rtmp::find_digest(c1, rtmp::flash_player_text()), DigestScheme::key_first);
  ASSERT_EQ(rtmp::find_digest(s1, rtmp::media_server_text()), DigestScheme::key_first);
  EXPECT_EQ(rtmp::dh_key_offset(c1, DigestScheme::key_first), json["c1_dh_offset"]);
  EXPECT_EQ(rtmp::dh_key_offset(s1, DigestScheme::key_first), json["s1_dh_offset"]);
  for (const auto& one : json["variants"]) {
    SCOPED_TRACE(one["s0_type"].dump());
    const auto key =
        rtmp::signature_key(rtmp::media_server_key(), rtmp::digest_of(c1, DigestScheme::key_first));
    EXPECT_EQ(to_hex(key), test::text(one["s2_key"]));
    rtmp::Digest signature;
    copy_bytes(signature.data(), octets_of(one["s2_signature_before_block_cipher"]));
    encipher_signature(one["s0_type"], signature, key);
    EXPECT_EQ(to_hex(signature), test::text(one["s2_signature"]));
    for (size_t block = 0; block < 4; ++block)
      EXPECT_EQ(key[8 * block] % 15, one["key_ids"][block]);
    const auto answer =
        rtmp::signature_key(rtmp::flash_player_key(), rtmp::digest_of(s1, DigestScheme::key_first));
    EXPECT_EQ(to_hex(answer), test::text(one["c2_key"]));
    // C2 is rebuilt from the description of the vectors: a fill pattern, then its signature.
    Octets c2(rtmp::handshake_packet_bytes);
    const uint64_t seed = one["c2_seed"];
    for (uint64_t i = 0; i < rtmp::handshake_signed_bytes; ++i) {
      c2[i] = static_cast<uint8_t>((i * i * 7 + i * 31 + seed * 101) >> 1);
    }
    rtmp::Digest c2_signature = rtmp::packet_signature(c2, answer);
    encipher_signature(one["s0_type"], c2_signature, answer);
    EXPECT_EQ(to_hex(c2_signature), test::text(one["c2_signature"]));
  }
}

}  // namespace
}  // namespace penstock::tunnel

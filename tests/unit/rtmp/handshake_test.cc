#include "penstock/rtmp/handshake.h"

#include <gtest/gtest.h>

#include "tests/unit/rtmp/support.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

using test::from_hex;
using test::load_vectors;
using test::Octets;
using test::to_hex;

DigestScheme scheme_of(const nlohmann::json& json) {
  return json.get<int>() == 0 ? DigestScheme::digest_first : DigestScheme::key_first;
}

TEST(HandshakeDigest, keys_are_those_of_the_vectors) {
  const auto keys = load_vectors("handshake_digest.json", "keys");
  EXPECT_EQ(to_hex(flash_player_text()), test::text(keys["fp_partial_30"]));
  EXPECT_EQ(to_hex(media_server_text()), test::text(keys["fms_partial_36"]));
  EXPECT_EQ(to_hex(flash_player_key()), test::text(keys["fp_full_62"]));
  EXPECT_EQ(to_hex(media_server_key()), test::text(keys["fms_full_68"]));
}

TEST(HandshakeDigest, all_four_packets_of_the_vectors_verify) {
  for (const auto& json : load_vectors("handshake_digest.json", "cases")) {
    SCOPED_TRACE(json["scheme"].dump());
    const DigestScheme scheme = scheme_of(json["scheme"]);
    const Octets c1 = from_hex(json["c1"].get<std::string>());
    const Octets s1 = from_hex(json["s1"].get<std::string>());
    const Octets s2 = from_hex(json["s2"].get<std::string>());
    const Octets c2 = from_hex(json["c2"].get<std::string>());
    EXPECT_EQ(find_digest(c1, flash_player_text()), scheme);
    EXPECT_EQ(find_digest(s1, media_server_text()), scheme);
    EXPECT_EQ(find_digest(c1, media_server_text()), std::nullopt);
    EXPECT_EQ(digest_offset(c1, scheme), json["c1_digest_offset"]);
    EXPECT_EQ(digest_offset(s1, scheme), json["s1_digest_offset"]);
    EXPECT_EQ(dh_key_offset(c1, scheme), json["c1_dh_offset"]);
    EXPECT_EQ(dh_key_offset(s1, scheme), json["s1_dh_offset"]);
    EXPECT_EQ(to_hex(digest_of(c1, scheme)), test::text(json["c1_digest"]));
    const Digest s2_key = signature_key(media_server_key(), digest_of(c1, scheme));
    const Digest c2_key = signature_key(flash_player_key(), digest_of(s1, scheme));
    EXPECT_EQ(to_hex(s2_key), test::text(json["s2_key"]));
    EXPECT_EQ(to_hex(c2_key), test::text(json["c2_key"]));
    EXPECT_EQ(to_hex(packet_signature(s2, s2_key)), test::text(json["s2_signature"]));
    EXPECT_EQ(to_hex(packet_signature(c2, c2_key)), test::text(json["c2_signature"]));
  }
}

TEST(HandshakeDigest, writing_a_digest_restores_the_packet_of_the_vectors) {
  for (const auto& json : load_vectors("handshake_digest.json", "cases")) {
    const DigestScheme scheme = scheme_of(json["scheme"]);
    const Octets s1 = from_hex(json["s1"].get<std::string>());
    Octets without = s1;
    const size_t at = digest_offset(s1, scheme);
    std::fill_n(without.begin() + static_cast<ptrdiff_t>(at), sizeof(Digest), uint8_t{0});
    write_digest(without, scheme, media_server_text());
    EXPECT_EQ(without, s1);
  }
}

TEST(HandshakeDigest, captured_peers_are_recognised) {
  for (const auto& json : load_vectors("handshake_digest.json", "captured")) {
    SCOPED_TRACE(json["client"].get<std::string>());
    const Octets c0c1 = from_hex(json["c0c1"].get<std::string>());
    const auto scheme = find_digest(Bytes(c0c1).subspan(1), flash_player_text());
    if (json["scheme"].is_null()) {
      EXPECT_EQ(scheme, std::nullopt);
      continue;
    }
    ASSERT_EQ(scheme, scheme_of(json["scheme"]));
    EXPECT_EQ(digest_offset(Bytes(c0c1).subspan(1), *scheme), json["digest_offset"]);
  }
}

/// C0 and C1 of a peer that does not sign.
Octets simple_first(uint8_t version = 3) {
  Octets packet{version};
  test::append(packet, test::filler(handshake_packet_bytes, 5));
  std::fill_n(packet.begin() + 5, 4, uint8_t{0});
  return packet;
}

Octets signed_first(DigestScheme scheme) {
  Octets packet = simple_first();
  packet[5] = 9;
  write_digest(MutableBytes(packet).subspan(1), scheme, flash_player_text());
  return packet;
}

TEST(Handshake, simple_answer_has_version_zero_and_echoes_c1_unchanged) {
  Handshake handshake(1);
  Outbox outbox;
  const Octets first = simple_first();
  EXPECT_EQ(handshake.feed(first, outbox), first.size());
  const Octets answer = outbox.take();
  ASSERT_EQ(answer.size(), 1 + 2 * handshake_packet_bytes);
  EXPECT_EQ(answer[0], 3);
  EXPECT_EQ(load_u32(answer.data() + 5), 0u);
  EXPECT_EQ(to_hex(Bytes(answer).last(handshake_packet_bytes)), to_hex(Bytes(first).subspan(1)));
  EXPECT_FALSE(handshake.digest());
  EXPECT_FALSE(handshake.done());
}

TEST(Handshake, digest_answer_uses_the_scheme_of_the_peer_and_verifies) {
  for (const DigestScheme scheme : {DigestScheme::digest_first, DigestScheme::key_first}) {
    Handshake handshake(2);
    Outbox outbox;
    const Octets first = signed_first(scheme);
    EXPECT_EQ(handshake.feed(first, outbox), first.size());
    EXPECT_TRUE(handshake.digest());
    const Octets answer = outbox.take();
    ASSERT_EQ(answer.size(), 1 + 2 * handshake_packet_bytes);
    const Bytes s1 = Bytes(answer).subspan(1, handshake_packet_bytes);
    const Bytes s2 = Bytes(answer).subspan(1 + handshake_packet_bytes);
    EXPECT_GE(s1[4], 3);
    EXPECT_EQ(find_digest(s1, media_server_text()), scheme);
    const Bytes c1_digest = digest_of(Bytes(first).subspan(1), scheme);
    EXPECT_EQ(to_hex(packet_signature(s2, signature_key(media_server_key(), c1_digest))),
              to_hex(s2.last(sizeof(Digest))));
  }
}

TEST(Handshake, version_without_a_digest_is_answered_simply) {
  Octets first = simple_first();
  first[5] = 10;
  Handshake handshake(3);
  Outbox outbox;
  ASSERT_TRUE(handshake.feed(first, outbox));
  EXPECT_FALSE(handshake.digest());
  EXPECT_EQ(load_u32(outbox.view().data() + 5), 0u);
}

TEST(Handshake, answer_does_not_wait_for_c2_and_what_follows_c2_is_left) {
  Octets stream = simple_first();
  test::append(stream, test::filler(handshake_packet_bytes, 6));
  const Octets behind = from_hex("020000000000040100000000");
  test::append(stream, behind);
  for (size_t cut = 0; cut <= stream.size(); cut += 7) {
    Handshake handshake(4);
    Outbox outbox;
    const auto first = handshake.feed(Bytes(stream).first(cut), outbox);
    ASSERT_TRUE(first);
    EXPECT_EQ(outbox.empty(), cut < 1 + handshake_packet_bytes);
    size_t used = *first;
    EXPECT_EQ(used, std::min(cut, stream.size() - behind.size()));
    if (!handshake.done()) {
      const auto second = handshake.feed(Bytes(stream).subspan(cut), outbox);
      ASSERT_TRUE(second);
      used += *second;
    }
    EXPECT_TRUE(handshake.done());
    EXPECT_EQ(used, stream.size() - behind.size());
    EXPECT_EQ(outbox.size(), 1 + 2 * handshake_packet_bytes);
  }
}

TEST(Handshake, one_byte_at_a_time_gives_the_same_answer) {
  const Octets first = signed_first(DigestScheme::key_first);
  Handshake whole(9), bytewise(9);
  Outbox of_whole, of_bytewise;
  ASSERT_TRUE(whole.feed(first, of_whole));
  for (const uint8_t& byte : first) ASSERT_EQ(bytewise.feed({&byte, 1}, of_bytewise), 1u);
  EXPECT_EQ(of_whole.take(), of_bytewise.take());
}

/// Feeds C0, C1 and the C2 that `make` builds from S1; tells whether the echo was found to differ.
template <typename Make>
bool echo_differs(const Octets& first, Make make) {
  Handshake handshake(7);
  Outbox outbox;
  EXPECT_TRUE(handshake.feed(first, outbox));
  const Octets c2 = make(Bytes(outbox.view()).subspan(1, handshake_packet_bytes));
  EXPECT_EQ(handshake.feed(c2, outbox), c2.size());
  EXPECT_TRUE(handshake.done());
  return handshake.echo_differs();
}

Octets echo(Bytes s1) { return test::octets(s1); }
Octets echo_with_time(Bytes s1) {
  Octets c2 = test::octets(s1);
  store_u32(c2.data() + 4, 12345);
  return c2;
}
Octets garbage(Bytes) { return test::filler(handshake_packet_bytes, 99); }
Octets signed_c2(Bytes s1) {
  Octets c2 = test::filler(handshake_packet_bytes, 98);
  const auto scheme = find_digest(s1, media_server_text());
  const Digest key = signature_key(flash_player_key(), digest_of(s1, scheme.value()));
  copy_bytes(c2.data() + handshake_signed_bytes, packet_signature(c2, key));
  return c2;
}

TEST(Handshake, every_form_of_c2_is_accepted_and_a_strange_one_is_noted) {
  const Octets simple = simple_first();
  EXPECT_FALSE(echo_differs(simple, echo));
  EXPECT_FALSE(echo_differs(simple, echo_with_time));
  EXPECT_TRUE(echo_differs(simple, garbage));
  const Octets digest = signed_first(DigestScheme::digest_first);
  EXPECT_FALSE(echo_differs(digest, echo)) << "FFmpeg's publisher echoes after a signed C1";
  EXPECT_FALSE(echo_differs(digest, signed_c2));
  EXPECT_TRUE(echo_differs(digest, garbage));
}

TEST(Handshake, any_other_first_byte_is_refused_at_once) {
  for (int version = 0; version < 256; ++version) {
    if (version == 3) continue;
    const uint8_t byte = static_cast<uint8_t>(version);
    Handshake handshake(1);
    Outbox outbox;
    const auto fed = handshake.feed({&byte, 1}, outbox);
    ASSERT_FALSE(fed) << version;
    EXPECT_EQ(fed.error(), Fault::handshake_version);
    EXPECT_TRUE(outbox.empty());
  }
}

TEST(Handshake, different_seeds_fill_differently) {
  Outbox one, other;
  Handshake first(1), second(2);
  ASSERT_TRUE(first.feed(simple_first(), one));
  ASSERT_TRUE(second.feed(simple_first(), other));
  EXPECT_NE(one.take(), other.take());
}

}  // namespace
}  // namespace penstock::rtmp

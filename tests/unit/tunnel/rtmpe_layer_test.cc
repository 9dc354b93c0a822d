#include "penstock/tunnel/rtmpe_layer.h"

#include <gtest/gtest.h>

#include "penstock/rtmp/initiator.h"
#include "tests/unit/rtmp/session_probe.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::tunnel {
namespace {

using rtmp::DigestScheme;
using rtmp::handshake_packet_bytes;
using test::octets;
using test::Octets;

constexpr size_t handshake_bytes = 1 + 2 * handshake_packet_bytes;

// Few bits, so that a thousand handshakes take no time.
constexpr DhExponent small_exponent(uint8_t number) {
  DhExponent exponent{};
  exponent.back() = number;
  return exponent;
}

RtmpeSettings accepting(uint8_t version = 0, uint64_t seed = 1) {
  return {.version = version, .random_seed = seed, .exponent = small_exponent(23)};
}
RtmpeSettings initiating(uint8_t version, DigestScheme scheme = DigestScheme::key_first) {
  return {.initiates = true,
          .version = version,
          .scheme = scheme,
          .random_seed = 2,
          .exponent = small_exponent(99)};
}

/// One side with what it said and what it was told.
struct Side {
  explicit Side(const RtmpeSettings& settings) : layer(settings) { feed({}); }

  bool feed(Bytes input, size_t run_bytes = SIZE_MAX, size_t room_bytes = 4096) {
    Octets room(room_bytes);
    do {
      // A copy of its own, so that a byte read beyond it is seen by the memory checker.
      const Octets run = octets(input.first(std::min(run_bytes, input.size())));
      input = input.subspan(run.size());
      for (Bytes left = run;;) {
        const auto opened = layer.open(left, room, said);
        if (!opened) {
          fault = opened.error();
          return false;
        }
        left = left.subspan(opened->input_bytes);
        test::append(plain, Bytes(room).first(opened->output_bytes));
        if (opened->input_bytes == 0 && opened->output_bytes == 0) break;
      }
    } while (!input.empty());
    return true;
  }

  Octets take_said() { return std::exchange(said, {}); }

  RtmpeLayer layer;
  Octets said;
  Octets plain;
  std::optional<Fault> fault;
};

/// What both directions carry in a whole conversation.
struct Conversation {
  Octets up, down;
  Octets plain_up = test::filler(200, 5), plain_down = test::filler(300, 6);
};

Conversation converse(const RtmpeSettings& ours, const RtmpeSettings& peers) {
  Conversation talk;
  Side server(ours);
  Side peer(peers);
  talk.up = peer.take_said();
  EXPECT_TRUE(server.feed(talk.up));
  talk.down = server.take_said();
  EXPECT_TRUE(peer.feed(talk.down));
  peer.layer.seal(talk.plain_up, peer.said);
  test::append(talk.up, peer.take_said());
  EXPECT_TRUE(server.feed(Bytes(talk.up).subspan(1 + handshake_packet_bytes)));
  EXPECT_FALSE(server.layer.echo_differs());
  server.layer.seal(talk.plain_down, server.said);
  const Octets sealed = server.take_said();
  EXPECT_TRUE(peer.feed(sealed));
  test::append(talk.down, sealed);
  EXPECT_EQ(server.plain, talk.plain_up);
  EXPECT_EQ(peer.plain, talk.plain_down);
  EXPECT_EQ(talk.up.size(), handshake_bytes + talk.plain_up.size());
  EXPECT_EQ(talk.down.size(), handshake_bytes + talk.plain_down.size());
  return talk;
}

class RtmpeForms : public testing::TestWithParam<uint8_t> {};
INSTANTIATE_TEST_SUITE_P(, RtmpeForms, testing::Values(6, 8, 9),
                         [](const auto& form) { return std::to_string(form.param); });

TEST_P(RtmpeForms, both_sides_understand_each_other_under_either_scheme) {
  for (const DigestScheme scheme : {DigestScheme::digest_first, DigestScheme::key_first}) {
    const Conversation talk = converse(accepting(), initiating(GetParam(), scheme));
    EXPECT_EQ(talk.up[0], GetParam());
    EXPECT_EQ(talk.down[0], GetParam()) << "S0 is the peer's number";
    const Bytes s1 = Bytes(talk.down).subspan(1, handshake_packet_bytes);
    EXPECT_EQ(rtmp::find_digest(s1, rtmp::media_server_text()), scheme);
  }
}

TEST_P(RtmpeForms, every_split_of_the_bytes_gives_the_same) {
  const Conversation talk = converse(accepting(), initiating(GetParam()));
  for (size_t at = 0; at <= talk.up.size(); ++at) {
    Side server(accepting());
    ASSERT_TRUE(server.feed(Bytes(talk.up).first(at))) << at;
    ASSERT_EQ(server.layer.established(), at >= handshake_bytes) << at;
    ASSERT_TRUE(server.feed(Bytes(talk.up).subspan(at))) << at;
    ASSERT_EQ(server.plain, talk.plain_up) << at;
    ASSERT_EQ(server.take_said(), octets(Bytes(talk.down).first(handshake_bytes))) << at;
  }
  for (size_t at = 0; at <= talk.down.size(); ++at) {
    Side peer(initiating(GetParam()));
    ASSERT_TRUE(peer.feed(Bytes(talk.down).first(at))) << at;
    ASSERT_EQ(peer.layer.established(), at >= handshake_bytes) << at;
    ASSERT_TRUE(peer.feed(Bytes(talk.down).subspan(at))) << at;
    ASSERT_EQ(peer.plain, talk.plain_down) << at;
    ASSERT_EQ(peer.take_said(), octets(Bytes(talk.up).first(handshake_bytes))) << at;
  }
}

TEST(RtmpeLayer, runs_and_rooms_of_any_size_give_the_same) {
  const Conversation talk = converse(accepting(), initiating(6));
  for (const size_t run_bytes : {1u, 2u, 7u, 1000u, 5000u}) {
    for (const size_t room_bytes : {1u, 3u, 64u, 4096u}) {
      Side server(accepting());
      ASSERT_TRUE(server.feed(talk.up, run_bytes, room_bytes));
      EXPECT_EQ(server.plain, talk.plain_up);
      Side peer(initiating(6));
      ASSERT_TRUE(peer.feed(talk.down, run_bytes, room_bytes));
      EXPECT_EQ(peer.plain, talk.plain_down);
    }
  }
}

TEST(RtmpeLayer, peer_follows_another_number_in_s0) {
  for (const uint8_t answered : {version_rtmpe_xtea, version_rtmpe_blowfish}) {
    const Conversation talk = converse(accepting(answered), initiating(6));
    EXPECT_EQ(talk.up[0], 6);
    EXPECT_EQ(talk.down[0], answered);
  }
}

TEST(RtmpeLayer, takes_c0_and_c1_that_librtmp_sent) {
  for (const auto& one : test::load_vectors("handshake_digest.json", "captured")) {
    if (!one.contains("dh_offset")) continue;
    Side server(accepting());
    EXPECT_TRUE(server.feed(test::from_hex(test::text(one["c0c1"]))));
    EXPECT_EQ(server.said.size(), handshake_bytes);
    EXPECT_EQ(server.said[0], 6);
  }
}

/// A peer that answers with a C2 of its own making, and takes the server's key from where
/// `key_scheme` has it.
struct HandMadePeer {
  HandMadePeer(Side& server, DigestScheme key_scheme) : key(small_exponent(99)) {
    Side first(initiating(6));
    EXPECT_TRUE(server.feed(first.said));
    const Octets answer = server.take_said();
    s1 = octets(Bytes(answer).subspan(1, handshake_packet_bytes));
    const Bytes server_key = Bytes(s1).subspan(rtmp::dh_key_offset(s1, key_scheme), dh_bytes);
    const auto secret = key.shared_secret(server_key);
    EXPECT_TRUE(secret);
    sending.emplace(stream_key(*secret, server_key));
  }

  Octets second(Octets c2, Bytes plain) {
    const size_t at = c2.size();
    test::append(c2, plain);
    sending->apply(MutableBytes(c2).subspan(at));
    return c2;
  }

  DhKey key;
  Octets s1;
  std::optional<Rc4Stream> sending;
};

TEST(RtmpeLayer, echo_of_s1_will_do_for_c2_and_what_follows_in_the_same_input_is_enciphered) {
  const Octets plain = test::filler(50, 1);
  for (const DigestScheme key_scheme : {DigestScheme::key_first, DigestScheme::digest_first}) {
    Side server(accepting());
    HandMadePeer peer(server, key_scheme);
    Octets c2 = peer.s1;
    c2[5] ^= 0x55;  // the time at which the peer read S1
    ASSERT_TRUE(server.feed(peer.second(c2, plain)));
    EXPECT_EQ(server.plain, plain);
    EXPECT_FALSE(server.layer.echo_differs());
  }
  Side server(accepting());
  HandMadePeer peer(server, DigestScheme::key_first);
  ASSERT_TRUE(server.feed(peer.second(Octets(handshake_packet_bytes), plain)));
  EXPECT_EQ(server.plain, plain);
  EXPECT_TRUE(server.layer.echo_differs());
}

TEST(RtmpeLayer, s1_holds_the_key_where_either_scheme_has_it) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Side peer(initiating(6));
    Side server(accepting(0, seed));
    ASSERT_TRUE(server.feed(peer.said));
    const Bytes s1 = Bytes(server.said).subspan(1, handshake_packet_bytes);
    ASSERT_EQ(rtmp::find_digest(s1, rtmp::media_server_text()), DigestScheme::key_first);
    const DhNumber expected = DhKey(small_exponent(23)).public_key();
    for (const DigestScheme scheme : {DigestScheme::digest_first, DigestScheme::key_first}) {
      const Bytes found = s1.subspan(rtmp::dh_key_offset(s1, scheme), dh_bytes);
      ASSERT_EQ(octets(found), octets(expected)) << seed;
    }
  }
}

/// C0 and C1 of a peer whose public key is `key`, signed.
Octets first_with_key(Bytes key, DigestScheme scheme) {
  Side peer(initiating(6, scheme));
  const MutableBytes c1 = MutableBytes(peer.said).subspan(1);
  copy_bytes(c1.data() + rtmp::dh_key_offset(c1, scheme), key);
  rtmp::write_digest(c1, scheme, rtmp::flash_player_text());
  return peer.said;
}

TEST(RtmpeLayer, public_key_outside_the_group_is_a_fault) {
  const Octets prime = test::from_hex(test::text(test::load_vectors("rtmpe.json", "p")));
  const auto less = [&](uint8_t by) {
    Octets number = prime;
    number.back() = static_cast<uint8_t>(number.back() - by);
    return number;
  };
  Octets zero(dh_bytes), one(dh_bytes), two(dh_bytes);
  one.back() = 1;
  two.back() = 2;
  for (const DigestScheme scheme : {DigestScheme::digest_first, DigestScheme::key_first}) {
    for (const Octets& bad : {zero, one, less(1), prime, Octets(dh_bytes, 0xFF)}) {
      Side server(accepting());
      EXPECT_FALSE(server.feed(first_with_key(bad, scheme)));
      EXPECT_EQ(server.fault, Fault::rtmpe_key);
      EXPECT_TRUE(server.said.empty());
    }
    for (const Octets& good : {two, less(2)}) {
      Side server(accepting());
      EXPECT_TRUE(server.feed(first_with_key(good, scheme)));
    }
  }
  Conversation talk = converse(accepting(), initiating(6, DigestScheme::digest_first));
  const MutableBytes s1 = MutableBytes(talk.down).subspan(1, handshake_packet_bytes);
  copy_bytes(s1.data() + rtmp::dh_key_offset(s1, DigestScheme::digest_first), one);
  rtmp::write_digest(s1, DigestScheme::digest_first, rtmp::media_server_text());
  Side peer(initiating(6, DigestScheme::digest_first));
  EXPECT_FALSE(peer.feed(talk.down));
  EXPECT_EQ(peer.fault, Fault::rtmpe_key);
}

TEST(RtmpeLayer, first_packet_without_digest_is_a_fault) {
  Side peer(initiating(6));
  Octets first = peer.take_said();
  first[100] ^= 1;
  Side server(accepting());
  EXPECT_FALSE(server.feed(first));
  EXPECT_EQ(server.fault, Fault::handshake_digest);
  EXPECT_TRUE(server.said.empty());

  Conversation talk = converse(accepting(), initiating(6));
  for (const size_t at : {size_t{100}, 1 + 2 * handshake_packet_bytes - 1}) {
    Octets down = talk.down;
    down[at] ^= 1;
    Side other(initiating(6));
    EXPECT_FALSE(other.feed(down)) << "S1 without digest, then S2 without signature";
    EXPECT_EQ(other.fault, Fault::handshake_digest);
  }
}

TEST(RtmpeLayer, other_versions_are_a_fault_at_the_first_byte) {
  for (int version = 0; version < 256; ++version) {
    const bool known = version == 6 || version == 8 || version == 9;
    const Octets input{static_cast<uint8_t>(version)};
    for (const RtmpeSettings& settings : {accepting(), initiating(6)}) {
      Side side(settings);
      EXPECT_EQ(side.feed(input), known) << version;
      EXPECT_EQ(side.fault == Fault::handshake_version, !known);
    }
  }
}

TEST(RtmpeLayer, each_connection_draws_a_key_of_its_own) {
  Side peer(initiating(6));
  std::vector<DhNumber> keys;
  for (int i = 0; i < 4; ++i) {
    Side server(RtmpeSettings{.random_seed = 1});
    ASSERT_TRUE(server.feed(peer.said));
    const Bytes s1 = Bytes(server.said).subspan(1, handshake_packet_bytes);
    DhNumber& key = keys.emplace_back();
    copy_bytes(key.data(), s1.subspan(rtmp::dh_key_offset(s1, DigestScheme::key_first), dh_bytes));
    for (size_t before = 0; before + 1 < keys.size(); ++before) EXPECT_NE(keys[before], key);
  }
}

TEST_P(RtmpeForms, session_and_initiator_begin_behind_it) {
  test::SessionProbe above;
  above.session.skip_handshake();
  rtmp::Initiator initiator({.app = "live", .name = "cam", .tc_url = "rtmpe://h/live"}, 7);
  initiator.skip_handshake();
  Side server(accepting());
  Side peer(initiating(GetParam()));
  const auto turn = [&] {
    if (peer.layer.established()) peer.layer.seal(initiator.outbox().take(), peer.said);
    ASSERT_TRUE(server.feed(peer.take_said()));
    ASSERT_TRUE(above.feed(std::exchange(server.plain, {})));
    if (server.layer.established()) server.layer.seal(above.session.outbox().take(), server.said);
    ASSERT_TRUE(peer.feed(server.take_said()));
    initiator.feed(peer.plain);
    for (;;) {
      const auto event = initiator.next();
      ASSERT_TRUE(event);
      if (std::holds_alternative<rtmp::InputUsed>(*event)) break;
    }
    peer.plain.clear();
  };
  for (int i = 0; i < 4; ++i) turn();
  EXPECT_EQ(above.take_events(), (std::vector<std::string>{"connected live |  | rtmpe://h/live",
                                                           "publish asked 1 live/cam ? "}));
  above.session.answer_publish(1, {});
  turn();
  ASSERT_TRUE(initiator.started());
  const Octets frame = test::filler(10'000, 1);
  initiator.send(9, 40, frame);
  turn();
  EXPECT_EQ(above.media, (std::vector<test::Media>{{1, 9, 40, frame}}));
}

}  // namespace
}  // namespace penstock::tunnel

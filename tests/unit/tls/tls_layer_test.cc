#include "dataplane/tls/tls_layer.h"

#include <gtest/gtest.h>

#include "tests/unit/tls/openssl_peer.h"

namespace penstock::tls {
namespace {

using Versions = InitiatorContext::Versions;

struct VersionCase {
  Versions versions;
  const char* protocol;
};
constexpr VersionCase version_cases[] = {{Versions::tls_1_2, "TLSv1.2"},
                                         {Versions::tls_1_3, "TLSv1.3"}};

TEST(tls_layer, carries_bytes_both_ways_however_they_are_cut) {
  const auto set = make_set();
  const ByteVector up = some_bytes(40'000, 1);
  const ByteVector down = some_bytes(20'000, 2);
  for (const VersionCase& one : version_cases) {
    for (const size_t piece : {1, 2, 3, 4, 5, 6, 7, 13, 100, 1460, 16'384, 1'000'000}) {
      for (const size_t room : {1, 17, 4096, 65'536}) {
        if (piece < 3 && room < 17) continue;
        Pair pair(*set, one.versions);
        pair.deliver(piece, room);
        ASSERT_TRUE(pair.established()) << one.protocol << " " << piece;
        EXPECT_EQ(pair.accepting.layer->protocol(), one.protocol);
        pair.initiating.seal(up);
        pair.accepting.seal(down);
        pair.deliver(piece, room);
        EXPECT_EQ(pair.accepting.plain, up);
        EXPECT_EQ(pair.initiating.plain, down);
      }
    }
  }
}

TEST(tls_layer, every_single_cut_of_the_handshake_is_the_same) {
  const auto set = make_set();
  Pair whole(*set);
  const size_t hello_bytes = whole.initiating.to_peer.size();
  for (size_t cut = 1; cut < hello_bytes; ++cut) {
    Pair pair(*set);
    const ByteVector hello = std::move(pair.initiating.to_peer);
    pair.initiating.to_peer.clear();
    pair.accepting.take(Bytes(hello).first(std::min(cut, hello.size())));
    EXPECT_FALSE(pair.accepting.layer->established());
    pair.accepting.take(Bytes(hello).subspan(std::min(cut, hello.size())));
    pair.deliver();
    ASSERT_TRUE(pair.established()) << cut;
  }
}

TEST(tls_layer, prefers_aes_128_gcm) {
  const auto set = make_set();
  Pair newer(*set);
  newer.deliver();
  EXPECT_EQ(newer.accepting.layer->protocol(), "TLSv1.3");
  EXPECT_EQ(newer.accepting.layer->cipher(), "TLS_AES_128_GCM_SHA256");
  Pair older(*set, Versions::tls_1_2);
  older.deliver();
  EXPECT_EQ(older.accepting.layer->cipher(), "ECDHE-ECDSA-AES128-GCM-SHA256");
}

TEST(tls_layer, an_encoder_that_knows_ecdhe_rsa_alone_is_served) {
  const auto one = load(make_certificate({.rsa_bits = 2048}));
  const LoadedCertificate* only = one.get();
  const auto set = std::move(*CertificateSet::make({&only, 1}, {}));
  const OwnedContext context = peer_context(TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context.get(), "ECDHE-RSA-AES256-GCM-SHA384");
  OpenSslPeer peer(context.get());
  Side side{.layer = TlsLayer::accept(*set)};
  peer.shake(side);
  EXPECT_TRUE(side.layer->established());
  EXPECT_EQ(side.layer->cipher(), "ECDHE-RSA-AES256-GCM-SHA384");
}

TEST(tls_layer, pieces_that_are_gathered_share_records) {
  const auto set = make_set();
  Pair pair(*set);
  pair.deliver();
  const ByteVector bytes = some_bytes(50'000);
  const Bytes all(bytes);
  std::vector<Bytes> pieces;
  for (size_t at = 0; at < 1000; at += 10) pieces.push_back(all.subspan(at, 10));
  pieces.push_back(all.subspan(1000, 0));
  pieces.push_back(all.subspan(1000));
  ByteVector gathered;
  tunnel::seal_gathered(*pair.initiating.layer, pieces, gathered, pair.initiating.to_peer);
  // 50,000 bytes are four records of at most 16 KiB; each costs 22 bytes under TLS 1.3.
  EXPECT_EQ(pair.initiating.to_peer.size(), bytes.size() + 4 * 22);
  pair.deliver();
  EXPECT_EQ(pair.accepting.plain, bytes);
}

TEST(tls_layer, an_end_that_is_said_is_heard_and_one_that_is_not_does_no_harm) {
  const auto set = make_set();
  for (const VersionCase& one : version_cases) {
    Pair pair(*set, one.versions);
    pair.deliver();
    pair.initiating.seal(some_bytes(100));
    pair.initiating.layer->finish(pair.initiating.to_peer);
    pair.deliver();
    EXPECT_TRUE(pair.accepting.layer->ended());
    EXPECT_EQ(pair.accepting.plain, some_bytes(100));
    EXPECT_EQ(pair.accepting.fault, Fault::count_);
    // What follows is not looked at, and the other direction stands.
    pair.accepting.take(some_bytes(50));
    pair.accepting.seal(some_bytes(10));
    pair.deliver();
    EXPECT_EQ(pair.accepting.fault, Fault::count_);
    EXPECT_EQ(pair.initiating.plain, some_bytes(10));
  }
  Pair silent(*set);
  silent.deliver();
  EXPECT_FALSE(silent.accepting.layer->ended());
}

TEST(tls_layer, what_came_whole_before_a_damaged_record_is_given_first) {
  const auto set = make_set();
  for (const VersionCase& one : version_cases) {
    Pair pair(*set, one.versions);
    pair.deliver();
    pair.initiating.seal(some_bytes(1000));
    const size_t good = pair.initiating.to_peer.size();
    pair.initiating.seal(some_bytes(1000));
    pair.initiating.to_peer[good + 20] ^= 1;
    Pair::move(pair.initiating, pair.accepting, SIZE_MAX, 65'536);
    EXPECT_EQ(pair.accepting.plain, some_bytes(1000));
    EXPECT_EQ(pair.accepting.fault, Fault::tls_record);
    EXPECT_EQ(pair.accepting.layer->reason(), "decryption failed or bad record mac");
    EXPECT_FALSE(pair.accepting.to_peer.empty()) << "an alert";
    pair.deliver();
    EXPECT_EQ(pair.initiating.fault, Fault::tls_record);
    EXPECT_NE(pair.initiating.layer->reason().find("bad record mac"), std::string::npos)
        << pair.initiating.layer->reason();
  }
}

TEST(tls_layer, a_damaged_byte_anywhere_is_a_fault_or_nothing) {
  const auto set = make_set();
  for (const VersionCase& one : version_cases) {
    for (size_t at = 0; at < 80; ++at) {
      Pair pair(*set, one.versions);
      pair.deliver();
      pair.initiating.seal(some_bytes(50));
      if (at >= pair.initiating.to_peer.size()) break;
      pair.initiating.to_peer[at] ^= 0x80;
      pair.deliver();
      EXPECT_TRUE(pair.accepting.plain.empty()) << at;
    }
  }
}

TEST(tls_layer, a_record_that_is_cut_off_is_waited_for) {
  const auto set = make_set();
  Pair pair(*set);
  pair.deliver();
  pair.initiating.seal(some_bytes(16'000));
  pair.initiating.to_peer.pop_back();
  pair.deliver();
  EXPECT_TRUE(pair.accepting.plain.empty());
  EXPECT_EQ(pair.accepting.fault, Fault::count_);
}

TEST(tls_layer, what_is_not_tls_is_a_handshake_fault_with_a_reason) {
  const auto set = make_set();
  const struct {
    std::string_view bytes;
    std::string_view reason;
  } cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", "http request"},
      {std::string_view("\x03"
                        "0123456789",
                        11),
       "wrong version number"},
      {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "wrong version number"},
      {std::string_view("\x16\x03\x01\xFF\xFF\x01", 6), "packet length too long"},
  };
  for (const auto& one : cases) {
    Side side{.layer = TlsLayer::accept(*set)};
    side.take(as_bytes(one.bytes));
    EXPECT_EQ(side.fault, Fault::tls_handshake) << one.bytes;
    EXPECT_EQ(side.layer->reason(), one.reason) << one.bytes;
  }
}

TEST(tls_layer, versions_before_1_2_are_refused_with_an_alert) {
  const auto set = make_set();
  const OwnedContext context = peer_context(TLS1_1_VERSION);
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  OpenSslPeer peer(context.get());
  Side side{.layer = TlsLayer::accept(*set)};
  SSL_do_handshake(peer.ssl());
  side.take(peer.take_output());
  EXPECT_EQ(side.fault, Fault::tls_handshake);
  EXPECT_EQ(side.layer->reason(), "unsupported protocol");
  EXPECT_FALSE(side.to_peer.empty());
}

TEST(tls_layer, an_alert_of_the_peer_is_a_fault_that_names_it) {
  const auto set = make_set();
  const OwnedContext context = peer_context(TLS1_3_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);  // and trusts nobody
  OpenSslPeer peer(context.get());
  Side side{.layer = TlsLayer::accept(*set)};
  peer.shake(side);
  EXPECT_EQ(side.fault, Fault::tls_handshake);
  EXPECT_EQ(side.layer->reason(), "tlsv1 alert unknown ca");
}

TEST(tls_layer, alpn_is_tolerated_and_nothing_is_selected) {
  const auto set = make_set();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const OwnedContext context = peer_context(version);
    const unsigned char offered[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    SSL_CTX_set_alpn_protos(context.get(), offered, sizeof(offered));
    OpenSslPeer peer(context.get());
    Side side{.layer = TlsLayer::accept(*set)};
    peer.shake(side);
    EXPECT_TRUE(side.layer->established());
    const unsigned char* selected = nullptr;
    unsigned length = 1;
    SSL_get0_alpn_selected(peer.ssl(), &selected, &length);
    EXPECT_EQ(length, 0u);
  }
}

TEST(tls_layer, tls_1_3_tickets_are_sent_only_when_told) {
  for (const uint32_t tickets : {0u, 2u}) {
    const auto set = make_set({.tickets = tickets});
    Pair pair(*set, Versions::tls_1_3);
    while (!pair.accepting.layer->established()) {
      Pair::move(pair.accepting, pair.initiating, SIZE_MAX, 4096);
      Pair::move(pair.initiating, pair.accepting, SIZE_MAX, 4096);
    }
    EXPECT_EQ(pair.accepting.to_peer.empty(), tickets == 0) << tickets;
    pair.deliver();
    pair.accepting.seal(some_bytes(9));
    pair.deliver();
    EXPECT_EQ(pair.initiating.plain, some_bytes(9));
  }
}

TEST(tls_layer, a_session_of_tls_1_2_resumes_by_ticket_also_with_another_set) {
  const ContextSettings settings{.ticket_keys = {1, 2, 3}};
  const auto set = make_set(settings);
  const auto other = make_set(settings);
  const OwnedContext context = peer_context(TLS1_2_VERSION);
  OpenSslPeer first(context.get());
  Side side{.layer = TlsLayer::accept(*set)};
  first.shake(side);
  ASSERT_TRUE(side.layer->established());
  EXPECT_FALSE(side.layer->resumed());
  SSL_SESSION* session = SSL_get1_session(first.ssl());
  for (const CertificateSet* next : {set.get(), other.get()}) {
    OpenSslPeer again(context.get());
    SSL_set_session(again.ssl(), session);
    Side resumed{.layer = TlsLayer::accept(*next)};
    again.shake(resumed);
    EXPECT_TRUE(resumed.layer->established());
    EXPECT_TRUE(resumed.layer->resumed());
  }
  const auto foreign = make_set({.ticket_keys = {9}});
  OpenSslPeer again(context.get());
  SSL_set_session(again.ssl(), session);
  Side afresh{.layer = TlsLayer::accept(*foreign)};
  again.shake(afresh);
  EXPECT_TRUE(afresh.layer->established());
  EXPECT_FALSE(afresh.layer->resumed());
  SSL_SESSION_free(session);
}

TEST(tls_layer, a_session_of_tls_1_2_resumes_by_id_when_no_end_was_said) {
  const auto set = make_set();
  const OwnedContext context = peer_context(TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  SSL_SESSION* session = nullptr;
  {
    OpenSslPeer first(context.get());
    Side side{.layer = TlsLayer::accept(*set)};
    first.shake(side);
    session = SSL_get1_session(first.ssl());
  }
  OpenSslPeer again(context.get());
  SSL_set_session(again.ssl(), session);
  Side resumed{.layer = TlsLayer::accept(*set)};
  again.shake(resumed);
  EXPECT_TRUE(resumed.layer->resumed());
  SSL_SESSION_free(session);
}

TEST(tls_layer, renegotiation_is_refused_and_the_stream_goes_on) {
  const auto set = make_set();
  const OwnedContext context = peer_context(TLS1_2_VERSION);
  OpenSslPeer peer(context.get());
  Side side{.layer = TlsLayer::accept(*set)};
  peer.shake(side);
  ASSERT_TRUE(side.layer->established());
  SSL_write(peer.ssl(), "before", 6);
  ASSERT_EQ(SSL_renegotiate(peer.ssl()), 1);
  SSL_do_handshake(peer.ssl());
  side.take(peer.take_output());
  EXPECT_EQ(as_text(side.plain), "before");
  EXPECT_EQ(side.fault, Fault::count_);
  // The answer is a warning (no_renegotiation) and no handshake.
  const ByteVector answer = std::move(side.to_peer);
  side.to_peer.clear();
  ASSERT_FALSE(answer.empty());
  EXPECT_EQ(answer[0], SSL3_RT_ALERT);
  EXPECT_LT(answer.size(), 60u);
  EXPECT_EQ(side.layer->established(), true);
}

TEST(tls_layer, key_updates_without_end_are_a_fault) {
  const auto set = make_set();
  const OwnedContext context = peer_context(TLS1_3_VERSION);
  OpenSslPeer peer(context.get());
  Side side{.layer = TlsLayer::accept(*set)};
  peer.shake(side);
  ASSERT_TRUE(side.layer->established());
  int updates = 0;
  for (; updates < 100 && side.fault == Fault::count_; ++updates) {
    SSL_key_update(peer.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_write(peer.ssl(), "x", 1);
    side.take(peer.take_output());
  }
  EXPECT_EQ(side.fault, Fault::tls_record);
  EXPECT_GT(updates, 30) << "some are an encoder's right";
  EXPECT_LT(updates, 40);
}

TEST(tls_layer, garbage_after_the_handshake_never_gives_bytes) {
  const auto set = make_set();
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Pair pair(*set, seed % 2 == 0 ? Versions::tls_1_2 : Versions::tls_1_3);
    pair.deliver();
    pair.accepting.take(some_bytes(1 + seed * 7, seed));
    EXPECT_TRUE(pair.accepting.plain.empty());
  }
}

}  // namespace
}  // namespace penstock::tls

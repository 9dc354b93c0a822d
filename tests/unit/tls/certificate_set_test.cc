#include "dataplane/tls/certificate_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <ctime>
#include <thread>

#include "dataplane/tls/kernel_tls.h"
#include "dataplane/tls/tls_feed.h"
#include "tests/unit/tls/openssl_peer.h"

namespace penstock::tls {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// What a peer that asks for `name` is shown: the first alternative name of the certificate.
std::string shown(const CertificateSet& set, const char* name) {
  const OwnedContext context = peer_context(TLS1_3_VERSION);
  OpenSslPeer peer(context.get());
  if (name != nullptr) SSL_set_tlsext_host_name(peer.ssl(), name);
  Side side{.layer = TlsLayer::accept(set)};
  peer.shake(side);
  X509* certificate = SSL_get1_peer_certificate(peer.ssl());
  if (certificate == nullptr) return "nothing";
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  const ASN1_STRING* first = sk_GENERAL_NAME_value(names, 0)->d.dNSName;
  std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(first)),
                   static_cast<size_t>(ASN1_STRING_length(first)));
  GENERAL_NAMES_free(names);
  X509_free(certificate);
  return text;
}

TEST(certificate_set, is_chosen_by_name_then_by_wildcard_then_the_first) {
  const auto first = load(make_certificate({.names = {"a.example"}}));
  const auto second = load(make_certificate({.names = {"b.example", "c.example"}}));
  const auto wild = load(make_certificate({.names = {"*.d.example"}}));
  const auto told = load(make_certificate({.names = {"e.example"}}), {"f.example"});
  const LoadedCertificate* all[] = {first.get(), second.get(), wild.get(), told.get()};
  const auto set = std::move(*CertificateSet::make(all, {}));
  const struct {
    const char* asked;
    const char* shown;
  } cases[] = {
      {nullptr, "a.example"},         {"a.example", "a.example"},     {"b.example", "b.example"},
      {"C.Example", "b.example"},     {"x.d.example", "*.d.example"}, {"d.example", "a.example"},
      {"x.y.d.example", "a.example"}, {"e.example", "a.example"},     {"f.example", "e.example"},
      {"nobody", "a.example"},        {"192.0.2.1", "a.example"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(shown(*set, one.asked), one.shown) << (one.asked == nullptr ? "-" : one.asked);
  }
}

TEST(certificate_set, an_rsa_and_an_ec_certificate_of_the_same_names_serve_as_one) {
  const auto ec = load(make_certificate({.names = {"a.example"}}));
  const auto rsa = load(make_certificate({.names = {"a.example"}, .rsa_bits = 2048}));
  const LoadedCertificate* all[] = {ec.get(), rsa.get()};
  const auto set = std::move(*CertificateSet::make(all, {}));
  for (const char* ciphers : {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"}) {
    const OwnedContext context = peer_context(TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(context.get(), ciphers);
    OpenSslPeer peer(context.get());
    Side side{.layer = TlsLayer::accept(*set)};
    peer.shake(side);
    EXPECT_TRUE(side.layer->established());
    EXPECT_EQ(side.layer->cipher(), ciphers);
  }
}

TEST(certificate_set, a_handshake_outlives_its_set_and_a_stream_too) {
  auto set = make_set();
  Pair pair(*set, InitiatorContext::Versions::any, "localhost");
  set.reset();
  pair.deliver();
  ASSERT_TRUE(pair.established());
  pair.initiating.seal(some_bytes(100));
  pair.deliver();
  EXPECT_EQ(pair.accepting.plain, some_bytes(100));
}

TEST(look_at_certificate, says_what_it_is) {
  const int64_t now = std::time(nullptr);
  const auto ec = make_certificate({.names = {"A.example", "*.b.example", "a.example"}});
  const auto facts = config::look_at_certificate(ec.cert, ec.key);
  ASSERT_TRUE(facts);
  EXPECT_THAT(facts->names, ElementsAre("a.example", "*.b.example"));
  EXPECT_EQ(facts->key, "EC 256");
  EXPECT_FALSE(facts->rsa);
  EXPECT_NEAR(static_cast<double>(facts->ends_unix_s), static_cast<double>(now + 86'400), 5);
  EXPECT_TRUE(facts->cautions.empty()) << facts->cautions[0];
  const auto rsa = make_certificate({.names = {}, .rsa_bits = 2048});
  const auto other = config::look_at_certificate(rsa.cert, rsa.key);
  ASSERT_TRUE(other);
  EXPECT_EQ(other->key, "RSA 2048");
  EXPECT_TRUE(other->names.empty()) << "a subject with a blank is no host name";
}

config::CertificateFacts facts_of(const MadeOptions& options) {
  const auto made = make_certificate(options);
  return *config::look_at_certificate(made.cert, made.key);
}

TEST(certificate_cautions, say_what_encoders_will_refuse_and_which_file_it_is) {
  constexpr long far_s = 100 * 86'400;
  const struct {
    MadeOptions made;
    std::vector<std::string> names;
    std::string text;  // empty: nothing
  } cases[] = {
      {{.names = {"a.example"}, .ends_s = far_s}, {}, ""},
      {{.names = {"a.example"}, .begins_s = -7200, .ends_s = -3600},
       {},
       "a.pem: has expired, on 20"},
      {{.names = {"a.example"}, .begins_s = 3600, .ends_s = far_s},
       {},
       "a.pem: is not valid before"},
      {{.names = {"a.example"}, .ends_s = 3 * 86'400}, {}, "a.pem: ends on 20"},
      {{.names = {"a.example", "*.b.example"}, .ends_s = far_s},
       {"a.example", "x.b.example", "*.b.example"},
       ""},
      {{.names = {"a.example", "*.b.example"}, .ends_s = far_s},
       {"a.example", "b.example", "x.y.b.example", "*.a.example"},
       "a.pem: is not for b.example, x.y.b.example, *.a.example, which"},
  };
  for (const auto& one : cases) {
    const config::CertificateFacts facts = facts_of(one.made);
    const config::ListedCertificate listed{"a.pem", &one.names, &facts};
    const auto lines = config::certificate_cautions({&listed, 1}, std::time(nullptr));
    if (one.text.empty()) {
      EXPECT_THAT(lines, testing::IsEmpty());
    } else {
      EXPECT_THAT(lines, ElementsAre(HasSubstr(one.text)));
    }
  }
}

TEST(certificate_cautions, say_when_two_claim_a_name_and_not_of_a_pair_of_kinds) {
  const auto ec = facts_of({.names = {"a.example"}, .ends_s = 8'640'000});
  const auto rsa = facts_of({.names = {"a.example"}, .rsa_bits = 2048, .ends_s = 8'640'000});
  const auto both = facts_of({.names = {"b.example", "a.example"}, .ends_s = 8'640'000});
  const std::vector<std::string> none;
  const config::ListedCertificate pair[] = {{"ec.pem", &none, &ec}, {"rsa.pem", &none, &rsa}};
  EXPECT_THAT(config::certificate_cautions(pair, std::time(nullptr)), testing::IsEmpty());
  const config::ListedCertificate two[] = {{"ec.pem", &none, &ec}, {"both.pem", &none, &both}};
  EXPECT_THAT(
      config::certificate_cautions(two, std::time(nullptr)),
      ElementsAre("both.pem: its name a.example is served by ec.pem, which stands before it"));
}

TEST(look_at_certificate, says_which_file_is_wrong_and_why) {
  const auto good = make_certificate();
  const auto other = make_certificate();
  const auto locked = make_certificate({.passphrase = "secret"});
  const auto weak = make_certificate({.rsa_bits = 1024});
  std::string damaged = good.cert;
  damaged[damaged.size() / 2] = '!';
  const struct {
    std::string_view cert;
    std::string_view key;
    bool of_key;
    const char* text;
  } cases[] = {
      {"", good.key, false, "no certificate in it"},
      {good.key, good.key, false, "no certificate in it"},
      {damaged, good.key, false, "certificate 1 in it is damaged"},
      {good.cert, "", true, "no private key in it"},
      {good.cert, good.cert, true, "no private key in it"},
      {good.cert, other.key, true, "the key is not the certificate's"},
      {locked.cert, locked.key, true, "passphrase"},
      {weak.cert, weak.key, true, "the key is RSA 1024; accepted: RSA from 2048 bit"},
  };
  for (const auto& one : cases) {
    const auto facts = config::look_at_certificate(one.cert, one.key);
    ASSERT_FALSE(facts) << one.text;
    EXPECT_EQ(facts.error().of_key, one.of_key) << one.text;
    EXPECT_THAT(facts.error().text, HasSubstr(one.text));
  }
}

TEST(tls_feed, the_newest_set_is_current_and_old_ones_come_back) {
  TlsFeed feed;
  EXPECT_EQ(feed.current(), nullptr);
  feed.offer(make_set());
  const CertificateSet* first = feed.current();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(feed.current(), first);
  // A worker that does not look for long gets the last of many.
  const CertificateSet* last = nullptr;
  for (int i = 0; i < 20; ++i) {
    auto set = make_set();
    last = set.get();
    feed.offer(std::move(set));
  }
  while (feed.current() != last) feed.keep();
  feed.offer(nullptr);
  EXPECT_EQ(feed.current(), nullptr);
}

TEST(tls_feed, is_used_by_two_threads) {
  TlsFeed feed;
  feed.offer(make_set());
  StopFlag stop;
  size_t handshakes = 0;
  std::thread worker([&] {
    while (!stop.raised()) {
      const CertificateSet* set = feed.current();
      if (set == nullptr) continue;
      Pair pair(*set);
      pair.deliver();
      handshakes += pair.established() ? 1 : 0;
    }
  });
  for (int i = 0; i < 100; ++i) {
    feed.offer(make_set());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  stop.raise();
  worker.join();
  EXPECT_GT(handshakes, 0u);
}

TEST(kernel_tls, is_looked_for_and_said) {
  EXPECT_THAT(records_path_text(kernel_tls_available()), testing::StartsWith("user space: "));
  EXPECT_THAT(records_path_text(false), HasSubstr("no tls module"));
}

}  // namespace
}  // namespace penstock::tls

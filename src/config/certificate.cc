#include "penstock/config/certificate.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

namespace penstock::config {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
  void operator()(ASN1_TIME* time) const { ASN1_TIME_free(time); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// RFC 9325, 4.5, and what OpenSSL takes at its security level of 2.
constexpr int rsa_bits_min = 2048;
constexpr int ec_bits_min = 224;
// Nobody is issued by more than three others; more is a bundle of roots, sent with every handshake.
constexpr size_t chain_max = 10;

/// Without it OpenSSL asks for a passphrase on the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

Owned<BIO> reader_of(std::string_view text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::expected<std::vector<Owned<X509>>, std::string> read_chain(std::string_view text) {
  const Owned<BIO> reader = reader_of(text);
  std::vector<Owned<X509>> chain;
  while (X509* one = PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr)) {
    chain.emplace_back(one);
  }
  // The end of the text shows as "no start line"; all else is damage within a certificate.
  const unsigned long error = ERR_peek_last_error();
  const bool whole =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (chain.empty() && whole) return std::unexpected("no certificate in it; accepted: PEM");
  if (!whole) {
    return std::unexpected("certificate " + std::to_string(chain.size() + 1) +
                           " in it is damaged; accepted: PEM");
  }
  if (chain.size() > chain_max + 1) {
    return std::unexpected(std::to_string(chain.size()) +
                           " certificates; accepted: the server's own and its chain, at most " +
                           std::to_string(chain_max));
  }
  return chain;
}

std::expected<Owned<EVP_PKEY>, std::string> read_key(std::string_view text) {
  const Owned<BIO> reader = reader_of(text);
  bool asked = false;
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader.get(), nullptr, no_passphrase, &asked));
  ERR_clear_error();
  if (asked) {
    return std::unexpected("the key has a passphrase; accepted: one without (openssl pkey)");
  }
  if (key == nullptr) return std::unexpected("no private key in it; accepted: PEM");
  return key;
}

/// What is no host name is left out: it could never be asked for.
void add_name(std::vector<std::string>& names, const ASN1_STRING* value) {
  unsigned char* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, value);
  if (length < 0) return ERR_clear_error();
  std::string name(reinterpret_cast<char*>(text), static_cast<size_t>(length));
  OPENSSL_free(text);
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  const bool plain = !name.empty() && name.size() <= 253 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
           c == '*';
  });
  if (plain && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
}

/// The alternative names; the subject's name only where there is none of them (RFC 6125, 6.4.4).
std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> names;
  const Owned<GENERAL_NAMES> others(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; others != nullptr && i < sk_GENERAL_NAME_num(others.get()); ++i) {
    const GENERAL_NAME* one = sk_GENERAL_NAME_value(others.get(), i);
    if (one->type == GEN_DNS) add_name(names, one->d.dNSName);
  }
  if (!names.empty()) return names;
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) add_name(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  return names;
}

int64_t unix_seconds(const ASN1_TIME* time) {
  const Owned<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return 0;
  return int64_t{days} * 86'400 + seconds;
}

void add_cautions(CertificateFacts& facts, const std::vector<Owned<X509>>& chain) {
  X509* own = chain.front().get();
  const bool self_signed = X509_check_issued(own, own) == X509_V_OK;
  if (chain.size() == 1 && !self_signed) {
    facts.cautions.emplace_back(
        "comes without its chain: encoders that do not know who issued it refuse it");
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (X509_check_issued(chain[i].get(), chain[i - 1].get()) == X509_V_OK) continue;
    facts.cautions.push_back("its chain is out of order at certificate " + std::to_string(i + 1));
    break;
  }
  ERR_clear_error();
}

// Let's Encrypt renews 30 days before the end: two weeks later something is wrong with it.
constexpr int64_t soon_s = int64_t{14} * 24 * 3600;

void caution_of_time(const ListedCertificate& one, int64_t now_unix_s,
                     std::vector<std::string>& lines) {
  const std::string path(one.path);
  const CertificateFacts& facts = *one.facts;
  if (facts.ends_unix_s <= now_unix_s) {
    lines.push_back(path + ": has expired, on " + day_text(facts.ends_unix_s));
  } else if (facts.begins_unix_s > now_unix_s) {
    lines.push_back(path + ": is not valid before " + day_text(facts.begins_unix_s));
  } else if (facts.ends_unix_s <= now_unix_s + soon_s) {
    lines.push_back(path + ": ends on " + day_text(facts.ends_unix_s));
  }
}

void caution_of_names(const ListedCertificate& one, std::vector<std::string>& lines) {
  std::string missing;
  for (const std::string& name : *one.names) {
    if (!one.facts->covers(name)) missing += (missing.empty() ? "" : ", ") + name;
  }
  if (missing.empty()) return;
  lines.push_back(std::string(one.path) + ": is not for " + missing +
                  ", which tls.certificates gives to it: encoders that check refuse it");
}

/// An RSA and an EC certificate for the same names serve as one; else the first has the name.
bool are_pair(const ListedCertificate& left, const ListedCertificate& right) {
  return left.served() == right.served() && left.facts->rsa != right.facts->rsa;
}

void caution_of_claims(std::span<const ListedCertificate> before, const ListedCertificate& one,
                       std::vector<std::string>& lines) {
  for (const std::string& name : one.served()) {
    const auto first = std::ranges::find_if(before, [&](const ListedCertificate& other) {
      return std::ranges::find(other.served(), name) != other.served().end();
    });
    if (first == before.end() || are_pair(*first, one)) continue;
    lines.push_back(std::string(one.path) + ": its name " + name + " is served by " +
                    std::string(first->path) + ", which stands before it");
    return;
  }
}

}  // namespace

bool CertificateFacts::covers(std::string_view name) const {
  const size_t dot = std::min(name.find('.'), name.size());
  // "*.example.com" covers itself, and no other pattern.
  const std::string level = "*" + std::string(name.substr(dot));
  return std::ranges::any_of(
      names, [&](const std::string& own) { return own == name || (dot > 0 && own == level); });
}

std::string day_text(int64_t unix_s) {
  const Owned<ASN1_TIME> time(ASN1_TIME_set(nullptr, unix_s));
  const Owned<ASN1_GENERALIZEDTIME> text(
      ASN1_TIME_to_generalizedtime(time.get(), nullptr));  // "20261123120000Z"
  if (text == nullptr) return "an unknown day";
  const auto* digits = reinterpret_cast<const char*>(ASN1_STRING_get0_data(text.get()));
  const std::string_view whole(digits, static_cast<size_t>(ASN1_STRING_length(text.get())));
  if (whole.size() < 8) return "an unknown day";
  return std::string(whole.substr(0, 4)) + "-" + std::string(whole.substr(4, 2)) + "-" +
         std::string(whole.substr(6, 2));
}

std::vector<std::string> certificate_cautions(std::span<const ListedCertificate> certificates,
                                              int64_t now_unix_s) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < certificates.size(); ++i) {
    const ListedCertificate& one = certificates[i];
    caution_of_time(one, now_unix_s, lines);
    for (const std::string& caution : one.facts->cautions) {
      lines.push_back(std::string(one.path) + ": " + caution);
    }
    caution_of_names(one, lines);
    caution_of_claims(certificates.first(i), one, lines);
  }
  return lines;
}

std::expected<CertificateFacts, CertificateProblem> look_at_certificate(std::string_view cert,
                                                                        std::string_view key) {
  ERR_clear_error();
  const auto chain = read_chain(cert);
  if (!chain) return std::unexpected(CertificateProblem{false, chain.error()});
  const auto secret = read_key(key);
  if (!secret) return std::unexpected(CertificateProblem{true, secret.error()});
  X509* own = chain->front().get();
  const bool fits = X509_check_private_key(own, secret->get()) == 1;
  ERR_clear_error();
  if (!fits) {
    return std::unexpected(CertificateProblem{true, "the key is not the certificate's"});
  }
  CertificateFacts facts;
  const int kind = EVP_PKEY_get_base_id(secret->get());
  const int bits = EVP_PKEY_get_bits(secret->get());
  facts.rsa = kind == EVP_PKEY_RSA;
  const bool ec = kind == EVP_PKEY_EC;
  facts.key = (facts.rsa ? "RSA " : ec ? "EC " : "another kind, ") + std::to_string(bits);
  if ((!facts.rsa && !ec) || bits < (facts.rsa ? rsa_bits_min : ec_bits_min)) {
    return std::unexpected(CertificateProblem{
        true, "the key is " + facts.key + "; accepted: RSA from 2048 bit, EC from 224 bit"});
  }
  facts.names = names_of(own);
  facts.chain = chain->size() - 1;
  facts.begins_unix_s = unix_seconds(X509_get0_notBefore(own));
  facts.ends_unix_s = unix_seconds(X509_get0_notAfter(own));
  add_cautions(facts, *chain);
  return facts;
}

}  // namespace penstock::config

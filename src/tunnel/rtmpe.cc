#include "penstock/tunnel/rtmpe.h"

#include <openssl/bn.h>

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::tunnel {
namespace {

constexpr DhNumber group_prime = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xC9, 0x0F, 0xDA, 0xA2, 0x21, 0x68, 0xC2, 0x34,
    0xC4, 0xC6, 0x62, 0x8B, 0x80, 0xDC, 0x1C, 0xD1, 0x29, 0x02, 0x4E, 0x08, 0x8A, 0x67, 0xCC, 0x74,
    0x02, 0x0B, 0xBE, 0xA6, 0x3B, 0x13, 0x9B, 0x22, 0x51, 0x4A, 0x08, 0x79, 0x8E, 0x34, 0x04, 0xDD,
    0xEF, 0x95, 0x19, 0xB3, 0xCD, 0x3A, 0x43, 0x1B, 0x30, 0x2B, 0x0A, 0x6D, 0xF2, 0x5F, 0x14, 0x37,
    0x4F, 0xE1, 0x35, 0x6D, 0x6D, 0x51, 0xC2, 0x45, 0xE4, 0x85, 0xB5, 0x76, 0x62, 0x5E, 0x7E, 0xC6,
    0xF4, 0x4C, 0x42, 0xE9, 0xA6, 0x37, 0xED, 0x6B, 0x0B, 0xFF, 0x5C, 0xB6, 0xF4, 0x06, 0xB7, 0xED,
    0xEE, 0x38, 0x6B, 0xFB, 0x5A, 0x89, 0x9F, 0xA5, 0xAE, 0x9F, 0x24, 0x11, 0x7C, 0x4B, 0x1F, 0xE6,
    0x49, 0x28, 0x66, 0x51, 0xEC, 0xE6, 0x53, 0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
};

constexpr uint8_t group_generator = 2;

struct FreeNumber {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
  void operator()(BN_MONT_CTX* context) const { BN_MONT_CTX_free(context); }
};
using Number = std::unique_ptr<BIGNUM, FreeNumber>;

Number number_of(Bytes big_endian) {
  Number number(BN_bin2bn(big_endian.data(), static_cast<int>(big_endian.size()), nullptr));
  PENSTOCK_ASSERT(number != nullptr);
  return number;
}

/// What every exponentiation in the group begins with, made once per thread.
struct Group {
  Group() {
    PENSTOCK_ASSERT(context != nullptr && montgomery != nullptr);
    PENSTOCK_ASSERT(BN_MONT_CTX_set(montgomery.get(), prime.get(), context.get()) == 1);
    PENSTOCK_ASSERT(BN_sub_word(prime_less_one.get(), 1) == 1);
  }

  Number prime = number_of(group_prime);
  Number prime_less_one = number_of(group_prime);
  std::unique_ptr<BN_CTX, FreeNumber> context{BN_CTX_new()};
  std::unique_ptr<BN_MONT_CTX, FreeNumber> montgomery{BN_MONT_CTX_new()};
};

const Group& group() {
  thread_local const Group made;
  return made;
}

DhNumber power(Bytes base, Bytes exponent) {
  const Group& in = group();
  const Number number = number_of(base);
  const Number secret = number_of(exponent);
  const Number result(BN_new());
  DhNumber padded{};
  const bool ok =
      BN_mod_exp_mont_consttime(result.get(), number.get(), secret.get(), in.prime.get(),
                                in.context.get(), in.montgomery.get()) == 1 &&
      BN_bn2binpad(result.get(), padded.data(), dh_bytes) == static_cast<int>(dh_bytes);
  PENSTOCK_ASSERT(ok);
  return padded;
}

}  // namespace

bool is_public_key(Bytes big_endian) {
  const Number number = number_of(big_endian);
  return BN_cmp(number.get(), BN_value_one()) > 0 &&
         BN_cmp(number.get(), group().prime_less_one.get()) < 0;
}

DhKey::DhKey(Bytes secret) : secret_(secret.begin(), secret.end()) {
  public_key_ = power({&group_generator, 1}, secret_);
}

std::optional<DhNumber> DhKey::shared_secret(Bytes peer_public_key) const {
  if (!is_public_key(peer_public_key)) return std::nullopt;
  return power(peer_public_key, secret_);
}

Rc4Key stream_key(const DhNumber& shared_secret, Bytes receiver_public_key) {
  const rtmp::Digest digest = rtmp::hmac_sha256(shared_secret, receiver_public_key);
  Rc4Key key;
  std::copy_n(digest.begin(), key.size(), key.begin());
  return key;
}

}  // namespace penstock::tunnel

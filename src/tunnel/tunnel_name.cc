#include "penstock/tunnel/tunnel_name.h"

#include <openssl/rand.h>

#include "penstock/base/assert.h"
#include "penstock/base/bytes.h"
#include "penstock/rtmp/hmac.h"

namespace penstock::tunnel {
namespace {

constexpr std::string_view alphabet =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t worker_characters = 2;
constexpr size_t place_characters = 3;
constexpr size_t secret_at = worker_characters + place_characters;

// Bytes from here on would make the first characters of the alphabet likelier than the others.
constexpr uint8_t unbiased_below = 256 / 62 * 62;

void write_number(char* to, size_t characters, uint32_t number) {
  for (size_t i = characters; i-- > 0; number /= 62) to[i] = alphabet[number % 62];
  PENSTOCK_ASSERT(number == 0);
}

std::optional<uint32_t> read_number(std::string_view text) {
  uint32_t number = 0;
  for (const char c : text) {
    const size_t digit = alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    number = number * 62 + static_cast<uint32_t>(digit);
  }
  return number;
}

}  // namespace

bool TunnelName::make(uint32_t worker, uint32_t place) {
  write_number(text_.data(), worker_characters, worker);
  write_number(text_.data() + worker_characters, place_characters, place);
  size_t at = secret_at;
  while (at < text_.size()) {
    uint8_t random[32];
    if (RAND_bytes(random, sizeof(random)) != 1) return false;
    for (const uint8_t byte : random) {
      if (byte < unbiased_below && at < text_.size()) text_[at++] = alphabet[byte % 62];
    }
  }
  return true;
}

bool TunnelName::matches(std::string_view name) const {
  return rtmp::equal_constant_time(as_bytes(text()), as_bytes(name));
}

std::optional<TunnelPlace> tunnel_place(std::string_view name) {
  if (name.size() != tunnel_name_bytes) return std::nullopt;
  const auto worker = read_number(name.substr(0, worker_characters));
  const auto place = read_number(name.substr(worker_characters, place_characters));
  if (!worker || !place) return std::nullopt;
  return TunnelPlace{*worker, *place};
}

}  // namespace penstock::tunnel

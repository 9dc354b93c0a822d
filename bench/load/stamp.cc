#include "bench/load/stamp.h"

#include <array>
#include <cstring>

namespace penstock::load {
namespace {

constexpr char magic[] = {'P', 's', 'L', 'd'};
constexpr uint8_t not_a_digit = 0xFF;

constexpr auto digit_values = [] {
  std::array<uint8_t, 256> values{};
  values.fill(not_a_digit);
  for (uint8_t i = 0; i < 16; ++i) values[static_cast<uint8_t>("0123456789abcdef"[i])] = i;
  return values;
}();

uint8_t* write_hex(uint8_t* at, uint64_t value, int digits) {
  for (int i = digits; i > 0; --i) {
    at[i - 1] = static_cast<uint8_t>("0123456789abcdef"[value & 15]);
    value >>= 4;
  }
  return at + digits;
}

bool read_hex(const uint8_t*& at, int digits, uint64_t& value) {
  value = 0;
  uint8_t seen = 0;
  for (int i = 0; i < digits; ++i) {
    const uint8_t digit = digit_values[*at++];
    seen |= digit;
    value = value << 4 | digit;
  }
  return (seen & 0xF0) == 0;
}

}  // namespace

void write_stamp(uint8_t* at, const Stamp& stamp) {
  std::memcpy(at, magic, sizeof magic);
  at = write_hex(at + sizeof magic, stamp.incarnation, 4);
  at = write_hex(at, stamp.sequence, 8);
  write_hex(at, stamp.sent_at_ns, 16);
}

std::optional<Stamp> read_stamp(const uint8_t* at) {
  if (std::memcmp(at, magic, sizeof magic) != 0) return std::nullopt;
  at += sizeof magic;
  uint64_t incarnation = 0;
  uint64_t sequence = 0;
  uint64_t sent_at_ns = 0;
  if (!read_hex(at, 4, incarnation) || !read_hex(at, 8, sequence) || !read_hex(at, 16, sent_at_ns))
    return std::nullopt;
  return Stamp{static_cast<uint16_t>(incarnation), static_cast<uint32_t>(sequence), sent_at_ns};
}

}  // namespace penstock::load

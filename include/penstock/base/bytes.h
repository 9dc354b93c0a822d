#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace penstock {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

// Network order unless the name says le. `at` must have as many readable (writable) bytes as the
// name says bits.

[[nodiscard]] constexpr uint16_t load_u16(const uint8_t* at) {
  return static_cast<uint16_t>(at[0] << 8 | at[1]);
}
[[nodiscard]] constexpr uint32_t load_u24(const uint8_t* at) {
  return uint32_t{at[0]} << 16 | uint32_t{at[1]} << 8 | at[2];
}
[[nodiscard]] constexpr uint32_t load_u32(const uint8_t* at) {
  return uint32_t{at[0]} << 24 | load_u24(at + 1);
}
[[nodiscard]] constexpr uint32_t load_u32_le(const uint8_t* at) {
  return uint32_t{at[3]} << 24 | uint32_t{at[2]} << 16 | uint32_t{at[1]} << 8 | at[0];
}
[[nodiscard]] constexpr uint64_t load_u64(const uint8_t* at) {
  return uint64_t{load_u32(at)} << 32 | load_u32(at + 4);
}

constexpr void store_u16(uint8_t* at, uint16_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}
constexpr void store_u24(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 16);
  at[1] = static_cast<uint8_t>(value >> 8);
  at[2] = static_cast<uint8_t>(value);
}
constexpr void store_u32(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 24);
  store_u24(at + 1, value);
}
constexpr void store_u32_le(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value);
  at[1] = static_cast<uint8_t>(value >> 8);
  at[2] = static_cast<uint8_t>(value >> 16);
  at[3] = static_cast<uint8_t>(value >> 24);
}
constexpr void store_u64(uint8_t* at, uint64_t value) {
  store_u32(at, static_cast<uint32_t>(value >> 32));
  store_u32(at + 4, static_cast<uint32_t>(value));
}

[[nodiscard]] inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// memcpy that takes empty spans (a null pointer with length 0 is undefined for memcpy itself).
inline void copy_bytes(uint8_t* to, Bytes from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

}  // namespace penstock

#pragma once

#include <cstdint>

// Sequence numbers wrap. These compare numbers that are less than 2^31 apart, which all are that a
// window of at most 2^30 bytes lets through (RFC 9293: 3.4, RFC 7323: 2.3).
namespace penstock::engine::tcp {

[[nodiscard]] constexpr bool before(uint32_t left, uint32_t right) {
  return static_cast<int32_t>(left - right) < 0;
}
[[nodiscard]] constexpr bool at_or_before(uint32_t left, uint32_t right) {
  return static_cast<int32_t>(left - right) <= 0;
}
[[nodiscard]] constexpr bool after(uint32_t left, uint32_t right) { return before(right, left); }
[[nodiscard]] constexpr bool at_or_after(uint32_t left, uint32_t right) {
  return at_or_before(right, left);
}
[[nodiscard]] constexpr uint32_t earlier_of(uint32_t left, uint32_t right) {
  return before(left, right) ? left : right;
}
[[nodiscard]] constexpr uint32_t later_of(uint32_t left, uint32_t right) {
  return before(left, right) ? right : left;
}

}  // namespace penstock::engine::tcp

#pragma once

#include <cstdint>

namespace penstock::engine {

/// What a completion ends: the first 8 bits of user_data, before 24 bits of generation and the
/// index of a connection or listener.
enum class Operation : uint8_t {
  wake,
  accept,
  receive,
  send,
  cancel_receive,
  cancel_send,
  cancel_accept,
  connect,
  cancel_connect
};

[[nodiscard]] constexpr uint64_t user_data_of(Operation operation, uint32_t index,
                                              uint32_t generation = 0) {
  return uint64_t{static_cast<uint8_t>(operation)} << 56 | uint64_t{generation & 0xFFFFFF} << 32 |
         index;
}
[[nodiscard]] constexpr Operation operation_of(uint64_t user_data) {
  return static_cast<Operation>(user_data >> 56);
}
[[nodiscard]] constexpr uint32_t index_of(uint64_t user_data) {
  return static_cast<uint32_t>(user_data);
}

}  // namespace penstock::engine

#pragma once

#include <array>
#include <cstdint>

#include "penstock/base/bytes.h"

// RTMP message types, and the bodies of those that steer the connection itself (RTMP 1.0, 5.4
// and 7.1.7).
namespace penstock::rtmp {

// Plain numbers and no enum class: a peer sends any of 256.
namespace message_type {
constexpr uint8_t set_chunk_size = 1;
constexpr uint8_t abort = 2;
constexpr uint8_t acknowledgement = 3;
constexpr uint8_t user_control = 4;
constexpr uint8_t window_ack_size = 5;
constexpr uint8_t set_peer_bandwidth = 6;
constexpr uint8_t edge_origin = 7;  // between servers of one vendor
constexpr uint8_t audio = 8;
constexpr uint8_t video = 9;
constexpr uint8_t data_amf3 = 15;
constexpr uint8_t shared_object_amf3 = 16;
constexpr uint8_t command_amf3 = 17;
constexpr uint8_t data = 18;
constexpr uint8_t shared_object = 19;
constexpr uint8_t command = 20;
constexpr uint8_t aggregate = 22;
}  // namespace message_type

namespace user_control {
constexpr uint16_t stream_begin = 0;
constexpr uint16_t stream_eof = 1;
constexpr uint16_t stream_dry = 2;
constexpr uint16_t set_buffer_length = 3;
constexpr uint16_t stream_is_recorded = 4;
constexpr uint16_t ping_request = 6;
constexpr uint16_t ping_response = 7;
constexpr uint16_t swf_verify_request = 26;
constexpr uint16_t swf_verify_response = 27;
constexpr uint16_t buffer_empty = 31;
constexpr uint16_t buffer_ready = 32;
}  // namespace user_control

enum class BandwidthLimit : uint8_t { hard = 0, soft = 1, dynamic = 2 };

// Chunk streams that we write on; media and data of streams go elsewhere (5.11 of what encoders
// expect: any fixed choice).
constexpr uint8_t control_chunk_stream_id = 2;
constexpr uint8_t connection_chunk_stream_id = 3;
constexpr uint8_t stream_chunk_stream_id = 5;

/// A message of type 1 to 6, which travels on chunk stream 2 and message stream 0.
struct ControlMessage {
  uint8_t type = 0;
  uint8_t bytes = 0;
  std::array<uint8_t, 10> content{};  // Set Buffer Length is the longest

  [[nodiscard]] Bytes body() const { return Bytes(content).first(bytes); }
};

[[nodiscard]] constexpr ControlMessage control_u32(uint8_t type, uint32_t value) {
  ControlMessage message{.type = type, .bytes = 4};
  store_u32(message.content.data(), value);
  return message;
}
[[nodiscard]] constexpr ControlMessage user_control_u32(uint16_t event, uint32_t value) {
  ControlMessage message{.type = message_type::user_control, .bytes = 6};
  store_u16(message.content.data(), event);
  store_u32(message.content.data() + 2, value);
  return message;
}

[[nodiscard]] constexpr ControlMessage set_chunk_size(uint32_t bytes) {
  return control_u32(message_type::set_chunk_size, bytes);
}
[[nodiscard]] constexpr ControlMessage abort_message(uint32_t chunk_stream_id) {
  return control_u32(message_type::abort, chunk_stream_id);
}
/// `received`: bytes since the start; the field wraps.
[[nodiscard]] constexpr ControlMessage acknowledgement(uint64_t received) {
  return control_u32(message_type::acknowledgement, static_cast<uint32_t>(received));
}
[[nodiscard]] constexpr ControlMessage window_ack_size(uint32_t bytes) {
  return control_u32(message_type::window_ack_size, bytes);
}
[[nodiscard]] constexpr ControlMessage set_peer_bandwidth(uint32_t bytes, BandwidthLimit limit) {
  ControlMessage message = control_u32(message_type::set_peer_bandwidth, bytes);
  message.content[4] = static_cast<uint8_t>(limit);
  message.bytes = 5;
  return message;
}
[[nodiscard]] constexpr ControlMessage stream_begin(uint32_t message_stream_id) {
  return user_control_u32(user_control::stream_begin, message_stream_id);
}
[[nodiscard]] constexpr ControlMessage stream_eof(uint32_t message_stream_id) {
  return user_control_u32(user_control::stream_eof, message_stream_id);
}
[[nodiscard]] constexpr ControlMessage stream_dry(uint32_t message_stream_id) {
  return user_control_u32(user_control::stream_dry, message_stream_id);
}
[[nodiscard]] constexpr ControlMessage set_buffer_length(uint32_t message_stream_id, uint32_t ms) {
  ControlMessage message = user_control_u32(user_control::set_buffer_length, message_stream_id);
  store_u32(message.content.data() + 6, ms);
  message.bytes = 10;
  return message;
}
[[nodiscard]] constexpr ControlMessage stream_is_recorded(uint32_t message_stream_id) {
  return user_control_u32(user_control::stream_is_recorded, message_stream_id);
}
[[nodiscard]] constexpr ControlMessage ping_request(uint32_t time) {
  return user_control_u32(user_control::ping_request, time);
}
[[nodiscard]] constexpr ControlMessage ping_response(uint32_t time) {
  return user_control_u32(user_control::ping_response, time);
}
[[nodiscard]] constexpr ControlMessage buffer_empty(uint32_t message_stream_id) {
  return user_control_u32(user_control::buffer_empty, message_stream_id);
}
[[nodiscard]] constexpr ControlMessage buffer_ready(uint32_t message_stream_id) {
  return user_control_u32(user_control::buffer_ready, message_stream_id);
}

}  // namespace penstock::rtmp

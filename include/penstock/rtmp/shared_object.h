#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

namespace penstock::rtmp {

// Events of shared objects (RTMP 1.0, 7.1.3), as far as names help.
namespace shared_object_event {
constexpr uint8_t use = 1;
constexpr uint8_t release = 2;
constexpr uint8_t request_change = 3;
constexpr uint8_t change = 4;
constexpr uint8_t success = 5;
constexpr uint8_t send_message = 6;
constexpr uint8_t status = 7;
constexpr uint8_t clear = 8;
constexpr uint8_t remove = 9;
constexpr uint8_t request_remove = 10;
constexpr uint8_t use_success = 11;
}  // namespace shared_object_event

struct SharedObjectEvent {
  uint8_t type = 0;
  std::vector<uint8_t> content;  // keys as strings without marker, values in AMF0
};

/// A message of type 19, or of type 16, which has a format byte in front.
struct SharedObjectMessage {
  std::string name;
  uint32_t version = 0;
  bool persistent = false;
  std::vector<SharedObjectEvent> events;
};

// An object with 1000 slots changes them in one message; no player was seen with more.
constexpr size_t shared_object_events_max = 1024;

/// Faults: amf_truncated, amf_size.
[[nodiscard]] std::expected<SharedObjectMessage, Fault> parse_shared_object(uint8_t message_type,
                                                                            Bytes body);
[[nodiscard]] std::vector<uint8_t> shared_object_body(uint8_t message_type,
                                                      const SharedObjectMessage& message);

/// What a server answers to a peer that is alone with its object: whatever it asks for is granted,
/// and nothing is kept. None when the message asks for nothing. Never larger than the message by
/// more than one event for each of its own.
[[nodiscard]] std::optional<SharedObjectMessage> answer_shared_object(
    const SharedObjectMessage& message);

}  // namespace penstock::rtmp

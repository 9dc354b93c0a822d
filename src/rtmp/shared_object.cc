#include "penstock/rtmp/shared_object.h"

#include <algorithm>

#include "penstock/rtmp/message.h"

namespace penstock::rtmp {
namespace {

constexpr uint32_t flag_persistent = 2;
constexpr size_t head_bytes = 12;  // version, flags, zero
constexpr size_t event_bytes = 5;  // type, length

/// The key that a change begins with, as it is on the wire; empty when it is cut.
Bytes key_of(Bytes change) {
  if (change.size() < 2) return {};
  const size_t bytes = 2 + size_t{load_u16(change.data())};
  return bytes <= change.size() ? change.first(bytes) : Bytes{};
}

void append_u32(std::vector<uint8_t>& out, uint32_t value) {
  uint8_t bytes[4];
  store_u32(bytes, value);
  out.insert(out.end(), std::begin(bytes), std::end(bytes));
}

}  // namespace

std::expected<SharedObjectMessage, Fault> parse_shared_object(uint8_t type, Bytes body) {
  const size_t format_bytes = type == message_type::shared_object_amf3 ? 1 : 0;
  if (body.size() < format_bytes + 2) return std::unexpected(Fault::amf_truncated);
  body = body.subspan(format_bytes);
  const size_t name_bytes = load_u16(body.data());
  body = body.subspan(2);
  if (body.size() < name_bytes + head_bytes) return std::unexpected(Fault::amf_truncated);
  SharedObjectMessage message;
  message.name = as_text(body.first(name_bytes));
  message.version = load_u32(body.data() + name_bytes);
  message.persistent = (load_u32(body.data() + name_bytes + 4) & flag_persistent) != 0;
  body = body.subspan(name_bytes + head_bytes);
  while (!body.empty()) {
    if (body.size() < event_bytes) return std::unexpected(Fault::amf_truncated);
    if (message.events.size() == shared_object_events_max) return std::unexpected(Fault::amf_size);
    const uint8_t event_type = body[0];
    const size_t content_bytes = load_u32(body.data() + 1);
    body = body.subspan(event_bytes);
    if (body.size() < content_bytes) return std::unexpected(Fault::amf_truncated);
    const Bytes content = body.first(content_bytes);
    message.events.push_back({.type = event_type, .content = {content.begin(), content.end()}});
    body = body.subspan(content_bytes);
  }
  return message;
}

std::optional<SharedObjectMessage> answer_shared_object(const SharedObjectMessage& message) {
  namespace event = shared_object_event;
  SharedObjectMessage answer{
      .name = message.name, .version = message.version, .persistent = message.persistent};
  const auto add = [&](uint8_t type, Bytes content) {
    answer.events.push_back({.type = type, .content = {content.begin(), content.end()}});
  };
  for (const SharedObjectEvent& asked : message.events) {
    const Bytes key = key_of(asked.content);
    switch (asked.type) {
      case event::use:
        // Its copy may be of another time: it starts from nothing, like ours.
        add(event::use_success, {});
        add(event::clear, {});
        break;
      case event::request_change:
        if (!key.empty()) add(event::success, key);
        break;
      case event::request_remove:
        if (!key.empty()) add(event::remove, key);
        break;
      case event::send_message:  // to everybody who uses the object, who sends it included
        add(event::send_message, asked.content);
        break;
      default:  // release needs no answer; the rest is what servers say
        break;
    }
  }
  if (answer.events.empty()) return std::nullopt;
  return answer;
}

std::vector<uint8_t> shared_object_body(uint8_t type, const SharedObjectMessage& message) {
  std::vector<uint8_t> body;
  if (type == message_type::shared_object_amf3) body.push_back(0);
  const size_t name_bytes = std::min<size_t>(message.name.size(), 0xFFFF);
  body.push_back(static_cast<uint8_t>(name_bytes >> 8));
  body.push_back(static_cast<uint8_t>(name_bytes));
  body.insert(body.end(), message.name.begin(),
              message.name.begin() + static_cast<ptrdiff_t>(name_bytes));
  append_u32(body, message.version);
  append_u32(body, message.persistent ? flag_persistent : 0);
  append_u32(body, 0);
  for (const SharedObjectEvent& event : message.events) {
    body.push_back(event.type);
    append_u32(body, static_cast<uint32_t>(event.content.size()));
    body.insert(body.end(), event.content.begin(), event.content.end());
  }
  return body;
}

}  // namespace penstock::rtmp

#include "penstock/amf/amf0.h"
#include "penstock/base/assert.h"
#include "penstock/rtmp/shared_object.h"
#include "src/rtmp/session_state.h"

namespace penstock::rtmp {
namespace {

// The longest control message is Set Buffer Length with 10 bytes; what is behind it in a longer one
// is ignored.
constexpr uint32_t control_bytes_max = 64;

// A peer may not make us acknowledge more often than this, whatever window it names.
constexpr uint32_t ack_window_bytes_min = 64 * 1024;

// One answer in this time is proof of life enough for any peer.
constexpr uint64_t ping_interval_ns = 100 * ns_per_ms;

// Each goes to every subscriber and into the late joiners' cache. GStreamer repeats it about 5
// times while it starts.
constexpr uint32_t metadata_per_second_max = 10;

bool is_data(uint8_t type) { return type == message_type::data || type == message_type::data_amf3; }
bool is_command(uint8_t type) {
  return type == message_type::command || type == message_type::command_amf3;
}
bool is_control(uint8_t type) {
  return type >= message_type::set_chunk_size && type <= message_type::set_peer_bandwidth;
}

bool is_shared_object(uint8_t type) {
  return type == message_type::shared_object || type == message_type::shared_object_amf3;
}

/// Whether an AMF0 body needs a reader of AMF3 as well.
bool holds_amf3(const amf::Value& value) {
  if (value.amf3) return true;
  for (const amf::Value& item : value.items) {
    if (holds_amf3(item)) return true;
  }
  for (const amf::Member& member : value.members) {
    if (holds_amf3(member.value)) return true;
  }
  return false;
}

/// The same message without AMF3; nothing when AMF0 cannot say it, or not in a message that we
/// would take: AMF3 names a text once where AMF0 writes it every time.
std::optional<std::vector<uint8_t>> in_amf0(std::string_view name, std::vector<amf::Value> values) {
  std::vector<uint8_t> body;
  amf::Amf0Writer writer(body);
  writer.string(name);
  for (amf::Value& value : values) {
    const auto plain = amf::in_amf0(std::move(value));
    if (!plain) return std::nullopt;
    writer.write(*plain);
    if (body.size() > data_bytes_max) return std::nullopt;
  }
  return body;
}

}  // namespace

/// The first piece of a message that replaces another, which has to be given up before.
Session::State::Report Session::State::put_off(const Piece& piece) {
  std::optional<Event> aborted = abandon(piece.slot);
  held_piece = piece;
  held_piece.replaces = false;
  piece_held = true;
  if (!aborted) return Tolerated{Fault::chunk_state_reset};
  queue(Tolerated{Fault::chunk_state_reset});
  return aborted;
}

/// What becomes of the piece of a message that was begun.
Session::State::Report Session::State::use_piece(const Piece& piece) {
  switch (slot_use[piece.slot]) {
    case SlotUse::media:
      return media_event(piece);
    case SlotUse::assembled: {
      if (!piece.whole()) return assemble(piece.slot, piece);
      return on_message(piece.message_type, piece.message_stream_id, piece.timestamp, piece.bytes);
    }
    case SlotUse::aggregate:
      aggregates[piece.slot]->feed(piece.bytes);
      splitting = piece.slot;
      return std::nullopt;
    case SlotUse::skipped:
      break;
  }
  return std::nullopt;
}

std::expected<void, Fault> Session::State::count_command() {
  if (++second_commands > commands_per_second_max) return std::unexpected(Fault::command_flood);
  return {};
}

/// Decides what becomes of a message that was counted; the inner fault is one that is only counted.
std::expected<std::optional<Fault>, Fault> Session::State::begin_message(const Piece& piece) {
  if (begin_media(piece)) return std::nullopt;
  SlotUse& use = slot_use[piece.slot];
  use = SlotUse::skipped;
  const uint8_t type = piece.message_type;
  if (is_media(type) || type == message_type::aggregate) {
    const MessageStream* publish = find_publish();
    if (publish == nullptr) return Fault::media_without_publish;
    if (is_media(type) || publish->role == Role::muted) return std::nullopt;
    use = SlotUse::aggregate;
    aggregates[piece.slot] =
        std::make_unique<AggregateReader>(piece.message_bytes, piece.timestamp);
    return std::nullopt;
  }
  uint32_t bytes_max = 0;
  if (is_control(type)) {
    bytes_max = control_bytes_max;
  } else if (is_command(type)) {
    bytes_max = command_bytes_max;
  } else if (is_data(type)) {
    bytes_max = data_bytes_max;
  } else if (is_shared_object(type)) {
    // Whatever is wrong with one, it is no reason to end a stream.
    if (connected && piece.message_bytes <= command_bytes_max) use = SlotUse::assembled;
    return std::nullopt;
  } else {
    const bool known = type == message_type::edge_origin;
    return known ? std::optional<Fault>{} : Fault::message_type_unknown;
  }
  if (piece.message_bytes > bytes_max) return std::unexpected(Fault::message_too_large);
  use = SlotUse::assembled;
  return std::nullopt;
}

/// What media_piece() notes of a message that goes on and ends within what was just read.
size_t Session::State::rest_taken(uint8_t slot, size_t bytes) {
  if (bytes > 0 && !reader.unfinished(slot)) last_whole_media = now;
  return bytes;
}

Session::State::Report Session::State::assemble(uint8_t slot, const Piece& piece) {
  std::vector<uint8_t>& assembly = assemblies[slot];
  assembly.insert(assembly.end(), piece.bytes.begin(), piece.bytes.end());
  if (!piece.completes()) return std::nullopt;
  scratch_body = std::move(assembly);
  assembly = {};
  scratch_used = true;
  return on_message(piece.message_type, piece.message_stream_id, piece.timestamp, scratch_body);
}

/// One event out of the run of an aggregate that lies in aggregates[splitting].
Session::State::Report Session::State::aggregate_step() {
  const uint8_t slot = splitting;
  const auto inner = aggregates[slot]->next();
  if (!inner) return Tolerated{inner.error()};
  if (!*inner) {
    splitting = no_slot;
    return std::nullopt;
  }
  const AggregatePiece& part = **inner;
  if (part.offset == 0) {
    if (const auto counted = count_message(); !counted) return std::unexpected(counted.error());
    if (is_data(part.message_type) && part.message_bytes > data_bytes_max) {
      return std::unexpected(Fault::message_too_large);
    }
  }
  const Piece piece{.timestamp = part.timestamp,
                    .message_bytes = part.message_bytes,
                    .offset = part.offset,
                    .message_type = part.message_type,
                    .slot = slot,
                    .bytes = part.bytes};
  // An aggregate may outlast its publish: FCUnpublish can come between two of its chunks.
  const MessageStream* publish = find_publish();
  if (is_media(part.message_type) && publish != nullptr && publish->role != Role::muted) {
    return media_event(piece);
  }
  if (!is_data(part.message_type)) return std::nullopt;
  if (!piece.whole()) return assemble(slot, piece);
  return on_message(piece.message_type, 0, piece.timestamp, piece.bytes);
}

/// Forgets the unfinished message of a slot; the event is for the owner who has seen a part of it.
std::optional<Event> Session::State::abandon(uint8_t slot) {
  const SlotUse use = slot_use[slot];
  const auto inner =
      use == SlotUse::aggregate ? aggregates[slot]->unfinished_type() : std::optional<uint8_t>{};
  aggregates[slot].reset();
  assemblies[slot] = {};
  slot_use[slot] = SlotUse::skipped;
  if (use == SlotUse::media || (inner && is_media(*inner))) return MediaAborted{.slot = slot};
  return std::nullopt;
}

Session::State::Report Session::State::on_message(uint8_t type, uint32_t message_stream_id,
                                                  uint32_t timestamp, Bytes body) {
  if (is_control(type)) return on_control(type, body);
  if (is_data(type)) return on_data(type, timestamp, body);
  if (is_shared_object(type)) return on_shared_object(type, body);
  PENSTOCK_ASSERT(is_command(type));
  if (const auto counted = count_command(); !counted) return std::unexpected(counted.error());
  return on_command(type, message_stream_id, body);
}

Session::State::Report Session::State::on_control(uint8_t type, Bytes body) {
  if (type == message_type::user_control) {
    if (const auto done = on_user_control(body); !done) return std::unexpected(done.error());
    return std::nullopt;
  }
  if (body.size() < 4) return std::unexpected(Fault::control_malformed);
  const uint32_t value = load_u32(body.data());
  switch (type) {
    case message_type::set_chunk_size:
      if (const auto set = reader.set_chunk_size(value); !set) return std::unexpected(set.error());
      break;
    case message_type::abort:
      return on_abort(value);
    case message_type::window_ack_size:
      ack_window_bytes = std::max(value, ack_window_bytes_min);
      break;
    case message_type::set_peer_bandwidth:
      if (const auto counted = count_command(); !counted) return std::unexpected(counted.error());
      if (value == window_announced) break;
      window_announced = value;
      writer.write(outbox, window_ack_size(value));
      break;
    default:
      break;  // an acknowledgement: what we send does not wait for it, some peers never do
  }
  return std::nullopt;
}

Session::State::Report Session::State::on_abort(uint32_t chunk_stream_id) {
  const auto slot = reader.abort(chunk_stream_id);
  if (!slot) return std::nullopt;
  return abandon(*slot);
}

std::expected<void, Fault> Session::State::on_user_control(Bytes body) {
  if (body.size() < 2) return std::unexpected(Fault::control_malformed);
  // Everything but a ping is between players and players' buffers, or unknown: RTMP says to ignore
  // it.
  if (load_u16(body.data()) != user_control::ping_request) return {};
  if (body.size() < 6) return std::unexpected(Fault::control_malformed);
  if (const auto counted = count_command(); !counted) return counted;
  if (ping_answered.ns != 0 && now.since(ping_answered) < ping_interval_ns) return {};
  ping_answered = now;
  writer.write(outbox, ping_response(load_u32(body.data() + 2)));
  return {};
}

Session::State::Report Session::State::on_data(uint8_t type, uint32_t timestamp, Bytes body) {
  const MessageStream* publish = find_publish();
  if (publish == nullptr) return Tolerated{Fault::media_without_publish};
  if (publish->role == Role::muted) return std::nullopt;
  if (type == message_type::data_amf3) body = amf::skip_format_byte(body);
  amf::Amf0Reader values(body);
  bool set_data_frame = false;
  bool in_amf3 = false;
  size_t start = 0;
  std::string name;
  std::vector<amf::Value> behind;  // the name
  while (!values.at_end()) {
    auto value = values.next();
    if (!value) return Tolerated{Fault::metadata_malformed};
    if (name.empty()) {
      const auto text = value->as_string();
      if (!text || text->empty()) return Tolerated{Fault::metadata_malformed};
      if (!set_data_frame && *text == "@setDataFrame") {
        set_data_frame = true;
        start = values.position();
      } else {
        name = *text;
        in_amf3 = value->amf3;
      }
      continue;
    }
    // Null says nothing, and players that look into it fail; Dahua cameras send it.
    if (behind.empty() && name == "onMetaData" && value->is_null()) return std::nullopt;
    in_amf3 = in_amf3 || holds_amf3(*value);
    behind.push_back(*std::move(value));
  }
  if (name.empty()) return Tolerated{Fault::metadata_malformed};
  if (name == "onMetaData" && behind.empty()) return std::nullopt;
  // Without AMF3 inside, a body of type 15 is one of type 18 behind its format byte.
  if (!in_amf3) behind.clear();
  return relay_data(timestamp, body.subspan(start), name, in_amf3, std::move(behind));
}

Session::State::Report Session::State::relay_data(uint32_t timestamp, Bytes values,
                                                  std::string_view name, bool in_amf3,
                                                  std::vector<amf::Value> behind) {
  DataMessage message{.message_stream_id = publish_id,
                      .message_type = message_type::data,
                      .timestamp = timestamp,
                      .metadata = name == "onMetaData",
                      .clears_metadata = name == "@clearDataFrame",
                      .body = values};
  if (message.metadata && ++second_metadata > metadata_per_second_max) {
    return Tolerated{Fault::metadata_flood};
  }
  if (in_amf3) {
    auto body = in_amf0(name, std::move(behind));
    if (!body) {
      message.message_type = message_type::data_amf3;
      body.emplace(1, uint8_t{0});
      body->insert(body->end(), values.begin(), values.end());
    }
    scratch_body = *std::move(body);
    scratch_used = true;
    message.body = scratch_body;
  }
  return message;
}

Session::State::Report Session::State::on_shared_object(uint8_t type, Bytes body) {
  if (++second_shared > commands_per_second_max) return std::nullopt;
  const auto message = parse_shared_object(type, body);
  if (!message) return Tolerated{Fault::shared_object_malformed};
  const auto answer = answer_shared_object(*message);
  if (!answer) return std::nullopt;
  const std::vector<uint8_t> sent = shared_object_body(type, *answer);
  writer.write(outbox,
               {.chunk_stream_id = connection_chunk_stream_id,
                .message_type = type,
                .message_bytes = static_cast<uint32_t>(sent.size())},
               sent);
  return std::nullopt;
}

}  // namespace penstock::rtmp

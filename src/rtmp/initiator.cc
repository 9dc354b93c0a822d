#include "penstock/rtmp/initiator.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "penstock/amf/amf0.h"
#include "penstock/base/assert.h"
#include "penstock/base/limits.h"
#include "penstock/base/prng.h"
#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/chunk_writer.h"
#include "penstock/rtmp/command.h"
#include "penstock/rtmp/handshake.h"

namespace penstock::rtmp {
namespace {

// What FFmpeg's publisher names as its version when it signs.
constexpr std::array<uint8_t, 4> digest_version = {9, 0, 0x7C, 2};

constexpr double connect_transaction = 1;
constexpr double create_stream_transaction = 4;

// Any fixed choice works with every server; these are FFmpeg's.
constexpr uint8_t data_chunk_stream_id = 4;
constexpr uint8_t audio_chunk_stream_id = 4;
constexpr uint8_t video_chunk_stream_id = 6;
constexpr uint8_t publish_chunk_stream_id = 8;

constexpr uint32_t player_buffer_ms = 3000;

// A server may not make us acknowledge more often than this.
constexpr uint32_t ack_window_bytes_min = 64 * 1024;

uint8_t chunk_stream_of(uint8_t type) {
  if (type == message_type::video) return video_chunk_stream_id;
  return type == message_type::audio ? audio_chunk_stream_id : data_chunk_stream_id;
}

}  // namespace

struct Initiator::State {
  using Report = std::expected<std::optional<InitiatorEvent>, Fault>;

  State(InitiatorSettings given, uint64_t seed) : settings(std::move(given)), random_seed(seed) {
    begin_handshake();
  }

  void begin_handshake();
  bool handshake_step();
  void begin_chunks();
  void send_second_packet();
  void send_connect();
  void command(uint8_t chunk_stream_id, uint32_t stream, const Body& body);
  Report on_piece(const Piece& piece);
  Report on_message(uint8_t type, uint32_t timestamp, Bytes body);
  Report on_control(uint8_t type, Bytes body);
  Report on_command(uint8_t type, Bytes body);
  void on_result(const Command& answer);
  Report on_status(const Command& answer);
  void create_stream();
  void ask_stream();

  InitiatorSettings settings;
  uint64_t random_seed;
  Bytes input;
  bool handshake_done = false;
  bool started = false;
  uint32_t message_stream_id = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_acknowledged = 0;
  uint32_t ack_window_bytes = 2'500'000;
  std::vector<uint8_t> handshake;  // C1, then what has come of S0, S1 and S2
  ChunkReader reader;
  ChunkWriter writer;
  Outbox outbox;
  std::array<std::vector<uint8_t>, partial_messages_max> assemblies;
  std::vector<uint8_t> scratch_body;
  std::optional<Command> scratch_command;
};

void Initiator::State::begin_handshake() {
  handshake.resize(handshake_packet_bytes);
  Prng prng(random_seed);
  prng.fill(MutableBytes(handshake).subspan(8));
  if (settings.digest) {
    copy_bytes(handshake.data() + 4, digest_version);
    write_digest(handshake, DigestScheme::digest_first, flash_player_text());
  }
  const uint8_t version = handshake_version_plain;
  outbox.append({&version, 1});
  outbox.append(handshake);
}

/// True when the handshake is complete and the chunk stream begins.
bool Initiator::State::handshake_step() {
  constexpr size_t answer_bytes = 1 + 2 * handshake_packet_bytes;
  const size_t wanted = handshake_packet_bytes + answer_bytes - handshake.size();
  const size_t count = std::min(wanted, input.size());
  handshake.insert(handshake.end(), input.begin(), input.begin() + static_cast<ptrdiff_t>(count));
  input = input.subspan(count);
  if (count < wanted) return false;
  send_second_packet();
  begin_chunks();
  return true;
}

void Initiator::State::begin_chunks() {
  handshake = {};
  handshake_done = true;
  reader.set_limits(settings.message_bytes_max, 2 * settings.message_bytes_max);
  if (settings.chunk_bytes != chunk_bytes_default)
    writer.change_chunk_size(outbox, settings.chunk_bytes);
  send_connect();
}

void Initiator::State::send_second_packet() {
  const Bytes s1 = Bytes(handshake).subspan(handshake_packet_bytes + 1, handshake_packet_bytes);
  std::array<uint8_t, handshake_packet_bytes> c2;
  copy_bytes(c2.data(), s1);
  const auto scheme = settings.digest ? find_digest(s1, media_server_text()) : std::nullopt;
  if (scheme) {
    Prng prng(random_seed + 1);
    prng.fill(MutableBytes(c2).first(handshake_signed_bytes));
    const Digest key = signature_key(flash_player_key(), digest_of(s1, *scheme));
    copy_bytes(c2.data() + handshake_signed_bytes, packet_signature(c2, key));
  }
  outbox.append(c2);
}

void Initiator::State::command(uint8_t chunk_stream_id, uint32_t stream, const Body& body) {
  writer.write(outbox,
               {.chunk_stream_id = chunk_stream_id,
                .message_type = message_type::command,
                .message_bytes = static_cast<uint32_t>(body.size()),
                .message_stream_id = stream},
               body);
}

void Initiator::State::send_connect() {
  Body body;
  amf::Amf0Writer values(body);
  values.string("connect");
  values.number(connect_transaction);
  values.object_begin();
  values.property("app", settings.app);
  if (settings.publish) values.property("type", "nonprivate");
  if (!settings.flash_ver.empty()) values.property("flashVer", settings.flash_ver);
  values.property("tcUrl", settings.tc_url);
  if (settings.enhanced) {
    values.property("fourCcList");
    values.strict_array_begin(4);
    for (const char* code : {"av01", "hvc1", "vp09", "Opus"}) values.string(code);
    const double caps_ex = caps_ex_of_ours & ~(settings.reconnects ? 0 : caps_ex_reconnect);
    values.property("capsEx", static_cast<double>(caps_ex));
  }
  values.object_end();
  command(connection_chunk_stream_id, 0, body);
}

void Initiator::State::create_stream() {
  if (settings.publish) {
    double transaction = connect_transaction + 1;
    for (const char* name : {"releaseStream", "FCPublish"}) {
      Body body;
      amf::Amf0Writer values(body);
      values.string(name);
      values.number(transaction++);
      values.null();
      values.string(settings.name);
      command(connection_chunk_stream_id, 0, body);
    }
  }
  Body body;
  amf::Amf0Writer values(body);
  values.string("createStream");
  values.number(create_stream_transaction);
  values.null();
  command(connection_chunk_stream_id, 0, body);
}

void Initiator::State::ask_stream() {
  Body body;
  amf::Amf0Writer values(body);
  values.string(settings.publish ? "publish" : "play");
  values.number(create_stream_transaction + 1);
  values.null();
  values.string(settings.name);
  if (settings.publish) {
    values.string("live");
  } else {
    values.number(-2000);
  }
  command(publish_chunk_stream_id, message_stream_id, body);
  if (!settings.publish)
    writer.write(outbox, set_buffer_length(message_stream_id, player_buffer_ms));
}

Initiator::State::Report Initiator::State::on_piece(const Piece& piece) {
  if (piece.replaces) assemblies[piece.slot].clear();
  if (piece.whole()) return on_message(piece.message_type, piece.timestamp, piece.bytes);
  std::vector<uint8_t>& assembly = assemblies[piece.slot];
  if (piece.offset == 0) assembly.clear();
  assembly.insert(assembly.end(), piece.bytes.begin(), piece.bytes.end());
  if (!piece.completes()) return std::nullopt;
  // The two change places, so that their memory is used again for the next message.
  std::swap(scratch_body, assembly);
  return on_message(piece.message_type, piece.timestamp, scratch_body);
}

Initiator::State::Report Initiator::State::on_message(uint8_t type, uint32_t timestamp,
                                                      Bytes body) {
  switch (type) {
    case message_type::audio:
    case message_type::video:
    case message_type::data:
    case message_type::data_amf3:
    case message_type::aggregate:
      return MessageReceived{.type = type, .timestamp = timestamp, .body = body};
    case message_type::command:
    case message_type::command_amf3:
      return on_command(type, body);
    default:
      return on_control(type, body);
  }
}

Initiator::State::Report Initiator::State::on_control(uint8_t type, Bytes body) {
  if (type == message_type::user_control && body.size() >= 6) {
    const uint16_t event = load_u16(body.data());
    if (event == user_control::ping_request) {
      writer.write(outbox, ping_response(load_u32(body.data() + 2)));
    }
    if (event == user_control::stream_eof) return StreamEnded{};
    return std::nullopt;
  }
  if (body.size() < 4) return std::nullopt;
  const uint32_t value = load_u32(body.data());
  switch (type) {
    case message_type::set_chunk_size:
      if (const auto set = reader.set_chunk_size(value); !set) return std::unexpected(set.error());
      break;
    case message_type::abort:
      reader.abort(value);
      break;
    case message_type::window_ack_size:
      ack_window_bytes = std::max(value, ack_window_bytes_min);
      break;
    default:
      break;
  }
  return std::nullopt;
}

Initiator::State::Report Initiator::State::on_command(uint8_t type, Bytes body) {
  auto parsed = parse_command(type, body);
  if (!parsed) return std::unexpected(parsed.error());
  scratch_command = std::move(*parsed);
  const Command& answer = *scratch_command;
  if (answer.name == "_result") {
    on_result(answer);
    return std::nullopt;
  }
  // Servers may refuse the calls that only some of them know.
  const bool needed =
      answer.transaction == connect_transaction || answer.transaction >= create_stream_transaction;
  if (answer.name == "onStatus" || (answer.name == "_error" && needed)) return on_status(answer);
  return std::nullopt;
}

void Initiator::State::on_result(const Command& answer) {
  if (answer.transaction == connect_transaction) create_stream();
  if (answer.transaction == create_stream_transaction && message_stream_id == 0) {
    message_stream_id = answer.argument(0).as_u32().value_or(1);
    ask_stream();
  }
}

Initiator::State::Report Initiator::State::on_status(const Command& answer) {
  const amf::Value& info = answer.argument(0);
  const std::string_view code = info.find_string("code").value_or("");
  if (!started && (code == "NetStream.Publish.Start" || code == "NetStream.Play.Start")) {
    started = true;
    return Started{};
  }
  return StatusReceived{.level = info.find_string("level").value_or(""),
                        .code = code,
                        .description = info.find_string("description").value_or("")};
}

Initiator::Initiator(InitiatorSettings settings, uint64_t random_seed)
    : state_(std::make_unique<State>(std::move(settings), random_seed)) {}
Initiator::~Initiator() = default;

void Initiator::skip_handshake() {
  PENSTOCK_ASSERT(!state_->handshake_done && state_->bytes_received == 0);
  const std::vector<uint8_t> first_packets = state_->outbox.take();
  PENSTOCK_ASSERT(first_packets.size() == 1 + handshake_packet_bytes);
  state_->begin_chunks();
}

void Initiator::feed(Bytes input) {
  State& state = *state_;
  state.bytes_received += input.size();
  if (!state.handshake_done) {
    state.input = input;
    return;
  }
  state.reader.feed(input);
  if (state.bytes_received - state.bytes_acknowledged >= state.ack_window_bytes) {
    state.bytes_acknowledged = state.bytes_received;
    state.writer.write(state.outbox, acknowledgement(state.bytes_received));
  }
}

std::expected<InitiatorEvent, Fault> Initiator::next() {
  State& state = *state_;
  if (!state.handshake_done) {
    if (!state.handshake_step()) return InputUsed{};
    state.reader.feed(std::exchange(state.input, Bytes{}));
  }
  for (;;) {
    const auto piece = state.reader.next();
    if (!piece) return std::unexpected(piece.error());
    if (!*piece) return InputUsed{};
    auto report = state.on_piece(**piece);
    if (!report) return std::unexpected(report.error());
    if (*report) return **report;
  }
}

void Initiator::send(uint8_t type, uint32_t timestamp, Bytes body) {
  PENSTOCK_ASSERT(state_->started && state_->settings.publish);
  state_->writer.write(state_->outbox,
                       {.chunk_stream_id = chunk_stream_of(type),
                        .message_type = type,
                        .timestamp = timestamp,
                        .message_bytes = static_cast<uint32_t>(body.size()),
                        .message_stream_id = state_->message_stream_id},
                       body);
}

void Initiator::finish() {
  State& state = *state_;
  if (state.message_stream_id == 0) return;
  if (state.settings.publish) {
    Body body;
    amf::Amf0Writer values(body);
    values.string("FCUnpublish");
    values.number(create_stream_transaction + 2);
    values.null();
    values.string(state.settings.name);
    state.command(connection_chunk_stream_id, 0, body);
  }
  Body body;
  amf::Amf0Writer values(body);
  values.string("deleteStream");
  values.number(create_stream_transaction + 3);
  values.null();
  values.number(state.message_stream_id);
  state.command(connection_chunk_stream_id, 0, body);
}

bool Initiator::started() const { return state_->started; }
uint32_t Initiator::message_stream_id() const { return state_->message_stream_id; }
Outbox& Initiator::outbox() { return state_->outbox; }

}  // namespace penstock::rtmp

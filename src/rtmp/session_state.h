#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "penstock/base/limits.h"
#include "penstock/rtmp/aggregate.h"
#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/chunk_writer.h"
#include "penstock/rtmp/command.h"
#include "penstock/rtmp/handshake.h"
#include "penstock/rtmp/session.h"

namespace penstock::rtmp {

/// What a message stream is used for. A publish that was refused, or that we ended, still sends for
/// a while: `muted`.
enum class Role : uint8_t { none, publish_asked, publishing, muted, play_asked, playing };

struct MessageStream {
  uint32_t id = 0;  // 0: this place is free
  Role role = Role::none;
  bool play_reset = false;
  std::string name;  // as the peer gave it, for the descriptions of statuses

  [[nodiscard]] bool publishes() const {
    return role == Role::publish_asked || role == Role::publishing || role == Role::muted;
  }
  [[nodiscard]] bool plays() const { return role == Role::play_asked || role == Role::playing; }
};

[[nodiscard]] constexpr bool is_media(uint8_t type) {
  return type == message_type::audio || type == message_type::video;
}

/// Everything of a session; its parts are session.cc (bytes to messages, deadlines),
/// session_messages.cc (messages to events), session_commands.cc (what peers ask) and
/// session_answers.cc (what the owner answers).
///
/// An established publisher costs about 1.5 KB: tens of thousands of these exist.
struct alignas(64) Session::State {
  State(const SessionSettings& given, uint64_t random_seed, Instant at)
      : settings(given),
        now(at),
        handshake(std::make_unique<Handshake>(random_seed)),
        phase_since(at) {}

  /// No event: what was read needed no report.
  using Report = std::expected<std::optional<Event>, Fault>;

  /// What becomes of the pieces of the message in a slot.
  enum class SlotUse : uint8_t { skipped, media, assembled, aggregate };

  // ---- session.cc ----
  void feed(Bytes input, Instant at);
  std::expected<Event, Fault> next();
  Report handshake_step();
  Report held_step();
  std::expected<void, Fault> count_message();
  bool begin_media(const Piece& piece);
  std::expected<Event, Fault> media_event(const Piece& piece);
  void queue(Event event);
  [[nodiscard]] std::optional<Fault> due_fault() const;
  [[nodiscard]] Instant deadline() const;
  void acknowledge();

  // ---- session_messages.cc ----
  Report put_off(const Piece& piece);
  Report use_piece(const Piece& piece);
  std::expected<std::optional<Fault>, Fault> begin_message(const Piece& piece);
  size_t rest_taken(uint8_t slot, size_t bytes);
  Report assemble(uint8_t slot, const Piece& piece);
  Report aggregate_step();
  Report on_message(uint8_t type, uint32_t message_stream_id, uint32_t timestamp, Bytes body);
  Report on_control(uint8_t type, Bytes body);
  Report on_abort(uint32_t chunk_stream_id);
  std::optional<Event> abandon(uint8_t slot);
  std::expected<void, Fault> on_user_control(Bytes body);
  Report on_data(uint8_t type, uint32_t timestamp, Bytes body);
  Report relay_data(uint32_t timestamp, Bytes values, std::string_view name, bool in_amf3,
                    std::vector<amf::Value> behind);
  Report on_shared_object(uint8_t type, Bytes body);
  std::expected<void, Fault> count_command();

  // ---- session_commands.cc ----
  Report on_command(uint8_t type, uint32_t message_stream_id, Bytes body);
  Report on_connect(const Command& command, uint32_t message_stream_id);
  Report ask_connect(const Command& command, const ConnectCommand& connect);
  Connected accept_connect(const Command& command, const ConnectCommand& connect);
  void answer_connect(const Verdict& verdict);
  Report on_release_stream(const Command& command, uint32_t message_stream_id);
  Report on_fc_publish(const Command& command, uint32_t message_stream_id);
  Report on_fc_unpublish(const Command& command, uint32_t message_stream_id);
  Report on_fc_subscribe(const Command& command, uint32_t message_stream_id);
  Report on_create_stream(const Command& command, uint32_t message_stream_id);
  Report on_delete_stream(const Command& command, uint32_t message_stream_id);
  Report on_close_stream(const Command& command, uint32_t message_stream_id);
  Report on_publish(const Command& command, uint32_t message_stream_id);
  Report on_play(const Command& command, uint32_t message_stream_id);
  Report on_play2(const Command& command, uint32_t message_stream_id);
  Report on_pause(const Command& command, uint32_t message_stream_id);
  Report on_seek(const Command& command, uint32_t message_stream_id);
  Report on_receive(const Command& command, uint32_t message_stream_id);
  Report on_stream_length(const Command& command, uint32_t message_stream_id);
  Report on_plain_call(const Command& command, uint32_t message_stream_id);
  Report on_answer(const Command& command, uint32_t message_stream_id);
  std::expected<void, Fault> ask_name(std::string_view name);
  std::optional<Event> end_role(MessageStream& stream);

  // ---- session_answers.cc ----
  void answer_publish(uint32_t message_stream_id, const Verdict& verdict, Instant at);
  void answer_play(uint32_t message_stream_id, const Verdict& verdict);
  void publisher_went(uint32_t message_stream_id);
  void publisher_came(uint32_t message_stream_id);
  void end_publish(uint32_t message_stream_id, std::string_view text);
  bool ask_to_reconnect(std::string_view tc_url, std::string_view text);
  void note_abilities(const ConnectCommand& connect);
  /// To a call; nothing when the peer wants no answer.
  void reply(const Command& command, const Body& body);
  void send_status(uint32_t message_stream_id, const Body& body);
  void send_data(uint32_t message_stream_id, const Body& body);
  void send(uint8_t chunk_stream_id, uint8_t type, uint32_t message_stream_id, const Body& body,
            bool as_amf3);

  // ---- message streams ----
  MessageStream* find_stream(uint32_t message_stream_id);
  MessageStream* find_publish();
  [[nodiscard]] const MessageStream* find_publish() const;
  /// The one that a command without a valid id can only mean.
  MessageStream* only_stream();
  /// Faults: message_streams_exceeded.
  std::expected<MessageStream*, Fault> make_stream(uint32_t message_stream_id);
  std::expected<MessageStream*, Fault> stream_for(uint32_t message_stream_id);
  void publish_gone();
  void skip_media();

  // What a media message touches comes first, in five cache lines: between two messages of one
  // publisher there are those of a thousand others. Times and bytes,
  const SessionSettings& settings;
  Instant now;
  Instant last_media{};
  Instant last_whole_media{};  // when a media message was last complete, or the first one began
  Instant second_since{};      // of the counters per second
  uint64_t bytes_received = 0;
  uint64_t bytes_acknowledged = 0;
  uint64_t second_bytes = 0;

  // where the session stands,
  uint32_t second_messages = 0;
  uint32_t ack_window_bytes =
      2'500'000;            // until the peer names one: what servers of the field assume
  uint32_t publish_id = 0;  // message stream of the one publish; 0: none
  bool connected = false;
  bool media_seen = false;  // since the publish was asked
  bool scratch_used = false;
  bool piece_held = false;  // held_piece waits for the events that come before it
  uint8_t queued = 0;
  uint8_t splitting = no_slot;  // slot whose aggregate has a run to be taken apart
  static constexpr uint8_t no_slot = 0xFF;
  std::array<SlotUse, partial_messages_max> slot_use{};
  std::unique_ptr<Handshake> handshake;  // until it is done
  Outbox outbox;

  // the chunk layer (two lines), and the publish, which is mostly the first stream.
  ChunkReader reader;
  std::array<MessageStream, message_streams_max> streams;

  // Handshake: its start. Later: since when the peer has neither published nor played.
  Instant phase_since;
  Instant published_at{};
  Instant ping_answered{};
  uint32_t second_commands = 0;
  uint32_t second_metadata = 0;
  uint32_t second_shared = 0;
  uint32_t window_announced = 0;   // ours, as last told to the peer
  bool fc_publish_seen = false;    // the peer may wait for onFCPublish
  bool amf3 = false;               // the peer reads AMF3,
  bool amf3_used = false;          // and calls in it, so that it is answered in it
  bool aggregates_wanted = false;  // media in aggregate messages
  bool reconnects = false;         // goes elsewhere when it is asked to
  ChunkWriter writer;
  Bytes handshake_input;
  std::array<std::vector<uint8_t>, partial_messages_max> assemblies;
  std::array<std::unique_ptr<AggregateReader>, partial_messages_max> aggregates;
  std::array<Event, 2> queue_events;
  Piece held_piece;

  std::string app;                         // normalised
  std::string query;                       // of connect
  std::unique_ptr<Command> connect_asked;  // the connect that waits for the owner's answer

  // What the views of the last event may point to; freed by the next call of next().
  std::vector<uint8_t> scratch_body;
  std::string scratch_name;
  std::string scratch_query;
  std::string scratch_text;
};

}  // namespace penstock::rtmp

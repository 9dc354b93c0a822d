#include <algorithm>
#include <utility>

#include "penstock/rtmp/stream_name.h"
#include "src/rtmp/session_state.h"

namespace penstock::rtmp {
namespace {

// What servers of the field announce; peers acknowledge each time they have received so much, and
// nothing waits for it.
constexpr uint32_t window_bytes_out = 2'500'000;

// For logs and reports; names and URLs of real encoders stay far below.
constexpr size_t flash_ver_bytes_max = 128;
constexpr size_t tc_url_bytes_max = 512;
constexpr size_t method_bytes_max = 64;

constexpr std::string_view second_publish_text = "this connection publishes already";
constexpr std::string_view call_failed = "NetConnection.Call.Failed";

}  // namespace

Session::State::Report Session::State::on_command(uint8_t type, uint32_t message_stream_id,
                                                  Bytes body) {
  using On = Report (State::*)(const Command&, uint32_t);
  struct Entry {
    std::string_view name;
    bool needs_connect;
    On on;
  };
  static constexpr Entry table[] = {
      {"connect", false, &State::on_connect},
      {"createStream", true, &State::on_create_stream},
      {"publish", true, &State::on_publish},
      {"play", true, &State::on_play},
      {"releaseStream", false, &State::on_release_stream},
      {"FCPublish", false, &State::on_fc_publish},
      {"FCUnpublish", false, &State::on_fc_unpublish},
      {"unpublish", false, &State::on_fc_unpublish},
      {"FCSubscribe", false, &State::on_fc_subscribe},
      {"deleteStream", false, &State::on_delete_stream},
      {"closeStream", false, &State::on_close_stream},
      {"play2", false, &State::on_play2},
      {"pause", false, &State::on_pause},
      {"pauseRaw", false, &State::on_pause},
      {"seek", false, &State::on_seek},
      {"receiveAudio", false, &State::on_receive},
      {"receiveVideo", false, &State::on_receive},
      {"getStreamLength", false, &State::on_stream_length},
      {"_checkbw", false, &State::on_plain_call},
      // Answers to what we call (with transaction 0), or to what we do not call at all.
      {"_result", false, &State::on_answer},
      {"_error", false, &State::on_answer},
      {"onStatus", false, &State::on_answer},
  };
  const auto command = parse_command(type, body);
  if (!command) return std::unexpected(command.error());
  amf3_used = amf3 && command->amf3;
  for (const Entry& entry : table) {
    if (entry.name != command->name) continue;
    if (entry.needs_connect && !connected) return std::unexpected(Fault::command_unexpected);
    return (this->*entry.on)(*command, message_stream_id);
  }
  std::string text = "Method not found (";
  text += std::string_view(command->name).substr(0, method_bytes_max);
  text += ").";
  reply(*command, call_error(command->transaction, call_failed, text));
  return std::nullopt;
}

Session::State::Report Session::State::on_connect(const Command& command, uint32_t) {
  const auto refuse = [&](std::string_view code, std::string_view why, Fault fault) -> Report {
    reply(command, call_error(command.transaction, code, why));
    return std::unexpected(fault);
  };
  if (connected || connect_asked) {
    return refuse("NetConnection.Connect.Rejected", "already connected", Fault::command_unexpected);
  }
  const ConnectCommand connect = parse_connect(command);
  const SplitQuery of_app = split_query(connect.app);
  const SplitQuery of_url = split_query(connect.tc_url);
  auto path = normalised_path(of_app.path);
  auto merged = merged_query(of_app.query, of_url.query);
  if (!path || !merged) {
    return refuse("NetConnection.Connect.InvalidApp", "app or its query is not one we take",
                  Fault::name_invalid);
  }
  app = std::move(*path);
  query = std::move(*merged);
  if (settings.login) return ask_connect(command, connect);
  return accept_connect(command, connect);
}

Session::State::Report Session::State::ask_connect(const Command& command,
                                                   const ConnectCommand& connect) {
  scratch_name = split_query(connect.app).path;
  scratch_used = true;
  connect_asked = std::make_unique<Command>(command);
  return ConnectAsked{
      .app = scratch_name, .query = query, .publishes = connect.type == "nonprivate"};
}

void Session::State::answer_connect(const Verdict& verdict) {
  const std::unique_ptr<Command> asked = std::move(connect_asked);
  if (asked == nullptr) return;
  if (verdict.allowed()) return queue(accept_connect(*asked, parse_connect(*asked)));
  reply(*asked, call_error(asked->transaction, "NetConnection.Connect.Rejected", verdict.text));
  send_status(0, notice("close"));
}

Connected Session::State::accept_connect(const Command& command, const ConnectCommand& connect) {
  note_abilities(connect);
  connected = true;
  phase_since = now;
  window_announced = window_bytes_out;
  writer.write(outbox, window_ack_size(window_bytes_out));
  writer.write(outbox, set_peer_bandwidth(window_bytes_out, BandwidthLimit::dynamic));
  writer.write(outbox, stream_begin(0));
  // Before the result: FFmpeg's publisher takes the size over for its own sending.
  writer.change_chunk_size(outbox, chunk_bytes_out);
  reply(command, connect_result(command.transaction, connect.amf3, connect.capabilities));
  send_status(0, notice("onBWDone"));
  scratch_text = connect.flash_ver.substr(0, flash_ver_bytes_max);
  scratch_query = without_login(split_query(connect.tc_url).path).substr(0, tc_url_bytes_max);
  scratch_used = true;
  return Connected{
      .app = app, .flash_ver = scratch_text, .tc_url = scratch_query, .amf3 = connect.amf3};
}

Session::State::Report Session::State::on_release_stream(const Command& command, uint32_t) {
  // It asks to drop a dangling publisher of the name. Who owns a name is decided when publish
  // comes.
  reply(command, result(command.transaction));
  return std::nullopt;
}

Session::State::Report Session::State::on_plain_call(const Command& command, uint32_t) {
  reply(command, result(command.transaction));
  return std::nullopt;
}

Session::State::Report Session::State::on_answer(const Command&, uint32_t) { return std::nullopt; }

Session::State::Report Session::State::on_fc_publish(const Command& command, uint32_t) {
  fc_publish_seen = true;
  reply(command, result(command.transaction));
  return std::nullopt;
}

Session::State::Report Session::State::on_fc_subscribe(const Command& command, uint32_t) {
  const std::string_view name = command.argument(0).as_string().value_or("");
  reply(command, result(command.transaction));
  send_status(
      0, on_fc("onFCSubscribe", "NetStream.Play.Start", name.substr(0, stream_name_bytes_max)));
  return std::nullopt;
}

Session::State::Report Session::State::on_fc_unpublish(const Command& command, uint32_t) {
  reply(command, result(command.transaction));
  MessageStream* stream = find_publish();
  if (stream == nullptr) return std::nullopt;
  send_status(0, on_fc("onFCUnpublish", "NetStream.Unpublish.Success", stream->name));
  return end_role(*stream);
}

Session::State::Report Session::State::on_create_stream(const Command& command, uint32_t) {
  const auto made = make_stream(0);
  if (!made) return std::unexpected(made.error());
  reply(command, result(command.transaction, (*made)->id));
  return std::nullopt;
}

Session::State::Report Session::State::on_delete_stream(const Command& command, uint32_t) {
  const auto id = command.argument(0).as_u32();
  // GStreamer sends the name here instead of the id: there is only one stream that it can mean.
  MessageStream* stream = id ? find_stream(*id) : only_stream();
  if (stream == nullptr) return std::nullopt;
  std::optional<Event> ended = end_role(*stream);
  *stream = {};
  return ended;
}

Session::State::Report Session::State::on_close_stream(const Command&, uint32_t message_stream_id) {
  MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr) stream = only_stream();
  if (stream == nullptr) return std::nullopt;
  if (stream->role == Role::publishing) {
    send_status(stream->id, on_status(Level::status, "NetStream.Unpublish.Success",
                                      stream->name + " is now unpublished.", stream->name));
  }
  return end_role(*stream);
}

/// Ends what the stream is used for, at the peer's wish.
std::optional<Event> Session::State::end_role(MessageStream& stream) {
  const Role role = std::exchange(stream.role, Role::none);
  switch (role) {
    case Role::publish_asked:
    case Role::publishing:
      publish_gone();
      return PublishEnded{.message_stream_id = stream.id};
    case Role::muted:  // the owner knows; and another publish may have come since
      if (stream.id == publish_id) publish_gone();
      return std::nullopt;
    case Role::play_asked:
    case Role::playing:
      phase_since = now;
      return PlayEnded{.message_stream_id = stream.id};
    case Role::none:
      break;
  }
  return std::nullopt;
}

/// Puts "app/name" and its query where the next event may point to.
std::expected<void, Fault> Session::State::ask_name(std::string_view name) {
  const SplitQuery split = split_query(name);
  auto path = stream_name(app, split.path);
  if (!path) return std::unexpected(path.error());
  auto merged = merged_query(split.query, query);
  if (!merged) return std::unexpected(merged.error());
  scratch_name = std::move(*path);
  scratch_query = std::move(*merged);
  scratch_used = true;
  return {};
}

Session::State::Report Session::State::on_publish(const Command& command,
                                                  uint32_t message_stream_id) {
  const auto publish = parse_publish(command);
  if (!publish) return std::unexpected(publish.error());
  if (publish->stop) return on_close_stream(command, message_stream_id);
  const auto found = stream_for(message_stream_id);
  if (!found) return std::unexpected(found.error());
  MessageStream& stream = **found;
  const MessageStream* other = find_publish();
  if (stream.plays() || (other != nullptr && other->role != Role::muted)) {
    send_status(stream.id,
                on_status(Level::error, "NetStream.Publish.BadName", second_publish_text));
    return std::nullopt;
  }
  if (const auto named = ask_name(publish->name); !named) {
    send_status(stream.id, on_status(Level::error, "NetStream.Publish.BadName",
                                     fault_info(named.error()).text));
    return std::unexpected(named.error());
  }
  stream.role = Role::publish_asked;
  stream.name = split_query(publish->name).path.substr(0, stream_name_bytes_max);
  publish_id = stream.id;
  media_seen = false;
  return PublishAsked{.message_stream_id = stream.id, .name = scratch_name, .query = scratch_query};
}

Session::State::Report Session::State::on_play(const Command& command, uint32_t message_stream_id) {
  const auto play = parse_play(command);
  if (!play) return std::unexpected(play.error());
  const auto found = stream_for(message_stream_id);
  if (!found) return std::unexpected(found.error());
  MessageStream& stream = **found;
  if (stream.publishes()) {
    send_status(stream.id, on_status(Level::error, "NetStream.Play.Failed", second_publish_text));
    return std::nullopt;
  }
  if (const auto named = ask_name(play->name); !named) {
    send_status(stream.id, on_status(Level::error, "NetStream.Play.StreamNotFound",
                                     fault_info(named.error()).text));
    return std::unexpected(named.error());
  }
  std::optional<Event> ended = end_role(stream);
  stream.role = Role::play_asked;
  stream.play_reset = play->reset;
  stream.name = split_query(play->name).path.substr(0, stream_name_bytes_max);
  const PlayAsked asked{
      .message_stream_id = stream.id,
      .name = scratch_name,
      .query = scratch_query,
      .aggregates = aggregates_wanted || has_parameter(scratch_query, "aggregate=1")};
  if (!ended) return asked;
  queue(asked);
  return ended;
}

Session::State::Report Session::State::on_play2(const Command& command, uint32_t) {
  reply(command,
        call_error(command.transaction, call_failed, "Switching streams is not supported."));
  return std::nullopt;
}

Session::State::Report Session::State::on_pause(const Command& command,
                                                uint32_t message_stream_id) {
  MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || stream->role != Role::playing) return std::nullopt;
  const bool paused = command.argument(0).as_boolean().value_or(true);
  send_status(stream->id, paused
                              ? on_status(Level::status, "NetStream.Pause.Notify", "Paused.")
                              : on_status(Level::status, "NetStream.Unpause.Notify", "Unpaused."));
  return PlayPaused{.message_stream_id = stream->id, .paused = paused};
}

Session::State::Report Session::State::on_seek(const Command&, uint32_t message_stream_id) {
  const MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || stream->role != Role::playing) return std::nullopt;
  // A live stream has one position. Players that wait for this go on; an error would stop them.
  send_status(stream->id,
              on_status(Level::status, "NetStream.Seek.Notify", "Live stream: no seeking."));
  send_status(stream->id, on_status(Level::status, "NetStream.Play.Start", "Playing."));
  return std::nullopt;
}

Session::State::Report Session::State::on_receive(const Command& command,
                                                  uint32_t message_stream_id) {
  const MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || !stream->plays()) return std::nullopt;
  const bool wanted = command.argument(0).as_boolean().value_or(true);
  if (wanted) {
    send_status(stream->id, on_status(Level::status, "NetStream.Seek.Notify", "Receiving."));
    send_status(stream->id, on_status(Level::status, "NetStream.Play.Start", "Playing."));
  }
  const MediaKind kind = command.name == "receiveAudio" ? MediaKind::audio : MediaKind::video;
  return ReceiveChanged{.message_stream_id = stream->id, .kind = kind, .wanted = wanted};
}

Session::State::Report Session::State::on_stream_length(const Command& command, uint32_t) {
  reply(command, result(command.transaction, 0));
  return std::nullopt;
}

}  // namespace penstock::rtmp

#include <algorithm>

#include "src/rtmp/session_state.h"

namespace penstock::rtmp {
namespace {

// Statuses carry names and reasons; FFmpeg logs them, OBS shows them. Longer text serves nobody.
constexpr size_t status_text_bytes_max = 256;

std::string with_name(std::string_view before, std::string_view name, std::string_view after) {
  std::string text(before);
  text += name.substr(0, status_text_bytes_max);
  text += after;
  return text;
}

std::string_view publish_code(Refusal refusal) {
  return refusal == Refusal::denied ? "NetStream.Publish.Denied" : "NetStream.Publish.BadName";
}

std::string_view play_code(Refusal refusal) {
  return refusal == Refusal::denied ? "NetStream.Play.Failed" : "NetStream.Play.StreamNotFound";
}

}  // namespace

void Session::State::reply(const Command& command, const Body& body) {
  if (!(command.transaction > 0)) return;  // also what is not a number
  send(connection_chunk_stream_id, message_type::command, 0, body, command.amf3);
}

void Session::State::send_status(uint32_t message_stream_id, const Body& body) {
  send(stream_chunk_stream_id, message_type::command, message_stream_id, body, amf3_used);
}

void Session::State::send_data(uint32_t message_stream_id, const Body& body) {
  send(stream_chunk_stream_id, message_type::data, message_stream_id, body, amf3_used);
}

/// `type` is that of AMF0. The form of AMF3 begins with a format byte, behind which is AMF0 again:
/// nothing that we say needs more.
void Session::State::send(uint8_t chunk_stream_id, uint8_t type, uint32_t message_stream_id,
                          const Body& body, bool as_amf3) {
  Body wrapped;
  if (as_amf3) {
    type = type == message_type::command ? message_type::command_amf3 : message_type::data_amf3;
    wrapped.reserve(body.size() + 1);
    wrapped.push_back(0);
    wrapped.insert(wrapped.end(), body.begin(), body.end());
  }
  const Body& sent = as_amf3 ? wrapped : body;
  writer.write(outbox,
               {.chunk_stream_id = chunk_stream_id,
                .message_type = type,
                .message_bytes = static_cast<uint32_t>(sent.size()),
                .message_stream_id = message_stream_id},
               sent);
}

/// What connect said that the peer can do.
void Session::State::note_abilities(const ConnectCommand& connect) {
  amf3 = connect.amf3;
  aggregates_wanted = connect.aggregates;
  reconnects = connect.capabilities.reconnects();
}

void Session::State::answer_publish(uint32_t message_stream_id, const Verdict& verdict,
                                    Instant at) {
  // The peer may have taken its question back while the answer was on its way.
  MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || stream->role != Role::publish_asked) return;
  now = std::max(now, at);
  if (!verdict.allowed()) {
    stream->role = Role::muted;
    phase_since = now;
    send_status(stream->id,
                on_status(Level::error, publish_code(verdict.refusal), verdict.text, stream->name));
    return;
  }
  stream->role = Role::publishing;
  published_at = now;
  last_media = now;
  writer.write(outbox, stream_begin(stream->id));
  // GStreamer waits for ever unless this comes on the message stream of the publish.
  send_status(stream->id,
              on_status(Level::status, "NetStream.Publish.Start",
                        with_name("", stream->name, " is now published."), stream->name));
  // FMLE waits for it, everybody else ignores it.
  if (fc_publish_seen) {
    send_status(0, on_fc("onFCPublish", "NetStream.Publish.Start", stream->name));
  }
}

void Session::State::answer_play(uint32_t message_stream_id, const Verdict& verdict) {
  MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || stream->role != Role::play_asked) return;
  const uint32_t id = stream->id;
  if (!verdict.allowed()) {
    stream->role = Role::none;
    phase_since = now;
    send_status(id,
                on_status(Level::error, play_code(verdict.refusal), verdict.text, stream->name));
    return;
  }
  stream->role = Role::playing;
  writer.write(outbox, stream_begin(id));
  if (stream->play_reset) {
    send_status(id,
                on_status(Level::status, "NetStream.Play.Reset",
                          with_name("Playing and resetting ", stream->name, "."), stream->name));
  }
  send_status(id, on_status(Level::status, "NetStream.Play.Start",
                            with_name("Started playing ", stream->name, "."), stream->name));
  send_data(id, sample_access());
  send_data(id, data_status("NetStream.Data.Start"));
}

void Session::State::publisher_went(uint32_t message_stream_id) {
  const MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || stream->role != Role::playing) return;
  // Without both, ffmpeg and rtmpdump hang until somebody kills them.
  writer.write(outbox, stream_eof(stream->id));
  send_status(stream->id,
              on_status(Level::status, "NetStream.Play.UnpublishNotify",
                        with_name("", stream->name, " is now unpublished."), stream->name));
}

void Session::State::publisher_came(uint32_t message_stream_id) {
  const MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || stream->role != Role::playing) return;
  writer.write(outbox, stream_begin(stream->id));
  send_status(stream->id,
              on_status(Level::status, "NetStream.Play.PublishNotify",
                        with_name("", stream->name, " is now published."), stream->name));
}

void Session::State::end_publish(uint32_t message_stream_id, std::string_view text) {
  MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr || !stream->publishes() || stream->role == Role::muted) return;
  stream->role = Role::muted;
  skip_media();
  // Of the codes for an end by the server, the only one that OBS, FFmpeg and GStreamer all stop on.
  send_status(stream->id, on_status(Level::error, "NetStream.Publish.Denied", text, stream->name));
}

bool Session::State::ask_to_reconnect(std::string_view tc_url, std::string_view text) {
  if (!connected || !reconnects) return false;
  std::string url(tc_url);
  const size_t authority = url.find("//");
  const size_t path =
      authority == std::string::npos ? 0 : std::min(url.find('/', authority + 2), url.size());
  if (authority != std::string::npos && path + 1 >= url.size()) {
    url.resize(path);
    url += "/" + app;
    // The peer's own, and it may be what it is admitted by.
    if (!query.empty()) url += "?" + query;
  }
  send_status(0, reconnect_request(url, text));
  return true;
}

}  // namespace penstock::rtmp

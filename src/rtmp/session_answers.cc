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
  Body wrapped;
  if (command.amf3) {
    wrapped.push_back(0);
    wrapped.insert(wrapped.end(), body.begin(), body.end());
  }
  const Body& sent = command.amf3 ? wrapped : body;
  writer.write(outbox,
               {.chunk_stream_id = connection_chunk_stream_id,
                .message_type = command.amf3 ? message_type::command_amf3 : message_type::command,
                .message_bytes = static_cast<uint32_t>(sent.size())},
               sent);
}

void Session::State::send_status(uint32_t message_stream_id, const Body& body) {
  writer.write(outbox,
               {.chunk_stream_id = stream_chunk_stream_id,
                .message_type = message_type::command,
                .message_bytes = static_cast<uint32_t>(body.size()),
                .message_stream_id = message_stream_id},
               body);
}

void Session::State::send_data(uint32_t message_stream_id, const Body& body) {
  writer.write(outbox,
               {.chunk_stream_id = stream_chunk_stream_id,
                .message_type = message_type::data,
                .message_bytes = static_cast<uint32_t>(body.size()),
                .message_stream_id = message_stream_id},
               body);
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

}  // namespace penstock::rtmp

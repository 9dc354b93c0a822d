#include "penstock/rtmp/session.h"

#include <algorithm>

#include "penstock/base/assert.h"
#include "penstock/base/prefetch.h"
#include "src/rtmp/session_state.h"

namespace penstock::rtmp {
namespace {

// The largest keyframe seen (2 MB) takes 40 s on an uplink of 400 kbit/s. Who sends a byte now and
// then and completes nothing for longer holds a name and memory for no stream.
constexpr uint64_t message_ns_max = 60 * ns_per_s;

// Below this average size, more than messages_per_second_max messages are an attack on our cost per
// message. Above it they are a file that is pushed as fast as it goes, which is limited by its
// bytes like any other traffic.
constexpr uint64_t flood_message_bytes = 64;

MediaKind media_kind(uint8_t type) {
  return type == message_type::audio ? MediaKind::audio : MediaKind::video;
}

}  // namespace

Session::Session(const SessionSettings& settings, uint64_t random_seed, Instant now)
    : state_(std::make_unique<State>(settings, random_seed, now)) {}
Session::~Session() = default;

void Session::skip_handshake() { state_->handshake.reset(); }

void Session::prefetch() const {
  constexpr size_t hot_bytes = 5 * 64;  // Session::State: what a media message touches
  prefetch_lines(state_.get(), hot_bytes);
}

void Session::feed(Bytes input, Instant now) { state_->feed(input, now); }
std::expected<Event, Fault> Session::next() { return state_->next(); }

size_t Session::take_rest(uint8_t slot, MutableBytes room) {
  return state_->slot_use[slot] == State::SlotUse::media
             ? state_->rest_taken(slot, state_->reader.take_rest(slot, room))
             : 0;
}
size_t Session::skip_rest(uint8_t slot) {
  return state_->slot_use[slot] == State::SlotUse::media
             ? state_->rest_taken(slot, state_->reader.skip_rest(slot))
             : 0;
}

Bytes Session::take_unread() {
  Bytes unread = state_->handshake ? state_->handshake_input : state_->reader.take_unread();
  state_->handshake_input = {};
  state_->bytes_received -= unread.size();
  return unread;
}

void Session::answer_connect(const Verdict& verdict) { state_->answer_connect(verdict); }
void Session::answer_publish(uint32_t message_stream_id, const Verdict& verdict, Instant now) {
  state_->answer_publish(message_stream_id, verdict, now);
}
void Session::answer_play(uint32_t message_stream_id, const Verdict& verdict) {
  state_->answer_play(message_stream_id, verdict);
}
void Session::publisher_went(uint32_t message_stream_id) {
  state_->publisher_went(message_stream_id);
}
void Session::publisher_came(uint32_t message_stream_id) {
  state_->publisher_came(message_stream_id);
}
void Session::end_publish(uint32_t message_stream_id, std::string_view text) {
  state_->end_publish(message_stream_id, text);
}
bool Session::ask_to_reconnect(std::string_view tc_url, std::string_view text) {
  return state_->ask_to_reconnect(tc_url, text);
}

Instant Session::deadline() const { return state_->deadline(); }
std::expected<void, Fault> Session::expire(Instant now) {
  const auto fault = state_->due_fault();
  if (!fault || state_->deadline() > now) return {};
  return std::unexpected(*fault);
}

Outbox& Session::outbox() { return state_->outbox; }
uint64_t Session::bytes_received() const { return state_->bytes_received; }

// ---- bytes to messages ----

void Session::State::feed(Bytes input, Instant at) {
  now = std::max(now, at);
  bytes_received += input.size();
  if (now.since(second_since) >= ns_per_s) {
    second_since = now;
    second_bytes = second_messages = second_commands = second_metadata = second_shared = 0;
  }
  second_bytes += input.size();
  if (handshake) [[unlikely]] {
    handshake_input = input;
    return;
  }
  reader.set_limits(settings.message_bytes_max, settings.partial_bytes_max);
  reader.feed(input);
  acknowledge();
}

std::expected<Event, Fault> Session::State::next() {
  if (scratch_used && queued == 0) [[unlikely]] {
    scratch_body = {};
    scratch_name = {};
    scratch_query = {};
    scratch_text = {};
    scratch_used = false;
  }
  for (;;) {
    if (queued > 0) [[unlikely]] {
      Event event = queue_events[0];
      queue_events[0] = queue_events[1];
      --queued;
      return event;
    }
    const bool detour = handshake || splitting != no_slot || piece_held;
    if (!detour) [[likely]] {
      const auto piece = reader.next();
      if (!piece) return std::unexpected(piece.error());
      if (!*piece) return NeedInput{};
      // What nearly every call ends with, before the general way: media, which needs no Report
      // around it.
      const Piece& run = **piece;
      if (!run.replaces) [[likely]] {
        if (run.offset == 0) {
          const auto counted = count_message();
          if (!counted) [[unlikely]]
            return std::unexpected(counted.error());
          if (!begin_media(run)) {
            const auto begun = begin_message(run);
            if (!begun) return std::unexpected(begun.error());
            if (*begun) return Tolerated{**begun};
          }
        }
        if (slot_use[run.slot] == SlotUse::media) [[likely]]
          return media_event(run);
      }
      Report report = run.replaces ? put_off(run) : use_piece(run);
      if (!report) return std::unexpected(report.error());
      if (*report) return std::move(**report);
      continue;
    }
    Report report = handshake              ? handshake_step()
                    : splitting != no_slot ? aggregate_step()
                                           : held_step();
    if (!report) return std::unexpected(report.error());
    if (*report) return std::move(**report);
  }
}

std::expected<void, Fault> Session::State::count_message() {
  if (++second_messages > messages_per_second_max &&
      second_bytes < second_messages * flood_message_bytes) {
    return std::unexpected(Fault::message_flood);
  }
  return {};
}

/// What begin_message() comes to for nearly every message: the media of a publish. Else false, and
/// nothing was done.
bool Session::State::begin_media(const Piece& piece) {
  if (!is_media(piece.message_type)) return false;
  const MessageStream* publish = find_publish();
  if (publish == nullptr || publish->role == Role::muted) return false;
  slot_use[piece.slot] = SlotUse::media;
  return true;
}

/// Made where the owner finds it, as the chunk reader's pieces are.
std::expected<Event, Fault> Session::State::media_event(const Piece& piece) {
  if (!media_seen || piece.completes()) last_whole_media = now;
  media_seen = true;
  last_media = now;
  std::expected<Event, Fault> event(std::in_place, std::in_place_type<MediaPiece>);
  MediaPiece& media = *std::get_if<MediaPiece>(&*event);
  media.message_stream_id = publish_id;
  media.kind = media_kind(piece.message_type);
  media.slot = piece.slot;
  media.timestamp = piece.timestamp;
  media.message_bytes = piece.message_bytes;
  media.offset = piece.offset;
  media.bytes = piece.bytes;
  return event;
}

Session::State::Report Session::State::handshake_step() {
  const auto used = handshake->feed(handshake_input, outbox);
  if (!used) return std::unexpected(used.error());
  handshake_input = handshake_input.subspan(*used);
  if (!handshake->done()) return NeedInput{};
  const HandshakeDone done{.digest = handshake->digest()};
  if (handshake->echo_differs()) queue(Tolerated{Fault::handshake_echo});
  handshake.reset();
  phase_since = now;
  reader.set_limits(settings.message_bytes_max, settings.partial_bytes_max);
  reader.feed(handshake_input);
  handshake_input = {};
  return done;
}

Session::State::Report Session::State::held_step() {
  const Piece piece = held_piece;
  piece_held = false;
  if (const auto counted = count_message(); !counted) return std::unexpected(counted.error());
  const auto begun = begin_message(piece);
  if (!begun) return std::unexpected(begun.error());
  if (*begun) return Tolerated{**begun};
  return use_piece(piece);
}

void Session::State::queue(Event event) {
  PENSTOCK_ASSERT(queued < queue_events.size());
  queue_events[queued++] = event;
}

void Session::State::acknowledge() {
  // Unread input that was handed back may have been acknowledged already.
  if (!connected || bytes_received < bytes_acknowledged + ack_window_bytes) return;
  bytes_acknowledged = bytes_received;
  writer.write(outbox, acknowledgement(bytes_received));
}

// ---- deadlines ----

std::optional<Fault> Session::State::due_fault() const {
  if (handshake) return Fault::handshake_timeout;
  if (!connected) return Fault::connect_timeout;
  const MessageStream* publish = find_publish();
  if (publish != nullptr && publish->role == Role::publishing) {
    return media_seen ? Fault::silent_publisher : Fault::first_media_timeout;
  }
  // A verdict is the owner's to hurry, and a player may listen as long as it likes. Asked for each
  // send to a player: no line of memory is read beyond the stream that it plays, mostly the first.
  for (const MessageStream& stream : streams) {
    if (stream.role == Role::publish_asked || stream.plays()) return std::nullopt;
  }
  return Fault::publish_timeout;
}

Instant Session::State::deadline() const {
  const auto fault = due_fault();
  if (!fault) return Instant::never();
  switch (*fault) {
    case Fault::handshake_timeout:
      return phase_since.after_ns(settings.handshake_ns);
    case Fault::first_media_timeout:
      return published_at.after_ns(settings.first_media_ns);
    case Fault::silent_publisher:
      return std::min(
          last_media.after_ns(settings.silent_publisher_ns),
          last_whole_media.after_ns(std::max(message_ns_max, settings.silent_publisher_ns)));
    default:
      return phase_since.after_ns(settings.connect_to_publish_ns);
  }
}

// ---- message streams ----

MessageStream* Session::State::find_stream(uint32_t message_stream_id) {
  if (message_stream_id == 0) return nullptr;
  for (MessageStream& stream : streams) {
    if (stream.id == message_stream_id) return &stream;
  }
  return nullptr;
}

MessageStream* Session::State::find_publish() { return find_stream(publish_id); }
const MessageStream* Session::State::find_publish() const {
  return const_cast<State*>(this)->find_publish();
}

MessageStream* Session::State::only_stream() {
  MessageStream* only = nullptr;
  for (MessageStream& stream : streams) {
    if (stream.id == 0) continue;
    if (only != nullptr) return nullptr;
    only = &stream;
  }
  return only;
}

std::expected<MessageStream*, Fault> Session::State::make_stream(uint32_t message_stream_id) {
  if (message_stream_id == 0) {
    // The lowest free id, so that a peer's first stream is always 1. 0 will not do: GStreamer
    // refuses it.
    message_stream_id = 1;
    while (find_stream(message_stream_id) != nullptr) ++message_stream_id;
  }
  for (MessageStream& stream : streams) {
    if (stream.id != 0) continue;
    stream = {.id = message_stream_id};
    return &stream;
  }
  return std::unexpected(Fault::message_streams_exceeded);
}

/// The stream that a publish or play is for. It may arrive without createStream, or on message
/// stream 0.
std::expected<MessageStream*, Fault> Session::State::stream_for(uint32_t message_stream_id) {
  MessageStream* stream = find_stream(message_stream_id);
  if (stream == nullptr && message_stream_id == 0) stream = only_stream();
  if (stream != nullptr) return stream;
  return make_stream(message_stream_id);
}

void Session::State::publish_gone() {
  publish_id = 0;
  fc_publish_seen = false;
  skip_media();
}

/// What is left of unfinished messages must not come out as part of a later publish.
void Session::State::skip_media() {
  phase_since = now;
  splitting = no_slot;
  for (uint8_t slot = 0; slot < slot_use.size(); ++slot) {
    if (slot_use[slot] == SlotUse::assembled) continue;
    slot_use[slot] = SlotUse::skipped;
    aggregates[slot].reset();
    assemblies[slot] = {};
  }
}

}  // namespace penstock::rtmp

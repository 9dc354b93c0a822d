#include <algorithm>
#include <utility>

#include "dataplane/address_text.h"
#include "dataplane/worker.h"

// What others see of a worker: rows and counters in the shared region, records in the log ring.
namespace penstock::dataplane {
namespace {

using control::Counter;
using control::Tunable;

// Every row is written anew once a second, a twentieth of them every 50 ms, so that no tick pays
// for 10,000 rows at once (424 B each: 4 MB).
constexpr uint64_t report_step_ns = 50 * ns_per_ms;
constexpr size_t report_steps = 20;

// A receive of more than this gains nothing (measured: 32 KiB costs what 16 KiB costs, and delays
// twice as much).
constexpr uint64_t low_water_max = 32 * 1024;

// How often the mark follows the bitrate: with every turn of its row, which comes once a second or a
// little sooner. What lies below a mark is read with the second look after it: the first may have
// found the bytes before it.
constexpr uint64_t low_water_look_ns = 750 * ns_per_ms;

// Of gather_ms, what a poll may wait when nobody is live; the rest is for what gathers in the
// sockets. A worker that slept finds its code and data gone from the caches: at 200 publishers
// polls of 30 ms take three quarters of the CPU time of 10 ms, which take 0.8 of that of 1 ms;
// longer ones save little, and whoever connects waits for them.
constexpr uint64_t gather_share = 5;
constexpr uint64_t gather_poll_ms_max = 30;

uint64_t gather_poll_ms(uint64_t gather_ms) {
  return std::min(gather_ms / gather_share, gather_poll_ms_max);
}

// A drained worker lets go of everybody within about 30 s: 600 steps of 50 ms.
constexpr size_t drain_steps = 600;

// Who is asked to go elsewhere connects there first and changes over at its next keyframe: encoders
// make one within 10 s. Three times that, and then it goes like everybody.
constexpr uint64_t reconnect_ns = 30 * ns_per_s;

// Pictures come at least this often where sound waits for them in the socket: it waits for the next
// picture or the next sound, 50 ms at most while they come. When they stop, what is left below the
// mark is read with the next look, as everywhere.
constexpr uint32_t hold_fps_min = 20;

// Times coalesce_from. A fifth of a core: what a core sends is about 150,000 frames a second while
// only sound waits.
constexpr uint64_t pictures_hold_from = 3;

// One message of sound stays below the mark, two do not, and a picture does not: a mean one is four
// times as large as the mark.
uint64_t live_mark(const media::Measured& measured) {
  const uint64_t sound = measured.audio_message_bytes;
  const uint64_t mark = std::min(sound + sound / 2 + 16, low_water_max);
  const bool fits = sound > 0 && measured.video_message_bytes >= 4 * mark;
  return fits ? mark : 1;
}

}  // namespace

void Worker::report() {
  report_at_ = now_.after_ns(report_step_ns);
  area_.heartbeat_ns.set(now_.ns);
  gauge(Counter::frame_bytes, frames_.blocks().bytes_in_use());

  if (wanted_.draining != 0 && !stopping_) drain_step();

  const size_t rows = stream_slots_used_;
  gauge(Counter::publishers, publisher_count_);
  gauge(Counter::subscribers, subscriber_count_);
  for (size_t i = 0; i < rows / report_steps + 1; ++i) {
    report_stream_cursor_ = report_stream_cursor_ + 1 < rows ? report_stream_cursor_ + 1 : 0;
    if (report_stream_cursor_ >= rows) break;
    if (!stirred_streams_[report_stream_cursor_]) continue;
    stirred_streams_[report_stream_cursor_] = false;
    if (Stream* stream = streams_by_row_[report_stream_cursor_]) report_stream(*stream);
  }
  const size_t used = connection_slots_used_;
  for (size_t i = 0; i < used / report_steps + 1; ++i) {
    report_connection_cursor_ =
        report_connection_cursor_ + 1 < used ? report_connection_cursor_ + 1 : 0;
    if (report_connection_cursor_ >= used) break;
    if (!stirred_connections_[report_connection_cursor_]) continue;
    stirred_connections_[report_connection_cursor_] = false;
    Connection* connection = connections_[report_connection_cursor_].get();
    if (connection == nullptr) continue;
    // Whatever else a row says changes with bytes.
    const uint64_t moved = connection->bytes_received + connection->bytes_sent;
    if (moved != connection->reported_bytes || !connection->egress.idle()) {
      report_connection(*connection);
    }
    adjust_low_water(*connection);
    // A publisher is looked at when it is silent, too: what lies below its mark is to be read.
    stirred_connections_[report_connection_cursor_] =
        connection->published != nullptr || !connection->egress.idle();
  }
  choose_gather();
  choose_hold();
}

/// It began, or has another target.
void Worker::drain_changed() {
  for (auto& connection : connections_) {
    if (connection == nullptr) continue;
    connection->reconnect_asked = false;
    connection->reconnects_until = {};
  }
}

/// False when there is nothing to ask: it cannot, or was asked before.
bool Worker::ask_to_reconnect(Connection& connection) {
  if (std::exchange(connection.reconnect_asked, true)) return false;
  std::string_view to = wanted_.drain_to.view();
  // The region's writer is a stranger.
  if (!std::ranges::all_of(to, [](char c) { return c > ' ' && c < 0x7F; })) to = {};
  if (!connection.session.ask_to_reconnect(to, "server is draining")) return false;
  connection.reconnects_until = now_.after_ns(reconnect_ns);
  count(Counter::reconnects_asked);
  settle(connection);
  return true;
}

/// Lets a few peers go, so that they do not all come to the next server at once. Who can reconnect
/// by itself is asked to, players too, and has time for it. Other publishers are told why; their
/// subscribers are told that the publisher went, and leave by themselves.
void Worker::drain_step() {
  size_t to_go = connection_count_ / drain_steps + 1;
  for (uint32_t row = 0; row < connection_slots_used_ && to_go > 0; ++row) {
    Connection* connection = connections_[row].get();
    if (connection == nullptr || connection->closing) continue;
    if (ask_to_reconnect(*connection)) {
      --to_go;
      continue;
    }
    if (now_ < connection->reconnects_until) continue;
    const bool watches = std::ranges::any_of(connection->subscriptions, [](const auto& play) {
      return play->state != SubscriptionState::waiting;
    });
    if (watches) continue;
    if (Stream* stream = connection->published; stream != nullptr) {
      connection->session.end_publish(stream->publisher_message_stream_id, "server is draining");
      end_publish(*stream, "server is draining");
    }
    finish(*connection);
    --to_go;
  }
}

control::StreamRow Worker::row_of(Stream& stream) {
  control::StreamRow row;
  row.stream_id = stream.stream_id;
  row.name.set(stream.name);
  row.role = stream.owned_here() ? control::StreamRole::publisher : control::StreamRole::replica;
  row.worker = parts_.id;
  row.subscribers = static_cast<uint32_t>(stream.subscribers.size());
  row.bytes_sent = stream.bytes_sent;
  row.frames_skipped = stream.frames_skipped;
  if (!stream.owned_here()) return row;
  row.connection_id = stream.publisher->connection_id;
  row.publisher = stream.publisher->peer_text;
  row.encoder.set(stream.encoder);
  row.since_unix_ms = stream.since_unix_ms;
  row.video_codec.set(media::codec_name(stream.video_codec));
  row.audio_codec.set(media::codec_name(stream.audio_codec));
  row.width = stream.video_size.width;
  row.height = stream.video_size.height;
  row.sample_rate = stream.audio_format.sample_rate;
  row.channels = stream.audio_format.channels;
  const media::Measured measured = stream.measure.measured(now_);
  row.video_bits_per_second = measured.video_bits_per_second;
  row.audio_bits_per_second = measured.audio_bits_per_second;
  row.fps_milli = measured.fps_milli;
  row.keyframe_interval_ms = measured.keyframe_interval_ms;
  row.av_drift_ms = measured.av_drift_ms;
  row.timestamp_jumps = measured.timestamp_jumps;
  row.last_timestamp = stream.last_timestamp;
  row.bytes_received = stream.bytes_received;
  row.frames_received = stream.frames_received;
  row.frames_dropped = stream.frames_dropped;
  row.gop_bytes = stream.gop_bytes;
  return row;
}

void Worker::report_stream(Stream& stream) {
  for (uint64_t rest = stream.unannounced; rest != 0; rest &= rest - 1) {
    announce_start(stream, static_cast<WorkerId>(std::countr_zero(rest)), false);
  }
  parts_.region.write_row(parts_.id, stream.row, row_of(stream));
  // What happens to a name without a publisher is reported when it happens.
  stirred_streams_[stream.row] = stream.stream_id != 0;
}

void Worker::report_connection(Connection& connection) {
  control::ConnectionRow row;
  row.connection_id = connection.connection_id;
  row.worker = parts_.id;
  row.peer = connection.peer_text;
  row.software.set(connection.software);
  row.transport.set(engine::transport_name(connection.transport));
  row.since_unix_ms = connection.since_unix_ms;
  row.bytes_received = connection.bytes_received;
  row.bytes_sent = connection.bytes_sent;
  row.queued_bytes = connection.egress.queued_bytes();
  if (connection.published != nullptr) {
    row.role = control::ConnectionRole::publisher;
    row.name.set(connection.published->name);
  } else if (!connection.subscriptions.empty()) {
    const Subscription& first = *connection.subscriptions.front();
    row.role = first.state == SubscriptionState::waiting ? control::ConnectionRole::waiting
                                                         : control::ConnectionRole::subscriber;
    row.name.set(first.stream->name);
    for (const auto& subscription : connection.subscriptions) {
      row.frames_skipped += subscription->frames_skipped;
    }
  } else if (!connection.app.empty()) {
    row.role = control::ConnectionRole::idle;
  }
  parts_.region.write_row(parts_.id, connection.row, row);
  connection.reported_bytes = connection.bytes_received + connection.bytes_sent;
}

/// A publisher that nobody watches may be read in larger gulps (SO_RCVLOWAT measured as the
/// strongest lever on the cost of ingest). One that is watched is read at once; under load, when
/// sound waits for the picture anyway, it may as well wait in the socket. Once a second: the mark
/// follows the bitrate, and is lifted when nothing came since the last look, so that what lies
/// below it is read.
void Worker::adjust_low_water(Connection& connection) {
  Stream* stream = connection.published;
  if (stream == nullptr || connection.closing || connection.waiting_for_answer()) return;
  if (now_.since(connection.low_water_look_at) < low_water_look_ns) return;
  connection.low_water_look_at = now_;
  const uint64_t gather_ms = tunable(Tunable::gather_ms);
  uint64_t mark = 1;
  bool gathered = false;
  const bool watched = !stream->subscribers.empty() || stream->routes != 0;
  const uint64_t received = connection.bytes_received - connection.low_water_bytes;
  connection.low_water_bytes = connection.bytes_received;
  const media::Measured measured = stream->measure.measured(now_);
  if (received > 0 && gather_ms > 0 && !watched) {
    const uint64_t bits = uint64_t{measured.video_bits_per_second} + measured.audio_bits_per_second;
    mark = std::clamp<uint64_t>(bits * (gather_ms - gather_poll_ms(gather_ms)) / 8000, 1,
                                low_water_max);
    gathered = mark > 1;
  } else if (received > 0 && hold_ns_ > 0 && stream->mean_frame_bytes <= hold_frame_bytes_max &&
             measured.fps_milli >= hold_fps_min * 1000) {
    mark = live_mark(measured);
  }
  // Small corrections are not worth a system call of the engine.
  const uint64_t present = connection.low_water;
  if (gathered == connection.gathered &&
      (mark == present ||
       (mark > 1 && present > 1 && mark * 4 > present * 3 && mark * 3 < present * 4))) {
    return;
  }
  set_low_water(connection, static_cast<uint32_t>(mark), gathered);
}

void Worker::set_low_water(Connection& connection, uint32_t mark, bool gathered) {
  if (connection.low_water == mark && connection.gathered == gathered) return;
  gathered_connections_ += (gathered ? 1 : 0) - (connection.gathered ? 1 : 0);
  connection.gathered = gathered;
  connection.low_water = mark;
  // A mark that cannot be higher is reached all the time: then many reads cost more than their
  // ACKs.
  const bool leave_rest = gathered && mark < low_water_max;
  engine_.set_low_water(connection.id, mark,
                        leave_rest ? engine::Rest::may_wait : engine::Rest::comes_too);
  choose_gather();
}

/// While every connection is a publisher that nobody watches, nobody waits for anything, and the
/// engine may gather for longer than it may with somebody live or on the way in.
void Worker::choose_gather() {
  uint64_t ns = tunable(Tunable::wait_us_max) * ns_per_us;
  if (ns > 0 && connection_count_ > 0 && gathered_connections_ == connection_count_) {
    ns = std::max(ns, gather_poll_ms(tunable(Tunable::gather_ms)) * ns_per_ms);
  }
  if (ns == gather_ns_) return;
  gather_ns_ = ns;
  engine_.set_gather_max(ns);
}

/// With little to do everything goes out at once; the waiting grows with the load: first that of
/// sound, and then pictures may wait as well.
void Worker::choose_hold() {
  uint64_t moved = 0;
  for (const Counter counter :
       {Counter::messages_video, Counter::messages_audio, Counter::frames_queued}) {
    moved += area_.counters[static_cast<size_t>(counter)].get();
  }
  const uint64_t passed_ns = std::max(now_.since(hold_looked_at_), report_step_ns);
  const uint64_t per_second = (moved - moved_) * ns_per_s / passed_ns;
  moved_ = moved;
  hold_looked_at_ = now_;
  const uint64_t from = tunable(Tunable::coalesce_from);
  const uint64_t above = std::min(per_second - std::min(per_second, from), from);
  const uint64_t most_ns = tunable(Tunable::coalesce_ms) * ns_per_ms;
  hold_ns_ = from == 0 ? most_ns : most_ns * above / from;
  picture_hold_ns_ = per_second >= pictures_hold_from * from ? most_ns : 0;
}

void Worker::note_metadata(Stream& stream, const rtmp::DataMessage& message) {
  const rtmp::MetadataFacts facts = rtmp::read_metadata(message.body);
  if (!facts.encoder.empty()) stream.encoder = facts.encoder;
  // The sequence header knows better; metadata stands in for codecs whose header has no size.
  if (stream.video_size.width == 0) stream.video_size = {facts.width, facts.height};
}

void Worker::log(LogEvent event, const Connection* connection, std::string_view name,
                 std::string_view detail, uint64_t number, const engine::Endpoint* stranger) {
  const LogEventInfo info = log_event_info(event);
  const bool traced = connection != nullptr && connection->traced;
  if (!traced && static_cast<uint32_t>(info.level) < static_cast<uint32_t>(wanted_.log_level))
    return;
  std::optional<uint32_t> left_out = 0;
  // What admitted peers do is always said; what anybody can cause, and often, has a bound.
  const bool bounded = !traced && (info.level >= control::LogLevel::warning ||
                                   event == LogEvent::subscriber_skipped);
  if (bounded) left_out = log_ration_.take(event, detail, now_);
  if (!left_out) return;
  LogRecord record;
  record.unix_ms = unix_ms();
  record.event = event;
  record.level = info.level;
  record.worker = parts_.id;
  record.number = number;
  record.suppressed = *left_out;
  if (connection != nullptr) {
    record.connection_id = connection->connection_id;
    record.peer = connection->peer_text;
  } else if (stranger != nullptr) {
    record.peer.set(address_text(*stranger));
  }
  record.name.set(name);
  record.detail.set(detail);
  if (!parts_.log->push(record)) count(Counter::log_records_dropped);
  main_has_to_look_ = true;
}

void Worker::count(control::Counter counter, uint64_t by) {
  area_.counters[static_cast<size_t>(counter)].add(by);
}

void Worker::gauge(control::Counter counter, uint64_t value) {
  area_.counters[static_cast<size_t>(counter)].set(value);
}

uint64_t Worker::unix_ms() const {
  return static_cast<uint64_t>(static_cast<int64_t>(now_.ns / ns_per_ms) +
                               parts_.unix_minus_monotonic_ms);
}

}  // namespace penstock::dataplane

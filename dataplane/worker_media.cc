#include <algorithm>
#include <new>

#include "dataplane/worker.h"
#include "penstock/base/assert.h"
#include "penstock/rtmp/wire.h"

// From the publisher's pieces to frames. A message that nobody wants is looked at and not copied.
namespace penstock::dataplane {
namespace {

using control::Counter;
using control::Tunable;

// One chunk stream per kind for every subscriber, type 0 headers only: no state to keep per
// subscriber.
constexpr uint8_t data_chunk_stream = 5;
constexpr uint8_t audio_chunk_stream = 6;
constexpr uint8_t video_chunk_stream = 7;

// Sequence headers are below 1 KiB, colour metadata below 4 KiB; FLAC with pictures may reach this.
constexpr uint32_t config_bytes_max = 64 * 1024;

// Sequence headers of H.264 are about 60 bytes, metadata 400. Of these a stream has two or three,
// and six tracks 13; memory beside the pool is at most stream_config_bytes_max per stream.
constexpr uint32_t small_config_bytes_max = 1024;

// Metadata is its own kind of frame, so it needs no slot of its own.
constexpr uint16_t metadata_config_key = 0;

// A backlog below this frees nothing worth a skip: a quarter second of 2 Mbit/s.
constexpr uint64_t backlog_bytes_min = 64 * 1024;

// How often other workers are asked to let go of frames, and how long it is taken for granted that
// there is nothing to let go of: each look goes over all streams and connections, and memory is
// short at the rate of messages.
constexpr uint64_t shed_interval_ns = 10 * ns_per_ms;

// So much media in a tenth of its time is a file, not an encoder: those that catch up after an
// outage have a few seconds to send, and drop the rest.
constexpr uint32_t race_ms_min = 10'000;
constexpr uint64_t race_times = 10;
// A timestamp that jumps further says nothing of the pace.
constexpr uint32_t timestamp_step_ms_max = 600'000;

rtmp::WireHeader wire_header(rtmp::MediaKind kind, uint32_t timestamp, uint32_t message_bytes) {
  return {
      .chunk_stream_id = kind == rtmp::MediaKind::video ? video_chunk_stream : audio_chunk_stream,
      .message_type = static_cast<uint8_t>(kind),
      .timestamp = timestamp,
      .message_bytes = message_bytes,
      .message_stream_id = wire_message_stream_id};
}

rtmp::WireHeader wire_header(const Assembly& assembly) {
  return wire_header(assembly.kind, assembly.timestamp, assembly.message_bytes);
}

uint16_t side_track_of(const media::TagInfo& info) {
  return info.many ? side_track_many : info.track;
}

/// Whether this is of the track whose keyframes a stream is joined at: track 0, which is the
/// default one by convention, or where a publisher sends none, the first that comes.
bool leads(Stream& stream, const media::TagInfo& info) {
  const uint16_t track = side_track_of(info);
  if (track == 0 || stream.lead_track == Stream::no_track) stream.lead_track = track;
  const bool leading = stream.lead_track == track;
  if (leading && info.sequence_end) stream.lead_track = Stream::no_track;
  return leading;
}

/// Small chunks come by the dozen: once it is known what a message is, and what becomes of it, what
/// follows its first piece in the input goes straight to its place.
void take_rest(rtmp::Session& session, uint8_t slot, Assembly& assembly) {
  if (assembly.frame == nullptr) {
    assembly.received_bytes += static_cast<uint32_t>(session.skip_rest(slot));
    return;
  }
  // Up to the end of the outgoing chunk: wire_write() puts the next one's header.
  const uint32_t into_chunk = assembly.received_bytes % chunk_bytes_out;
  if (into_chunk == 0) return;
  Frame& frame = *assembly.frame;
  const size_t at = rtmp::wire_end(wire_header(assembly), chunk_bytes_out, assembly.received_bytes);
  const size_t room = std::min<size_t>(FrameLog::room(frame) - at, chunk_bytes_out - into_chunk);
  const size_t taken = session.take_rest(slot, {frame.bytes + at, room});
  assembly.received_bytes += static_cast<uint32_t>(taken);
}

/// What counts is the memory that is pinned: a block is counted once, with the first frame in it. A
/// large picture lies alone in its block, between two frames of the same log block.
void count_gop_block(Stream& stream, const Frame& frame) {
  const bool alone = frame.length > FrameLog::frame_bytes_at_once;
  if (!alone && stream.gop_block == frame.block) return;
  if (!alone) stream.gop_block = frame.block;
  stream.gop_bytes += block_bytes_min << frame.block->order;
}

}  // namespace

void Worker::media_piece(Stream& stream, const rtmp::MediaPiece& piece) {
  Assembly& assembly = stream.assemblies[piece.slot];
  if (piece.offset == 0) {
    abandon(assembly);
    assembly.active = true;
    assembly.decided = false;
    assembly.kind = piece.kind;
    assembly.prefix_bytes = 0;
    assembly.timestamp = piece.timestamp;
    assembly.message_bytes = piece.message_bytes;
    assembly.received_bytes = 0;
  }
  if (!assembly.active) return;  // it began before this publish did
  PENSTOCK_ASSERT(piece.offset == assembly.received_bytes);
  assembly.received_bytes += static_cast<uint32_t>(piece.bytes.size());

  if (assembly.decided) {
    write(stream, assembly, piece.offset, piece.bytes);
  } else {
    const size_t enough = std::min<size_t>(media::tag_prefix_bytes, assembly.message_bytes);
    if (piece.offset == 0 && piece.bytes.size() >= enough) {
      // The usual case: the header lies whole in the first piece.
      if (decide(stream, assembly, piece.bytes.first(enough))) {
        write(stream, assembly, 0, piece.bytes);
      }
    } else {
      const size_t from_piece = std::min(enough - assembly.prefix_bytes, piece.bytes.size());
      copy_bytes(assembly.prefix.data() + assembly.prefix_bytes, piece.bytes.first(from_piece));
      assembly.prefix_bytes = static_cast<uint8_t>(assembly.prefix_bytes + from_piece);
      if (assembly.prefix_bytes == enough) {
        const Bytes prefix{assembly.prefix.data(), enough};
        if (decide(stream, assembly, prefix)) {
          write(stream, assembly, 0, prefix);
          write(stream, assembly, static_cast<uint32_t>(enough), piece.bytes.subspan(from_piece));
        }
      }
    }
  }
  if (assembly.received_bytes < assembly.message_bytes) {
    if (!assembly.decided) return;
    take_rest(stream.publisher->session, piece.slot, assembly);
  }
  if (assembly.received_bytes == assembly.message_bytes) complete(stream, assembly);
}

bool Worker::wanted(const Stream& stream, const media::TagInfo& info) const {
  if (info.config || !stream.subscribers.empty() || stream.routes != 0) return true;
  // Nobody watches: then only the GOP cache wants it, and that only from a keyframe on.
  return tunable(Tunable::gop_bytes) > 0 && !stream.races && (stream.gop_complete || info.key);
}

/// At a keyframe. A file that is pushed as fast as the line takes it brings its next keyframe
/// sooner than anybody could join at this one, so that keeping a GOP of it is work for nobody,
/// which pushes everybody else's memory out of the caches.
void Worker::note_pace(Stream& stream, uint32_t timestamp) {
  const uint32_t media_ms = timestamp - stream.paced_from_ms;
  const uint64_t passed_ns = now_.since(stream.paced_from);
  const bool first = stream.paced_from.ns == 0 || media_ms > timestamp_step_ms_max;
  // To race takes a while, so that an encoder that catches up is not taken for one; not to, one
  // keyframe.
  if (!first && !stream.races && media_ms < race_ms_min) return;
  const bool watched = !stream.subscribers.empty() || stream.routes != 0;
  stream.races = !first && !watched && media_ms * ns_per_ms > race_times * passed_ns;
  stream.paced_from_ms = timestamp;
  stream.paced_from = now_;
  if (stream.races) drop_gop(stream);
}

/// Enough of the message is seen. True when its bytes are to be kept.
bool Worker::decide(Stream& stream, Assembly& assembly, Bytes prefix) {
  assembly.decided = true;
  // Made in place: a copy would read it in wider words than it was just written in.
  if (assembly.kind == rtmp::MediaKind::video) {
    new (&assembly.info) media::TagInfo(media::inspect_video(prefix));
  } else {
    new (&assembly.info) media::TagInfo(media::inspect_audio(prefix));
  }
  // A header of this size is no header: relayed like any message, but not kept for late joiners.
  if (assembly.message_bytes > config_bytes_max) assembly.info.config = false;
  // Of several tracks one leads. It is what players show that know of one alone.
  bool side = false;
  if (assembly.kind == rtmp::MediaKind::video && assembly.info.known) {
    if (assembly.info.multitrack) [[unlikely]] {
      side = !leads(stream, assembly.info);
    } else {
      stream.lead_track = 0;
    }
  }
  if (assembly.info.key && !side && !assembly.info.config) {
    note_pace(stream, assembly.timestamp);
  }
  if (!wanted(stream, assembly.info)) return false;
  const rtmp::WireHeader header = wire_header(assembly);
  assembly.frame =
      assembly.info.config ? begin_kept_frame(stream, header) : begin_frame(stream, header);
  // Without its header the whole stream would be lost, for as long as it lives: that one message
  // gets memory from elsewhere.
  if (assembly.frame == nullptr && assembly.info.config) {
    assembly.frame =
        frames_.make_own_room(static_cast<uint32_t>(rtmp::wire_bytes(header, chunk_bytes_out)));
  }
  if (assembly.frame == nullptr) return false;
  assembly.frame->timestamp = assembly.timestamp;
  assembly.frame->kind =
      assembly.kind == rtmp::MediaKind::video ? FrameKind::video : FrameKind::audio;
  assembly.frame->config = assembly.info.config;
  if (side && !assembly.info.config) {
    assembly.frame->side = assembly.info.key ? SideTrack::key : SideTrack::inter;
    assembly.frame->config_key = side_track_of(assembly.info);
    return true;
  }
  // A sequence header is marked as a keyframe by encoders; a player cannot start at one.
  assembly.frame->key = assembly.info.key && !assembly.info.config && !assembly.info.sequence_end;
  assembly.frame->config_key =
      static_cast<uint16_t>(assembly.info.config_slot << 8 | assembly.info.track);
  return true;
}

/// For what will be kept. While nobody watches it goes nowhere else, and a log that nothing else is
/// written to needs no block.
Frame* Worker::begin_kept_frame(Stream& stream, const rtmp::WireHeader& header) {
  const auto bytes = static_cast<uint32_t>(rtmp::wire_bytes(header, chunk_bytes_out));
  const bool watched = !stream.subscribers.empty() || stream.routes != 0;
  if (!watched && bytes <= small_config_bytes_max) return frames_.make_own_room(bytes);
  return begin_frame(stream, header);
}

/// What is kept as long as the stream lives: of a small frame a copy, because in the log it would
/// hold a whole block for its 60 bytes. The caller's reference.
Frame* Worker::kept(Frame* frame) {
  if (frame->length <= small_config_bytes_max && frame->block != nullptr) {
    if (Frame* copy = frames_.make_copy_for(*frame, wire_message_stream_id)) return copy;
  }
  FramePool::add_reference(frame);
  return frame;
}

Frame* Worker::begin_frame(Stream& stream, const rtmp::WireHeader& header) {
  do {
    if (Frame* frame = stream.log.begin(frames_, header, chunk_bytes_out)) return frame;
  } while (free_memory());
  count(Counter::frames_no_memory);
  ++stream.frames_dropped;
  stream.lost_frame = true;
  drop_gop(stream);
  if (now_.since(memory_logged_at_) > 1 * ns_per_s) {
    memory_logged_at_ = now_;
    log(LogEvent::memory_short, stream.publisher, stream.name, "raise limits.frame_memory_bytes");
  }
  return nullptr;
}

/// Fast start is given up before a live frame is, and a subscriber that lags before one that keeps
/// up: drops one stream's GOP cache, else one subscriber's backlog. False when there was nothing
/// left to give up here; the other workers are asked too, because their subscribers hold frames of
/// ours.
bool Worker::free_memory() {
  if (now_.since(nothing_to_free_at_) < shed_interval_ns) return false;
  for (size_t step = 0; step < streams_by_row_.size(); ++step) {
    gop_victim_ = (gop_victim_ + 1) % static_cast<uint32_t>(streams_by_row_.size());
    Stream* victim = streams_by_row_[gop_victim_];
    if (victim == nullptr || victim->gop.empty()) continue;
    drop_gop(*victim);
    return true;
  }
  if (now_.since(shed_at_) >= shed_interval_ns) {
    shed_at_ = now_;
    for (WorkerId other = 0; other < worker_count_; ++other) {
      if (other != parts_.id) send_mail(other, {.kind = MailKind::shed});
    }
  }
  return shed_backlog();
}

/// Skips the subscriber with the longest backlog to its next keyframe. False when none is worth it.
bool Worker::shed_backlog() {
  Connection* longest = nullptr;
  uint64_t bytes = backlog_bytes_min;
  for (auto& connection : connections_) {
    if (connection == nullptr || connection->egress.droppable_bytes() <= bytes) continue;
    longest = connection.get();
    bytes = connection->egress.droppable_bytes();
  }
  if (longest == nullptr || skip_to_keyframe(*longest) == 0) {
    nothing_to_free_at_ = now_;
    return false;
  }
  return true;
}

void Worker::write(Stream& stream, Assembly& assembly, uint32_t offset, Bytes bytes) {
  if (assembly.frame == nullptr) return;
  const rtmp::WireHeader header = wire_header(assembly);
  const uint32_t end = offset + static_cast<uint32_t>(bytes.size());
  if (!FrameLog::grow(frames_, assembly.frame, rtmp::wire_end(header, chunk_bytes_out, end))) {
    frames_.release(assembly.frame);
    assembly.frame = nullptr;
    count(Counter::frames_no_memory);
    ++stream.frames_dropped;
    stream.lost_frame = true;
    drop_gop(stream);
    return;
  }
  rtmp::wire_write(assembly.frame->bytes, header, chunk_bytes_out, offset, bytes);
}

void Worker::complete(Stream& stream, Assembly& assembly) {
  const bool video = assembly.kind == rtmp::MediaKind::video;
  const media::TagInfo& info = assembly.info;
  stream.last_timestamp = assembly.timestamp;
  stream.bytes_received += assembly.message_bytes;
  ++stream.frames_received;
  count(video ? Counter::messages_video : Counter::messages_audio);
  if (!info.known && assembly.message_bytes > 0) {
    area_.faults[static_cast<size_t>(Fault::media_header_unknown)].add(1);
  }
  if (!info.config && assembly.message_bytes > 0) {
    if (video) {
      stream.last_video_at = now_;
      const bool key = info.key && (!info.multitrack || stream.lead_track == side_track_of(info));
      stream.measure.video(assembly.timestamp, assembly.message_bytes, key, now_);
    } else {
      stream.measure.audio(assembly.timestamp, assembly.message_bytes, now_);
    }
  }
  if (info.known && info.codec != media::Codec::none) {
    media::Codec& codec = video ? stream.video_codec : stream.audio_codec;
    if (info.track == 0 || codec == media::Codec::none) codec = info.codec;
  }
  if (stream.publisher->traced) {
    log(LogEvent::traced, stream.publisher, stream.name, video ? "video" : "audio",
        assembly.message_bytes);
  }
  if (assembly.frame != nullptr) {
    count(Counter::frames_made);
    publish_frame(stream, assembly.frame, info);
    frames_.release(assembly.frame);
    assembly.frame = nullptr;
  } else {
    count(Counter::frames_unwatched);
  }
  assembly.active = false;
}

void Worker::abandon(Assembly& assembly) {
  if (assembly.frame != nullptr) frames_.release(assembly.frame);
  assembly.frame = nullptr;
  assembly.active = false;
}

void Worker::publish_frame(Stream& stream, Frame* frame, const media::TagInfo& info) {
  if (frame->key) {
    frame->resumes = stream.lost_frame;
    stream.lost_frame = false;
  }
  if (info.config) keep_config(stream, frame, info);
  // A decoder shows garbage from a frame whose predecessor is missing: better nothing until the
  // next keyframe.
  if (stream.lost_frame && frame->kind == FrameKind::video && !frame->config) {
    count(Counter::frames_skipped);
    ++stream.frames_dropped;
    return;
  }
  keep_in_gop(stream, frame);
  deliver_live(stream, frame);
  lease_live(stream, frame);
}

void Worker::keep_config(Stream& stream, Frame* frame, const media::TagInfo& info) {
  const Bytes body = first_chunk_body(*frame);
  if (info.sequence_header && info.track == 0) {
    if (frame->kind == FrameKind::video && info.body_offset <= body.size()) {
      if (const auto size = media::video_size(info.codec, body.subspan(info.body_offset))) {
        stream.video_size = *size;
      }
    } else if (frame->kind == FrameKind::audio) {
      if (const auto format = media::audio_format(info, body)) stream.audio_format = *format;
    }
  }
  for (StreamConfig& config : stream.configs) {
    if (config.kind != frame->kind || config.slot != info.config_slot ||
        config.track != info.track) {
      continue;
    }
    const Bytes old = first_chunk_body(*config.frame);
    // FFmpeg 8.1 writes an empty Opus or FLAC header after the real one: it says nothing new.
    if (body.size() <= info.body_offset && old.size() > info.body_offset) return;
    const bool same = std::ranges::equal(old, body);
    // Frames of the old configuration do not decode with the new one, which a joiner would get
    // first.
    if (!same) drop_gop(stream);
    stream.config_bytes -= config.frame->length;
    frames_.release(config.frame);
    // The newest is the last, in the order in which they came: headers of several tracks in one
    // message may follow, and correct, one of a single track.
    stream.configs.erase(stream.configs.begin() + (&config - stream.configs.data()));
    break;
  }
  // A late joiner then lacks the header of a track too many.
  if (stream.configs.size() == stream_configs_max ||
      stream.config_bytes + frame->length > stream_config_bytes_max) {
    return;
  }
  stream.configs.push_back({frame->kind, info.config_slot, info.track, kept(frame)});
  stream.config_bytes += frame->length;
}

void Worker::keep_in_gop(Stream& stream, Frame* frame) {
  const uint64_t limit = tunable(Tunable::gop_bytes);
  if (limit == 0 || stream.races || frame->config) return;
  if (frame->key || frame->side == SideTrack::key) {
    begin_gop(stream, *frame);
  } else if (!stream.gop_complete) {
    return;
  }
  count_gop_block(stream, *frame);
  FramePool::add_reference(frame);
  stream.gop.push_back(frame);
  if (stream.gop_bytes > limit) drop_gop(stream);
}

/// The tracks of one moment come one by one and have one timestamp: the cache begins with the first
/// keyframe of it, whichever of them leads.
void Worker::begin_gop(Stream& stream, const Frame& key) {
  if (stream.gop_moment_at != key.timestamp || stream.gop_moment_led) {
    if (!stream.gop_complete) drop_gop(stream);
    stream.gop_moment_at = key.timestamp;
    stream.gop_moment_led = false;
    stream.gop_moment = stream.gop.size();
  }
  if (!key.key) return;
  if (stream.gop_moment == stream.gop.size()) {
    drop_gop(stream);
  } else {
    const auto moment = stream.gop.begin() + static_cast<ptrdiff_t>(stream.gop_moment);
    frames_.release({stream.gop.begin(), moment});
    stream.gop.erase(stream.gop.begin(), moment);
    stream.gop_moment = 0;
    stream.gop_block = nullptr;
    stream.gop_bytes = 0;
    for (const Frame* frame : stream.gop) count_gop_block(stream, *frame);
  }
  stream.gop_moment_led = true;
  stream.gop_complete = true;
}

void Worker::drop_gop(Stream& stream) {
  frames_.release(stream.gop);
  stream.gop.clear();
  stream.gop_moment = 0;
  stream.gop_block = nullptr;
  stream.gop_bytes = 0;
  stream.gop_complete = false;
}

void Worker::data_message(Stream& stream, const rtmp::DataMessage& message) {
  count(Counter::messages_data);
  stream.bytes_received += message.body.size();
  if (message.clears_metadata || message.metadata) {
    if (stream.metadata != nullptr) frames_.release(stream.metadata);
    stream.metadata = nullptr;
  }
  if (message.clears_metadata) return;
  if (message.metadata) note_metadata(stream, message);
  if (!message.metadata && stream.subscribers.empty() && stream.routes == 0) return;
  const rtmp::WireHeader header{.chunk_stream_id = data_chunk_stream,
                                .message_type = message.message_type,
                                .timestamp = message.timestamp,
                                .message_bytes = static_cast<uint32_t>(message.body.size()),
                                .message_stream_id = wire_message_stream_id};
  Frame* frame = message.metadata ? begin_kept_frame(stream, header) : begin_frame(stream, header);
  if (frame == nullptr) return;
  if (!FrameLog::grow(frames_, frame, frame->length)) {
    frames_.release(frame);
    return;
  }
  rtmp::wire_write(frame->bytes, header, chunk_bytes_out, 0, message.body);
  frame->timestamp = message.timestamp;
  frame->kind = FrameKind::data;
  frame->config = message.metadata;
  frame->config_key = metadata_config_key;
  if (message.metadata) {
    stream.metadata = kept(frame);
  }
  deliver_live(stream, frame);
  lease_live(stream, frame);
  frames_.release(frame);
}

}  // namespace penstock::dataplane

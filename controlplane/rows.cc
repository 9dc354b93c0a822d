#include "controlplane/rows.h"

#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

std::string codec_text(std::string_view text) { return text.empty() ? "-" : clean_text(text); }

}  // namespace

Stream stream_of(const control::StreamRow& row, uint32_t worker) {
  Stream stream;
  stream.stream_id = row.stream_id;
  stream.name = clean_text(row.name.view());
  stream.worker = worker;
  stream.connection_id = row.connection_id;
  stream.publisher = clean_text(row.publisher.view());
  stream.encoder = clean_text(row.encoder.view());
  stream.since_unix_ms = row.since_unix_ms;
  stream.video_codec = codec_text(row.video_codec.view());
  stream.audio_codec = codec_text(row.audio_codec.view());
  stream.width = row.width;
  stream.height = row.height;
  stream.sample_rate = row.sample_rate;
  stream.channels = row.channels;
  stream.video_bits_per_second = row.video_bits_per_second;
  stream.audio_bits_per_second = row.audio_bits_per_second;
  stream.fps_milli = row.fps_milli;
  stream.keyframe_interval_ms = row.keyframe_interval_ms;
  stream.av_drift_ms = row.av_drift_ms;
  stream.timestamp_jumps = row.timestamp_jumps;
  stream.last_timestamp_ms = row.last_timestamp;
  stream.subscribers = row.subscribers;
  stream.bytes_received = row.bytes_received;
  stream.bytes_sent = row.bytes_sent;
  stream.frames_received = row.frames_received;
  stream.frames_skipped = row.frames_skipped;
  stream.frames_dropped = row.frames_dropped;
  stream.gop_bytes = row.gop_bytes;
  return stream;
}

Connection connection_of(const control::ConnectionRow& row, uint32_t worker) {
  Connection connection;
  connection.connection_id = row.connection_id;
  connection.role = row.role;
  connection.worker = worker;
  connection.peer = clean_text(row.peer.view());
  connection.software = clean_text(row.software.view());
  connection.transport = clean_text(row.transport.view());
  connection.stream = clean_text(row.name.view());
  connection.since_unix_ms = row.since_unix_ms;
  connection.bytes_received = row.bytes_received;
  connection.bytes_sent = row.bytes_sent;
  connection.queued_bytes = row.queued_bytes;
  connection.frames_skipped = row.frames_skipped;
  return connection;
}

}  // namespace penstock::controlplane

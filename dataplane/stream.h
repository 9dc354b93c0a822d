#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/frame.h"
#include "penstock/base/prefetch.h"
#include "penstock/media/measure.h"
#include "penstock/media/tag.h"
#include "penstock/rtmp/session.h"

namespace penstock::dataplane {

struct Connection;
struct Stream;

enum class SubscriptionState : uint8_t {
  waiting,           // nobody publishes the name
  joining,           // the owner is sending the past; live frames are not for it yet
  wanting_keyframe,  // gets headers, and everything from the next keyframe on
  live,
};

// Numbers of tracks that side frames have: those of E-RTMP, and one for messages that carry
// several.
constexpr uint16_t side_track_many = 256;
constexpr size_t side_tracks_max = 257;

/// A player's play of one stream. Owned by its connection; listed by the stream.
struct Subscription {
  Connection* connection = nullptr;
  Stream* stream = nullptr;
  uint32_t message_stream_id = 0;
  uint64_t token = 0;  // names it to other workers; never reused
  SubscriptionState state = SubscriptionState::waiting;
  bool video_started = false;  // has had a keyframe and misses nothing since
  bool past_lost = false;      // joining: some of the past did not fit
  bool paused = false;
  bool audio_wanted = true;
  bool video_wanted = true;
  uint64_t frames_skipped = 0;
  std::bitset<side_tracks_max> side_tracks;  // that have had a keyframe, and miss nothing since

  void lose_pictures() {
    video_started = false;
    side_tracks.reset();
  }
};

/// A message of the publisher that is not yet complete.
struct Assembly {
  bool active = false;
  bool decided = false;  // enough was seen to know whether anybody wants it
  rtmp::MediaKind kind{};
  uint8_t prefix_bytes = 0;
  uint32_t timestamp = 0;
  uint32_t message_bytes = 0;
  uint32_t received_bytes = 0;
  Frame* frame = nullptr;  // null: nobody wants it, or memory was short
  media::TagInfo info;
  std::array<uint8_t, media::tag_prefix_bytes> prefix{};
};

/// What a late joiner needs before the first frame: one per kind of configuration and track.
struct StreamConfig {
  FrameKind kind{};
  uint8_t slot = 0;
  uint8_t track = 0;
  Frame* frame = nullptr;
};

// Video header, colour metadata, audio header, channels: 4 for each of 64 tracks, as many as a
// message may have (media::tracks_max). OBS sends up to 6 tracks.
constexpr size_t stream_configs_max = 256;

// Of all of them together. Headers are 60 B to 4 KiB: 64 of the largest.
constexpr uint64_t stream_config_bytes_max = 256 * 1024;

// A send costs 2 to 4 us, its bytes 0.1 us per KiB: above this mean it is the bytes that cost, and
// letting sound wait for pictures saves too little.
constexpr uint32_t hold_frame_bytes_max = 8 * 1024;

/// One name on one worker: the owner's side when its publisher is here, else a replica fed by
/// leases. Either has the subscribers of this worker only. Owner: the worker.
struct Stream {
  std::string name;
  uint32_t row = 0;                 // slot in the shared region
  uint64_t stream_id = 0;           // of the present publisher, here or elsewhere; 0: none
  WorkerId owner = 0;               // worker of the publisher
  Connection* publisher = nullptr;  // null on a replica
  uint32_t publisher_message_stream_id = 0;
  uint64_t since_unix_ms = 0;
  uint64_t claim = 0;  // number of the claim at the name's home: orders publishers of one name

  // What every frame touches lies together, up to the first of the assemblies: prefetch().
  std::vector<Subscription*> subscribers;
  Instant held_until{};          // what waits for the next picture goes then; 0: nothing waits
  bool picture_held = false;     // a picture is among it
  uint32_t last_picture_ms = 0;  // timestamp
  // Of what was delivered, roughly over the last 8; 1/8 ms. Longer ones count as the first value.
  uint32_t picture_interval = picture_interval_max;
  uint32_t mean_frame_bytes = 0;  // of what was delivered, roughly over the last 64

  // The owner's side.
  uint64_t unannounced = 0;  // bit per route that could not be told of the start yet
  uint64_t routes = 0;       // bit per other worker that wants frames
  uint64_t gapped = 0;  // bit per route that lost a frame and gets no more until the next keyframe
  FrameLog log;
  uint16_t lead_track = no_track;  // at its keyframes the stream can be joined
  std::vector<Frame*> gop;
  size_t gop_moment = 0;             // first frame of gop of the newest keyframes' timestamp
  uint32_t gop_moment_at = 0;        // that timestamp
  bool gop_moment_led = false;       // the leading track's keyframe is among them
  const Block* gop_block = nullptr;  // of the last frame in gop
  uint64_t gop_bytes = 0;            // memory pinned, not bytes used
  bool gop_complete = false;         // gop starts at a keyframe and misses nothing since
  bool lost_frame = false;           // memory was short: nobody gets video until the next keyframe
  bool races = false;                // far ahead of the clock, and nobody watches: no GOP is kept
  uint32_t paced_from_ms = 0;        // timestamp of the keyframe that its pace is measured from
  Instant paced_from{};              // when that came; 0: none has
  Instant last_video_at{};
  media::StreamMeasure measure;
  uint32_t last_timestamp = 0;
  uint64_t bytes_received = 0;
  uint64_t frames_received = 0;
  uint64_t frames_dropped = 0;
  uint64_t bytes_sent = 0;
  uint64_t frames_skipped = 0;
  std::array<Assembly, partial_messages_max> assemblies;
  std::vector<StreamConfig> configs;  // at most stream_configs_max
  uint64_t config_bytes = 0;
  Frame* metadata = nullptr;

  // For the report.
  media::Codec video_codec = media::Codec::none;
  media::Codec audio_codec = media::Codec::none;
  media::VideoSize video_size;
  media::AudioFormat audio_format;
  std::string encoder;

  static constexpr uint16_t no_track = 0xFFFF;
  static constexpr uint32_t picture_interval_max = 1000 * 8;

  [[nodiscard]] bool owned_here() const { return publisher != nullptr; }
  /// A frame of it comes soon.
  void prefetch() const {
    const char* start = reinterpret_cast<const char*>(&subscribers);
    const char* end = reinterpret_cast<const char*>(assemblies.data() + 1);
    prefetch_lines(start, static_cast<size_t>(end - start));
  }
  /// Video without a keyframe is noise: while video flows, a new subscriber starts at one; a stream
  /// of sound alone starts at once. 5 s is longer than any keyframe interval that players put up
  /// with.
  [[nodiscard]] bool has_live_video(Instant now) const {
    return last_video_at.ns != 0 && now.since(last_video_at) < 5 * ns_per_s;
  }
};

}  // namespace penstock::dataplane

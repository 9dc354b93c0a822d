// Audio and video bodies and FLV files: whatever comes, what is concluded lies within the bytes
// that were given. A body reads the same from its prefix as whole where the prefix was enough. FLV
// that reads is written back with the same tags.

#include "penstock/media/tag.h"

#include <algorithm>

#include "penstock/base/assert.h"
#include "penstock/media/flv.h"
#include "penstock/media/measure.h"

using namespace penstock;
using media::TagInfo;
using Kind = media::TrackReader::Kind;

namespace {

// An exact copy, so that a sanitizer sees the first byte read beyond.
std::vector<uint8_t> copy_of(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

TagInfo inspect(Kind kind, Bytes body) {
  return kind == Kind::video ? media::inspect_video(body) : media::inspect_audio(body);
}

void check_body(Kind kind, Bytes body) {
  const std::vector<uint8_t> prefix =
      copy_of(body.first(std::min(body.size(), media::tag_prefix_bytes)));
  const TagInfo info = inspect(kind, prefix);
  PENSTOCK_ASSERT(!media::codec_name(info.codec).empty());
  PENSTOCK_ASSERT(!info.known || info.body_offset <= prefix.size());
  PENSTOCK_ASSERT(info.known || !(info.key || info.config || info.sequence_header));
  PENSTOCK_ASSERT(!(info.key && info.config));
  PENSTOCK_ASSERT(info.config_slot <= static_cast<uint8_t>(media::ConfigSlot::comment_many));
  PENSTOCK_ASSERT(info.multitrack || !info.many);
  PENSTOCK_ASSERT(info.presentation_offset_ns < 1'000'000);

  const TagInfo whole = inspect(kind, body);
  if (info.known) {
    PENSTOCK_ASSERT(whole.known && whole.codec == info.codec && whole.track == info.track);
    PENSTOCK_ASSERT(whole.body_offset == info.body_offset &&
                    whole.composition_ms == info.composition_ms);
    const std::vector<uint8_t> own = copy_of(body.subspan(info.body_offset));
    (void)media::video_size(info.codec, own);
    (void)media::audio_format(info, body);
  }

  media::TrackReader reader(kind, body);
  size_t tracks = 0;
  while (const std::optional<media::Track> track = reader.next()) {
    ++tracks;
    const Bytes within = track->body;
    PENSTOCK_ASSERT(within.empty() || (within.data() >= body.data() &&
                                       within.data() + within.size() <= body.data() + body.size()));
  }
  PENSTOCK_ASSERT(tracks <= media::tracks_max);
  PENSTOCK_ASSERT(!reader.malformed() || !reader.next());
}

void check_sizes(Bytes bytes) {
  for (const media::Codec codec : {media::Codec::avc, media::Codec::hevc, media::Codec::av1}) {
    const std::optional<media::VideoSize> size = media::video_size(codec, bytes);
    PENSTOCK_ASSERT(!size || (size->width > 0 && size->width < 65'536));
    PENSTOCK_ASSERT(!size || (size->height > 0 && size->height < 65'536));
  }
}

void check_flv(Bytes file) {
  media::FlvReader reader(file);
  std::vector<uint8_t> out;
  std::vector<media::FlvTag> tags;
  media::flv_append_header(out, reader.announces_audio(), reader.announces_video());
  media::StreamMeasure measure;
  Instant now;
  while (const std::optional<media::FlvTag> tag = reader.next()) {
    tags.push_back(*tag);
    media::flv_append_tag(out, *tag);
    now = now.after_ms(tag->timestamp & 0xFFF);
    const auto bytes = static_cast<uint32_t>(tag->data.size());
    if (tag->type == media::flv_type_video)
      measure.video(tag->timestamp, bytes, bytes % 3 == 0, now);
    if (tag->type == media::flv_type_audio) measure.audio(tag->timestamp, bytes, now);
    if (tag->type == media::flv_type_video) check_body(Kind::video, tag->data);
    if (tag->type == media::flv_type_audio) check_body(Kind::audio, tag->data);
  }
  (void)measure.measured(now);
  media::FlvReader again(out);
  for (const media::FlvTag& tag : tags) {
    const std::optional<media::FlvTag> read = again.next();
    PENSTOCK_ASSERT(read && read->type == tag.type && read->timestamp == tag.timestamp);
    PENSTOCK_ASSERT(
        std::equal(read->data.begin(), read->data.end(), tag.data.begin(), tag.data.end()));
  }
  PENSTOCK_ASSERT(again.complete() && !again.next());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input{data, size};
  check_body(Kind::video, input);
  check_body(Kind::audio, input);
  check_sizes(input);
  check_flv(input);
  return 0;
}

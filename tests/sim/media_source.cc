#include "tests/sim/media_source.h"

#include "penstock/amf/amf0.h"

namespace penstock::sim {
namespace {

constexpr uint8_t type_audio = 8;
constexpr uint8_t type_video = 9;
constexpr uint8_t type_data = 18;

size_t header_bytes(uint8_t type) { return type == type_video ? 5 : 2; }

}  // namespace

MediaSource::MediaSource(uint32_t source) : source_(source), prng_(source * 7919ULL + 1) {
  frames_per_key_ = 5 + static_cast<uint32_t>(prng_.below(60));
  // Some start near the places where timestamps change form: 0xFFFFFF (extended) and the wrap of 32
  // bits.
  constexpr uint32_t starts[] = {0, 0, 1000, 0xFFFFFF - 500, 0xFFFFFFFF - 500, 0x7FFFFFFF - 500};
  clock_ms_ = starts[prng_.below(std::size(starts))];
  with_video_ = !prng_.chance(150);
}

MediaSource::Made MediaSource::plan() {
  Made made;
  made.timestamp = clock_ms_;
  made.previous_video = last_video_;
  const size_t number = kinds_.size();
  if (number == 0) {
    made.kind = MediaKindSent::metadata;
    return made;
  }
  if (number == 1) {
    made.kind = with_video_ ? MediaKindSent::video_config : MediaKindSent::audio_config;
    made.payload_bytes = 30;
    return made;
  }
  if (number == 2) {
    made.kind = MediaKindSent::audio_config;
    made.payload_bytes = 5;
    return made;
  }
  clock_ms_ += 10;
  if (!with_video_ || prng_.chance(600)) {
    made.kind = MediaKindSent::audio;
    made.payload_bytes = 20 + static_cast<uint32_t>(prng_.below(400));
    return made;
  }
  made.kind = MediaKindSent::video;
  made.key = until_key_ == 0;
  until_key_ = made.key ? frames_per_key_ : until_key_ - 1;
  made.payload_bytes =
      static_cast<uint32_t>(made.key ? 1000 + prng_.below(20'000) : prng_.below(4000));
  if (prng_.chance(4)) made.payload_bytes = 60'000 + static_cast<uint32_t>(prng_.below(90'000));
  last_video_ = static_cast<uint32_t>(number);
  return made;
}

MediaMessage MediaSource::next() {
  kinds_.push_back(plan());
  return make(static_cast<uint32_t>(kinds_.size() - 1));
}

MediaMessage MediaSource::make(uint32_t number) const {
  const Made& made = kinds_[number];
  MediaMessage message;
  message.timestamp = made.timestamp;
  std::vector<uint8_t>& body = message.body;
  if (made.kind == MediaKindSent::metadata) {
    message.type = type_data;
    amf::Amf0Writer values(body);
    values.string("@setDataFrame");
    values.string("onMetaData");
    values.object_begin();
    values.property("source", static_cast<double>(source_));
    values.object_end();
    return message;
  }
  const bool video = made.kind == MediaKindSent::video || made.kind == MediaKindSent::video_config;
  message.type = video ? type_video : type_audio;
  switch (made.kind) {
    case MediaKindSent::video_config:
      body = {0x17, 0, 0, 0, 0};
      break;
    case MediaKindSent::video:
      body = {static_cast<uint8_t>(made.key ? 0x17 : 0x27), 1, 0, 0, 0};
      break;
    case MediaKindSent::audio_config:
      body = {0xAF, 0};
      break;
    default:
      body = {0xAF, 1};
      break;
  }
  const size_t at = body.size();
  body.resize(at + MediaMark::bytes + made.payload_bytes);
  store_u32(&body[at], source_);
  store_u32(&body[at + 4], number);
  store_u32(&body[at + 8], made.previous_video);
  Prng(uint64_t{source_} << 32 | number).fill(MutableBytes{body}.subspan(at + MediaMark::bytes));
  return message;
}

bool MediaSource::read_mark(uint8_t type, Bytes body, MediaMark& mark) {
  const size_t at = header_bytes(type);
  if (body.size() < at + MediaMark::bytes) return false;
  mark = {load_u32(&body[at]), load_u32(&body[at + 4]), load_u32(&body[at + 8])};
  return true;
}

}  // namespace penstock::sim

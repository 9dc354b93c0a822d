#include "bench/load/flv_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "penstock/amf/amf0.h"
#include "penstock/media/flv.h"
#include "penstock/media/tag.h"
#include "penstock/rtmp/message.h"

namespace penstock::load {
namespace {

// A longer one would need extended timestamps in the headers of a loop; it is 4.6 hours.
constexpr uint32_t file_ms_max = 0xFFFFFE;

// Messages are found by 32-bit offsets into the image, which chunk headers make larger.
constexpr uint64_t file_bytes_max = uint64_t{2} << 30;

media::TagInfo inspect(const media::FlvTag& tag) {
  const Bytes prefix = tag.data.first(std::min(tag.data.size(), media::tag_prefix_bytes));
  if (tag.type == media::flv_type_video) return media::inspect_video(prefix);
  return tag.type == media::flv_type_audio ? media::inspect_audio(prefix) : media::TagInfo{};
}

/// Encoders ask for metadata to be kept with "@setDataFrame", which files do not have.
std::vector<uint8_t> as_payload(const media::FlvTag& tag) {
  std::vector<uint8_t> payload;
  constexpr std::string_view name("\2\0\12onMetaData", 13);  // as an AMF0 string
  if (tag.type == media::flv_type_script && as_text(tag.data).starts_with(name))
    amf::Amf0Writer(payload).string("@setDataFrame");
  payload.insert(payload.end(), tag.data.begin(), tag.data.end());
  return payload;
}

}  // namespace

std::expected<MediaLoop, std::string> make_flv_loop(Bytes file, uint32_t chunk_bytes) {
  media::FlvReader reader(file);
  if (!reader.valid()) return std::unexpected("is not an FLV file");
  std::vector<LoopInput> preamble;
  std::vector<LoopInput> body;
  uint32_t first_ms = 0;
  uint32_t last_ms = 0;
  std::array<uint32_t, 256> at_ms{};
  std::array<uint32_t, 256> step_ms{};
  while (const auto tag = reader.next()) {
    LoopInput message{.message_type = tag->type, .payload = as_payload(*tag)};
    const bool is_media = tag->type == media::flv_type_video || tag->type == media::flv_type_audio;
    if (!is_media && tag->type != media::flv_type_script) continue;
    const media::TagInfo info = inspect(*tag);
    // An end of the sequence would end the stream for players at every turn.
    if (info.sequence_end || (is_media && tag->data.empty())) continue;
    if (body.empty() && (!is_media || info.config)) {
      preamble.push_back(std::move(message));
      continue;
    }
    if (body.empty()) first_ms = tag->timestamp;
    message.timestamp_ms =
        std::max(tag->timestamp - std::min(tag->timestamp, first_ms), at_ms[tag->type]);
    if (message.timestamp_ms > file_ms_max) return std::unexpected("is longer than 4.6 hours");
    // In the order of the file, whose tracks may be out of step by a little.
    last_ms = std::max(last_ms, message.timestamp_ms);
    message.due_us = uint64_t{last_ms} * 1000;
    step_ms[tag->type] = message.timestamp_ms - at_ms[tag->type];
    at_ms[tag->type] = message.timestamp_ms;
    body.push_back(std::move(message));
  }
  if (body.empty()) return std::unexpected("has no audio and no video");
  uint32_t period_ms = last_ms + 1;
  for (const uint8_t type : {media::flv_type_video, media::flv_type_audio})
    period_ms = std::max(period_ms, at_ms[type] + step_ms[type]);
  return make_loop(preamble, body, period_ms, chunk_bytes);
}

std::expected<MediaLoop, std::string> make_loop_for(const Options& options) {
  if (options.flv.empty()) return make_synthetic_loop(options.media, options.chunk_bytes);
  std::ifstream stream(options.flv, std::ios::binary);
  if (!stream) return std::unexpected(fmt::format("--flv {}: {}", options.flv, strerror(errno)));
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(options.flv, error);
  if (!error && bytes > file_bytes_max)
    return std::unexpected(fmt::format("--flv {} is larger than 2 GiB", options.flv));
  const std::vector<uint8_t> file{std::istreambuf_iterator<char>(stream), {}};
  auto loop = make_flv_loop(file, options.chunk_bytes);
  if (!loop) return std::unexpected(fmt::format("--flv {} {}", options.flv, loop.error()));
  return loop;
}

}  // namespace penstock::load

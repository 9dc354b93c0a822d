#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "penstock/base/bytes.h"

// FLV files and HTTP-FLV bodies (FLV 10.1, annex E). A tag's data is an RTMP message body as it is.
// Pure: bytes to bytes.
namespace penstock::media {

constexpr uint8_t flv_type_audio = 8;
constexpr uint8_t flv_type_video = 9;
constexpr uint8_t flv_type_script_amf3 = 15;
constexpr uint8_t flv_type_script = 18;

constexpr size_t flv_header_bytes = 9 + 4;  // with the back pointer that follows it
constexpr size_t flv_tag_header_bytes = 11;
constexpr size_t flv_back_pointer_bytes = 4;
constexpr uint32_t flv_data_bytes_max = 0xFF'FFFF;

struct FlvTag {
  uint8_t type = 0;
  uint32_t timestamp = 0;  // ms, all 32 bits
  Bytes data;
};

/// Players wait for the tracks that are announced here: say both when it is not known.
void flv_append_header(std::vector<uint8_t>& out, bool audio, bool video);
/// With its back pointer. At most flv_data_bytes_max of data.
void flv_append_tag(std::vector<uint8_t>& out, const FlvTag& tag);

/// Reads a file that is in memory. Back pointers are skipped unread, because many writers put 0
/// there, and so are encrypted tags. `file` must outlive the reader and the tags.
class FlvReader {
 public:
  explicit FlvReader(Bytes file);
  FlvReader(const FlvReader&) = delete;
  FlvReader& operator=(const FlvReader&) = delete;

  /// False: not FLV, and next() has nothing.
  [[nodiscard]] bool valid() const { return valid_; }
  [[nodiscard]] bool announces_audio() const { return audio_; }
  [[nodiscard]] bool announces_video() const { return video_; }

  /// Nothing at the end; complete() then tells whether a tag was cut there.
  [[nodiscard]] std::optional<FlvTag> next();
  [[nodiscard]] bool complete() const { return valid_ && left_.empty(); }

 private:
  Bytes left_;
  bool valid_ = false;
  bool audio_ = false;
  bool video_ = false;
};

}  // namespace penstock::media

#include "penstock/media/flv.h"

#include <algorithm>

#include "penstock/base/assert.h"

namespace penstock::media {
namespace {

constexpr uint8_t flag_audio = 4;
constexpr uint8_t flag_video = 1;
constexpr uint8_t filter_bit = 0x20;  // the data is encrypted
constexpr uint8_t type_bits = 0x1F;

}  // namespace

void flv_append_header(std::vector<uint8_t>& out, bool audio, bool video) {
  const auto flags = static_cast<uint8_t>((audio ? flag_audio : 0) | (video ? flag_video : 0));
  const uint8_t header[flv_header_bytes] = {'F', 'L', 'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0};
  out.insert(out.end(), std::begin(header), std::end(header));
}

void flv_append_tag(std::vector<uint8_t>& out, const FlvTag& tag) {
  PENSTOCK_ASSERT(tag.data.size() <= flv_data_bytes_max);
  const auto data_bytes = static_cast<uint32_t>(tag.data.size());
  uint8_t header[flv_tag_header_bytes] = {tag.type};
  store_u24(header + 1, data_bytes);
  store_u24(header + 4, tag.timestamp);  // the low 24 bits; the high ones come after them
  header[7] = static_cast<uint8_t>(tag.timestamp >> 24);
  out.insert(out.end(), std::begin(header), std::end(header));
  out.insert(out.end(), tag.data.begin(), tag.data.end());
  uint8_t back_pointer[flv_back_pointer_bytes];
  store_u32(back_pointer, data_bytes + static_cast<uint32_t>(flv_tag_header_bytes));
  out.insert(out.end(), std::begin(back_pointer), std::end(back_pointer));
}

FlvReader::FlvReader(Bytes file) {
  if (file.size() < flv_header_bytes || as_text(file.first(3)) != "FLV") return;
  const size_t header_bytes = load_u32(file.data() + 5);
  if (header_bytes < 9 || header_bytes > file.size() - flv_back_pointer_bytes) return;
  valid_ = true;
  audio_ = (file[4] & flag_audio) != 0;
  video_ = (file[4] & flag_video) != 0;
  left_ = file.subspan(header_bytes + flv_back_pointer_bytes);
}

std::optional<FlvTag> FlvReader::next() {
  while (left_.size() >= flv_tag_header_bytes) {
    const uint8_t* header = left_.data();
    const size_t data_bytes = load_u24(header + 1);
    if (data_bytes > left_.size() - flv_tag_header_bytes) return std::nullopt;
    const FlvTag tag{static_cast<uint8_t>(header[0] & type_bits),
                     load_u24(header + 4) | uint32_t{header[7]} << 24,
                     left_.subspan(flv_tag_header_bytes, data_bytes)};
    const bool encrypted = (header[0] & filter_bit) != 0;
    left_ = left_.subspan(flv_tag_header_bytes + data_bytes);
    // The last back pointer may lack.
    left_ = left_.subspan(std::min(left_.size(), flv_back_pointer_bytes));
    if (!encrypted) return tag;
  }
  return std::nullopt;
}

}  // namespace penstock::media

#include <algorithm>
#include <optional>

#include "penstock/media/tag.h"
#include "src/media/bit_reader.h"

// Picture sizes from decoder configurations. All bytes come from a peer; every loop is bounded by a
// field's width or by the bytes that are there.
namespace penstock::media {
namespace {

// A coded size and what is cropped off, in luma samples.
std::optional<VideoSize> cropped(uint64_t width, uint64_t height, uint64_t crop_width,
                                 uint64_t crop_height) {
  constexpr uint64_t side_max = 65'535;  // H.265 and AV1 end at 65536 or below; more is nonsense
  if (crop_width >= width || crop_height >= height) return std::nullopt;
  width -= crop_width;
  height -= crop_height;
  if (width > side_max || height > side_max) return std::nullopt;
  return VideoSize{static_cast<uint32_t>(width), static_cast<uint32_t>(height)};
}

struct Chroma {
  uint32_t width_factor = 1;  // luma samples per chroma sample
  uint32_t height_factor = 1;
};

// H.264 table 6-1, H.265 table 6-1.
Chroma chroma_of(uint32_t format, bool separate_planes) {
  if (format == 1) return {2, 2};
  if (format == 2 && !separate_planes) return {2, 1};
  return {1, 1};
}

// H.264, 7.3.2.1.1.1.
void skip_scaling_lists(BitReader& bits, uint32_t lists) {
  for (uint32_t list = 0; list < lists; ++list) {
    if (bits.bit() == 0) continue;
    int32_t last = 8;
    int32_t next = 8;
    for (int i = 0; i < (list < 6 ? 16 : 64); ++i) {
      if (next != 0) next = static_cast<uint8_t>(last + static_cast<int8_t>(bits.se()));
      if (next != 0) last = next;
    }
  }
}

bool has_chroma_fields(uint32_t profile) {
  constexpr uint8_t profiles[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
  return std::find(std::begin(profiles), std::end(profiles), profile) != std::end(profiles);
}

// H.264, 7.3.2.1.1.
std::optional<VideoSize> avc_sps_size(Bytes nal) {
  if (nal.empty() || (nal[0] & 0x1F) != 7) return std::nullopt;
  BitReader bits(nal.subspan(1), Emulation::prevented);
  const uint32_t profile = bits.bits(8);
  bits.skip(16);  // constraints, level
  bits.ue();      // seq_parameter_set_id
  uint32_t chroma_format = 1;
  bool separate_planes = false;
  if (has_chroma_fields(profile)) {
    chroma_format = bits.ue();
    if (chroma_format > 3) return std::nullopt;
    if (chroma_format == 3) separate_planes = bits.bit() != 0;
    bits.ue();     // bit_depth_luma_minus8
    bits.ue();     // bit_depth_chroma_minus8
    bits.skip(1);  // qpprime_y_zero_transform_bypass_flag
    if (bits.bit() != 0) skip_scaling_lists(bits, chroma_format == 3 ? 12 : 8);
  }
  bits.ue();  // log2_max_frame_num_minus4
  const uint32_t order_count_type = bits.ue();
  if (order_count_type == 0) {
    bits.ue();
  } else if (order_count_type == 1) {
    bits.skip(1);
    bits.se();
    bits.se();
    const uint32_t count = bits.ue();
    if (count > 255) return std::nullopt;
    for (uint32_t i = 0; i < count; ++i) bits.se();
  }
  bits.ue();     // max_num_ref_frames
  bits.skip(1);  // gaps_in_frame_num_value_allowed_flag
  const uint64_t width = (uint64_t{bits.ue()} + 1) * 16;
  const uint64_t map_height = uint64_t{bits.ue()} + 1;
  const uint32_t fields = bits.bit() != 0 ? 1 : 2;  // frame_mbs_only_flag
  if (fields == 2) bits.skip(1);
  bits.skip(1);  // direct_8x8_inference_flag
  uint64_t crop_width = 0;
  uint64_t crop_height = 0;
  if (bits.bit() != 0) {
    const Chroma chroma = chroma_of(chroma_format, separate_planes);
    crop_width = bits.ue();
    crop_width = (crop_width + bits.ue()) * chroma.width_factor;
    crop_height = bits.ue();
    crop_height = (crop_height + bits.ue()) * chroma.height_factor * fields;
  }
  if (!bits.good()) return std::nullopt;
  return cropped(width, map_height * 16 * fields, crop_width, crop_height);
}

// Some hardware puts a start code where the avcC belongs. Finds the NAL unit that is a sequence
// parameter set.
std::optional<VideoSize> avc_annex_b_size(Bytes bytes) {
  for (size_t i = 0; i + 3 < bytes.size(); ++i) {
    if (bytes[i] != 0 || bytes[i + 1] != 0 || bytes[i + 2] != 1) continue;
    if ((bytes[i + 3] & 0x1F) == 7) return avc_sps_size(bytes.subspan(i + 3));
  }
  return std::nullopt;
}

// avcC: version, profile, compatibility, level, length size, number of SPS, then each with its
// length (ISO 14496-15, 5.3.3.1).
std::optional<VideoSize> avc_size(Bytes config) {
  if (config.size() > 4 && config[0] == 0) return avc_annex_b_size(config);
  if (config.size() < 8 || config[0] != 1 || (config[5] & 0x1F) == 0) return std::nullopt;
  const size_t bytes = load_u16(config.data() + 6);
  return avc_sps_size(config.subspan(8, std::min(bytes, config.size() - 8)));
}

// H.265, 7.3.3: what lies between the start of an SPS and its size.
void skip_profile_tier_level(BitReader& bits, uint32_t sub_layers_minus1) {
  constexpr uint32_t profile_bits = 88;
  constexpr uint32_t level_bits = 8;
  bits.skip(profile_bits + level_bits);
  uint32_t present[8] = {};
  for (uint32_t i = 0; i < sub_layers_minus1; ++i) present[i] = bits.bits(2);
  if (sub_layers_minus1 > 0) bits.skip(2 * (8 - sub_layers_minus1));
  for (uint32_t i = 0; i < sub_layers_minus1; ++i) {
    if ((present[i] & 2) != 0) bits.skip(profile_bits);
    if ((present[i] & 1) != 0) bits.skip(level_bits);
  }
}

// H.265, 7.3.2.2.
std::optional<VideoSize> hevc_sps_size(Bytes nal) {
  if (nal.size() < 2) return std::nullopt;
  BitReader bits(nal.subspan(2), Emulation::prevented);
  bits.skip(4);  // sps_video_parameter_set_id
  const uint32_t sub_layers_minus1 = bits.bits(3);
  bits.skip(1);  // sps_temporal_id_nesting_flag
  skip_profile_tier_level(bits, sub_layers_minus1);
  bits.ue();  // sps_seq_parameter_set_id
  const uint32_t chroma_format = bits.ue();
  if (chroma_format > 3) return std::nullopt;
  const bool separate_planes = chroma_format == 3 && bits.bit() != 0;
  const uint64_t width = bits.ue();
  const uint64_t height = bits.ue();
  uint64_t crop_width = 0;
  uint64_t crop_height = 0;
  if (bits.bit() != 0) {
    const Chroma chroma = chroma_of(chroma_format, separate_planes);
    crop_width = bits.ue();
    crop_width = (crop_width + bits.ue()) * chroma.width_factor;
    crop_height = bits.ue();
    crop_height = (crop_height + bits.ue()) * chroma.height_factor;
  }
  if (!bits.good()) return std::nullopt;
  return cropped(width, height, crop_width, crop_height);
}

// hvcC: 22 bytes of general facts, then arrays of NAL units (ISO 14496-15, 8.3.3.1).
std::optional<VideoSize> hevc_size(Bytes config) {
  constexpr size_t fixed_bytes = 23;
  constexpr uint8_t sps = 33;
  if (config.size() < fixed_bytes || config[0] != 1) return std::nullopt;
  const uint8_t arrays = config[fixed_bytes - 1];
  Bytes left = config.subspan(fixed_bytes);
  for (uint8_t array = 0; array < arrays; ++array) {
    if (left.size() < 3) return std::nullopt;
    const uint8_t type = left[0] & 0x3F;
    const uint16_t count = load_u16(left.data() + 1);
    left = left.subspan(3);
    for (uint16_t i = 0; i < count; ++i) {
      if (left.size() < 2) return std::nullopt;
      const size_t bytes = load_u16(left.data());
      left = left.subspan(2);
      if (bytes > left.size()) return std::nullopt;
      if (type == sps) return hevc_sps_size(left.first(bytes));
      left = left.subspan(bytes);
    }
  }
  return std::nullopt;
}

// AV1, 5.5.4 and 5.5.5: the parts of a sequence header before its operating points. How many bits a
// decoder delay has, or 0 when there is no decoder model.
uint32_t skip_timing(BitReader& bits) {
  if (bits.bit() == 0) return 0;  // timing_info_present_flag
  bits.skip(64);                  // num_units_in_display_tick, time_scale
  if (bits.bit() != 0)
    bits.ue();  // equal_picture_interval: uvlc() is ue(v) in the range that matters
  if (bits.bit() == 0) return 0;  // decoder_model_info_present_flag
  const uint32_t delay_bits = bits.bits(5) + 1;
  bits.skip(32 + 5 + 5);
  return delay_bits;
}

// AV1, 5.5.1.
std::optional<VideoSize> av1_sequence_header_size(Bytes payload) {
  BitReader bits(payload);
  bits.skip(3 + 1);  // seq_profile, still_picture
  if (bits.bit() != 0) {
    bits.skip(5);  // reduced_still_picture_header: one level and nothing else
  } else {
    const uint32_t delay_bits = skip_timing(bits);
    const bool display_delay = bits.bit() != 0;
    const uint32_t points = bits.bits(5) + 1;
    for (uint32_t i = 0; i < points && bits.good(); ++i) {
      bits.skip(12);                       // operating_point_idc
      if (bits.bits(5) > 7) bits.skip(1);  // seq_level_idx, seq_tier
      if (delay_bits > 0 && bits.bit() != 0) bits.skip(2 * delay_bits + 1);
      if (display_delay && bits.bit() != 0) bits.skip(4);
    }
  }
  const uint32_t width_bits = bits.bits(4) + 1;
  const uint32_t height_bits = bits.bits(4) + 1;
  const uint64_t width = uint64_t{bits.bits(width_bits)} + 1;
  const uint64_t height = uint64_t{bits.bits(height_bits)} + 1;
  if (!bits.good()) return std::nullopt;
  return cropped(width, height, 0, 0);
}

// leb128() of AV1, 4.10.5. The number of bytes it took, 0 when it is cut or too long.
size_t read_leb128(Bytes bytes, uint64_t& value) {
  value = 0;
  for (size_t i = 0; i < 8 && i < bytes.size(); ++i) {
    value |= uint64_t{bytes[i] & 0x7FU} << (i * 7);
    if ((bytes[i] & 0x80) == 0) return i + 1;
  }
  return 0;
}

// av1C: 4 bytes, then OBUs, of which the first is the sequence header (AV1 ISOBMFF binding, 2.3).
std::optional<VideoSize> av1_size(Bytes config) {
  constexpr uint8_t sequence_header = 1;
  if (config.size() < 4) return std::nullopt;
  Bytes left = config.subspan(4);
  while (!left.empty()) {
    const uint8_t type = left[0] >> 3 & 0x0F;
    const bool extension = (left[0] & 4) != 0;
    const bool has_size = (left[0] & 2) != 0;
    const size_t header_bytes = extension ? 2 : 1;
    if (left.size() < header_bytes) return std::nullopt;
    left = left.subspan(header_bytes);
    uint64_t bytes = left.size();
    if (has_size) {
      const size_t size_bytes = read_leb128(left, bytes);
      if (size_bytes == 0) return std::nullopt;
      left = left.subspan(size_bytes);
      if (bytes > left.size()) return std::nullopt;
    }
    if (type == sequence_header) return av1_sequence_header_size(left.first(bytes));
    left = left.subspan(bytes);
  }
  return std::nullopt;
}

}  // namespace

std::optional<VideoSize> video_size(Codec codec, Bytes config) {
  switch (codec) {
    case Codec::avc:
      return avc_size(config);
    case Codec::hevc:
      return hevc_size(config);
    case Codec::av1:
      return av1_size(config);
    default:
      return std::nullopt;
  }
}

}  // namespace penstock::media

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "hex.h"
#include "penstock/media/tag.h"

namespace penstock::media {
namespace {

struct Case {
  const char* name;
  Codec codec;
  const char* hex;
  uint32_t width;
  uint32_t height;
};

// Configurations as encoders wrote them (libx264, libx265, libaom, SVT-AV1).
const Case cases[] = {
    {"H.264 1080p: 1088 lines, 8 cropped", Codec::avc,
     "01640028ffe1001b67640028acd940780227e5c044000003000400000300283c60c65801000668ebe3cb22c0fdf8f"
     "800",
     1920, 1080},
    {"H.264 1080i: cropped by fields", Codec::avc,
     "01640028ffe1001b67640028acd94078044fde022000000300200000030143e2c5b2c001000668fba3cb22c0fdf8f"
     "800",
     1920, 1080},
    {"H.264 baseline: no chroma fields", Codec::avc,
     "0142c016ffe100196742c016d900d83de6f0110000030001000003000a0f162e4801000568cb83cb20", 854,
     480},
    {"H.264 4:2:2: lines cropped one by one", Codec::avc,
     "017a0016ffe1001b677a0016bcd940a42fe227c044000003000400000300283c58b65801000668ebe3cb22c0fef8f"
     "800",
     642, 362},
    {"H.264 4:4:4: odd size", Codec::avc,
     "01f40016ffe1001c67f40016919b281485fc211180880000030008000003005078b16cb001000668ebe3c44844fff"
     "8f800",
     641, 361},
    {"H.264 as Annex B", Codec::avc,
     "00000001 09f0 00000001 67640028acd940780227e5c044000003000400000300283c60c658 00000001 "
     "68ebe3cb22c0",
     1920, 1080},
    {"H.265 1080p", Codec::hevc,
     "01016000000090000000000078f000fcfdf8f800000f03200001001840010c01ffff0160000003009000000300000"
     "300"
     "78959809210001002b420101016000000300900000030000030078a003c08010e596566924caf0168080000003008"
     "00000"
     "03028422000100074401c172b46240",
     1920, 1080},
    {"H.265 4:2:2 10 bit: cropped", Codec::hevc,
     "0104080000009d08000000003ff000fcfefafa00000f03200001001740010c01ffff0408000003009d08000003000"
     "03f95"
     "9809210001002b4201010408000003009d0800000300003fb005120171c93b65959a4932bc05a0200000030020000"
     "00300"
     "a122000100074401c172b46240",
     642, 362},
    {"AV1 of libaom", Codec::av1, "81050c000a0b0000002d4cffb3ccaf9004", 1280, 720},
    {"AV1 of SVT-AV1", Codec::av1, "81000c000a0b000000043d06d402f80040", 322, 182},
    {"AV1 after a temporal delimiter", Codec::av1, "81000c00 1200 0a0b000000043d06d402f80040", 322,
     182},
    {"AV1 without size in the OBU", Codec::av1, "81000c00 08 000000043d06d402f80040", 322, 182},
};

TEST(VideoSize, reads_what_encoders_write) {
  for (const Case& c : cases) {
    const std::vector<uint8_t> config = from_hex(c.hex);
    const auto size = video_size(c.codec, config);
    ASSERT_TRUE(size) << c.name;
    EXPECT_EQ(size->width, c.width) << c.name;
    EXPECT_EQ(size->height, c.height) << c.name;
  }
}

TEST(VideoSize, cut_anywhere_gives_the_size_or_nothing) {
  for (const Case& c : cases) {
    const std::vector<uint8_t> whole = from_hex(c.hex);
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
      // A block of its own, so that a sanitizer sees a read beyond it.
      const std::vector<uint8_t> config(whole.begin(),
                                        whole.begin() + static_cast<ptrdiff_t>(bytes));
      if (const auto size = video_size(c.codec, config)) {
        EXPECT_EQ(size->width, c.width) << c.name << " cut at " << bytes;
        EXPECT_EQ(size->height, c.height) << c.name << " cut at " << bytes;
      }
    }
  }
}

TEST(VideoSize, nothing_from_what_is_no_configuration) {
  const struct {
    const char* name;
    Codec codec;
    const char* hex;
  } nothings[] = {
      {"empty", Codec::avc, ""},
      {"SPS of two bytes", Codec::avc, "01640014ffe100046764001401000468ebe3cb"},
      {"no SPS", Codec::avc, "01640014ffe00001000468ebe3cb"},
      {"PPS in place of the SPS", Codec::avc, "01640014ffe1000468640014"},
      {"all zeros", Codec::avc, "01640028ffe1000a67000000000000000000"},
      {"no array", Codec::hevc, "01016000000090000000000078f000fcfdf8f800000f00"},
      {"array of 65535 units, cut", Codec::hevc,
       "01016000000090000000000078f000fcfdf8f800000f01a1ffff"},
      {"no OBU", Codec::av1, "81050c00"},
      {"OBU size beyond", Codec::av1, "81050c000aff0100000000"},
      {"OBU size endless", Codec::av1, "81050c000affffffffffffffffff"},
      {"VP9 says nothing", Codec::vp9, "0100000000"},
      {"none", Codec::none, "01640028"},
  };
  for (const auto& c : nothings) {
    const std::vector<uint8_t> config = from_hex(c.hex);
    EXPECT_FALSE(video_size(c.codec, config)) << c.name;
  }
}

}  // namespace
}  // namespace penstock::media

#include "penstock/media/flv.h"

#include <gtest/gtest.h>

#include "hex.h"

namespace penstock::media {
namespace {

struct Read {
  std::vector<FlvTag> tags;
  bool complete = false;
};

Read read_all(Bytes file) {
  FlvReader reader(file);
  Read read;
  while (const auto tag = reader.next()) read.tags.push_back(*tag);
  read.complete = reader.complete();
  return read;
}

TEST(Flv, reads_and_rewrites_the_file_of_the_vectors) {
  const std::string hex = vectors("flv_file")["hex"];
  const std::vector<uint8_t> file = from_hex(hex);
  FlvReader reader(file);
  ASSERT_TRUE(reader.valid());
  EXPECT_TRUE(reader.announces_audio());
  EXPECT_TRUE(reader.announces_video());
  const Read read = read_all(file);
  ASSERT_EQ(read.tags.size(), 4U);
  EXPECT_TRUE(read.complete);
  EXPECT_EQ(read.tags[0].type, flv_type_script);
  EXPECT_EQ(to_hex(read.tags[1].data), "1700000000");
  EXPECT_EQ(read.tags[2].type, flv_type_audio);
  EXPECT_EQ(read.tags[3].type, flv_type_video);
  EXPECT_EQ(read.tags[3].timestamp, 0x01020304U);

  std::vector<uint8_t> out;
  flv_append_header(out, true, true);
  for (const FlvTag& tag : read.tags) flv_append_tag(out, tag);
  EXPECT_EQ(to_hex(out), hex);
}

TEST(Flv, header_announces_what_it_is_told) {
  const struct {
    bool audio;
    bool video;
    uint8_t flags;
  } cases[] = {{true, true, 5}, {true, false, 4}, {false, true, 1}, {false, false, 0}};
  for (const auto& c : cases) {
    std::vector<uint8_t> out;
    flv_append_header(out, c.audio, c.video);
    ASSERT_EQ(out.size(), flv_header_bytes);
    EXPECT_EQ(out[4], c.flags);
    FlvReader reader(out);
    EXPECT_EQ(reader.announces_audio(), c.audio);
    EXPECT_EQ(reader.announces_video(), c.video);
  }
}

TEST(Flv, all_32_bits_of_the_timestamp_survive) {
  for (const uint32_t timestamp : {0U, 0xFF'FFFFU, 0x0100'0000U, 0x8000'0000U, 0xFFFF'FFFFU}) {
    std::vector<uint8_t> out;
    flv_append_header(out, true, false);
    flv_append_tag(out, {flv_type_audio, timestamp, {}});
    EXPECT_EQ(read_all(out).tags.at(0).timestamp, timestamp);
  }
}

TEST(Flv, last_back_pointer_may_lack_and_none_is_believed) {
  std::vector<uint8_t> out;
  flv_append_header(out, true, true);
  const uint8_t data[] = {0xAF, 1};
  flv_append_tag(out, {flv_type_audio, 1, data});
  flv_append_tag(out, {flv_type_audio, 2, data});
  std::fill_n(out.begin() + flv_header_bytes + flv_tag_header_bytes + 2, 4, uint8_t{0xEE});
  out.resize(out.size() - flv_back_pointer_bytes);
  const Read read = read_all(out);
  EXPECT_EQ(read.tags.size(), 2U);
  EXPECT_TRUE(read.complete);
}

TEST(Flv, cut_file_gives_whole_tags_and_says_that_it_is_cut) {
  const std::vector<uint8_t> file = from_hex(vectors("flv_file")["hex"]);
  size_t tags_before = 0;
  for (size_t bytes = 0; bytes < file.size(); ++bytes) {
    const std::vector<uint8_t> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(bytes));
    const Read read = read_all(cut);
    EXPECT_GE(read.tags.size(), tags_before);
    EXPECT_LE(read.tags.size(), 4U);
    tags_before = read.tags.size();
  }
  EXPECT_EQ(tags_before, 4U);
  EXPECT_FALSE(read_all(Bytes{file}.first(file.size() - 10)).complete);
}

TEST(Flv, encrypted_tags_are_skipped) {
  std::vector<uint8_t> out;
  flv_append_header(out, true, true);
  const uint8_t data[] = {0xAF, 1};
  flv_append_tag(out, {0x20 | flv_type_audio, 1, data});
  flv_append_tag(out, {flv_type_audio, 2, data});
  const Read read = read_all(out);
  ASSERT_EQ(read.tags.size(), 1U);
  EXPECT_EQ(read.tags[0].timestamp, 2U);
}

TEST(Flv, longer_header_is_skipped_by_its_own_size) {
  std::vector<uint8_t> file = from_hex("464c56 01 05 0000000c aabbcc 00000000");
  const uint8_t data[] = {0xAF, 1};
  flv_append_tag(file, {flv_type_audio, 7, data});
  EXPECT_EQ(read_all(file).tags.size(), 1U);
}

TEST(Flv, what_is_not_flv_is_not_valid) {
  for (const char* hex : {"", "464c56", "464c56 01 05 00000009", "474c56 01 05 00000009 00000000",
                          "464c56 01 05 ffffffff 00000000", "464c56 01 05 00000008 00000000"}) {
    const std::vector<uint8_t> file = from_hex(hex);
    FlvReader reader(file);
    EXPECT_FALSE(reader.valid()) << hex;
    EXPECT_FALSE(reader.next()) << hex;
    EXPECT_FALSE(reader.complete()) << hex;
  }
}

}  // namespace
}  // namespace penstock::media

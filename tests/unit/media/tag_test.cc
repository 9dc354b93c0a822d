#include "penstock/media/tag.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "hex.h"

namespace penstock::media {
namespace {

using Json = nlohmann::json;
using Kind = TrackReader::Kind;

Kind kind_of(const Json& vector) { return vector["message_type"] == 9 ? Kind::video : Kind::audio; }

TagInfo inspect(Kind kind, Bytes body) {
  const Bytes prefix = body.first(std::min(body.size(), tag_prefix_bytes));
  return kind == Kind::video ? inspect_video(prefix) : inspect_audio(prefix);
}

TagInfo video(const std::string& hex) { return inspect(Kind::video, from_hex(hex)); }
TagInfo audio(const std::string& hex) { return inspect(Kind::audio, from_hex(hex)); }

uint32_t number_of(const std::string& fourcc) {
  return load_u32(reinterpret_cast<const uint8_t*>(fourcc.data()));
}

TEST(Tag, legacy_vectors_read_as_stated) {
  const Codec audio_codecs[16] = {
      Codec::pcm,           Codec::adpcm,      Codec::mp3,    Codec::pcm_le,  Codec::nellymoser_16k,
      Codec::nellymoser_8k, Codec::nellymoser, Codec::g711_a, Codec::g711_mu, Codec::none,
      Codec::aac,           Codec::speex};
  for (const Json& vector : vectors("legacy")) {
    SCOPED_TRACE(vector["name"]);
    const Json& fields = vector["fields"];
    const std::vector<uint8_t> body = from_hex(vector["hex"]);
    const TagInfo info = inspect(kind_of(vector), body);
    EXPECT_FALSE(info.enhanced);
    if (body.empty()) {
      EXPECT_FALSE(info.known);
      continue;
    }
    EXPECT_TRUE(info.known);
    const Bytes own = Bytes{body}.subspan(info.body_offset);
    if (vector["message_type"] == 8) {
      EXPECT_EQ(info.codec, audio_codecs[fields["soundFormat"].get<int>()]);
      const int packet_type = fields.value("aacPacketType", -1);
      EXPECT_EQ(info.sequence_header, packet_type == 0);
      EXPECT_EQ(info.config, packet_type == 0);
      if (fields.contains("frame")) {
        EXPECT_EQ(to_hex(own), fields["frame"].get<std::string>());
      }
      continue;
    }
    EXPECT_EQ(info.codec, fields["codecId"] == 7 ? Codec::avc : Codec::hevc);
    const int packet_type = fields.value("avcPacketType", fields.value("packetType", -1));
    EXPECT_EQ(info.command, fields.contains("command"));
    EXPECT_EQ(info.sequence_header, packet_type == 0);
    EXPECT_EQ(info.config, packet_type == 0);
    EXPECT_EQ(info.sequence_end, packet_type == 2);
    EXPECT_EQ(info.key, fields["frameType"] == 1 && packet_type == 1);
    EXPECT_EQ(info.composition_ms, fields.value("compositionTime", 0));
    if (fields.contains("nalus")) {
      EXPECT_EQ(to_hex(own.subspan(4)), fields["nalus"][0].get<std::string>());
    }
  }
}

TEST(Tag, enhanced_vectors_read_as_stated) {
  for (const Json& vector : vectors("enhanced")) {
    SCOPED_TRACE(vector["name"]);
    const Json& fields = vector["fields"];
    const Kind kind = kind_of(vector);
    const std::vector<uint8_t> body = from_hex(vector["hex"]);
    const TagInfo info = inspect(kind, body);
    const int packet_type = fields["packetType"];
    EXPECT_TRUE(info.known);
    EXPECT_TRUE(info.enhanced);
    EXPECT_EQ(info.multitrack, fields.contains("tracks"));
    EXPECT_EQ(info.command, fields.contains("videoCommand"));
    EXPECT_EQ(info.presentation_offset_ns, fields.value("nanoOffset", 0U));
    EXPECT_EQ(info.sequence_header, packet_type == 0);
    EXPECT_EQ(info.sequence_end, packet_type == 2);
    EXPECT_EQ(info.config, packet_type == 0 || packet_type == 4);
    if (kind == Kind::video && !info.multitrack) {
      const bool frames = (packet_type == 1 || packet_type == 3) && !info.command;
      EXPECT_EQ(info.key, frames && fields["frameType"] == 1);
    }
    const Json& first = info.multitrack ? fields["tracks"][0] : fields;
    if (info.multitrack) {
      EXPECT_EQ(info.track, first["id"]);
    }
    if (first.contains("fourCc")) {
      EXPECT_EQ(info.codec, codec_of_fourcc(number_of(first["fourCc"])));
    }
    EXPECT_EQ(info.composition_ms, first.value("cts", 0));
    const std::string own = to_hex(Bytes{body}.subspan(info.body_offset));
    if (first.contains("data")) {
      EXPECT_TRUE(own.starts_with(first["data"].get<std::string>())) << own;
    }
    if (kind == Kind::video && first.contains("config")) {
      EXPECT_EQ(own, first["config"].get<std::string>());
    }
  }
}

TEST(Tag, track_reader_takes_the_vectors_apart) {
  for (const Json& vector : vectors("enhanced")) {
    if (!vector["fields"].contains("tracks")) continue;
    SCOPED_TRACE(vector["name"]);
    const std::vector<uint8_t> body = from_hex(vector["hex"]);
    TrackReader reader(kind_of(vector), body);
    for (const Json& expected : vector["fields"]["tracks"]) {
      const auto track = reader.next();
      ASSERT_TRUE(track);
      EXPECT_EQ(track->track, expected["id"]);
      EXPECT_EQ(track->codec, codec_of_fourcc(number_of(expected["fourCc"])));
      EXPECT_EQ(track->composition_ms, expected.value("cts", 0));
      EXPECT_EQ(to_hex(track->body), expected["data"].get<std::string>());
    }
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.malformed());
  }
}

TEST(Tag, track_reader_gives_a_plain_body_as_track_0) {
  const std::vector<uint8_t> body = from_hex("17 01 000050 0000000165");
  TrackReader reader(Kind::video, body);
  const auto track = reader.next();
  ASSERT_TRUE(track);
  EXPECT_EQ(track->track, 0);
  EXPECT_EQ(track->codec, Codec::avc);
  EXPECT_EQ(track->composition_ms, 80);
  EXPECT_EQ(to_hex(track->body), "0000000165");
  EXPECT_FALSE(reader.next());
}

TEST(Tag, track_reader_stops_at_what_is_malformed) {
  const struct {
    const char* name;
    const char* hex;
    int tracks;
  } cases[] = {
      {"size beyond the body", "96 13 68766331 00 000003 aabbcc 01 0000ff dd", 1},
      {"track cut in its size", "96 13 68766331 00 000001 aa 01 0000", 1},
      {"track cut in its FourCC", "96 23 68766331 00 000001 aa 6876", 1},
      {"composition time outside the track", "96 11 68766331 00 000003 000000 01 000002 0000", 1},
      {"header cut", "96 13 6876", 0},
  };
  for (const auto& c : cases) {
    const std::vector<uint8_t> body = from_hex(c.hex);
    TrackReader reader(Kind::video, body);
    int tracks = 0;
    while (reader.next()) ++tracks;
    EXPECT_EQ(tracks, c.tracks) << c.name;
    EXPECT_TRUE(reader.malformed()) << c.name;
  }
}

TEST(Tag, track_reader_ends_at_tracks_max) {
  std::vector<uint8_t> body = from_hex("95 11 4f707573");
  for (int i = 0; i < 1000; ++i) body.insert(body.end(), {0, 0, 0, 0});
  TrackReader reader(Kind::audio, body);
  size_t tracks = 0;
  while (reader.next()) ++tracks;
  EXPECT_EQ(tracks, tracks_max);
  EXPECT_TRUE(reader.malformed());
}

TEST(Tag, fourcc_numbers_are_those_of_the_vectors) {
  const Json numbers = vectors("fourcc_numbers");
  std::set<Codec> codecs;
  for (const auto& [text, number] : numbers.items()) {
    EXPECT_EQ(number_of(text), number);
    const Codec codec = codec_of_fourcc(number);
    EXPECT_NE(codec, Codec::unknown) << text;
    EXPECT_EQ(fourcc_of(codec), number) << text;
    codecs.insert(codec);
  }
  EXPECT_EQ(codecs.size(), numbers.size());
  EXPECT_EQ(codec_of_fourcc(number_of("hev1")), Codec::hevc);
  EXPECT_EQ(codec_of_fourcc(number_of("vvi1")), Codec::vvc);
  EXPECT_EQ(codec_of_fourcc(0), Codec::unknown);
  EXPECT_EQ(fourcc_of(Codec::vp6), 0U);
  EXPECT_EQ(fourcc_of(Codec::none), 0U);
}

TEST(Tag, every_codec_has_a_name) {
  for (int i = 0; i <= static_cast<int>(Codec::unknown); ++i) {
    EXPECT_FALSE(codec_name(static_cast<Codec>(i)).empty()) << i;
  }
  EXPECT_EQ(codec_name(Codec::none), "-");
  EXPECT_EQ(codec_name(Codec::avc), "H.264");
  EXPECT_EQ(codec_name(Codec::aac), "AAC");
}

TEST(Tag, legacy_video_codecs_and_frame_types) {
  const struct {
    const char* hex;
    Codec codec;
    bool known;
    bool key;
    bool disposable;
    uint32_t body_offset;
  } cases[] = {
      {"12 00", Codec::sorenson_h263, true, true, false, 1},
      {"22 00", Codec::sorenson_h263, true, false, false, 1},
      {"32 00", Codec::sorenson_h263, true, false, true, 1},
      {"42 00", Codec::sorenson_h263, true, true, false, 1},
      {"13 00", Codec::screen_video, true, true, false, 1},
      {"14 00 01", Codec::vp6, true, true, false, 2},
      {"15 00 000004 01", Codec::vp6_alpha, true, true, false, 5},
      {"15 00", Codec::vp6_alpha, false, false, false, 5},
      {"16 00", Codec::screen_video_2, true, true, false, 1},
      {"11 ff", Codec::jpeg, true, true, false, 1},
      {"18 00", Codec::h263, true, true, false, 1},
      {"19 00", Codec::mpeg4, true, true, false, 1},
      {"1c 01 000000 00", Codec::hevc, true, true, false, 5},
      {"1d 01 000000 00", Codec::av1, true, true, false, 5},
      {"1e 01 000000 00", Codec::vvc, true, true, false, 5},
      {"3e 01 000000 00", Codec::vvc, true, false, true, 5},
      {"10 00", Codec::unknown, false, false, false, 1},
      {"1f 00", Codec::unknown, false, false, false, 1},
      {"07 01 000000 00", Codec::avc, false, false, false, 1},
      {"67 01 000000 00", Codec::avc, false, false, false, 1},
  };
  for (const auto& c : cases) {
    const TagInfo info = video(c.hex);
    EXPECT_EQ(info.codec, c.codec) << c.hex;
    EXPECT_EQ(info.known, c.known) << c.hex;
    EXPECT_EQ(info.key, c.key) << c.hex;
    EXPECT_EQ(info.disposable, c.disposable) << c.hex;
    EXPECT_EQ(info.body_offset, c.body_offset) << c.hex;
    EXPECT_FALSE(info.config) << c.hex;
  }
}

TEST(Tag, avc_that_is_cut_or_empty) {
  EXPECT_FALSE(video("17").known);
  EXPECT_FALSE(video("17 01 0000").known);
  EXPECT_FALSE(video("17 03 000000 00").known);
  EXPECT_TRUE(video("17 02").sequence_end);
  // A key frame without a picture is nothing to start at, and an empty header no configuration.
  EXPECT_FALSE(video("17 01 000000").key);
  const TagInfo header = video("17 00 000000");
  EXPECT_TRUE(header.sequence_header);
  EXPECT_FALSE(header.config);
}

TEST(Tag, composition_time_is_signed) {
  EXPECT_EQ(video("27 01 ffffff 00").composition_ms, -1);
  EXPECT_EQ(video("27 01 800000 00").composition_ms, -8388608);
  EXPECT_EQ(video("27 01 7fffff 00").composition_ms, 8388607);
  EXPECT_EQ(video("a1 68657631 ffffd8 00").composition_ms, -40);
  EXPECT_EQ(video("a1 61763031 ffffd8 00").composition_ms, 0);
}

TEST(Tag, aac_that_is_cut_or_empty) {
  EXPECT_FALSE(audio("af").known);
  EXPECT_FALSE(audio("af02").known);
  const TagInfo empty = audio("af00");
  EXPECT_TRUE(empty.sequence_header);
  EXPECT_FALSE(empty.config);
}

TEST(Tag, enhanced_that_is_reserved_or_cut_is_not_known) {
  const char* videos[] = {
      "90",
      "90687663",
      "98 68766331 00",
      "9f 68766331 00",
      "96",
      "96 36 68766331 00",
      "96 06 68766331 00",
      "96 07 68766331 00",
      "96 08 68766331 00",
      "96 31 68766331 00",
      "96 01 68766331",
      "96 11 68766331 00 0000",
      "96 21 687663",
      "91 68766331 0000",
      "97",
      "97 02 000001",
      "97 ff 00",
      "97 ff ffff 00",
      "97 00 00 08 68766331",
      "d1",
  };
  for (const char* hex : videos) {
    const TagInfo info = video(hex);
    EXPECT_FALSE(info.known) << hex;
    EXPECT_FALSE(info.config) << hex;
    EXPECT_FALSE(info.key) << hex;
    EXPECT_TRUE(info.enhanced) << hex;
  }
  for (const char* hex :
       {"93 4f707573 00", "96 4f707573 00", "98 4f707573 00", "90 4f70", "95 05 4f707573 00"}) {
    EXPECT_FALSE(audio(hex).known) << hex;
  }
}

TEST(Tag, unknown_fourcc_keeps_what_the_header_says) {
  const TagInfo header = video("90 7a7a7a7a 01");
  EXPECT_TRUE(header.known);
  EXPECT_EQ(header.codec, Codec::unknown);
  EXPECT_TRUE(header.config);
  EXPECT_TRUE(video("91 7a7a7a7a 01").key);
}

TEST(Tag, endless_mod_ex_is_not_known) {
  std::string hex = "97";
  for (int i = 0; i < 30; ++i) hex += "000007";
  const std::vector<uint8_t> body = from_hex(hex + "000001 68766331 000000");
  EXPECT_FALSE(inspect_video(body).known);
}

TEST(Tag, mod_ex_of_an_unknown_type_is_skipped) {
  const TagInfo info = video("97 00 aa f1 68766331 000042 00");
  EXPECT_TRUE(info.known);
  EXPECT_EQ(info.presentation_offset_ns, 0U);
  EXPECT_EQ(info.composition_ms, 66);
}

TEST(Tag, mod_ex_offset_beyond_a_millisecond_is_ignored) {
  EXPECT_EQ(video("97 02 0f423f 01 61763031 00").presentation_offset_ns, 999'999U);
  EXPECT_EQ(video("97 02 0f4240 01 61763031 00").presentation_offset_ns, 0U);
}

TEST(Tag, config_slots_keep_apart_what_must_not_replace_each_other) {
  const struct {
    const char* name;
    Kind kind;
    const char* hex;
    ConfigSlot slot;
    uint8_t track;
  } cases[] = {
      {"legacy AVC header", Kind::video, "17 00 000000 01", ConfigSlot::header, 0},
      {"enhanced AVC header replaces it", Kind::video, "90 61766331 01", ConfigSlot::header, 0},
      {"header of track 0 by multitrack too", Kind::video, "96 00 61766331 00 01",
       ConfigSlot::header, 0},
      {"another track", Kind::video, "96 00 61766331 01 01", ConfigSlot::header, 1},
      {"MPEG-2 TS descriptor", Kind::video, "95 61763031 01", ConfigSlot::header, 0},
      {"several tracks", Kind::video, "96 10 61766331 00 000001 01 01 000001 01",
       ConfigSlot::header_many, 0},
      {"colour", Kind::video, "94 61766331 02", ConfigSlot::metadata, 0},
      {"colour without frame type", Kind::video, "84 61766331 02", ConfigSlot::metadata, 0},
      {"colour with the frame type of commands", Kind::video, "d4 61766331 02",
       ConfigSlot::metadata, 0},
      {"colour of a track", Kind::video, "96 04 61766331 02 02", ConfigSlot::metadata, 2},
      {"legacy AAC header", Kind::audio, "af 00 1210", ConfigSlot::header, 0},
      {"Opus header", Kind::audio, "90 4f707573", ConfigSlot::header, 0},
      {"Opus identification", Kind::audio, "90 4f707573 4f70757348656164 01", ConfigSlot::header,
       0},
      {"Opus comment", Kind::audio, "90 4f707573 4f70757354616773 00", ConfigSlot::comment, 0},
      {"Opus comment of a track", Kind::audio, "95 00 4f707573 02 4f70757354616773 00",
       ConfigSlot::comment, 2},
      {"Opus comments of several tracks", Kind::audio,
       "95 10 4f707573 01 000009 4f70757354616773 00", ConfigSlot::comment_many, 1},
      {"channels", Kind::audio, "94 4f707573 00 02", ConfigSlot::channels, 0},
      {"channels of a track", Kind::audio, "95 04 4f707573 03 00 02", ConfigSlot::channels, 3},
  };
  for (const auto& c : cases) {
    const TagInfo info = inspect(c.kind, from_hex(c.hex));
    EXPECT_TRUE(info.known) << c.name;
    EXPECT_TRUE(info.config) << c.name;
    EXPECT_FALSE(info.key) << c.name;
    EXPECT_EQ(info.config_slot, static_cast<uint8_t>(c.slot)) << c.name;
    EXPECT_EQ(info.track, c.track) << c.name;
  }
}

TEST(Tag, keyframes_of_tracks) {
  const struct {
    const char* hex;
    bool key;
    bool many;
    uint8_t track;
  } cases[] = {
      {"91 68766331 000000 01", true, false, 0},
      {"96 01 68766331 00 000000 01", true, false, 0},
      {"96 01 68766331 01 000000 01", true, false, 1},
      {"a6 01 68766331 01 000000 01", false, false, 1},
      {"96 13 68766331 01 000001 aa 00 000001 bb", true, true, 1},
      {"a6 13 68766331 01 000001 aa 00 000001 bb", false, true, 1},
      {"96 21 61766331 ff 000004 000000 aa", true, true, 255},
      {"97 02 07a120 06 01 68766331 03 000000 01", true, false, 3},
      {"96 00 68766331 01 01", false, false, 1},
      {"96 02 68766331 01", false, false, 1},
  };
  for (const auto& c : cases) {
    const TagInfo info = video(c.hex);
    EXPECT_TRUE(info.known) << c.hex;
    EXPECT_EQ(info.key, c.key) << c.hex;
    EXPECT_EQ(info.many, c.many) << c.hex;
    EXPECT_EQ(info.track, c.track) << c.hex;
  }
}

TEST(Tag, whole_body_reads_like_its_prefix) {
  for (const char* part : {"legacy", "enhanced"}) {
    for (const Json& vector : vectors(part)) {
      std::vector<uint8_t> body = from_hex(vector["hex"]);
      if (body.empty()) continue;
      const TagInfo shorter = inspect(kind_of(vector), body);
      body.resize(body.size() + 1000);
      const TagInfo longer =
          kind_of(vector) == Kind::video ? inspect_video(body) : inspect_audio(body);
      EXPECT_EQ(shorter.codec, longer.codec);
      EXPECT_EQ(shorter.track, longer.track);
      EXPECT_EQ(shorter.composition_ms, longer.composition_ms);
    }
  }
}

}  // namespace
}  // namespace penstock::media

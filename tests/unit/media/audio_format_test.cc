#include <gtest/gtest.h>

#include "hex.h"
#include "penstock/media/tag.h"

namespace penstock::media {
namespace {

std::optional<AudioFormat> format_of(const std::string& hex) {
  const std::vector<uint8_t> body = from_hex(hex);
  return audio_format(inspect_audio(body), body);
}

TEST(AudioFormat, reads_what_encoders_write) {
  const struct {
    const char* name;
    const char* hex;
    uint32_t sample_rate;
    uint32_t channels;
  } cases[] = {
      {"AAC 44100 mono", "af00 1208", 44100, 1},
      {"AAC 48000 stereo", "af00 1190", 48000, 2},
      {"AAC 44100 mono of FFmpeg", "af00 120856e500", 44100, 1},
      {"AAC 5.1", "af00 11b056e500", 48000, 6},
      {"AAC 7.1 as layout 7", "af00 11b856e500", 48000, 8},
      {"AAC 2.1 by its program config", "af00 118004c4010020000d4c61766335392e33372e31303056e500",
       48000, 3},
      {"AAC 48000 by 24 bit rate", "af00 17805dc010", 48000, 2},
      {"HE-AAC, 24000 doubled", "af00 2b118800", 48000, 2},
      {"HE-AAC v2, mono made stereo", "af00 eb098800", 48000, 2},
      {"AAC by FourCC", "90 6d703461 1190", 48000, 2},
      {"AAC on a second track", "95 00 6d703461 01 1190", 48000, 2},
      {"Opus of libopus", "90 4f707573 4f707573486561640102380180bb0000000000", 48000, 2},
      {"Opus from 44100", "90 4f707573 4f70757348656164010638 0144ac000000000100", 48000, 6},
      {"Opus without header", "90 4f707573", 48000, 0},
      {"FLAC 96000",
       "90 664c6143 "
       "664c6143000000222000200000049d000897177002f000007080e993f631b4209a84e3fcc3d78b2b1f97",
       96000, 2},
      {"AC-3 5.1", "91 61632d33 0b77b50b1e40ebf8403eff99ff0841fc", 48000, 6},
      {"E-AC-3 32000", "91 65632d33 0b77023fb487c00000802007907f9e41", 32000, 2},
      {"MP3 by FourCC", "91 2e6d7033 fffb50c400000a2c", 44100, 1},
      {"MP3 of MPEG-2", "91 2e6d7033 fff38064000d7841", 22050, 2},
      {"legacy MP3: the frame knows better than the byte", "2f fff38064000d7841", 22050, 2},
      {"legacy MP3 without a frame header", "2f 0000", 44100, 2},
      {"legacy MP3 8 kHz", "ee 00", 8000, 1},
      {"Speex", "b6 3c7e", 16000, 1},
      {"Nellymoser 16", "42 00", 16000, 1},
      {"Nellymoser 8", "52 00", 8000, 1},
      {"Nellymoser", "6a 00", 22050, 1},
      {"G.711 A", "72 d5d5", 8000, 1},
      {"G.711 mu stereo", "83 ffff", 8000, 2},
      {"PCM", "37 0000", 11025, 2},
      {"ADPCM", "12 00", 5512, 1},
  };
  for (const auto& c : cases) {
    const auto format = format_of(c.hex);
    ASSERT_TRUE(format) << c.name;
    EXPECT_EQ(format->sample_rate, c.sample_rate) << c.name;
    EXPECT_EQ(format->channels, c.channels) << c.name;
  }
}

TEST(AudioFormat, nothing_from_what_does_not_say_it) {
  const struct {
    const char* name;
    const char* hex;
  } cases[] = {
      {"empty body", ""},
      {"AAC frame", "af01 21004950"},
      {"empty AAC configuration", "af00"},
      {"AAC configuration of one byte", "af00 12"},
      {"AAC reserved rate", "af00 1690"},
      {"Opus frame", "91 4f707573 fc7e"},
      {"FLAC without its block", "90 664c6143 664c614380000022"},
      {"FLAC with another block first",
       "90 664c6143 664c61430400002220002000000000000000097177002f0000070"},
      {"AC-3 without sync word", "91 61632d33 0b78b50b1e40ebf8"},
      {"AC-3 cut", "91 61632d33 0b77b50b"},
      {"MP3 by FourCC without frame header", "91 2e6d7033 00000000"},
      {"device specific", "ff 00"},
      {"reserved", "c0 00"},
  };
  for (const auto& c : cases) EXPECT_FALSE(format_of(c.hex)) << c.name;
}

}  // namespace
}  // namespace penstock::media

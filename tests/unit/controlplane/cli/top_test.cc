#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "controlplane/cli/render.h"

namespace penstock::controlplane::cli {
namespace {

TopPicture picture_of(size_t stream_count) {
  TopPicture picture;
  picture.status = {{"healthy", true}, {"streams", stream_count}, {"bits_per_second_in", 1000}};
  picture.workers = Json::parse(R"({"workers": [{"worker": 0, "busy_percent": 12.4, "alive": true},
                                                {"worker": 1, "busy_percent": 3.0}]})");
  Json rows = Json::array();
  for (size_t i = 0; i < stream_count; ++i) {
    rows.push_back({{"name", "live/" + std::to_string(i)},
                    {"video", {{"codec", "H.264"}, {"bits_per_second", 1000 * i}}}});
  }
  picture.streams = {{"streams", rows}};
  return picture;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines(1);
  for (const char c : text) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += c;
    }
  }
  return lines;
}

TEST(RenderTop, fills_the_screen_exactly_whatever_its_size) {
  for (const size_t rows : {1U, 2U, 5U, 6U, 24U, 60U}) {
    for (const size_t columns : {1U, 10U, 40U, 80U, 200U}) {
      for (const size_t streams : {0U, 1U, 100U}) {
        TopPicture picture = picture_of(streams);
        picture.rows = rows;
        picture.columns = columns;
        const auto lines = lines_of(render_top(picture, Paint(false)));
        ASSERT_EQ(lines.size(), rows);
        for (const std::string& line : lines) ASSERT_LE(display_width(line), columns) << line;
      }
    }
  }
}

TEST(RenderTop, busiest_stream_comes_first_and_hidden_ones_are_counted) {
  TopPicture picture = picture_of(30);
  picture.columns = 120;
  picture.rows = 24;
  const auto lines = lines_of(render_top(picture, Paint(false)));
  EXPECT_EQ(lines[4].rfind("live/29", 0), 0U) << lines[4];
  EXPECT_EQ(lines[22].rfind("live/11", 0), 0U) << lines[22];
  EXPECT_EQ(lines[23], "11 more streams; q: quit");
  EXPECT_EQ(lines[1], "busy  w0 12%  w1 3% silent");
}

TEST(RenderTop, without_streams_it_says_so) {
  const auto lines = lines_of(render_top(picture_of(0), Paint(false)));
  EXPECT_EQ(lines[3], "no streams are live");
  EXPECT_EQ(lines.back(), "q: quit");
}

}  // namespace
}  // namespace penstock::controlplane::cli

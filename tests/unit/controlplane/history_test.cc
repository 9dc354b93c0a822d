#include "controlplane/history.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

EndedStream ended(uint64_t id, const std::string& name = "live/a") {
  EndedStream one;
  one.stream.stream_id = id;
  one.stream.name = name;
  one.stream.encoder = "enc";
  one.stream.av_drift_ms = -40;
  one.stream.bytes_received = UINT64_MAX;
  one.run_id = 0xFFFF'FFFF'FFFF'FFFF;
  one.ended_unix_ms = 1'700'000'000'000 + id;
  one.reason = "publisher left";
  return one;
}

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::ranges::count(text, '\n'));
}

TEST(history, is_newest_first_and_outlives_the_process) {
  const TempDir folder;
  {
    History history(folder.file("history.jsonl"));
    EXPECT_TRUE(history.add({ended(1), ended(2, "live/b \"quoted\" \xEF\xBF\xBD")}));
    EXPECT_TRUE(history.add({ended(3)}));
  }
  const History again(folder.file("history.jsonl"));
  const auto rows = again.newest(0, 10);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].stream.stream_id, 3u);
  EXPECT_EQ(rows[1].stream.name, "live/b \"quoted\" \xEF\xBF\xBD");
  EXPECT_EQ(rows[2].stream.av_drift_ms, -40);
  EXPECT_EQ(rows[2].stream.bytes_received, UINT64_MAX);
  EXPECT_EQ(rows[2].run_id, 0xFFFF'FFFF'FFFF'FFFF);
  EXPECT_EQ(rows[2].reason, "publisher left");
  EXPECT_EQ(rows[2].ended_unix_ms, 1'700'000'000'001u);
}

TEST(history, is_bounded_in_memory_and_on_disk) {
  const TempDir folder;
  History history(folder.file("h"), 10);
  for (uint64_t id = 1; id <= 95; ++id) {
    ASSERT_TRUE(history.add({ended(id)}));
    ASSERT_LE(lines(folder.read("h")), 20u);
  }
  EXPECT_EQ(history.size(), 10u);
  EXPECT_EQ(history.newest(0, 1)[0].stream.stream_id, 95u);
  EXPECT_EQ(History(folder.file("h"), 10).newest(9, 5)[0].stream.stream_id, 86u);
}

TEST(history, leaves_out_what_it_knows) {
  History history("");
  history.add({ended(1), ended(1)});
  history.add({ended(1)});
  EndedStream other_run = ended(1);
  other_run.run_id = 5;
  history.add({other_run});
  EXPECT_EQ(history.size(), 2u);
}

TEST(history, reads_around_damage_and_a_cut_last_line) {
  const TempDir folder;
  const std::string path = folder.file("h");
  { History(path).add({ended(1), ended(2)}); }
  const std::string good = folder.read("h");
  folder.write("h", "\xFF\xFE garbage\n{}\n[]\n{\"name\":7,\"ended_unix_ms\":1}\n" + good +
                        "{\"name\":\"live/c\",\"ended");
  {
    History history(path);
    EXPECT_EQ(history.size(), 2u);
    EXPECT_TRUE(history.add({ended(3)}));
  }
  EXPECT_EQ(History(path).size(), 3u) << "the line behind a cut one must not be lost";
}

TEST(history, page_beyond_the_end_is_empty) {
  History history("");
  history.add({ended(1)});
  EXPECT_TRUE(history.newest(5, 5).empty());
  EXPECT_EQ(history.newest(0, SIZE_MAX).size(), 1u);
}

TEST(history, says_when_it_cannot_write_and_remembers_nevertheless) {
  History history("/nonexistent/folder/h");
  EXPECT_FALSE(history.add({ended(1)}));
  EXPECT_EQ(history.size(), 1u);
}

}  // namespace
}  // namespace penstock::controlplane

#include "controlplane/catalog.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/controlplane/fake_dataplane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

constexpr uint64_t second_ns = 1'000'000'000;

class CatalogTest : public testing::Test {
 protected:
  CatalogTest() { attach(); }
  void attach() {
    attachment = Attachment::attach(dataplane->path()).value();
    catalog.attach(*attachment);
  }
  void look() { catalog.refresh(*attachment, now_ns); }
  std::vector<EndedStream> ended() { return catalog.take_ended(now_ns, unix_ms()); }

  TempDir folder;
  std::unique_ptr<FakeDataplane> dataplane = std::make_unique<FakeDataplane>(folder.path());
  std::shared_ptr<Attachment> attachment;
  Catalog catalog;
  uint64_t now_ns = 100 * second_ns;
};

TEST_F(CatalogTest, merges_replicas_of_other_workers_into_the_publishers_row) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a", 2));
  dataplane->put_stream(1, 3, replica_row(1, "live/a", 5));
  dataplane->put_stream(1, 4, replica_row(9, "live/without_publisher", 5));
  dataplane->put_stream(1, 5, stream_row(2, "studio/x/b", 1));
  look();
  const auto streams = catalog.streams();
  ASSERT_EQ(streams.size(), 2u);
  EXPECT_EQ(streams[0].name, "live/a");
  EXPECT_EQ(streams[0].subscribers, 7u);
  EXPECT_EQ(streams[0].bytes_sent, 7'000u);
  EXPECT_EQ(streams[0].frames_skipped, 7u);
  EXPECT_EQ(streams[0].bytes_received, 1'000'000u);
  EXPECT_EQ(streams[0].video_codec, "H.264");
  EXPECT_EQ(streams[0].worker, 0u);
  EXPECT_EQ(streams[1].name, "studio/x/b");
  EXPECT_EQ(catalog.stream("live/a")->subscribers, 7u);
  EXPECT_FALSE(catalog.stream("live/none").has_value());
}

TEST_F(CatalogTest, sums_do_not_go_back_when_a_replica_ends) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a", 2));
  dataplane->put_stream(1, 0, replica_row(1, "live/a", 5));
  look();
  dataplane->free_stream(1, 0);
  look();
  EXPECT_EQ(catalog.stream("live/a")->bytes_sent, 7'000u);
  EXPECT_EQ(catalog.stream("live/a")->subscribers, 2u);
  EXPECT_EQ(catalog.streams()[0].frames_skipped, 7u);
}

TEST_F(CatalogTest, text_of_the_region_is_cleaned) {
  control::StreamRow row = stream_row(1, "live/\xFF\nx");
  row.encoder.chars.fill('A');  // no zero at its end
  row.publisher.set("\x1b[31m");
  row.worker = 4'000'000'000;
  dataplane->put_stream(1, 0, row);
  look();
  const Stream stream = catalog.streams().at(0);
  EXPECT_EQ(stream.name, "live/\xEF\xBF\xBD?x");
  EXPECT_EQ(stream.encoder, std::string(64, 'A'));
  EXPECT_EQ(stream.publisher, "?[31m");
  EXPECT_EQ(stream.worker, 1u) << "what a row says of its worker is not believed";
}

TEST_F(CatalogTest, wild_numbers_in_the_region_read_no_row_beyond_it) {
  dataplane->region().worker(0).stream_slots_used.publish(UINT64_MAX);
  dataplane->region().worker(0).connection_slots_used.publish(UINT64_MAX);
  control::StreamRow row = stream_row(1, "live/a");
  row.role = static_cast<control::StreamRole>(77);
  dataplane->put_stream(0, 63, row);
  look();
  EXPECT_TRUE(catalog.streams().empty());
  EXPECT_TRUE(catalog.connections().empty());
}

TEST_F(CatalogTest, a_report_ends_a_stream_once_whether_it_comes_before_or_after_the_row_goes) {
  for (const bool report_first : {true, false}) {
    const uint64_t id = report_first ? 1 : 2;
    control::StreamRow row = stream_row(id, "live/a", 1);
    dataplane->put_stream(0, 0, row);
    dataplane->put_stream(1, 0, replica_row(id, "live/a", 3));
    look();
    row.ended.set("publisher left");
    row.bytes_received = 5'000'000;
    if (report_first) {
      ASSERT_TRUE(dataplane->region().worker(0).ended.push(row));
      look();
    }
    dataplane->free_stream(0, 0);
    dataplane->free_stream(1, 0);
    look();
    if (!report_first) {
      ASSERT_TRUE(dataplane->region().worker(0).ended.push(row));
      look();
    }
    now_ns += 10 * second_ns;
    look();
    const auto streams = ended();
    ASSERT_EQ(streams.size(), 1u) << report_first;
    EXPECT_EQ(streams[0].reason, "publisher left");
    EXPECT_EQ(streams[0].stream.bytes_received, 5'000'000u);
    EXPECT_EQ(streams[0].stream.bytes_sent, 4'000u) << "with what replicas had sent";
    EXPECT_TRUE(catalog.streams().empty());
  }
}

TEST_F(CatalogTest, a_stream_whose_report_is_lost_ends_nevertheless) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a"));
  look();
  dataplane->put_stream(0, 0, stream_row(2, "live/b"));  // the slot is another stream's at once
  look();
  EXPECT_TRUE(ended().empty()) << "its report may still come";
  now_ns += Catalog::report_wait_ns;
  const auto streams = ended();
  ASSERT_EQ(streams.size(), 1u);
  EXPECT_EQ(streams[0].stream.name, "live/a");
  EXPECT_NE(streams[0].reason.find("lost"), std::string::npos);
  EXPECT_EQ(catalog.streams().size(), 1u);
}

TEST_F(CatalogTest, streams_of_a_dead_data_plane_end_when_another_run_attaches) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a"));
  look();
  catalog.detach(now_ns);
  EXPECT_TRUE(catalog.streams().empty()) << "not shown as live";
  EXPECT_TRUE(ended().empty()) << "and not ended yet";
  dataplane.reset();
  dataplane = std::make_unique<FakeDataplane>(folder.path(), FakeDataplane::Shape{.run_id = 2});
  attach();
  look();
  const auto streams = ended();
  ASSERT_EQ(streams.size(), 1u);
  EXPECT_EQ(streams[0].stream.name, "live/a");
  EXPECT_EQ(streams[0].run_id, 0x1234u);
  EXPECT_NE(streams[0].reason.find("data plane"), std::string::npos);
}

TEST_F(CatalogTest, streams_of_a_dead_data_plane_end_when_none_comes_back) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a"));
  look();
  catalog.detach(now_ns);
  now_ns += Catalog::report_wait_ns;
  EXPECT_EQ(ended().size(), 1u);
  EXPECT_TRUE(ended().empty());
}

TEST_F(CatalogTest, streams_go_on_when_the_same_run_attaches_again) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a"));
  look();
  catalog.detach(now_ns);
  attach();
  look();
  now_ns += 10 * second_ns;
  EXPECT_TRUE(ended().empty());
  EXPECT_EQ(catalog.streams().size(), 1u);
}

TEST_F(CatalogTest, a_look_through_an_attachment_that_is_gone_changes_nothing) {
  dataplane->put_stream(0, 0, stream_row(1, "live/a"));
  look();
  catalog.detach(now_ns);
  look();
  EXPECT_TRUE(catalog.streams().empty());
}

TEST_F(CatalogTest, connections_are_mirrored_and_freed) {
  control::ConnectionRow row;
  row.connection_id = 42;
  row.role = static_cast<control::ConnectionRole>(99);
  row.peer.set("[::1]:5");
  row.name.set("live/a");
  dataplane->put_connection(1, 7, row);
  look();
  ASSERT_EQ(catalog.connections().size(), 1u);
  EXPECT_EQ(catalog.connection(42)->peer, "[::1]:5");
  EXPECT_EQ(catalog.connection(42)->worker, 1u);
  dataplane->put_connection(1, 7, {});
  look();
  EXPECT_TRUE(catalog.connections().empty());
  EXPECT_FALSE(catalog.connection(42).has_value());
  EXPECT_FALSE(catalog.connection(0).has_value());
}

TEST_F(CatalogTest, rows_are_whole_while_their_worker_writes_them) {
  StopFlag stop;
  std::thread worker([&] {
    for (uint64_t i = 1; !stop.raised(); ++i) {
      control::StreamRow row = stream_row(1, "live/a");
      row.bytes_received = row.bytes_sent = row.frames_received = row.frames_dropped =
          row.gop_bytes = i;
      dataplane->put_stream(0, 0, row);
    }
  });
  uint64_t last = 0;
  for (int round = 0; round < 20'000; ++round) {
    look();
    const auto streams = catalog.streams();
    if (streams.empty()) continue;
    const Stream& stream = streams[0];
    ASSERT_EQ(stream.bytes_received, stream.bytes_sent);
    ASSERT_EQ(stream.bytes_received, stream.frames_received);
    ASSERT_EQ(stream.bytes_received, stream.gop_bytes);
    ASSERT_GE(stream.bytes_received, last);
    last = stream.bytes_received;
  }
  stop.raise();
  worker.join();
  EXPECT_GT(last, 1u);
}

}  // namespace
}  // namespace penstock::controlplane

#include "controlplane/region.h"

#include <gtest/gtest.h>

#include "tests/unit/controlplane/fake_dataplane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

TEST(attach, maps_the_region_and_reads_the_hello) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path(),
                          {.workers = 3, .run_id = 77, .config = "[log]\nlevel = \"info\"\n"});
  const auto attachment = Attachment::attach(dataplane.path());
  ASSERT_TRUE(attachment.has_value()) << attachment.error();
  EXPECT_EQ((*attachment)->workers(), 3u);
  EXPECT_EQ((*attachment)->hello().run_id, 77u);
  EXPECT_EQ((*attachment)->hello().software.view(), "9.9.9");
  EXPECT_EQ((*attachment)->started_config(), "[log]\nlevel = \"info\"\n");
  dataplane.region().worker(2).core.set(41);
  EXPECT_EQ((*attachment)->region().worker(2).core.get(), 41u);
}

TEST(attach, says_why_when_it_cannot) {
  const TempDir folder;
  EXPECT_NE(Attachment::attach(folder.file("dataplane.sock")).error().find("No such file"),
            std::string::npos);
  EXPECT_NE(Attachment::attach(std::string(200, 'a')).error().find("107"), std::string::npos);
  {
    FakeDataplane dataplane(folder.path(), {.sealed = false});
    EXPECT_NE(Attachment::attach(dataplane.path()).error().find("sealed"), std::string::npos);
  }
  {
    FakeDataplane dataplane(folder.path(), {.version = 99});
    EXPECT_NE(Attachment::attach(dataplane.path()).error().find("version"), std::string::npos);
  }
}

TEST(attach, refuses_a_header_that_does_not_fit_its_region) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  control::RegionHeader& header = dataplane.region().header();
  const auto refused = [&] { return !Attachment::attach(dataplane.path()).has_value(); };
  header.workers = 0;
  EXPECT_TRUE(refused());
  header.workers = 64;
  EXPECT_TRUE(refused());
  header.workers = 2;
  header.streams_max = UINT32_MAX;
  EXPECT_TRUE(refused());
  header.streams_max = 64;
  header.magic ^= 1;
  EXPECT_TRUE(refused());
  header.magic ^= 1;
  EXPECT_FALSE(refused());
}

TEST(attachment, outlives_what_the_header_says_later) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  const auto attachment = Attachment::attach(dataplane.path());
  ASSERT_TRUE(attachment.has_value());
  dataplane.region().header().workers = 1'000'000;
  EXPECT_EQ((*attachment)->workers(), 2u);
}

TEST(attachment, notices_the_hang_up_and_only_that) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  const auto attachment = Attachment::attach(dataplane.path());
  ASSERT_TRUE(attachment.has_value());
  EXPECT_FALSE((*attachment)->hung_up());
  dataplane.hang_up();
  EXPECT_TRUE(eventually([&] { return (*attachment)->hung_up(); }));
}

TEST(attachment, orders_reach_their_worker_until_its_ring_is_full) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  const auto attachment = Attachment::attach(dataplane.path());
  ASSERT_TRUE(attachment.has_value());
  control::Command command;
  command.kind = control::CommandKind::trace;
  command.connection_id = 5;
  EXPECT_TRUE((*attachment)->order(1, command));
  EXPECT_FALSE((*attachment)->order(2, command)) << "there is no such worker";
  EXPECT_TRUE(eventually([&] { return dataplane.commands(1).size() == 1; }));
  EXPECT_EQ(dataplane.commands(1)[0].connection_id, 5u);
  EXPECT_TRUE(dataplane.commands(0).empty());
}

TEST(heartbeat_age, counts_from_the_last_beat_and_not_below_zero) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path(), {.beating = false});
  dataplane.region().worker(0).heartbeat_ns.set(5'000'000'000);
  EXPECT_EQ(heartbeat_age_ms(dataplane.region(), 0, 5'300'000'000), 300u);
  EXPECT_EQ(heartbeat_age_ms(dataplane.region(), 0, 4'000'000'000), 0u);
}

}  // namespace
}  // namespace penstock::controlplane

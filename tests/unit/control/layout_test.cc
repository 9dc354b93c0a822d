#include "penstock/control/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace penstock::control {
namespace {

struct Row {
  uint64_t values[32] = {};
};

TEST(seq_slot, a_reader_sees_whole_rows_while_the_writer_writes) {
  SeqSlot<Row> slot;
  StopFlag stop;
  std::thread writer([&] {
    Row row;
    while (!stop.raised()) {
      for (uint64_t& value : row.values) ++value;
      slot.write(row);
    }
  });
  uint64_t last = 0;
  for (int reads = 0; reads < 20'000; ++reads) {
    Row row;
    if (!slot.read(row)) continue;
    for (const uint64_t value : row.values) ASSERT_EQ(value, row.values[0]);
    ASSERT_GE(row.values[0], last);
    last = row.values[0];
  }
  stop.raise();
  writer.join();
}

TEST(seq_slot, a_write_that_was_broken_off_is_noticed_and_repaired) {
  SeqSlot<Row> slot;
  Row row;
  row.values[0] = 5;
  slot.write(row);
  auto* sequence = reinterpret_cast<uint32_t*>(&slot);  // the first field of the region's slot
  ++*sequence;
  EXPECT_FALSE(slot.read(row));
  slot.repair();
  row.values[0] = 6;
  slot.write(row);
  Row again;
  ASSERT_TRUE(slot.read(again));
  EXPECT_EQ(again.values[0], 6u);
}

TEST(seq_slot, sequence_changes_with_every_write_and_only_then) {
  SeqSlot<Row> slot;
  const uint32_t before = slot.sequence();
  Row row;
  ASSERT_TRUE(slot.read(row));
  slot.repair();
  EXPECT_EQ(slot.sequence(), before);
  slot.write(row);
  EXPECT_NE(slot.sequence(), before);
}

TEST(text, is_cut_to_its_place_and_read_within_it) {
  Text<8> text;
  text.set("0123456789");
  EXPECT_EQ(text.view(), "0123456");
  text.set("ab");
  EXPECT_EQ(text.view(), "ab");
  EXPECT_EQ(text.chars[5], 0) << "nothing of the longer text stays in shared memory";
  text.chars.fill('x');
  EXPECT_EQ(text.view().size(), 8u) << "without a zero the place is the end";
  text.set("");
  EXPECT_EQ(text.view(), "");
}

struct PlanCase {
  const char* what;
  void (*damage)(RegionHeader&);
  bool sane;
};

TEST(plan_of, believes_only_a_header_that_fits_its_region) {
  const PlanCase cases[] = {
      {"as made", [](RegionHeader&) {}, true},
      {"magic", [](RegionHeader& h) { h.magic ^= 1; }, false},
      {"version", [](RegionHeader& h) { ++h.version; }, false},
      {"no worker", [](RegionHeader& h) { h.workers = 0; }, false},
      {"a worker more", [](RegionHeader& h) { ++h.workers; }, false},
      {"too many workers", [](RegionHeader& h) { h.workers = workers_max + 1; }, false},
      {"all the workers", [](RegionHeader& h) { h.workers = UINT32_MAX; }, false},
      {"streams", [](RegionHeader& h) { h.streams_max = UINT32_MAX; }, false},
      {"connections", [](RegionHeader& h) { h.connections_max = UINT32_MAX; }, false},
      {"bytes", [](RegionHeader& h) { h.region_bytes += 4096; }, false},
      {"bytes that wrap", [](RegionHeader& h) { h.region_bytes = UINT64_MAX; }, false},
  };
  const RegionPlan plan{2, 16, 32};
  for (const PlanCase& one : cases) {
    RegionHeader header;
    header.workers = plan.workers;
    header.streams_max = plan.streams_max;
    header.connections_max = plan.connections_max;
    header.region_bytes = plan.region_bytes();
    one.damage(header);
    EXPECT_EQ(Region::plan_of(header, plan.region_bytes()).workers != 0, one.sane) << one.what;
  }
}

TEST(plan_of, refuses_a_region_that_is_mapped_in_part) {
  const RegionPlan plan{1, 1, 1};
  RegionHeader header;
  header.workers = header.streams_max = header.connections_max = 1;
  header.region_bytes = plan.region_bytes();
  EXPECT_EQ(Region::plan_of(header, plan.region_bytes() - 1).workers, 0u);
}

TEST(region_plan, parts_do_not_overlap_and_lie_on_pages) {
  const RegionPlan plan{3, 100, 200};
  EXPECT_GE(plan.wanted_offset(), sizeof(RegionHeader));
  EXPECT_GE(plan.worker_offset(0), plan.wanted_offset() + sizeof(Wanted));
  for (uint32_t worker = 0; worker < plan.workers; ++worker) {
    EXPECT_EQ(plan.worker_offset(worker) % 4096, 0u);
    EXPECT_GE(plan.worker_offset(worker + 1), plan.worker_offset(worker) + sizeof(WorkerArea));
    EXPECT_GE(plan.streams_offset(worker + 1),
              plan.streams_offset(worker) + 100 * sizeof(StreamSlot));
    EXPECT_GE(plan.connections_offset(worker + 1),
              plan.connections_offset(worker) + 200 * sizeof(ConnectionSlot));
  }
  EXPECT_EQ(plan.streams_offset(0), plan.worker_offset(3));
  EXPECT_EQ(plan.connections_offset(0), plan.streams_offset(3));
  EXPECT_EQ(plan.region_bytes(), plan.connections_offset(3));
}

TEST(tunables, defaults_lie_in_their_ranges_and_keys_are_unique) {
  std::set<std::string_view> keys;
  for (const TunableInfo& info : tunable_table) {
    EXPECT_TRUE(info.accepts(info.fallback)) << info.key;
    EXPECT_LE(info.min, info.max) << info.key;
    EXPECT_FALSE(info.accepts(info.max + 1)) << info.key;
    EXPECT_TRUE(keys.insert(info.key).second) << info.key;
    EXPECT_TRUE(keys.insert(info.name).second) << info.name;
    EXPECT_EQ(find_tunable(info.key), find_tunable(info.name));
    // The bare name may carry its section, where two sections have a key of the same name.
    std::string key{info.key};
    std::ranges::replace(key, '.', '_');
    EXPECT_TRUE(key.ends_with(info.name)) << info.key;
  }
  EXPECT_FALSE(find_tunable("").has_value());
  EXPECT_FALSE(find_tunable("limits.").has_value());
}

TEST(fnv1a, is_the_known_function) {
  EXPECT_EQ(fnv1a(""), 0xCBF29CE484222325u);
  EXPECT_EQ(fnv1a("a"), 0xAF63DC4C8601EC8Cu);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171F73967E8u);
}

}  // namespace
}  // namespace penstock::control

#include "dataplane/log_ration.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::dataplane {
namespace {

constexpr Instant start{10 * ns_per_s};

TEST(log_ration, a_storm_for_one_reason_neither_hides_nor_counts_another) {
  LogRation ration;
  uint32_t said = 0;
  for (int i = 0; i < 2'000; ++i) {
    if (ration.take(LogEvent::peer_dropped, "too many handshakes wait", start)) ++said;
  }
  EXPECT_EQ(said, log_records_per_second_max);
  EXPECT_EQ(ration.take(LogEvent::peer_dropped, "connection reset", start), 0u);
  EXPECT_EQ(ration.take(LogEvent::connection_refused, "too many handshakes wait", start), 0u);
  const Instant later = start.after_ns(ns_per_s);
  EXPECT_EQ(ration.take(LogEvent::peer_dropped, "connection reset", later), 0u);
  EXPECT_EQ(ration.take(LogEvent::peer_dropped, "too many handshakes wait", later), 1'950u);
  EXPECT_EQ(ration.take(LogEvent::peer_dropped, "too many handshakes wait", later), 0u);
}

TEST(log_ration, has_room_for_new_reasons_when_old_ones_are_quiet) {
  LogRation ration;
  Instant now = start;
  for (int round = 0; round < 3; ++round, now = now.after_ns(ns_per_s)) {
    for (int i = 0; i < 90; ++i) {
      const std::string reason = std::to_string(round) + "-" + std::to_string(i);
      EXPECT_EQ(ration.take(LogEvent::peer_dropped, reason, now), 0u) << reason;
    }
  }
}

TEST(log_ration, more_reasons_than_it_has_room_for_stay_bounded) {
  LogRation ration;
  uint32_t said = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (ration.take(LogEvent::publish_refused, std::to_string(i), start)) ++said;
  }
  EXPECT_LE(said, 96 + log_records_per_second_max);
}

}  // namespace
}  // namespace penstock::dataplane

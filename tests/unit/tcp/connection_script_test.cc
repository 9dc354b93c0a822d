#include <gtest/gtest.h>

#include "tests/unit/tcp/script.h"

namespace penstock::engine::tcp {
namespace {

struct Case {
  const char* name;
  const char* script;
};

void PrintTo(const Case& which, std::ostream* out) { *out << which.name; }

std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }

/// Against a peer with SACK and without timestamps, 1000 bytes to a segment, a first window of ten,
/// and a round trip time of 100 ms.
class PlainScript : public testing::TestWithParam<Case> {};

TEST_P(PlainScript, goes_as_written) {
  Script script;
  EXPECT_EQ(script.run(GetParam().script), "");
}

const Case plain_cases[] = {
    {"one_segment_is_acknowledged_after_40_ms", R"(
      +0 < . 0:1000 ack 0
      +39 > none
      +1 > . 0:0 ack 1000
      event received 1000
      event none
      +500 > none)"},
    {"two_segments_are_acknowledged_at_once", R"(
      +0 < . 0:1000 ack 0
      +5 < . 1000:2000 ack 0
      +0 > . 0:0 ack 2000
      +500 > none)"},
    {"who_sends_seldom_is_acknowledged_at_once", R"(
      +0 < . 0:1000 ack 0
      +40 > . 0:0 ack 1000
      +60 < . 1000:2000 ack 0
      +40 > . 0:0 ack 2000
      +60 < . 2000:3000 ack 0
      > . 0:0 ack 3000
      +100 < . 3000:4000 ack 0
      > . 0:0 ack 4000
      # and who sends often again is waited for
      +10 < . 4000:5000 ack 0
      > . 0:0 ack 5000
      +10 < . 5000:6000 ack 0
      > none
      +10 < . 6000:7000 ack 0
      > . 0:0 ack 7000)"},
    {"data_carries_the_acknowledgment", R"(
      +0 < . 0:1000 ack 0
      send 10
      > P. 0:10 ack 1000
      +10 < . 1000:1000 ack 10
      +500 > none
      event received 1000
      event sent 10)"},
    {"a_hole_is_told_at_once_and_so_is_its_filling", R"(
      +0 < . 1000:2000 ack 0
      > . 0:0 ack 0 sack 1000-2000
      +1 < . 3000:4000 ack 0
      > . 0:0 ack 0 sack 3000-4000,1000-2000
      +1 < . 2000:3000 ack 0
      > . 0:0 ack 0 sack 1000-4000
      event none
      +1 < . 0:1000 ack 0
      > . 0:0 ack 4000
      event received 1000
      event received 1000
      event received 1000
      event received 1000)"},
    {"duplicates_are_told_by_sack", R"(
      +0 < . 0:1000 ack 0
      +0 < . 0:1000 ack 0
      > . 0:0 ack 1000 sack 0-1000
      +0 < . 2000:3000 ack 0
      > . 0:0 ack 1000 sack 2000-3000
      +0 < . 2000:3000 ack 0
      > . 0:0 ack 1000 sack 2000-3000,2000-3000
      +0 < . 500:1500 ack 0
      > . 0:0 ack 1500 sack 500-1000,2000-3000)"},
    {"overlapping_bytes_are_taken_once", R"(
      +0 < . 100:200 ack 0
      +0 < . 300:400 ack 0
      +0 < . 50:350 ack 0
      +0 < . 0:1000 ack 0
      > . 0:0 ack 0 sack 100-200
      > . 0:0 ack 0 sack 300-400,100-200
      > . 0:0 ack 0 sack 50-400
      > . 0:0 ack 1000
      event received 1000
      event none)"},
    {"three_sacked_above_make_a_loss", R"(
      send 10000
      > . 0:1000 ack 0
      > . 1000:2000 ack 0
      > . 2000:3000 ack 0
      > . 3000:4000 ack 0
      > . 4000:5000 ack 0
      > . 5000:6000 ack 0
      > . 6000:7000 ack 0
      > . 7000:8000 ack 0
      > . 8000:9000 ack 0
      > P. 9000:10000 ack 0
      +100 < . 0:0 ack 0 sack 1000-2000
      > none
      +0 < . 0:0 ack 0 sack 1000-3000
      > none
      +0 < . 0:0 ack 0 sack 1000-4000
      > . 0:1000 ack 0
      +100 < . 0:0 ack 10000
      > none
      event sent 10000)"},
    {"one_sacked_above_makes_a_loss_a_quarter_of_a_round_trip_later", R"(
      send 2000
      > . 0:1000 ack 0
      > P. 1000:2000 ack 0
      +100 < . 0:0 ack 0 sack 1000-2000
      +24 > none
      +1 > . 0:1000 ack 0)"},
    {"what_is_sent_again_and_lost_again_is_sent_again", R"(
      send 4000
      > . 0:1000 ack 0
      > . 1000:2000 ack 0
      > . 2000:3000 ack 0
      > P. 3000:4000 ack 0
      +100 < . 0:0 ack 0 sack 1000-4000
      > . 0:1000 ack 0
      send 2000
      > . 4000:5000 ack 0
      > P. 5000:6000 ack 0
      +100 < . 0:0 ack 0 sack 1000-6000
      > . 0:1000 ack 0
      +100 < . 0:0 ack 6000
      event sent 6000)"},
    {"a_lost_tail_is_probed", R"(
      send 3000
      > . 0:1000 ack 0
      > . 1000:2000 ack 0
      > P. 2000:3000 ack 0
      # twice the round trip and 2 ms
      +201 > none
      +1 > . 2000:3000 ack 0
      +100 < . 0:0 ack 0 sack 2000-3000
      +30 > . 0:1000 ack 0)"},
    {"one_segment_alone_waits_for_the_peers_delayed_ack", R"(
      send 10
      > P. 0:10 ack 0
      # its timeout comes before a probe would, after 402 ms
      +299 > none
      +1 > . 0:10 ack 0)"},
    {"a_closed_window_is_probed_until_it_opens", R"(
      +0 < . 0:0 ack 0 win 0
      send 500
      > none
      +300 > . -1:-1 ack 0
      +0 < . 0:0 ack 0 win 0
      +599 > none
      +1 > . -1:-1 ack 0
      +10 < . 0:0 ack 0 win 400
      > . 0:400 ack 0
      +10 < . 0:0 ack 400 win 2000
      > P. 400:500 ack 0)"},
    {"an_acknowledgment_that_comes_late_by_its_number_brings_its_window", R"(
      send 1000
      > P. 0:1000 ack 0
      +10 < . 100:200 ack 0 win 60000
      > . 1000:1000 ack 0 sack 100-200
      +0 < . 0:100 ack 1000 win 0
      > . 1000:1000 ack 200
      send 1000
      > none)"},
    {"without_credit_the_window_closes_and_opens_again", R"(
      reading off
      +0 < . 0:1000 ack 0
      +40 > . 0:0 ack 1000 win 64519
      event none
      +0 < . 1000:64519 ack 0
      > . 0:0 ack 64519 win 1000
      +0 < . 64519:65519 ack 0
      +0 < . 65519:65520 ack 0
      > . 0:0 ack 65519 win 0
      reading on
      > none
      event received 1000
      event received 63519
      > . 0:0 ack 65519 win 64535)"},
    {"a_mark_gathers", R"(
      low 1500
      +0 < . 0:1000 ack 0
      event none
      +0 < . 1000:2000 ack 0
      event received 1000
      event received 1000
      +0 < F. 2000:2010 ack 0
      event received 10
      event ended)"},
    {"a_reset_must_be_exact", R"(
      +0 < R 1:1
      > . 0:0 ack 0
      +200 < R 60000:60000
      > . 0:0 ack 0
      +200 < R 65520:65520
      +0 < R -1:-1
      > none
      event none
      +0 < R 0:0
      > none
      event closed reset
      event none)"},
    {"a_syn_is_never_believed_and_answers_are_limited", R"(
      +0 < S 0:0
      > . 0:0 ack 0
      +50 < S 0:0
      > none
      +50 < S 77:77
      > . 0:0 ack 0
      event none)"},
    {"acknowledgments_of_what_was_not_sent_are_challenged", R"(
      +0 < . 0:100 ack 1
      > . 0:0 ack 0
      +200 < . 0:100 ack -60001
      > . 0:0 ack 0
      event none
      +0 < . 0:100 ack -60000
      event received 100)"},
    {"old_and_future_segments_are_not_taken", R"(
      +0 < . -100:0 ack 0
      > . 0:0 ack 0 sack -100-0
      +200 < . 65600:65700 ack 0
      > . 0:0 ack 0
      +200 < P 0:10
      > none
      event none)"},
    {"the_peer_ends_and_we_go_on", R"(
      +0 < F. 0:100 ack 0
      > . 0:0 ack 101
      event received 100
      event ended
      event none
      send 2000
      > . 0:1000 ack 101
      > P. 1000:2000 ack 101
      +100 < . 101:101 ack 2000
      event sent 2000
      finish
      > F. 2000:2000 ack 101
      +100 < . 101:101 ack 2001
      event closed ours
      > none)"},
    {"we_end_and_the_peer_goes_on", R"(
      send 100
      finish
      > P. 0:100 ack 0
      > F. 100:100 ack 0
      +100 < . 0:0 ack 101
      event sent 100
      +0 < . 0:1000 ack 101
      event received 1000
      +40 > . 101:101 ack 1000
      +0 < F. 1000:1000 ack 101
      > . 101:101 ack 1001
      event ended
      event closed ours)"},
    {"both_end_at_once", R"(
      finish
      > F. 0:0 ack 0
      +10 < F. 0:0 ack 0
      > . 1:1 ack 1
      event ended
      event none
      +10 < . 1:1 ack 1
      event closed ours
      +1000 > none)"},
    {"a_fin_behind_a_hole_waits", R"(
      +0 < F. 1000:2000 ack 0
      > . 0:0 ack 0 sack 1000-2000
      event none
      +0 < . 0:1000 ack 0
      > . 0:0 ack 2001
      event received 1000
      event received 1000
      event ended)"},
    {"a_lost_fin_is_sent_again", R"(
      finish
      > F. 0:0 ack 0
      +300 > F. 0:0 ack 0
      +600 > F. 0:0 ack 0
      +10 < . 0:0 ack 1
      +5000 > none)"},
    {"close_without_anything_open_ends_in_order", R"(
      close
      > F. 0:0 ack 0
      event closed ours
      event none
      +10 < . 0:0 ack 1
      +10 < F. 0:0 ack 1
      > . 1:1 ack 1
      event none)"},
    {"close_with_bytes_unread_or_unsent_resets", R"(
      +0 < . 0:100 ack 0
      close
      > R. 0:0 ack 100
      event closed ours
      event none)"},
    {"bytes_after_close_are_answered_by_a_reset", R"(
      close
      > F. 0:0 ack 0
      event closed ours
      +10 < . 0:100 ack 1
      > R. 1:1 ack 0
      event none)"},
    {"nobody_answers_the_end_and_it_ends_all_the_same", R"(
      close
      > F. 0:0 ack 0
      event closed ours
      +0 < . 0:0 ack 1
      +14900 > none
      +100 > R. 1:1 ack 0)"},
    {"a_quiet_peer_is_asked_and_then_given_up", R"(
      +59999 > none
      +1 > . -1:-1 ack 0
      +10 < . 0:0 ack 0
      +59999 > none
      +1 > . -1:-1 ack 0
      +10000 > . -1:-1 ack 0
      +10000 > . -1:-1 ack 0
      +10000 > . -1:-1 ack 0
      +10000 > . -1:-1 ack 0
      +10000 > . -1:-1 ack 0
      +10000 > R. 0:0 ack 0
      event closed timeout)"},
    {"sent_waits_until_the_device_is_done_with_the_bytes", R"(
      hold
      send 100
      > P. 0:100 ack 0
      +10 < . 0:0 ack 100
      event none
      transmitted
      event sent 100
      send 50
      +0 < R 0:0
      > P. 100:150 ack 0
      event none
      transmitted
      event closed reset)"},
    {"sent_counts_in_order_whatever_left_the_device_first", R"(
      send 2000
      > . 0:1000 ack 0
      > P. 1000:2000 ack 0
      # from now on packets stay in the device
      hold
      +100 < . 0:0 ack 0 sack 1000-2000
      +25 > . 0:1000 ack 0
      +10 < . 0:0 ack 1000
      event none
      +10 < . 0:0 ack 2000
      event none
      transmitted
      event sent 2000)"},
    {"a_narrower_path_sends_again_in_parts", R"(
      send 2000
      > . 0:1000 ack 0
      > P. 1000:2000 ack 0
      mss 600
      > . 0:600 ack 0
      > . 600:1000 ack 0
      > . 1000:1600 ack 0
      > . 1600:2000 ack 0
      +100 < . 0:0 ack 2000
      event sent 2000)"},
};
INSTANTIATE_TEST_SUITE_P(Connection, PlainScript, testing::ValuesIn(plain_cases), name_of);

/// The same with timestamps, which take 12 of the 1000 bytes.
class TimestampScript : public testing::TestWithParam<Case> {};

TEST_P(TimestampScript, goes_as_written) {
  ScriptOptions options;
  options.negotiated.timestamps = true;
  Script script(options);
  EXPECT_EQ(script.run(GetParam().script), "");
}

const Case timestamp_cases[] = {
    {"timestamps_are_echoed", R"(
      +7 < . 0:10 ack 0 ts 100:0
      +0 < . 10:2000 ack 0 ts 101:0
      > . 0:0 ack 2000 ts 7:100
      +0 < . 2000:4000 ack 0 ts 102:0
      > . 0:0 ack 4000 ts 7:102)"},
    {"old_timestamps_are_refused", R"(
      +0 < . 0:10 ack 0 ts 100:0
      +0 < . 10:20 ack 0 ts 99:0
      > . 0:0 ack 10
      event received 10
      event none
      +0 < . 10:20 ack 0 ts 100:0
      event received 10)"},
    {"missing_timestamps_are_refused_but_for_resets", R"(
      +0 < . 0:10 ack 0
      > none
      event none
      +0 < R 0:0
      event closed reset)"},
    {"a_needless_timeout_is_undone", R"(
      +1 < . 0:0 ack 0 ts 1:0
      send 3952
      > . 0:988 ack 0 ts 1:1
      > . 988:1976 ack 0
      > . 1976:2964 ack 0
      > P. 2964:3952 ack 0
      # the probe, then the timeout
      +202 > . 2964:3952 ack 0 ts 203:1
      +300 > . 0:988 ack 0 ts 503:1
      # the first copies were only late
      +10 < . 0:0 ack 3952 ts 500:1
      send 9880
      > . 3952:4940 ack 0
      > . 4940:5928 ack 0
      > . 5928:6916 ack 0
      > . 6916:7904 ack 0
      > . 7904:8892 ack 0
      > . 8892:9880 ack 0
      > . 9880:10868 ack 0
      > . 10868:11856 ack 0
      > . 11856:12844 ack 0
      > P. 12844:13832 ack 0)"},
};
INSTANTIATE_TEST_SUITE_P(Connection, TimestampScript, testing::ValuesIn(timestamp_cases), name_of);

class EcnScript : public testing::TestWithParam<Case> {};

TEST_P(EcnScript, goes_as_written) {
  ScriptOptions options;
  options.negotiated.ecn = true;
  Script script(options);
  EXPECT_EQ(script.run(GetParam().script), "");
}

const Case ecn_cases[] = {
    {"congestion_is_echoed_until_it_was_heard", R"(
      +0 < . 0:1000 ack 0 ce
      > .E 0:0 ack 1000
      +0 < . 1000:3000 ack 0
      > .E 0:0 ack 3000
      +0 < .W 3000:5000 ack 0
      > . 0:0 ack 5000)"},
    {"an_echo_reduces_once_and_is_answered", R"(
      send 3000
      > . 0:1000 ack 0 ect
      > . 1000:2000 ack 0 ect
      > P. 2000:3000 ack 0 ect
      +100 < .E 0:0 ack 2000
      send 1000
      > P.W 3000:4000 ack 0 ect
      +10 < .E 0:0 ack 3000
      send 1000
      > P. 4000:5000 ack 0 ect)"},
};
INSTANTIATE_TEST_SUITE_P(Connection, EcnScript, testing::ValuesIn(ecn_cases), name_of);

class NoSackScript : public testing::TestWithParam<Case> {};

TEST_P(NoSackScript, goes_as_written) {
  ScriptOptions options;
  options.negotiated.sack = false;
  Script script(options);
  EXPECT_EQ(script.run(GetParam().script), "");
}

const Case no_sack_cases[] = {
    {"three_duplicate_acks_make_a_loss_and_partial_ones_the_next", R"(
      send 6000
      > . 0:1000 ack 0
      > . 1000:2000 ack 0
      > . 2000:3000 ack 0
      > . 3000:4000 ack 0
      > . 4000:5000 ack 0
      > P. 5000:6000 ack 0
      +100 < . 0:0 ack 0
      +0 < . 0:0 ack 0
      > none
      +0 < . 0:0 ack 0
      > . 0:1000 ack 0
      +100 < . 0:0 ack 2000
      > . 2000:3000 ack 0
      +100 < . 0:0 ack 6000
      > none)"},
    {"timeouts_double", R"(
      send 1000
      > P. 0:1000 ack 0
      +299 > none
      +1 > . 0:1000 ack 0
      +599 > none
      +1 > . 0:1000 ack 0
      +1199 > none
      +1 > . 0:1000 ack 0
      +100 < . 0:0 ack 1000
      event sent 1000
      +5000 > none)"},
    {"who_never_acknowledges_is_given_up", R"(
      send 10
      +59999
      event none
      +1
      event closed timeout)"},
};
INSTANTIATE_TEST_SUITE_P(Connection, NoSackScript, testing::ValuesIn(no_sack_cases), name_of);

class ActiveScript : public testing::TestWithParam<Case> {};

TEST_P(ActiveScript, goes_as_written) {
  ScriptOptions options;
  options.passive = false;
  Script script(options);
  EXPECT_EQ(script.run(GetParam().script), "");
}

const Case active_cases[] = {
    {"opens_and_sends_what_waited", R"(
      > SEW -1:-1
      send 100
      > none
      +100 < S. -1:-1 ack 0 mss 500 sack
      > P. 0:100 ack 0
      event connected)"},
    {"a_lost_syn_is_sent_again", R"(
      > SEW -1:-1
      +999 > none
      +1 > SEW -1:-1
      # the third does not ask for ECN
      +2000 > S -1:-1
      +10 < S. -1:-1 ack 0
      > . 0:0 ack 0
      event connected)"},
    {"nobody_listens", R"(
      > SEW -1:-1
      +10 < R. 0:0 ack 0
      event closed refused)"},
    {"a_reset_for_something_else_is_not_believed", R"(
      > SEW -1:-1
      +10 < R 0:0
      +10 < R. 0:0 ack 7
      event none)"},
    {"an_old_connection_is_reset_first", R"(
      > SEW -1:-1
      +10 < . 500:500 ack 700
      > R 700:700
      +990 > SEW -1:-1)"},
    {"both_open_at_once", R"(
      > SEW -1:-1
      +10 < S -1:-1
      > S. -1:-1 ack 0
      event none
      +10 < S. -1:-1 ack 0
      > . 0:0 ack 0
      event connected)"},
    {"nobody_answers", R"(
      +59999
      event none
      +1
      event closed timeout)"},
    {"close_before_it_stands_says_nothing", R"(
      > SEW -1:-1
      close
      > none
      event closed ours)"},
};
INSTANTIATE_TEST_SUITE_P(Connection, ActiveScript, testing::ValuesIn(active_cases), name_of);

}  // namespace
}  // namespace penstock::engine::tcp

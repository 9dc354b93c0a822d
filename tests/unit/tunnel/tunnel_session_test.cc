#include "penstock/tunnel/tunnel_session.h"

#include <gtest/gtest.h>

#include <string>

namespace penstock::tunnel {
namespace {

constexpr Instant start{100 * ns_per_s};

/// A session and what came out of it, one line each: ">body" up, "tag:status body" for answers,
/// where the interval is a digit and "!" says that it counts.
struct Probe {
  TunnelSession session{45'000, start};
  Instant now = start;
  bool worker_answers = true;  // bodies settle at once

  void ask(uint64_t tag, RtmptVerb verb, uint32_t sequence, std::string body = {}) {
    session.ask(tag, verb, {.sequence = sequence, .run = as_bytes(body)}, now);
    pull();  // before the run goes
  }
  void send(uint64_t tag, uint32_t sequence, std::string body) {
    ask(tag, RtmptVerb::send, sequence, std::move(body));
  }
  void idle(uint64_t tag, uint32_t sequence) { ask(tag, RtmptVerb::idle, sequence); }
  void say(std::string_view text) {
    session.send(as_bytes(text));
    pull();
  }
  void pull() {
    TunnelBody body;
    while (session.take_body(body)) {
      said += ">" + std::string(as_text(body.bytes())) + "\n";
      if (worker_answers) session.settled(body.sequence);
    }
    TunnelSession::Answer answer;
    while (session.take_answer(answer, now)) {
      said += std::to_string(answer.tag) + ":" + std::to_string(answer.status) + " ";
      if (!answer.body.empty()) said += std::to_string(answer.body[0]);
      if (answer.body.size() > 1) said += as_text(answer.body.subspan(1));
      said += answer.counts ? "!\n" : "\n";
    }
  }
  /// To its own deadline.
  void pass() {
    ASSERT_NE(session.deadline(), Instant::never());
    now = std::max(now, session.deadline());
    session.expire(now);
    pull();
  }
  void written(uint64_t tag) {
    session.written(tag);
    pull();
  }
  void lost(uint64_t tag) {
    session.lost(tag, now);
    pull();
  }
  std::string take() { return std::exchange(said, {}); }

  std::string said;
};

TEST(TunnelSession, a_send_is_answered_when_the_worker_has_seen_it) {
  Probe probe;
  probe.worker_answers = false;
  probe.send(1, 0, "C0C1");
  EXPECT_EQ(probe.take(), ">C0C1\n");
  probe.say("S0");
  probe.say("S1");
  EXPECT_EQ(probe.take(), "");
  probe.session.settled(0);
  probe.pull();
  EXPECT_EQ(probe.take(), "1:200 1S0S1!\n");
  EXPECT_EQ(probe.session.take_sent(), 0u);
  probe.written(1);
  EXPECT_EQ(probe.session.take_sent(), 4u);
}

TEST(TunnelSession, an_idle_waits_for_its_interval_or_for_data) {
  Probe probe;
  probe.idle(1, 0);
  EXPECT_EQ(probe.take(), "");
  EXPECT_EQ(probe.session.deadline(), start.after_ms(15));
  probe.pass();
  EXPECT_EQ(probe.take(), "1:200 1\n");
  probe.idle(2, 1);
  probe.say("x");
  EXPECT_EQ(probe.take(), "2:200 1x!\n");
}

TEST(TunnelSession, idles_are_held_longer_the_longer_nothing_happens_and_never_half_a_second) {
  Probe probe;
  std::vector<uint64_t> held_ms;
  for (uint32_t i = 0; i < 20; ++i) {
    const Instant asked_at = probe.now;
    probe.idle(i, i);
    probe.pass();
    held_ms.push_back(probe.now.since(asked_at) / ns_per_ms);
  }
  EXPECT_EQ(held_ms[9], 15u);
  EXPECT_EQ(held_ms[10], 46u);
  EXPECT_EQ(held_ms[19], 500u);
  EXPECT_TRUE(probe.take().ends_with("19:200 33\n"));
  // A publisher that sends is not idle.
  probe.send(20, 20, "video");
  probe.take();
  const Instant asked_at = probe.now;
  probe.idle(21, 21);
  probe.pass();
  EXPECT_EQ(probe.now.since(asked_at) / ns_per_ms, 15u);
}

TEST(TunnelSession, bodies_come_in_order_and_once) {
  Probe probe;
  probe.send(3, 2, "c");
  probe.send(2, 1, "b");
  probe.send(4, 2, "c again");
  EXPECT_EQ(probe.take(), "");
  probe.send(1, 0, "a");
  EXPECT_EQ(probe.take(), ">a\n>b\n>c\n1:200 1\n2:200 1\n3:200 1\n4:200 1\n");
  probe.send(5, 0, "a");
  probe.send(6, 2, "c");
  EXPECT_EQ(probe.take(), "5:200 1\n6:200 1\n");
}

TEST(TunnelSession, a_request_asked_again_is_given_the_same_answer) {
  Probe probe;
  probe.say("hello");
  probe.idle(1, 0);
  EXPECT_EQ(probe.take(), "1:200 1hello!\n");
  probe.lost(1);
  probe.idle(2, 0);
  EXPECT_EQ(probe.take(), "2:200 1hello!\n");
  probe.written(2);
  EXPECT_EQ(probe.session.take_sent(), 5u);
  probe.idle(3, 0);  // a proxy lost it behind us
  EXPECT_EQ(probe.take(), "3:200 1hello\n");
  EXPECT_EQ(probe.session.take_sent(), 0u);
}

TEST(TunnelSession, a_request_asked_again_before_its_answer_is_answered_on_both_connections) {
  Probe probe;
  probe.idle(1, 0);
  probe.idle(2, 0);
  probe.say("hello");
  EXPECT_EQ(probe.take(), "1:200 1hello!\n2:200 1hello!\n");
  probe.lost(1);
  probe.written(2);
  EXPECT_EQ(probe.session.take_sent(), 5u);
  EXPECT_EQ(probe.session.deadline(), probe.now.after_ms(45'000));
}

TEST(TunnelSession, of_too_many_connections_that_wait_for_one_answer_the_oldest_is_refused) {
  Probe probe;
  for (uint64_t tag = 1; tag <= TunnelSession::tags_max + 1; ++tag) probe.idle(tag, 0);
  EXPECT_EQ(probe.take(), "1:503 \n");
  probe.say("x");
  EXPECT_EQ(probe.take(), "2:200 1x!\n3:200 1x!\n4:200 1x!\n5:200 1x!\n");
  probe.idle(6, 0);
  EXPECT_EQ(probe.take(), "6:200 1x!\n");
  for (uint64_t tag = 2; tag <= 5; ++tag) probe.lost(tag);
  probe.written(6);
  EXPECT_EQ(probe.session.take_sent(), 1u);
}

TEST(TunnelSession, an_idle_on_a_lost_connection_takes_no_data_with_it) {
  Probe probe;
  probe.idle(1, 0);
  probe.lost(1);
  probe.say("hello");
  EXPECT_EQ(probe.take(), "");
  probe.idle(2, 0);
  EXPECT_EQ(probe.take(), "2:200 1hello!\n");
}

TEST(TunnelSession, a_later_answer_waits_until_the_data_before_it_has_gone_out) {
  Probe probe;
  probe.say("one");
  probe.idle(1, 0);
  probe.say("two");
  probe.idle(2, 1);
  EXPECT_EQ(probe.take(), "1:200 1one!\n");
  probe.written(1);
  EXPECT_EQ(probe.take(), "2:200 1two!\n");
}

TEST(TunnelSession, data_that_was_lost_and_not_asked_for_again_ends_it) {
  Probe probe;
  probe.say("one");
  probe.idle(1, 0);
  probe.lost(1);
  probe.idle(2, 1);
  EXPECT_EQ(probe.take(), "1:200 1one!\n");
  EXPECT_EQ(probe.session.deadline(), probe.now.after_ms(1'000));
  probe.pass();
  EXPECT_EQ(probe.take(), "2:404 \n");
  EXPECT_EQ(probe.session.fault(), Fault::tunnel_sequence);
}

TEST(TunnelSession, a_gap_is_waited_for_one_second) {
  Probe probe;
  probe.send(2, 1, "b");
  probe.now = probe.now.after_ms(999);
  probe.session.expire(probe.now);
  probe.send(1, 0, "a");
  EXPECT_EQ(probe.take(), ">a\n>b\n1:200 1\n2:200 1\n");
  probe.send(3, 3, "d");
  probe.pass();
  EXPECT_EQ(probe.take(), "3:404 \n");
  EXPECT_TRUE(probe.session.over());
  EXPECT_EQ(probe.session.fault(), Fault::tunnel_sequence);
  EXPECT_EQ(probe.session.deadline(), Instant::never());
}

TEST(TunnelSession, a_number_too_far_ahead_ends_it) {
  Probe probe;
  probe.send(1, TunnelSession::window, "x");
  EXPECT_EQ(probe.take(), "1:404 \n");
  EXPECT_EQ(probe.session.fault(), Fault::tunnel_sequence);
  probe.send(2, 0, "y");
  EXPECT_EQ(probe.take(), "2:404 \n");
}

TEST(TunnelSession, requests_that_wait_hold_a_bounded_number_of_bytes) {
  Probe probe;
  probe.send(1, 1, std::string(TunnelSession::waiting_bytes_max, 'x'));
  EXPECT_EQ(probe.take(), "");
  probe.send(2, 2, "y");
  EXPECT_EQ(probe.session.fault(), Fault::http_too_large);
}

TEST(TunnelSession, a_worker_that_does_not_read_is_waited_for) {
  Probe probe;
  probe.session.set_reading(false);
  probe.send(1, 0, "a");
  probe.say("data");
  probe.now = probe.now.after_ms(100'000);
  probe.session.expire(probe.now);
  probe.pull();
  EXPECT_EQ(probe.take(), "");
  EXPECT_FALSE(probe.session.over());
  probe.session.set_reading(true);
  probe.pull();
  EXPECT_EQ(probe.take(), ">a\n1:200 1data!\n");
}

TEST(TunnelSession, an_answer_has_a_bounded_number_of_bytes) {
  Probe probe;
  const std::string text(TunnelSession::answer_bytes_max + 10, 'x');
  probe.say(text);
  EXPECT_EQ(probe.session.queued_bytes(), text.size());
  probe.idle(1, 0);
  EXPECT_EQ(probe.take().size(), TunnelSession::answer_bytes_max + 9);
  EXPECT_EQ(probe.session.queued_bytes(), 10u);
  probe.written(1);
  probe.idle(2, 1);
  EXPECT_EQ(probe.take(), "2:200 1xxxxxxxxxx!\n");
}

TEST(TunnelSession, it_ends_when_nobody_asks_any_more) {
  Probe probe;
  probe.idle(1, 0);
  probe.pass();
  probe.pass();
  EXPECT_EQ(probe.now.since(start), 45 * ns_per_s);
  EXPECT_EQ(probe.session.fault(), Fault::tunnel_timeout);
}

TEST(TunnelSession, the_peer_closes_it_behind_what_it_sent) {
  Probe probe;
  probe.ask(2, RtmptVerb::close, 1);
  probe.idle(3, 2);
  probe.send(1, 0, "last");
  EXPECT_EQ(probe.take(), ">last\n1:200 1\n2:200 0\n3:404 \n");
  EXPECT_TRUE(probe.session.over() && probe.session.closed_by_peer());
  EXPECT_FALSE(probe.session.fault());
}

TEST(TunnelSession, after_finish_the_rest_is_answered_and_then_there_is_no_such_session) {
  Probe probe;
  probe.say("bye");
  probe.session.finish();
  probe.idle(1, 0);
  EXPECT_EQ(probe.take(), "1:200 1bye!\n");
  EXPECT_FALSE(probe.session.over());
  probe.written(1);
  EXPECT_EQ(probe.session.take_sent(), 3u);
  probe.idle(2, 1);
  EXPECT_EQ(probe.take(), "2:404 \n");
  EXPECT_TRUE(probe.session.over());
  EXPECT_FALSE(probe.session.fault());
}

TEST(TunnelSession, one_that_is_finished_and_not_asked_ends_without_a_fault) {
  Probe probe;
  probe.session.finish();
  probe.pass();
  EXPECT_TRUE(probe.session.over());
  EXPECT_FALSE(probe.session.fault());
}

TEST(TunnelSession, everybody_who_waits_at_its_end_is_told) {
  Probe probe;
  probe.idle(1, 0);
  probe.idle(2, 2);
  probe.session.end();
  probe.pull();
  EXPECT_EQ(probe.take(), "1:404 \n2:404 \n");
}

}  // namespace
}  // namespace penstock::tunnel

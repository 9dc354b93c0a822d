#include "penstock/tunnel/rtmpt_initiator.h"

#include <gtest/gtest.h>

#include <string>

#include "penstock/tunnel/http_request.h"

namespace penstock::tunnel {
namespace {

constexpr Instant start{100 * ns_per_s};

/// An initiator, and a server's side that is played by the test.
struct Probe {
  explicit Probe(RtmptInitiatorSettings settings = {}) : initiator(std::move(settings), start) {}

  /// The target and body of the next request; empty when there is none.
  std::string request() {
    HttpRequestReader reader;
    const std::vector<uint8_t> bytes = std::exchange(initiator.outbox(), {});
    reader.feed(bytes);
    std::string said;
    while (const auto step = reader.next()) {
      if (*step == HttpRequestReader::Step::need_input) break;
      if (*step == HttpRequestReader::Step::head) said += reader.head().target + " ";
      if (*step == HttpRequestReader::Step::body) said += as_text(reader.body());
    }
    return said;
  }
  std::expected<void, Fault> answer(uint16_t status, std::string_view body, size_t cut = 1000) {
    std::vector<uint8_t> http;
    append_http_answer(status, as_bytes(body), true, http);
    for (Bytes rest = http; !rest.empty();) {
      const Bytes piece = rest.first(std::min(rest.size(), cut));
      if (const auto fed = initiator.feed(piece, received, now); !fed) return fed;
      rest = rest.subspan(piece.size());
    }
    return {};
  }
  void open() {
    EXPECT_EQ(request(), std::string("/open/1 ") + '\0');
    EXPECT_TRUE(answer(200, "Abc\n"));
  }

  RtmptInitiator initiator;
  Instant now = start;
  std::vector<uint8_t> received;
};

const std::string zero(1, '\0');

TEST(RtmptInitiator, opens_sends_polls_and_closes) {
  Probe probe;
  probe.initiator.send(as_bytes("C0C1"), probe.now);
  probe.open();
  EXPECT_EQ(probe.request(), "/send/Abc/0 C0C1");
  EXPECT_EQ(probe.initiator.unsent_bytes(), 4u);
  ASSERT_TRUE(probe.answer(200, "\1S0S1", 3));
  EXPECT_EQ(as_text(probe.received), "S0S1");
  EXPECT_EQ(probe.initiator.unsent_bytes(), 0u);
  EXPECT_EQ(probe.request(), "");
  EXPECT_EQ(probe.initiator.deadline(), start.after_ns(ns_per_s / 64));
  probe.now = probe.initiator.deadline();
  probe.initiator.expire(probe.now);
  EXPECT_EQ(probe.request(), "/idle/Abc/1 " + zero);
  EXPECT_EQ(probe.initiator.deadline(), Instant::never());
  probe.initiator.finish(probe.now);
  ASSERT_TRUE(probe.answer(200, "\x21"));
  EXPECT_EQ(probe.request(), "/close/Abc/2 " + zero);
  EXPECT_FALSE(probe.initiator.closed());
  ASSERT_TRUE(probe.answer(200, zero));
  EXPECT_TRUE(probe.initiator.closed());
}

TEST(RtmptInitiator, gathers_what_is_sent_while_a_request_is_under_way) {
  Probe probe({.post_bytes_max = 4});
  probe.open();
  EXPECT_EQ(probe.request(), "/idle/Abc/0 " + zero);
  probe.initiator.send(as_bytes("ab"), probe.now);
  probe.initiator.send(as_bytes("cdef"), probe.now);
  EXPECT_EQ(probe.request(), "");
  ASSERT_TRUE(probe.answer(200, "\1"));
  EXPECT_EQ(probe.request(), "/send/Abc/1 abcd");
  ASSERT_TRUE(probe.answer(200, "\1"));
  EXPECT_EQ(probe.request(), "/send/Abc/2 ef");
}

TEST(RtmptInitiator, asks_again_on_a_new_carrier) {
  Probe probe;
  probe.open();
  probe.initiator.send(as_bytes("x"), probe.now);
  EXPECT_EQ(probe.request(), "/idle/Abc/0 " + zero);
  std::vector<uint8_t> half;
  append_http_answer(200, as_bytes("\1data"), true, half);
  half.resize(half.size() - 2);
  ASSERT_TRUE(probe.initiator.feed(half, probe.received, probe.now));
  EXPECT_TRUE(probe.received.empty());
  probe.initiator.carrier_lost();
  EXPECT_EQ(probe.request(), "/idle/Abc/0 " + zero);
  ASSERT_TRUE(probe.answer(200, "\1data"));
  EXPECT_EQ(as_text(probe.received), "data");
  EXPECT_EQ(probe.request(), "/send/Abc/1 x");
}

TEST(RtmptInitiator, ident_is_asked_first_where_wanted) {
  Probe probe({.ident = true});
  EXPECT_EQ(probe.request(), "/fcs/ident2 " + zero);
  ASSERT_TRUE(probe.answer(404, ""));
  probe.open();
}

TEST(RtmptInitiator, what_is_no_answer_is_a_fault) {
  Probe refused;
  EXPECT_EQ(refused.answer(503, "").error(), Fault::tunnel_request);
  Probe gone;
  gone.open();
  EXPECT_EQ(gone.answer(404, "").error(), Fault::tunnel_unknown);
  Probe nameless;
  EXPECT_EQ(nameless.answer(200, "\n").error(), Fault::tunnel_request);
  Probe odd;
  EXPECT_EQ(odd.initiator.feed(as_bytes("rubbish\r\n\r\n"), odd.received, odd.now).error(),
            Fault::http_malformed);
  Probe talkative;
  talkative.open();
  EXPECT_TRUE(talkative.answer(200, "\1"));
  EXPECT_EQ(talkative.answer(200, "\1").error(), Fault::http_malformed);
}

}  // namespace
}  // namespace penstock::tunnel

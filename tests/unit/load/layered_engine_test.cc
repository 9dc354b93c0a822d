#include "bench/load/layered_engine.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "bench/load/variant.h"
#include "penstock/tunnel/rtmpe_layer.h"

namespace penstock::load {
namespace {

using engine::ConnectionId;
using engine::EngineEvent;
using engine::EngineEventKind;

constexpr ConnectionId first{0, 1};

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// One connection; what is sent is kept, and what happens is told by the test.
class ScriptedEngine final : public engine::Engine {
 public:
  std::span<EngineEvent> poll(std::span<EngineEvent> events, Instant until) override {
    wake_at = until;
    size_t count = 0;
    for (; count < events.size() && !told_.empty(); ++count) {
      events[count] = told_.front();
      told_.pop_front();
    }
    return events.first(count);
  }
  std::optional<ConnectionId> connect(const engine::Endpoint&) override { return first; }
  void send(ConnectionId, std::span<const Bytes> slices) override {
    for (const Bytes slice : slices) sent.insert(sent.end(), slice.begin(), slice.end());
  }
  void set_reading(ConnectionId, bool) override {}
  void set_low_water(ConnectionId, uint32_t, engine::Rest) override {}
  void finish(ConnectionId) override {}
  void close(ConnectionId) override { ++closes; }
  bool set_accepting(bool) override { return true; }
  void set_gather_max(uint64_t) override {}
  void wake() override {}

  EngineEvent& tell(EngineEventKind kind) {
    EngineEvent& event = told_.emplace_back();
    event.kind = kind;
    event.id = first;
    return event;
  }
  void tell_received(Bytes bytes) { tell(EngineEventKind::received).bytes = bytes; }
  void tell_sent(size_t bytes) {
    tell(EngineEventKind::sent).sent_bytes = static_cast<uint32_t>(bytes);
  }

  std::vector<uint8_t> sent;
  int closes = 0;
  Instant wake_at;

 private:
  std::deque<EngineEvent> told_;
};

Instant test_now{1000 * ns_per_s};
Instant clock_of_test() { return test_now; }

Layers rtmpe() {
  Layers layers;
  layers.all.push_back(std::make_unique<tunnel::RtmpeLayer>(
      tunnel::RtmpeSettings{.initiates = true, .random_seed = 1}));
  return layers;
}

Layers rtmpt() {
  Layers layers;
  auto requests = std::make_unique<RtmptLayer>("host", clock_of_test);
  layers.tunnel = requests.get();
  layers.all.push_back(std::move(requests));
  return layers;
}

Layers rtmpte() {
  Layers layers = rtmpt();
  layers.all.push_back(std::move(rtmpe().all[0]));
  return layers;
}

class LayeredEngineTest : public testing::Test {
 protected:
  struct Seen {
    EngineEventKind kind;
    std::string bytes;
    uint32_t sent_bytes;
    Fault fault;
  };

  /// Of one poll, with copies of the bytes.
  static std::vector<Seen> poll(LayeredEngine& engine, size_t places = 16) {
    std::vector<EngineEvent> events(places);
    std::vector<Seen> seen;
    for (const EngineEvent& event : engine.poll(events, Instant::never())) {
      EXPECT_EQ(event.id, first);
      seen.push_back({event.kind, std::string(event.bytes.begin(), event.bytes.end()),
                      event.sent_bytes, event.fault});
    }
    return seen;
  }

  /// The other side's turn: takes what was sent, and its answer is told as received.
  std::string answer(tunnel::Layer& other) {
    std::string opened;
    std::vector<uint8_t> room(64 * 1024);
    const std::vector<uint8_t> input = std::exchange(inner_.sent, {});
    answer_.clear();
    Bytes left = input;
    for (;;) {
      const auto step = other.open(left, room, answer_);
      EXPECT_TRUE(step.has_value());
      opened.append(room.begin(), room.begin() + static_cast<ptrdiff_t>(step->output_bytes));
      left = left.subspan(step->input_bytes);
      if (step->input_bytes == 0 && step->output_bytes == 0) break;
    }
    inner_.tell_sent(input.size());
    if (!answer_.empty()) inner_.tell_received(answer_);
    return opened;
  }

  /// What was sent since, which has gone out.
  std::string posted() {
    const std::vector<uint8_t> sent = std::exchange(inner_.sent, {});
    if (!sent.empty()) inner_.tell_sent(sent.size());
    return {sent.begin(), sent.end()};
  }

  static std::string http(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  /// Up to the first poll, whose answer is awaited.
  void open_tunnel(LayeredEngine& engine) {
    ASSERT_EQ(engine.connect({}), first);
    inner_.tell(EngineEventKind::connected);
    EXPECT_TRUE(poll(engine).empty());
    EXPECT_TRUE(posted().starts_with("POST /open/1 HTTP/1.1\r\nHost: host\r\n"));
    const std::string name = http("name\n");
    inner_.tell_received(bytes_of(name));
    const auto stands = poll(engine);
    ASSERT_EQ(stands.size(), 1u);
    EXPECT_EQ(stands[0].kind, EngineEventKind::connected);
    EXPECT_TRUE(posted().starts_with("POST /idle/name/0 "));
    poll(engine);
  }

  ScriptedEngine inner_;
  std::vector<uint8_t> answer_;
};

TEST_F(LayeredEngineTest, connected_says_that_the_layer_stands_and_bytes_are_counted_unsealed) {
  LayeredEngine engine(inner_, clock_of_test, rtmpe);
  tunnel::RtmpeLayer server(tunnel::RtmpeSettings{});
  ASSERT_EQ(engine.connect({}), first);
  inner_.tell(EngineEventKind::connected);
  EXPECT_TRUE(poll(engine).empty());
  EXPECT_EQ(inner_.sent.size(), 1537u);
  answer(server);
  const auto stands = poll(engine);
  ASSERT_EQ(stands.size(), 1u);
  EXPECT_EQ(stands[0].kind, EngineEventKind::connected);

  const std::string head = "from two ", tail = "slices";
  const Bytes slices[] = {bytes_of(head), bytes_of(tail)};
  engine.send(first, slices);
  EXPECT_EQ(answer(server), head + tail);
  // What is counted is the message alone: C2 went out with it.
  const auto sent = poll(engine);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].kind, EngineEventKind::sent);
  EXPECT_EQ(sent[0].sent_bytes, head.size() + tail.size());

  std::vector<uint8_t> sealed;
  server.seal(bytes_of("an answer"), sealed);
  inner_.tell_received(Bytes(sealed).first(2));
  inner_.tell_received(Bytes(sealed).subspan(2));
  const auto received = poll(engine);
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].bytes, "an answer");
}

TEST_F(LayeredEngineTest, events_that_do_not_fit_come_with_the_next_poll_and_their_bytes_stay) {
  LayeredEngine engine(inner_, clock_of_test, rtmpt);
  open_tunnel(engine);
  const std::string answer = http(
      "\x01"
      "abc");
  inner_.tell_received(bytes_of(answer));
  inner_.tell(EngineEventKind::closed);
  const auto one = poll(engine, 1);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].bytes, "abc");
  const auto other = poll(engine, 1);
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(other[0].kind, EngineEventKind::closed);
}

TEST_F(LayeredEngineTest, what_a_tunnel_took_is_sent_when_the_request_with_it_was_answered) {
  LayeredEngine engine(inner_, clock_of_test, rtmpt);
  open_tunnel(engine);
  const std::string message = "12345", more = "678";
  const Bytes slice = bytes_of(message), next = bytes_of(more);
  engine.send(first, {&slice, 1});
  EXPECT_TRUE(inner_.sent.empty()) << "an answer is still awaited";
  const std::string empty = http("\x01");
  inner_.tell_received(bytes_of(empty));
  EXPECT_TRUE(poll(engine).empty());
  EXPECT_TRUE(posted().ends_with("\r\n\r\n12345"));
  engine.send(first, {&next, 1});
  inner_.tell_received(bytes_of(empty));
  const auto sent = poll(engine);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].kind, EngineEventKind::sent);
  EXPECT_EQ(sent[0].sent_bytes, 5u);
  EXPECT_TRUE(posted().ends_with("\r\n\r\n678"));
}

TEST_F(LayeredEngineTest, a_tunnel_polls_by_time) {
  LayeredEngine engine(inner_, clock_of_test, rtmpt);
  open_tunnel(engine);
  const std::string empty = http("\x01");
  inner_.tell_received(bytes_of(empty));
  poll(engine);
  posted();
  test_now = test_now.after_ms(15);
  poll(engine);
  EXPECT_EQ(posted(), "");
  EXPECT_EQ(inner_.wake_at, test_now.after_ns(ns_per_s / 64 - 15 * ns_per_ms));
  test_now = test_now.after_ms(1);
  poll(engine);
  EXPECT_TRUE(posted().starts_with("POST /idle/name/1 "));
}

TEST_F(LayeredEngineTest, the_handshake_within_a_tunnel_is_nothing_that_the_caller_sent) {
  LayeredEngine engine(inner_, clock_of_test, rtmpte);
  tunnel::RtmpeLayer server(tunnel::RtmpeSettings{});
  ASSERT_EQ(engine.connect({}), first);
  inner_.tell(EngineEventKind::connected);
  poll(engine);
  posted();
  const std::string name = http("name\n");
  inner_.tell_received(bytes_of(name));
  EXPECT_TRUE(poll(engine).empty());
  std::string request = posted();
  const std::string empty = http("\x01");
  if (request.starts_with("POST /idle/")) {
    inner_.tell_received(bytes_of(empty));
    EXPECT_TRUE(poll(engine).empty());
    request = posted();
  }
  ASSERT_GE(request.size(), 1537u);
  const std::string hello = request.substr(request.size() - 1537);
  std::vector<uint8_t> room(4096), answer{1};
  ASSERT_TRUE(server.open(bytes_of(hello), room, answer).has_value());
  const std::string answered = http(std::string(answer.begin(), answer.end()));
  inner_.tell_received(bytes_of(answered));
  const auto stands = poll(engine);
  ASSERT_EQ(stands.size(), 1u);
  EXPECT_EQ(stands[0].kind, EngineEventKind::connected);
  EXPECT_GE(posted().size(), 1536u);
  const std::string message = "12345";
  const Bytes slice = bytes_of(message);
  engine.send(first, {&slice, 1});
  inner_.tell_received(bytes_of(empty));
  EXPECT_TRUE(poll(engine).empty()) << "that was the answer to C2";
  inner_.tell_received(bytes_of(empty));
  const auto sent = poll(engine);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].sent_bytes, 5u);
}

TEST_F(LayeredEngineTest, a_layer_that_gives_up_is_a_failure_once_and_nothing_more_comes) {
  LayeredEngine engine(inner_, clock_of_test, rtmpt);
  open_tunnel(engine);
  const std::string wrong = "no HTTP\r\n\r\n", more = "more";
  inner_.tell_received(bytes_of(wrong));
  inner_.tell_received(bytes_of(more));
  inner_.tell(EngineEventKind::ended);
  const auto seen = poll(engine);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, EngineEventKind::failed);
  EXPECT_EQ(seen[0].fault, Fault::http_malformed);
  posted();
  engine.close(first);
  EXPECT_EQ(inner_.closes, 1);
  EXPECT_EQ(posted(), "");
}

TEST_F(LayeredEngineTest, a_tunnel_is_closed_before_its_connection) {
  LayeredEngine engine(inner_, clock_of_test, rtmpt);
  open_tunnel(engine);
  engine.close(first);
  EXPECT_EQ(posted(), "") << "an answer is still awaited";
  const std::string empty = http("\x01"), closed = http(std::string(1, '\0'));
  inner_.tell_received(bytes_of(empty));
  EXPECT_TRUE(poll(engine).empty());
  EXPECT_TRUE(posted().starts_with("POST /close/name/"));
  EXPECT_EQ(inner_.closes, 0);
  inner_.tell_received(bytes_of(closed));
  EXPECT_TRUE(poll(engine).empty());
  EXPECT_EQ(inner_.closes, 1);
}

TEST_F(LayeredEngineTest, a_server_that_answers_no_more_is_not_waited_for) {
  LayeredEngine engine(inner_, clock_of_test, rtmpt);
  open_tunnel(engine);
  engine.close(first);
  poll(engine);
  EXPECT_EQ(inner_.closes, 0);
  test_now = test_now.after_ms(1000);
  EXPECT_TRUE(poll(engine).empty());
  EXPECT_EQ(inner_.closes, 1);
}

TEST_F(LayeredEngineTest, a_server_that_hangs_up_before_the_layers_stand_has_ended_it) {
  LayeredEngine engine(inner_, clock_of_test, rtmpe);
  ASSERT_EQ(engine.connect({}), first);
  inner_.tell(EngineEventKind::connected);
  inner_.tell(EngineEventKind::closed).reason = engine::CloseReason::reset;
  const auto seen = poll(engine);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].kind, EngineEventKind::ended);
  EXPECT_EQ(seen[1].kind, EngineEventKind::closed);
}

TEST_F(LayeredEngineTest, a_connection_that_never_stood_is_closed_and_not_ended) {
  LayeredEngine engine(inner_, clock_of_test, rtmpe);
  ASSERT_EQ(engine.connect({}), first);
  inner_.tell(EngineEventKind::closed).reason = engine::CloseReason::refused;
  const auto seen = poll(engine);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, EngineEventKind::closed);
}

TEST(Variant, names_are_the_schemes_of_urls) {
  for (const char* name : {"rtmp", "rtmps", "rtmpt", "rtmpts", "rtmpe", "rtmpte"}) {
    ASSERT_TRUE(variant_named(name).has_value()) << name;
    EXPECT_EQ(variant_name(*variant_named(name)), name);
  }
  EXPECT_FALSE(variant_named("rtmfp").has_value());
  EXPECT_FALSE(variant_named("").has_value());
}

TEST(Variant, plain_rtmp_has_no_layers_and_keeps_its_engine) {
  ScriptedEngine inner;
  EXPECT_EQ(layered_for(Transport::rtmp, inner, "127.0.0.1:1935"), nullptr);
  EXPECT_NE(layered_for(Transport::rtmps, inner, "127.0.0.1:443"), nullptr);
}

}  // namespace
}  // namespace penstock::load

#include "penstock/rtmp/initiator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rtmp/session_probe.h"

namespace penstock::rtmp {
namespace {

using test::Octets;
using test::SessionProbe;
using testing::ElementsAre;

/// An initiator against a session: what the one sends is fed to the other until both are silent.
struct Pair {
  explicit Pair(InitiatorSettings settings) : initiator(std::move(settings), 7) {}

  void run(size_t run_bytes = SIZE_MAX) {
    while (!initiator.outbox().empty() || !peer.session.outbox().empty()) {
      for (Bytes left = to_session = initiator.outbox().take(); !left.empty();) {
        const Octets run = test::octets(left.first(std::min(run_bytes, left.size())));
        left = left.subspan(run.size());
        ASSERT_TRUE(peer.feed(run));
      }
      for (Bytes left = to_initiator = peer.session.outbox().take(); !left.empty();) {
        const Octets run = test::octets(left.first(std::min(run_bytes, left.size())));
        left = left.subspan(run.size());
        initiator.feed(run);
        pull();
      }
    }
  }

  void pull() {
    for (;;) {
      const auto event = initiator.next();
      ASSERT_TRUE(event);
      if (std::holds_alternative<InputUsed>(*event)) return;
      if (std::holds_alternative<Started>(*event)) events.push_back("started");
      if (std::holds_alternative<StreamEnded>(*event)) events.push_back("stream ended");
      if (const auto* status = std::get_if<StatusReceived>(&*event)) {
        events.push_back(std::string(status->level) + " " + std::string(status->code) + " " +
                         std::string(status->description));
      }
      if (const auto* message = std::get_if<MessageReceived>(&*event)) {
        messages.push_back({0, message->timestamp, message->type, 0, test::octets(message->body)});
      }
    }
  }

  SessionProbe peer;
  Initiator initiator;
  Octets to_session, to_initiator;
  std::vector<std::string> events;
  std::vector<test::WholeMessage> messages;
};

InitiatorSettings publish_settings() {
  return {
      .app = "live", .name = "cam?key=1", .tc_url = "rtmp://h/live", .flash_ver = "penstock-test"};
}

TEST(Initiator, publishes_through_a_session_with_either_handshake_and_any_chunk_size) {
  for (const bool digest : {false, true}) {
    for (const uint32_t chunk_bytes : {1u, 128u, 4096u, 65536u}) {
      InitiatorSettings settings = publish_settings();
      settings.digest = digest;
      settings.chunk_bytes = chunk_bytes;
      Pair pair(settings);
      pair.run();
      EXPECT_THAT(pair.peer.take_events(),
                  ElementsAre(digest ? "handshake digest" : "handshake simple",
                              "connected live | penstock-test | rtmp://h/live",
                              "publish asked 1 live/cam ? key=1"));
      EXPECT_FALSE(pair.initiator.started());
      pair.peer.session.answer_publish(1, {});
      pair.run();
      EXPECT_TRUE(pair.initiator.started());
      EXPECT_EQ(pair.initiator.message_stream_id(), 1u);
      const Octets frame = test::filler(10'000, 1);
      pair.initiator.send(9, 0xFFFFFF, frame);
      pair.initiator.send(8, 0x1000001, {});
      pair.run();
      EXPECT_EQ(pair.peer.media,
                (std::vector<test::Media>{{1, 9, 0xFFFFFF, frame}, {1, 8, 0x1000001, {}}}));
      pair.initiator.finish();
      pair.run();
      EXPECT_EQ(pair.peer.take_events().back(), "publish ended 1");
      EXPECT_EQ(pair.events.front(), "started");
    }
  }
}

TEST(Initiator, publishes_without_a_handshake_where_a_layer_below_does_it) {
  for (const uint32_t chunk_bytes : {128u, 4096u}) {
    InitiatorSettings settings = publish_settings();
    settings.chunk_bytes = chunk_bytes;
    Pair pair(settings);
    pair.initiator.skip_handshake();
    pair.peer.session.skip_handshake();
    pair.run(100);
    EXPECT_THAT(pair.peer.take_events(),
                ElementsAre("connected live | penstock-test | rtmp://h/live",
                            "publish asked 1 live/cam ? key=1"));
    pair.peer.session.answer_publish(1, {});
    pair.run(100);
    EXPECT_TRUE(pair.initiator.started());
    const Octets frame = test::filler(10'000, 1);
    pair.initiator.send(9, 0, frame);
    pair.run(100);
    EXPECT_EQ(pair.peer.media, (std::vector<test::Media>{{1, 9, 0, frame}}));
  }
}

TEST(Initiator, tells_why_a_publish_was_refused) {
  Pair pair(publish_settings());
  pair.run();
  pair.peer.session.answer_publish(1, {.refusal = Refusal::denied, .text = "stream key not valid"});
  pair.run();
  EXPECT_THAT(pair.events, ElementsAre("error NetStream.Publish.Denied stream key not valid"));
  EXPECT_FALSE(pair.initiator.started());
}

TEST(Initiator, plays_whole_messages_at_any_cut) {
  for (const size_t run_bytes : {size_t{1}, size_t{100}, SIZE_MAX}) {
    InitiatorSettings settings = publish_settings();
    settings.publish = false;
    Pair pair(settings);
    pair.run(run_bytes);
    EXPECT_EQ(pair.peer.take_events().back(), "play asked 1 live/cam ? key=1");
    pair.peer.session.answer_play(1, {});
    pair.run(run_bytes);
    EXPECT_THAT(pair.events,
                ElementsAre("status NetStream.Play.Reset Playing and resetting cam.", "started"));
    pair.messages.clear();
    const Octets frame = test::filler(100'000, 1);
    pair.peer.session.outbox().append(test::chunked(
        {.chunk_stream_id = 7, .message_type = 9, .timestamp = 40, .message_stream_id = 1}, frame,
        chunk_bytes_out));
    pair.peer.session.publisher_went(1);
    pair.run(run_bytes);
    EXPECT_EQ(pair.messages, (std::vector<test::WholeMessage>{{0, 40, 9, 0, frame}}));
    EXPECT_THAT(pair.events, testing::Contains("stream ended"));
    EXPECT_EQ(pair.events.back(), "status NetStream.Play.UnpublishNotify cam is now unpublished.");
  }
}

TEST(Initiator, declares_enhanced_capabilities_when_told_to) {
  InitiatorSettings settings = publish_settings();
  settings.enhanced = true;
  Pair pair(settings);
  pair.run();
  EXPECT_EQ(pair.peer.fault, std::nullopt);
  EXPECT_EQ(pair.peer.take_events().back(), "publish asked 1 live/cam ? key=1");
}

}  // namespace
}  // namespace penstock::rtmp

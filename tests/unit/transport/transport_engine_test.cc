#include "dataplane/transport/transport_engine.h"

#include <gtest/gtest.h>

#include "tests/unit/transport/scripted_engine.h"

namespace penstock::transport {
namespace {

using engine::ConnectionId;
using engine::EngineEvent;
using engine::EngineEventKind;
using engine::Transport;

constexpr uint8_t mask = 0x5A;

// Stands for TLS and RTMPE: a handshake of one letter each way after the one byte that tells it
// ("\x16" or "\x06"), then every byte masked; 'X' in the handshake is one that it does not take,
// a masked 'E' its own way to say the end, and a masked 'X' a record that is none.
class MaskLayer final : public tunnel::Layer {
 public:
  std::expected<Opened, Fault> open(Bytes input, MutableBytes room,
                                    std::vector<uint8_t>& to_peer) override {
    Opened opened;
    while (!input.empty() && opened.output_bytes < room.size()) {
      const uint8_t byte = input[0];
      input = input.subspan(1);
      ++opened.input_bytes;
      if (taken_ < 2) {
        ++taken_;
        if (byte == 'X') {
          to_peer.push_back('!');
          return std::unexpected(Fault::tls_handshake);
        }
        if (taken_ == 2) to_peer.push_back('h');
        if (taken_ == 2) break;
        continue;
      }
      const auto plain = static_cast<uint8_t>(byte ^ mask);
      if (plain == 'X') return std::unexpected(Fault::tls_record);
      if (plain == 'E') {
        ended_ = true;
        continue;
      }
      room[opened.output_bytes++] = plain;
    }
    return opened;
  }
  void seal(Bytes plain, std::vector<uint8_t>& to_peer) override {
    for (const uint8_t byte : plain) to_peer.push_back(byte ^ mask);
  }
  [[nodiscard]] bool established() const override { return taken_ == 2; }
  [[nodiscard]] bool ended() const override { return ended_; }
  void finish(std::vector<uint8_t>& to_peer) override { to_peer.push_back('F'); }

 private:
  int taken_ = 0;
  bool ended_ = false;
};

std::string masked(std::string text) {
  for (char& c : text) c = static_cast<char>(c ^ mask);
  return text;
}

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Instant test_now;

class TransportEngineTest : public ::testing::Test {
 protected:
  static constexpr uint16_t everything = 0;
  static constexpr uint16_t only_rtmp = 1;
  static constexpr uint16_t only_rtmps = 2;

  TransportEngineTest() : mesh_(1, 4), transport_(inner_, options()) {
    test_now = Instant{ns_per_s};
    transport_.set_rates({10, 10, {.idle_ms = 30'000}});
  }

  TransportOptions options() {
    TransportOptions made;
    made.listeners = {
        {.rtmp = true, .rtmpe = true, .http = true, .tls_rtmp = true, .tls_http = true},
        {.rtmp = true},
        {.tls_rtmp = true}};
    made.connections_max = 16;
    made.tunnels_max = 4;
    made.make_tls = [] { return std::make_unique<MaskLayer>(); };
    made.make_rtmpe = [] { return std::make_unique<MaskLayer>(); };
    made.may_proxy = [](const engine::Endpoint& peer) { return peer.address[0] == 10; };
    made.now = [] { return test_now; };
    made.mesh = &mesh_;
    made.engines = {&inner_};
    return made;
  }

  ConnectionId accept(uint16_t listener, uint8_t first_octet = 192) {
    const ConnectionId id{next_++, 1};
    EngineEvent& event = inner_.comes(EngineEventKind::accepted, id);
    event.listener = listener;
    event.peer.address[0] = first_octet;
    event.peer.port = 7;
    return id;
  }

  struct Seen {
    EngineEventKind kind;
    std::string bytes;
    EngineEvent event;
  };
  /// What one poll reports, but for `accepted`.
  std::vector<Seen> poll(size_t room = 64) {
    std::vector<EngineEvent> events(room);
    std::vector<Seen> seen;
    for (const EngineEvent& event : transport_.poll(events, test_now)) {
      if (event.kind == EngineEventKind::accepted) continue;
      seen.push_back({event.kind, {event.bytes.begin(), event.bytes.end()}, event});
    }
    return seen;
  }
  void send(ConnectionId id, const std::string& text) {
    const Bytes bytes = bytes_of(text);
    transport_.send(id, {&bytes, 1});
  }

  ScriptedEngine inner_;
  TunnelMesh mesh_;
  TransportEngine transport_;
  uint32_t next_ = 0;
};

TEST_F(TransportEngineTest, plain_rtmp_passes_through_on_every_listener_that_takes_it) {
  for (const uint16_t listener : {everything, only_rtmp}) {
    const ConnectionId id = accept(listener);
    inner_.comes(EngineEventKind::received, id, "\x03 hello");
    inner_.comes(EngineEventKind::received, id, "more");
    const auto seen = poll();
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_EQ(seen[0].bytes, "\x03 hello");
    EXPECT_EQ(seen[1].bytes, "more");
    send(id, "answer");
    EXPECT_EQ(inner_.take_sent(id), "answer");
    inner_.comes(EngineEventKind::sent, id).sent_bytes = 6;
    EXPECT_EQ(poll().at(0).event.sent_bytes, 6u);
    transport_.finish(id);
    EXPECT_TRUE(inner_.finished(id));
  }
}

TEST_F(TransportEngineTest, a_layer_comes_out_as_plain_bytes_however_they_are_cut) {
  const ConnectionId id = accept(only_rtmps);
  std::string got;
  bool identified = false;
  for (const char c : std::string("\x16") + "c" + masked("\x03 hello")) {
    inner_.comes(EngineEventKind::received, id, std::string(1, c));
    for (const Seen& seen : poll()) {
      if (seen.kind == EngineEventKind::identified) {
        EXPECT_TRUE(got.empty());
        EXPECT_EQ(seen.event.transport, Transport::rtmps);
        EXPECT_FALSE(seen.event.handshake_done);
        identified = true;
      } else {
        EXPECT_EQ(seen.kind, EngineEventKind::received);
        got += seen.bytes;
      }
    }
  }
  EXPECT_TRUE(identified);
  EXPECT_EQ(got, "\x03 hello");
  EXPECT_EQ(inner_.take_sent(id), "h");
}

TEST_F(TransportEngineTest, sent_counts_the_callers_bytes_and_not_the_layers) {
  const ConnectionId id = accept(everything);
  inner_.comes(EngineEventKind::received, id, std::string("\x06") + "c");
  const auto seen = poll();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].event.transport, Transport::rtmpe);
  EXPECT_TRUE(seen[0].event.handshake_done);
  const std::string text(40'000, 't');
  send(id, text);
  EXPECT_EQ(inner_.take_sent(id), "h" + masked(text));
  inner_.comes(EngineEventKind::sent, id).sent_bytes = 1;
  EXPECT_TRUE(poll().empty());
  uint32_t sent = 0;
  for (const uint32_t part : {39'999u, 1u}) {
    inner_.comes(EngineEventKind::sent, id).sent_bytes = part;
    for (const Seen& one : poll()) sent += one.event.sent_bytes;
  }
  EXPECT_EQ(sent, 40'000u);
  transport_.finish(id);
  EXPECT_EQ(inner_.take_sent(id), "F");
  EXPECT_TRUE(inner_.finished(id));
}

TEST_F(TransportEngineTest, what_a_listener_does_not_take_fails_with_its_fault) {
  const struct {
    uint16_t listener;
    std::string first;
    Fault fault;
  } cases[] = {
      {only_rtmps, "\x03", Fault::transport_disabled},
      {only_rtmps, "\x06", Fault::transport_disabled},
      {only_rtmps, "POST /open/1 HTTP/1.1\r\n", Fault::transport_disabled},
      {everything, "SSH-2.0", Fault::transport_unknown},
      {everything, "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Fault::proxy_unexpected},
      {only_rtmps, std::string("\x16") + "X", Fault::tls_handshake},
      {only_rtmps, std::string("\x16") + "c" + masked("SSH-2.0"), Fault::transport_unknown},
  };
  for (const auto& one : cases) {
    const ConnectionId id = accept(one.listener);
    inner_.comes(EngineEventKind::received, id, one.first);
    const auto seen = poll();
    ASSERT_EQ(seen.size(), 1u) << one.first;
    EXPECT_EQ(seen[0].kind, EngineEventKind::failed);
    EXPECT_EQ(seen[0].event.fault, one.fault);
    // The worker says its last words and waits until they are gone.
    send(id, "last words");
    EXPECT_EQ(poll().at(0).event.sent_bytes, 10u);
    inner_.comes(EngineEventKind::received, id, "more");
    EXPECT_TRUE(poll().empty());
    transport_.finish(id);
    EXPECT_TRUE(inner_.finished(id));
    inner_.comes(EngineEventKind::closed, id);
    EXPECT_EQ(poll().at(0).kind, EngineEventKind::closed);
  }
}

TEST_F(TransportEngineTest, a_proxy_header_names_the_peer_and_steps_aside) {
  const ConnectionId id = accept(everything, 10);
  inner_.comes(EngineEventKind::received, id, "PROXY TCP4 192.0.2.1 198.51.100.9 50");
  EXPECT_TRUE(poll().empty());
  inner_.comes(EngineEventKind::received, id, "000 1935\r\n\x03 he");
  auto seen = poll();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].kind, EngineEventKind::identified);
  EXPECT_EQ(seen[0].event.peer.address[0], 192);
  EXPECT_EQ(seen[0].event.peer.port, 50000);
  EXPECT_EQ(seen[1].bytes, "\x03 he");
  inner_.comes(EngineEventKind::received, id, "llo");
  EXPECT_EQ(poll().at(0).bytes, "llo");
  send(id, "answer");
  EXPECT_EQ(inner_.take_sent(id), "answer");
  inner_.comes(EngineEventKind::sent, id).sent_bytes = 6;
  EXPECT_EQ(poll().at(0).event.sent_bytes, 6u);
}

TEST_F(TransportEngineTest, a_proxied_address_survives_a_cut_behind_the_header) {
  const ConnectionId id = accept(everything, 10);
  inner_.comes(EngineEventKind::received, id, "PROXY TCP4 192.0.2.1 198.51.100.9 50000 1935\r\n");
  inner_.comes(EngineEventKind::received, id, "\x03");
  const auto seen = poll();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].event.peer.address[0], 192);
}

TEST_F(TransportEngineTest, key_exchanges_wait_for_their_turn_and_plain_peers_do_not) {
  std::vector<ConnectionId> ids;
  for (int i = 0; i < 10; ++i) {
    ids.push_back(accept(everything));
    inner_.comes(EngineEventKind::received, ids.back(), std::string("\x06") + "c");
  }
  const ConnectionId plain = accept(everything);
  inner_.comes(EngineEventKind::received, plain, "\x03");
  size_t identified = 0;
  bool passed = false;
  for (const Seen& seen : poll()) {
    identified += seen.kind == EngineEventKind::identified ? 1 : 0;
    passed = passed || seen.kind == EngineEventKind::received;
  }
  EXPECT_TRUE(passed);
  const size_t burst = identified;
  EXPECT_GE(burst, 1u);
  EXPECT_LE(burst, 5u);
  for (int step = 0; step < 20; ++step) {
    test_now = test_now.after_ns(50 * ns_per_ms);
    const size_t now = poll().size();
    EXPECT_LE(now, 1u);
    identified += now;
  }
  EXPECT_EQ(identified, 10u);
}

TEST_F(TransportEngineTest, more_than_the_arena_holds_comes_with_later_polls) {
  const ConnectionId id = accept(only_rtmps);
  inner_.comes(EngineEventKind::received, id, std::string("\x16") + "c");
  poll();
  std::string plain = "\x03";
  for (size_t i = 0; i < 9'000'000; ++i) plain += static_cast<char>('a' + i % 3);
  inner_.comes(EngineEventKind::received, id, masked(plain));
  inner_.comes(EngineEventKind::ended, id);
  std::string got;
  bool ended = false;
  for (int turn = 0; turn < 40 && !ended; ++turn) {
    for (const Seen& seen : poll(3)) {
      EXPECT_FALSE(ended);
      got += seen.bytes;
      ended = seen.kind == EngineEventKind::ended;
    }
  }
  EXPECT_TRUE(ended);
  EXPECT_TRUE(got == plain);
}

TEST_F(TransportEngineTest, the_layers_own_end_is_an_end) {
  const ConnectionId id = accept(only_rtmps);
  inner_.comes(EngineEventKind::received, id, std::string("\x16") + "c" + masked("\x03 byeE"));
  const auto seen = poll();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[1].bytes, "\x03 bye");
  EXPECT_EQ(seen[2].kind, EngineEventKind::ended);
  inner_.comes(EngineEventKind::ended, id);
  EXPECT_TRUE(poll().empty());
}

TEST_F(TransportEngineTest, nothing_is_said_to_a_peer_that_was_given_up_before_it_was_known) {
  const ConnectionId half = accept(only_rtmps);
  inner_.comes(EngineEventKind::received, half, "\x16");
  const ConnectionId silent = accept(only_rtmps);
  poll();
  transport_.finish(half);
  transport_.finish(silent);
  inner_.comes(EngineEventKind::received, half, "c" + masked("\x03"));
  inner_.comes(EngineEventKind::received, silent,
               "\x16"
               "c");
  EXPECT_TRUE(poll().empty());
  EXPECT_EQ(inner_.take_sent(half), "");
  EXPECT_EQ(inner_.take_sent(silent), "");
}

TEST_F(TransportEngineTest, who_waits_for_a_turn_may_not_fill_memory_meanwhile) {
  for (int i = 0; i < 6; ++i) {
    inner_.comes(EngineEventKind::received, accept(only_rtmps),
                 "\x16"
                 "c");
  }
  poll();
  const ConnectionId id = accept(only_rtmps);
  inner_.comes(EngineEventKind::received, id,
               "\x16"
               "c");
  EXPECT_TRUE(poll().empty());
  inner_.comes(EngineEventKind::received, id, std::string(17 * 1024, 'x'));
  const auto seen = poll();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].kind, EngineEventKind::failed);
  EXPECT_EQ(seen[0].event.fault, Fault::tls_handshake);
}

TEST_F(TransportEngineTest, a_peer_that_goes_before_its_turn_costs_none) {
  for (int i = 0; i < 8; ++i) {
    const ConnectionId id = accept(everything);
    inner_.comes(EngineEventKind::received, id, std::string("\x06") + "c");
    inner_.comes(EngineEventKind::closed, id);
  }
  const ConnectionId stays = accept(everything);
  inner_.comes(EngineEventKind::received, stays, std::string("\x06") + "c");
  size_t identified = 0;
  for (const Seen& seen : poll()) identified += seen.kind == EngineEventKind::identified ? 1 : 0;
  EXPECT_EQ(identified, 1u);
}

const std::string open_tunnel = "POST /open/1 HTTP/1.1\r\nContent-Length: 1\r\n\r\n0";

/// The body of the last answer, without its line end.
std::string name_in(const std::string& answer) {
  const std::string name = answer.substr(answer.rfind("\r\n\r\n") + 4);
  return name.substr(0, name.size() - 1);
}

TEST_F(TransportEngineTest, a_carrier_that_fails_is_forgotten_and_its_place_used_again) {
  for (uint32_t generation = 1; generation <= 3; ++generation) {
    const ConnectionId id{0, generation};
    inner_.comes(EngineEventKind::accepted, id).listener = everything;
    inner_.comes(EngineEventKind::received, id, std::string("\x16") + "c" + masked(open_tunnel));
    size_t closed = 0;
    size_t dropped = 0;
    const auto count = [&] {
      for (const Seen& seen : poll()) {
        if (seen.event.id.index >= 16) continue;  // the tunnel
        closed += seen.kind == EngineEventKind::closed ? 1 : 0;
        dropped += seen.kind == EngineEventKind::dropped ? 1 : 0;
      }
    };
    count();
    EXPECT_EQ(closed, 1u);
    inner_.comes(EngineEventKind::received, id, masked("X"));
    inner_.comes(EngineEventKind::received, id, masked("more"));
    for (int turn = 0; turn < 3; ++turn) count();
    EXPECT_EQ(dropped, 1u);
    EXPECT_EQ(closed, 1u);
  }
}

TEST_F(TransportEngineTest, a_request_whose_first_byte_came_alone_is_whole) {
  const ConnectionId opener = accept(everything);
  inner_.comes(EngineEventKind::received, opener, open_tunnel);
  poll();
  const std::string name = name_in(inner_.take_sent(opener));
  const ConnectionId id = accept(everything);
  inner_.comes(EngineEventKind::received, id, "P");
  poll();
  const std::string body = "\x03" + std::string(5000, 'b');
  inner_.comes(EngineEventKind::received, id,
               "OST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 5001\r\n\r\n" + body);
  std::string got;
  for (int turn = 0; turn < 3; ++turn) {
    for (const Seen& seen : poll()) {
      if (seen.kind == EngineEventKind::received) got += seen.bytes;
    }
  }
  EXPECT_TRUE(got == body);
}

TEST_F(TransportEngineTest, a_peer_that_reads_no_answer_cannot_have_them_pile_up) {
  const ConnectionId id = accept(everything);
  bool dropped = false;
  size_t turns = 0;
  while (!dropped && turns < 1000) {
    ++turns;
    std::string requests;
    for (int j = 0; j < 10; ++j) {
      requests += "POST /fcs/ident2 HTTP/1.1\r\nContent-Length: 1\r\n\r\n0";
    }
    inner_.comes(EngineEventKind::received, id, requests);
    for (const Seen& seen : poll()) {
      if (seen.kind != EngineEventKind::dropped) continue;
      EXPECT_EQ(seen.event.fault, Fault::http_too_large);
      dropped = true;
    }
  }
  EXPECT_TRUE(dropped);
  const size_t unread = inner_.take_sent(id).size();
  EXPECT_GT(unread, Tunnels::unserved_answer_bytes_max / 2);
  EXPECT_LT(unread, 2 * Tunnels::unserved_answer_bytes_max);
}

TEST_F(TransportEngineTest, a_publisher_that_reads_no_answer_goes_on_for_long) {
  const ConnectionId id = accept(everything);
  inner_.comes(EngineEventKind::received, id, open_tunnel);
  poll();
  const std::string name = name_in(inner_.take_sent(id));
  std::string requests;
  for (int i = 0; i < 500; ++i) {
    requests += "POST /send/" + name + "/" + std::to_string(i) +
                " HTTP/1.1\r\nContent-Length: 1\r\n\r\n\x03";
  }
  inner_.comes(EngineEventKind::received, id, requests);
  size_t got = 0;
  for (int turn = 0; turn < 200; ++turn) {
    for (const Seen& seen : poll(1000)) {
      ASSERT_NE(seen.kind, EngineEventKind::dropped);
      got += seen.bytes.size();
    }
  }
  EXPECT_EQ(got, 500u);
}

TEST_F(TransportEngineTest, a_peer_that_reads_its_answers_may_ask_for_ever) {
  const ConnectionId id = accept(everything);
  for (int i = 0; i < 100; ++i) {
    inner_.comes(EngineEventKind::received, id,
                 "POST /fcs/ident2 HTTP/1.1\r\nContent-Length: 1\r\n\r\n0");
    for (const Seen& seen : poll()) EXPECT_NE(seen.kind, EngineEventKind::dropped);
    const size_t bytes = inner_.take_sent(id).size();
    ASSERT_GT(bytes, 0u);
    inner_.comes(EngineEventKind::sent, id).sent_bytes = static_cast<uint32_t>(bytes);
  }
}

TEST_F(TransportEngineTest, a_new_peer_is_reported_after_the_end_of_the_one_whose_place_it_has) {
  const ConnectionId old{0, 1};
  inner_.comes(EngineEventKind::accepted, old).listener = everything;
  inner_.comes(EngineEventKind::received, old, "\x16");
  std::vector<EngineEvent> events(8);
  transport_.poll(events, test_now);
  const ConnectionId next{0, 2};
  inner_.comes(EngineEventKind::closed, old);
  inner_.comes(EngineEventKind::accepted, next).listener = everything;
  const auto seen = transport_.poll(events, test_now);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].kind, EngineEventKind::closed);
  EXPECT_TRUE(seen[1].id == next);
}

TEST_F(TransportEngineTest, a_peer_that_ends_in_its_first_bytes_is_told_to_have_ended) {
  const ConnectionId id = accept(everything);
  inner_.comes(EngineEventKind::received, id, "P");
  inner_.comes(EngineEventKind::ended, id);
  EXPECT_EQ(poll().at(0).kind, EngineEventKind::ended);
}

TEST_F(TransportEngineTest, one_address_has_a_part_of_those_who_wait_for_their_turn) {
  std::vector<EngineEvent> events(512);
  const auto come = [&](uint32_t index, uint8_t last_octet) {
    const ConnectionId id{index, 1};
    EngineEvent& event = inner_.comes(EngineEventKind::accepted, id);
    event.listener = everything;
    event.peer.address[3] = last_octet;
    inner_.comes(EngineEventKind::received, id, std::string("\x06") + "c");
  };
  transport_.set_rates({2, 2, {}});
  // Two a second are taken, and a burst of five at first; one address may have eight in line.
  for (uint32_t index = 0; index < 15; ++index) come(index, 1);
  size_t failed = 0;
  for (const Seen& seen : poll(512)) {
    if (seen.kind != EngineEventKind::failed) continue;
    EXPECT_EQ(seen.event.fault, Fault::handshakes_exceeded);
    ++failed;
  }
  EXPECT_EQ(failed, 15u - 8u);
  // Whoever comes then from elsewhere is next.
  come(15, 2);
  bool identified = false;
  for (int turn = 0; turn < 3; ++turn) {
    test_now = test_now.after_ms(500);
    for (const Seen& seen : poll(512)) {
      identified = identified || (seen.kind == EngineEventKind::identified &&
                                  seen.event.id == ConnectionId{15, 1});
    }
  }
  EXPECT_TRUE(identified);
}

TEST_F(TransportEngineTest, carriers_are_connections_that_the_worker_does_not_see) {
  EXPECT_EQ(transport_.counts().unseen, 0u);
  const ConnectionId id = accept(everything);
  inner_.comes(EngineEventKind::received, id, open_tunnel);
  poll();
  EXPECT_EQ(transport_.counts().unseen, 1u);
  inner_.comes(EngineEventKind::closed, id);
  poll();
  EXPECT_EQ(transport_.counts().unseen, 0u);
}

}  // namespace
}  // namespace penstock::transport

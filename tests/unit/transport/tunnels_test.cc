#include "dataplane/transport/tunnels.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace penstock::transport {
namespace {

constexpr Instant start{100 * ns_per_s};
constexpr uint32_t unserved_max = 16;
using Kind = TunnelEvent::Kind;

/// Workers on one thread, with what they were told and what their carriers were.
class World {
 public:
  explicit World(uint32_t workers = 1, uint32_t tunnels_max = 8, TunnelSettings settings = {})
      : mesh(workers, tunnels_max) {
    for (WorkerId worker = 0; worker < workers; ++worker) {
      tunnels.push_back(
          std::make_unique<Tunnels>(mesh, worker, tunnels_max, unserved_max, settings));
    }
    events.resize(workers);
  }

  engine::ConnectionId connect(WorkerId worker, bool secure = false, uint8_t host = 1) {
    const engine::ConnectionId id{next_carrier_++, 7};
    engine::Endpoint peer{.port = 1000};
    peer.address[3] = host;
    tunnels[worker]->carrier_opened(id, peer, secure, now);
    return id;
  }
  void ask(WorkerId worker, engine::ConnectionId carrier, std::string_view text) {
    tunnels[worker]->carrier_received(carrier, as_bytes(text), now);
    turn();
  }
  void post(WorkerId worker, engine::ConnectionId carrier, std::string_view target,
            std::string_view body = {"", 1}) {
    ask(worker, carrier,
        "POST " + std::string(target) + " HTTP/1.1\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
  }
  /// Twice for every worker, so that what crosses gets back.
  void turn() {
    for (int round = 0; round < 3; ++round) {
      for (WorkerId worker = 0; worker < tunnels.size(); ++worker) turn(worker);
    }
  }
  void turn(WorkerId worker) {
    Tunnels& mine = *tunnels[worker];
    mine.turn(now);
    TunnelEvent event;
    while (mine.take(event)) note(worker, event);
    CarrierAnswer answer;
    while (mine.take(answer)) {
      answers[answer.carrier.index] += as_text(answer.bytes);
      if (answer.close_after) answers[answer.carrier.index] += "<end>";
      if (answer.fault != Fault::count_) faults.push_back(answer.fault);
      if (answer.reading) reading.push_back(*answer.reading);
    }
    rung |= mine.take_rung();
  }
  void note(WorkerId worker, const TunnelEvent& event) {
    std::string& said = events[worker];
    if (event.kind == Kind::opened) {
      ids.push_back(event.id);
      said += event.secure ? "opened in TLS\n" : "opened\n";
    } else if (event.kind == Kind::received) {
      said += ">" + std::string(as_text(event.bytes)) + "\n";
    } else if (event.kind == Kind::ended) {
      said += "ended\n";
    } else if (event.kind == Kind::sent) {
      said += "sent " + std::to_string(event.sent_bytes) + "\n";
    } else {
      said += "closed";
      if (event.fault != Fault::count_) said += " " + std::string(fault_info(event.fault).name);
      said += "\n";
    }
  }
  /// The name of the session that is opened on this carrier.
  std::string open(WorkerId worker, engine::ConnectionId carrier) {
    post(worker, carrier, "/open/1");
    std::string answer = take_answer(carrier);
    EXPECT_TRUE(answer.starts_with("200 "));
    EXPECT_EQ(answer.back(), '\n');
    EXPECT_TRUE(take_events(worker).starts_with("opened"));
    return answer.substr(4, answer.size() - 5);
  }
  void say(WorkerId worker, std::string_view text) {
    const Bytes bytes = as_bytes(text);
    tunnels[worker]->send(ids.back(), {&bytes, 1});
    turn();
  }
  /// Everything on a carrier since the last time: "STATUS BODY" each, and <end>.
  std::string take_answer(engine::ConnectionId carrier) {
    std::string http = std::exchange(answers[carrier.index], {});
    std::string said;
    while (http.starts_with("HTTP/1.1 ")) {
      const size_t length = std::stoul(http.substr(http.find("Content-Length: ") + 16));
      const size_t body = http.find("\r\n\r\n") + 4;
      said += http.substr(9, 3) + " " + http.substr(body, length);
      http.erase(0, body + length);
    }
    return said + http;
  }
  std::string take_events(WorkerId worker) { return std::exchange(events[worker], {}); }
  void pass(uint64_t ms) {
    now = now.after_ms(ms);
    turn();
  }

  TunnelMesh mesh;
  std::vector<std::unique_ptr<Tunnels>> tunnels;
  Instant now = start;
  std::vector<TunnelId> ids;
  std::map<uint32_t, std::string> answers;
  std::vector<std::string> events;
  std::vector<Fault> faults;
  std::vector<bool> reading;  // whether carriers are to be read from, as it was said
  uint64_t rung = 0;

 private:
  uint32_t next_carrier_ = 0;
};

const std::string zero(1, '\0');

TEST(Tunnels, a_session_from_open_to_close) {
  World world;
  const auto carrier = world.connect(0);
  world.post(0, carrier, "/fcs/ident2");
  EXPECT_EQ(world.take_answer(carrier), "404 ");
  const std::string name = world.open(0, carrier);
  EXPECT_EQ(name.size(), tunnel::tunnel_name_bytes);
  world.post(0, carrier, "/send/" + name + "/0", "C0C1");
  EXPECT_EQ(world.take_events(0), ">C0C1\n");
  EXPECT_EQ(world.take_answer(carrier), "200 \1");
  world.post(0, carrier, "/idle/" + name + "/1");
  EXPECT_EQ(world.take_answer(carrier), "");
  world.say(0, "S0S1S2");
  EXPECT_EQ(world.take_answer(carrier), "200 \1S0S1S2");
  EXPECT_EQ(world.take_events(0), "");
  world.tunnels[0]->carrier_sent(carrier, {}, world.now);
  world.turn();
  EXPECT_EQ(world.take_events(0), "sent 6\n");
  world.post(0, carrier, "/close/" + name + "/2");
  EXPECT_EQ(world.take_answer(carrier), "200 " + zero);
  EXPECT_EQ(world.take_events(0), "ended\nclosed\n");
  EXPECT_EQ(world.tunnels[0]->tunnel_count(), 0u);
  world.post(0, carrier, "/idle/" + name + "/3");
  EXPECT_EQ(world.take_answer(carrier), "404 ");
  EXPECT_EQ(world.faults, std::vector{Fault::tunnel_unknown});
}

TEST(Tunnels, what_the_worker_says_to_a_send_comes_with_its_answer) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  const std::string request = "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 4\r\n\r\nping";
  world.tunnels[0]->carrier_received(carrier, as_bytes(request), world.now);
  world.turn(0);
  EXPECT_EQ(world.take_events(0), ">ping\n");
  EXPECT_EQ(world.take_answer(carrier), "");
  EXPECT_LE(world.tunnels[0]->deadline(), world.now);
  world.say(0, "pong");
  EXPECT_EQ(world.take_answer(carrier), "200 \1pong");
}

TEST(Tunnels, a_body_in_parts_is_put_together) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  const std::string request =
      "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 6\r\n\r\nabcdef";
  for (const char& c : request) world.ask(0, carrier, {&c, 1});
  EXPECT_EQ(world.take_events(0), ">abcdef\n");
}

TEST(Tunnels, a_request_that_lands_on_another_worker_crosses) {
  World world(3);
  const auto mine = world.connect(1);
  const std::string name = world.open(1, mine);
  const auto other = world.connect(2);
  world.rung = 0;
  world.post(2, other, "/send/" + name + "/0", "from afar");
  EXPECT_EQ(world.rung, 0b110u);
  EXPECT_EQ(world.take_events(1), ">from afar\n");
  EXPECT_EQ(world.take_answer(other), "200 \1");
  world.post(2, other, "/idle/" + name + "/1");
  world.say(1, "answer");
  EXPECT_EQ(world.take_answer(other), "200 \1answer");
  EXPECT_EQ(world.take_events(1), "");
  world.tunnels[2]->carrier_sent(other, {}, world.now);
  world.turn();
  EXPECT_EQ(world.take_events(1), "sent 6\n");
  // And one whose carrier goes while it is away.
  world.post(2, other, "/idle/" + name + "/2");
  world.tunnels[2]->carrier_closed(other, world.now);
  world.say(1, "again");
  EXPECT_EQ(world.take_events(1), "");
  world.post(1, mine, "/idle/" + name + "/2");
  EXPECT_EQ(world.take_answer(mine), "200 \1again");
}

TEST(Tunnels, a_lost_answer_is_given_again_on_the_next_carrier) {
  World world;
  const auto first = world.connect(0);
  const std::string name = world.open(0, first);
  world.say(0, "data");
  world.post(0, first, "/idle/" + name + "/0");
  EXPECT_EQ(world.take_answer(first), "200 \1data");
  world.tunnels[0]->carrier_closed(first, world.now);
  world.turn();
  const auto second = world.connect(0);
  world.post(0, second, "/idle/" + name + "/0");
  EXPECT_EQ(world.take_answer(second), "200 \1data");
  world.tunnels[0]->carrier_sent(second, {}, world.now);
  world.turn();
  EXPECT_EQ(world.take_events(0), "sent 4\n");
}

TEST(Tunnels, an_answer_that_is_not_taken_yet_is_not_taken_for_written) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  world.say(0, "data");
  const std::string request = "POST /idle/" + name + "/0 HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
  world.tunnels[0]->carrier_received(carrier, as_bytes(request), world.now);
  world.tunnels[0]->carrier_sent(carrier, {}, world.now);  // of an earlier answer
  world.turn();
  EXPECT_EQ(world.take_events(0), "");
  world.tunnels[0]->carrier_sent(carrier, {}, world.now);
  world.turn();
  EXPECT_EQ(world.take_events(0), "sent 4\n");
}

TEST(Tunnels, pipelined_requests_are_answered_in_their_order) {
  World world(2);
  const auto elsewhere = world.connect(1);
  const std::string name = world.open(1, elsewhere);
  const auto carrier = world.connect(0);
  const std::string idle = "POST /idle/" + name + "/0 HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
  world.ask(0, carrier, idle + "POST /fcs/ident HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(world.take_answer(carrier), "");
  world.pass(16);
  EXPECT_EQ(world.take_answer(carrier), "200 \1" + std::string("404 "));
}

TEST(Tunnels, requests_beyond_those_that_may_wait_are_looked_at_later) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  std::string text;
  std::string expected;
  const int count = 500;
  for (int i = 0; i < count; ++i) {
    text += "POST /send/" + name + "/" + std::to_string(i) +
            " HTTP/1.1\r\nContent-Length: 1\r\n\r\n" + static_cast<char>('a' + i % 26);
    expected += static_cast<char>('a' + i % 26);
  }
  // However it is cut.
  world.tunnels[0]->carrier_received(carrier, as_bytes(std::string_view(text).substr(0, 20'001)),
                                     world.now);
  world.turn();
  world.tunnels[0]->carrier_received(carrier, as_bytes(std::string_view(text).substr(20'001)),
                                     world.now);
  for (int turn = 0; turn < count; ++turn) world.turn();
  std::string got;
  for (const char letter : world.take_events(0)) {
    if (letter >= 'a' && letter <= 'z') got += letter;
  }
  EXPECT_EQ(got, expected);
  EXPECT_TRUE(world.faults.empty());
  EXPECT_EQ(world.take_answer(carrier).size(), count * std::string("200 \1").size());
  EXPECT_NE(world.tunnels[0]->deadline(), Instant{});
}

TEST(Tunnels, what_a_carrier_brought_before_it_went_is_still_looked_at) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  std::string text;
  const int count = 100;
  for (int i = 0; i < count; ++i) {
    text +=
        "POST /send/" + name + "/" + std::to_string(i) + " HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
  }
  text += "POST /send/";
  world.tunnels[0]->carrier_received(carrier, as_bytes(text), world.now);
  world.tunnels[0]->carrier_closed(carrier, world.now);
  // Its place has a new owner, which is another.
  world.tunnels[0]->carrier_opened({carrier.index, carrier.generation + 1}, {}, false, world.now);
  for (int turn = 0; turn < count; ++turn) world.turn();
  EXPECT_EQ(std::ranges::count(world.take_events(0), 'x'), count);
  EXPECT_EQ(world.tunnels[0]->carrier_count(), 1u);
  EXPECT_NE(world.tunnels[0]->deadline(), Instant{});
  EXPECT_TRUE(world.faults.empty());
}

TEST(Tunnels, a_carrier_that_brings_more_than_is_looked_at_is_not_read_from_meanwhile) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  std::string text;
  const std::string body(10'000, 'b');
  for (int i = 0; text.size() < 2 * Tunnels::later_bytes_max; ++i) {
    text += "POST /send/" + name + "/" + std::to_string(i) +
            " HTTP/1.1\r\nContent-Length: 10000\r\n\r\n" + body;
  }
  world.tunnels[0]->carrier_received(carrier, as_bytes(text), world.now);
  world.turn();
  EXPECT_EQ(world.reading, std::vector{false});
  for (int turn = 0; turn < 20; ++turn) world.turn();
  EXPECT_EQ(world.reading, (std::vector{false, true}));
  EXPECT_TRUE(world.faults.empty());
}

TEST(Tunnels, requests_of_which_the_first_is_missing_end_their_session_and_its_carrier_may_go) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += "POST /idle/" + name + "/" + std::to_string(1 + i / 3) +
            " HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
  }
  world.ask(0, carrier, text);
  world.pass(tunnel::TunnelSession::gap_ms + 100);
  EXPECT_NE(world.take_events(0).find("closed"), std::string::npos);
  world.tunnels[0]->carrier_closed(carrier, world.now);
  world.turn();
}

TEST(Tunnels, what_is_not_rtmpt_is_refused_and_its_carrier_ends) {
  const struct {
    std::string text;
    std::string answer;
    Fault fault;
  } cases[] = {
      {"GET /open/1 HTTP/1.1\r\n\r\n", "405 ", Fault::tunnel_request},
      {"POST /live/cam HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "404 ", Fault::tunnel_request},
      {"POST /send/abc/0 HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "400 ", Fault::http_malformed},
      {"POST /open/1 HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", "413 ", Fault::http_too_large},
      {"POST /open/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 ",
       Fault::http_malformed},
      {"P" + std::string(9000, 'x'), "431 ", Fault::http_too_large},
  };
  for (const auto& one : cases) {
    World world;
    const auto carrier = world.connect(0);
    world.ask(0, carrier, one.text);
    EXPECT_EQ(world.take_answer(carrier), one.answer + "<end>") << one.text;
    EXPECT_EQ(world.faults, std::vector{one.fault}) << one.text;
    world.ask(0, carrier, "POST /open/1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(world.take_answer(carrier), "");
    EXPECT_EQ(world.take_events(0), "");
  }
}

TEST(Tunnels, sessions_that_are_not_there_are_unknown_on_any_worker) {
  World world(2);
  const auto carrier = world.connect(0);
  std::string name = world.open(0, carrier);
  const auto other = world.connect(1);
  name.back() = name.back() == 'a' ? 'b' : 'a';
  world.post(0, carrier, "/idle/" + name + "/0");
  EXPECT_EQ(world.take_answer(carrier), "404 ");
  world.post(1, other, "/idle/" + name + "/0");
  EXPECT_EQ(world.take_answer(other), "404 ");
  world.post(1, other, "/idle/abc/0");
  EXPECT_EQ(world.take_answer(other), "404 ");
  world.post(1, other, "/idle/00zzzAAAAAAAAAAAAAAAAAAAAAA/0");
  EXPECT_EQ(world.take_answer(other), "404 ");
}

TEST(Tunnels, a_session_that_was_opened_within_tls_stays_there) {
  World world;
  const auto secure = world.connect(0, true);
  world.post(0, secure, "/open/1");
  EXPECT_EQ(world.take_events(0), "opened in TLS\n");
  std::string answer = world.take_answer(secure);
  const std::string name = answer.substr(4, answer.size() - 5);
  const auto plain = world.connect(0);
  world.post(0, plain, "/idle/" + name + "/0");
  EXPECT_EQ(world.take_answer(plain), "404 ");
  world.post(0, secure, "/idle/" + name + "/0");
  world.pass(16);
  EXPECT_EQ(world.take_answer(secure), "200 \1");
}

TEST(Tunnels, an_address_has_a_bounded_number_of_sessions) {
  World world(1, 4, {.tunnels_per_address = 2});
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  world.open(0, carrier);
  const auto third = world.connect(0);
  world.post(0, third, "/open/1");
  EXPECT_EQ(world.take_answer(third), "503 <end>");
  EXPECT_EQ(world.faults, std::vector{Fault::tunnels_exceeded});
  world.open(0, world.connect(0, false, 2));
  world.post(0, carrier, "/close/" + name + "/0");
  world.take_answer(carrier);
  world.take_events(0);
  world.open(0, carrier);
  world.open(0, world.connect(0, false, 3));  // the fourth and last
  const auto last = world.connect(0, false, 4);
  world.post(0, last, "/open/1");
  EXPECT_EQ(world.take_answer(last), "503 <end>");
}

TEST(Tunnels, carriers_without_requests_are_closed) {
  World world;
  const auto silent = world.connect(0);
  const auto used = world.connect(0);
  const auto asks_for_nothing = world.connect(0);
  world.open(0, used);
  const uint64_t handshake_ms = TunnelSettings{}.handshake_ms;
  world.pass(handshake_ms - 1);
  world.post(0, asks_for_nothing, "/fcs/ident2");
  EXPECT_EQ(world.take_answer(asks_for_nothing), "404 ");
  EXPECT_EQ(world.take_answer(silent), "");
  world.pass(1);
  EXPECT_EQ(world.take_answer(silent), "<end>");
  EXPECT_EQ(world.take_answer(asks_for_nothing), "<end>");
  EXPECT_EQ(world.faults, (std::vector{Fault::http_timeout, Fault::http_timeout}));
  world.pass(Tunnels::carrier_idle_ms - handshake_ms - 1);
  EXPECT_EQ(world.take_answer(used), "");
  world.pass(1);
  EXPECT_EQ(world.take_answer(used), "<end>");
}

TEST(Tunnels, of_carriers_that_have_shown_nothing_the_oldest_makes_room) {
  World world;
  const auto used = world.connect(0);
  world.open(0, used);
  const auto oldest = world.connect(0);
  for (uint32_t i = 1; i < unserved_max; ++i) world.connect(0);
  world.turn();
  EXPECT_EQ(world.take_answer(oldest), "");
  const auto newest = world.connect(0);
  world.turn();
  EXPECT_EQ(world.take_answer(oldest), "<end>");
  EXPECT_EQ(world.take_answer(used), "");
  EXPECT_FALSE(world.open(0, newest).empty());
  world.tunnels[0]->carrier_closed(oldest, world.now);
}

TEST(Tunnels, megabytes_for_nobody_are_refused_before_they_come) {
  const struct {
    std::string_view target;
    std::string_view answer;
    Fault fault;
  } cases[] = {
      {"/open/1", "413 <end>", Fault::http_too_large},
      {"/fcs/ident2", "413 <end>", Fault::http_too_large},
      {"/send/nobody/1", "404 <end>", Fault::tunnel_unknown},
  };
  for (const auto& one : cases) {
    World world;
    const auto carrier = world.connect(0);
    world.ask(0, carrier,
              "POST " + std::string(one.target) + " HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
    EXPECT_EQ(world.take_answer(carrier), one.answer) << one.target;
    EXPECT_EQ(world.faults, std::vector{one.fault});
  }
}

TEST(Tunnels, who_holds_most_of_unfinished_bodies_makes_room_for_the_others) {
  World world(1, 80);
  const size_t largest = 1'000'000;
  const std::string part(largest - 1, 'x');
  std::vector<engine::ConnectionId> hoarders;
  for (uint8_t host = 1; host <= Tunnels::partial_bytes_max / largest; ++host) {
    const auto carrier = world.connect(0, false, host);
    const std::string name = world.open(0, carrier);
    world.ask(0, carrier,
              "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + part);
    hoarders.push_back(carrier);
  }
  const auto publisher = world.connect(0, false, 200);
  const std::string name = world.open(0, publisher);
  world.ask(0, publisher,
            "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 200001\r\n\r\n" +
                std::string(200'000, 'y'));
  world.ask(0, publisher, "y");
  EXPECT_EQ(world.take_answer(publisher).substr(0, 3), "200");
  size_t ended = 0;
  for (const auto carrier : hoarders) {
    ended += world.take_answer(carrier).ends_with("503 <end>") ? 1 : 0;
  }
  EXPECT_EQ(ended, 1u);
}

TEST(Tunnels, a_carrier_that_was_told_its_last_answer_is_closed_if_it_stays) {
  World world;
  const auto carrier = world.connect(0);
  world.ask(0, carrier, "POST /fcs/ident2 HTTP/1.0\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(world.take_answer(carrier), "404 <end>");
  world.pass(Tunnels::linger_ms);
  EXPECT_EQ(world.take_answer(carrier), "<end>");
}

TEST(Tunnels, carriers_are_bounded) {
  World world(1, 1);
  for (size_t i = 0; i < Tunnels::carriers_per_tunnel; ++i) {
    const auto carrier = world.connect(0);
    world.turn();
    EXPECT_EQ(world.take_answer(carrier), "");
  }
  const auto carrier = world.connect(0);
  world.turn();
  EXPECT_EQ(world.take_answer(carrier), "<end>");
  world.tunnels[0]->carrier_closed(carrier, world.now);
}

TEST(Tunnels, a_session_without_requests_ends) {
  World world(1, 8, {.idle_ms = 10'000});
  world.open(0, world.connect(0));
  world.pass(9'999);
  EXPECT_EQ(world.take_events(0), "");
  world.pass(1);
  EXPECT_EQ(world.take_events(0), "closed tunnel_timeout\n");
}

TEST(Tunnels, a_worker_that_does_not_read_is_given_nothing) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  world.tunnels[0]->set_reading(world.ids[0], false);
  world.post(0, carrier, "/send/" + name + "/0", "held");
  EXPECT_EQ(world.take_events(0), "");
  world.tunnels[0]->set_reading(world.ids[0], true);
  world.turn();
  EXPECT_EQ(world.take_events(0), ">held\n");
  EXPECT_EQ(world.take_answer(carrier), "200 \1");
}

TEST(Tunnels, after_finish_the_rest_is_answered_and_then_it_is_closed) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  world.say(0, "bye");
  world.tunnels[0]->finish(world.ids[0]);
  world.post(0, carrier, "/idle/" + name + "/0");
  EXPECT_EQ(world.take_answer(carrier), "200 \1" + std::string("bye"));
  world.tunnels[0]->carrier_sent(carrier, {}, world.now);
  world.post(0, carrier, "/idle/" + name + "/1");
  EXPECT_EQ(world.take_answer(carrier), "404 ");
  EXPECT_EQ(world.take_events(0), "sent 3\nclosed\n");
}

TEST(Tunnels, after_close_nothing_is_reported_but_the_end) {
  World world;
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  const std::string request = "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
  world.tunnels[0]->carrier_received(carrier, as_bytes(request), world.now);
  world.tunnels[0]->close(world.ids[0]);
  world.tunnels[0]->close(world.ids[0]);
  world.turn();
  EXPECT_EQ(world.take_events(0), "closed\n");
  EXPECT_EQ(world.take_answer(carrier), "404 ");
  // The id is dead, its place is not.
  const std::string next = world.open(0, carrier);
  EXPECT_EQ(world.ids[1].index, world.ids[0].index);
  EXPECT_NE(world.ids[1].generation, world.ids[0].generation);
  world.tunnels[0]->close(world.ids[0]);
  world.turn();
  EXPECT_EQ(world.take_events(0), "");
}

TEST(Tunnels, requests_between_two_workers_are_bounded) {
  World world(2, 32);
  std::vector<std::string> names;
  for (uint8_t host = 0; host < 32; ++host) {
    names.push_back(world.open(1, world.connect(1, false, host)));
  }
  // 32 tunnels on 2 workers: 64 under way between them. None of the first comes back while worker 1
  // does not turn.
  const auto request = [&](size_t tunnel, int sequence) {
    return "POST /idle/" + names[tunnel] + "/" + std::to_string(sequence) +
           " HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
  };
  for (size_t i = 0; i < 64; ++i) {
    const auto carrier = world.connect(0);
    world.tunnels[0]->carrier_received(carrier, as_bytes(request(i / 2, static_cast<int>(i % 2))),
                                       world.now);
  }
  const auto carrier = world.connect(0);
  world.tunnels[0]->carrier_received(carrier, as_bytes(request(0, 2)), world.now);
  world.turn(0);
  EXPECT_EQ(world.take_answer(carrier), "503 <end>");
  world.pass(100);
  world.pass(100);
  const auto again = world.connect(0);
  world.post(0, again, "/idle/" + names[0] + "/2");
  world.pass(100);
  EXPECT_EQ(world.take_answer(again), "200 \1");
}

TEST(Tunnels, bodies_of_carriers_that_have_gone_are_nobody_elses_fault) {
  World world(1, 80);
  const std::string part(1'000'000, 'x');
  std::vector<std::string> texts;
  std::vector<engine::ConnectionId> gone;
  for (uint8_t host = 1; host <= 70; ++host) {
    const auto carrier = world.connect(0, false, host);
    const std::string name = world.open(0, carrier);
    std::string text;
    for (size_t i = 0; i < Tunnels::pipelined_max; ++i) {
      // Number 0 is missing: they wait, and what follows is looked at when the carrier has gone.
      text += "POST /idle/" + name + "/" + std::to_string(std::min<size_t>(i + 1, 7)) +
              " HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    }
    text += "POST /send/" + name + "/2 HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n" + part;
    texts.push_back(std::move(text));
    gone.push_back(carrier);
  }
  for (size_t i = 0; i < gone.size(); ++i) {
    world.tunnels[0]->carrier_received(gone[i], as_bytes(texts[i]), world.now);
    world.tunnels[0]->carrier_closed(gone[i], world.now);
  }
  for (int turn = 0; turn < 5; ++turn) world.turn();
  EXPECT_EQ(world.tunnels[0]->carrier_count(), 0u);
}

TEST(Tunnels, requests_on_their_way_at_the_end_are_freed) {
  World world(2);
  const auto carrier = world.connect(0);
  const std::string name = world.open(0, carrier);
  const auto other = world.connect(1);
  const std::string request = "POST /send/" + name + "/0 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx";
  world.tunnels[1]->carrier_received(other, as_bytes(request), world.now);
  world.tunnels[1]->carrier_received(other, as_bytes("POST /send/half"), world.now);
}

}  // namespace
}  // namespace penstock::transport

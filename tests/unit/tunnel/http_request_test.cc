#include "penstock/tunnel/http_request.h"

#include <gtest/gtest.h>

#include <string>

#include "penstock/base/prng.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::tunnel {
namespace {

using Step = HttpRequestReader::Step;

std::string post(std::string_view target, std::string_view body, std::string_view fields = {}) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(fields) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

/// Everything that a reader says of `stream`, cut by `cuts` if there are any.
std::string read_all(std::string_view stream, Prng* cuts = nullptr) {
  HttpRequestReader reader;
  std::string said;
  while (!stream.empty()) {
    const size_t count =
        cuts ? std::min<size_t>(stream.size(), 1 + cuts->below(40)) : stream.size();
    reader.feed(as_bytes(stream.substr(0, count)));
    stream.remove_prefix(count);
    while (true) {
      const auto step = reader.next();
      if (!step) return said + "refused " + std::to_string(step.error().status);
      if (*step == Step::need_input) break;
      if (*step == Step::head) {
        said += "[" + reader.head().target + (reader.head().keep_alive ? " " : " last ");
      } else if (*step == Step::body) {
        EXPECT_FALSE(reader.body().empty());
        said += as_text(reader.body());
      } else {
        said += "]";
      }
    }
  }
  return said;
}

TEST(HttpRequest, requests_of_the_vectors_are_read) {
  for (const auto& step : test::load_vectors("rtmpt.json", "steps")) {
    if (step["from"] != "C") continue;
    const std::string http = step["http"];
    HttpRequestReader reader;
    reader.feed(as_bytes(http));
    const auto first = reader.next();
    ASSERT_TRUE(first) << http;
    EXPECT_EQ(*first, Step::head);
    EXPECT_EQ(reader.head().method, HttpMethod::post);
    EXPECT_TRUE(reader.head().keep_alive);
  }
}

TEST(HttpRequest, pipelined_requests_come_out_in_order_however_they_are_cut) {
  const std::string stream = post("/open/1", "x") + "\r\n" +
                             post("/send/a/0", "some bytes\r\n\r\n") + post("/idle/a/1", "") +
                             post("/close/a/2", "z");
  const std::string expected =
      "[/open/1 x][/send/a/0 some bytes\r\n\r\n][/idle/a/1 ][/close/a/2 z]";
  EXPECT_EQ(read_all(stream), expected);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Prng cuts(seed);
    EXPECT_EQ(read_all(stream, &cuts), expected) << seed;
  }
}

TEST(HttpRequest, a_connection_is_kept_unless_the_peer_says_otherwise) {
  EXPECT_EQ(read_all(post("/a", "", "Connection: close\r\n")), "[/a last ]");
  EXPECT_EQ(read_all(post("/a", "", "Connection: Keep-Alive\r\n")), "[/a ]");
  EXPECT_EQ(read_all("POST /a HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), "[/a last ]");
  EXPECT_EQ(read_all("POST /a HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
            "[/a ]");
}

TEST(HttpRequest, what_could_be_read_in_two_ways_is_refused) {
  for (const char* fields :
       {"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n", "Content-Length: 1, 1\r\n", "Content-Length: -1\r\n",
        "Content-Length: +1\r\n", "Content-Length: 0x1\r\n", "Content-Length: 1x\r\n",
        "Content-Length: 99999999999999999999\r\n", "Content-Length:\r\n",
        "X: a\r\n b\r\nContent-Length: 1\r\n", "X: a\r\n\tb\r\nContent-Length: 1\r\n",
        "Content-Length : 1\r\n", "No colon\r\n", ": 1\r\n", "X\1: 1\r\n"}) {
    EXPECT_EQ(read_all("POST /a HTTP/1.1\r\n" + std::string(fields) + "\r\nx"), "refused 400")
        << fields;
  }
  for (const char* line : {"POST /a HTTP/2.0", "POST /a", "POST  HTTP/1.1", "POST /a b HTTP/1.1",
                           " POST /a HTTP/1.1", "POST /a HTTP/1.1 "}) {
    EXPECT_EQ(read_all(std::string(line) + "\r\nHost: h\r\n\r\n"), "refused 400") << line;
  }
}

TEST(HttpRequest, heads_and_bodies_have_a_limit) {
  const std::string shell = "POST /a HTTP/1.1\r\nX: \r\nContent-Length: 0\r\n\r\n";
  const auto head = [&](size_t bytes) {
    std::string made = shell;
    return made.insert(made.find("X: ") + 3, bytes - shell.size(), 'x');
  };
  Prng cuts(1);
  EXPECT_EQ(read_all(head(http_head_bytes_max)), "[/a ]");
  EXPECT_EQ(read_all(head(http_head_bytes_max), &cuts), "[/a ]");
  EXPECT_EQ(read_all(head(http_head_bytes_max + 1)), "refused 431");
  EXPECT_EQ(read_all(head(http_head_bytes_max + 1), &cuts), "refused 431");
  const std::string largest = std::to_string(http_body_bytes_max);
  const std::string larger = std::to_string(http_body_bytes_max + 1);
  EXPECT_EQ(read_all("POST /a HTTP/1.1\r\nContent-Length: " + largest + "\r\n\r\n"), "[/a ");
  EXPECT_EQ(read_all("POST /a HTTP/1.1\r\nContent-Length: " + larger + "\r\n\r\n"), "refused 413");
}

TEST(HttpRequest, a_refusal_stays) {
  HttpRequestReader reader;
  reader.feed(as_bytes("rubbish\r\n\r\n"));
  ASSERT_FALSE(reader.next());
  reader.feed(as_bytes(post("/open/1", "x")));
  EXPECT_EQ(reader.next().error(), (HttpRefusal{400, Fault::http_malformed}));
}

TEST(HttpRequest, an_answer_has_the_fields_that_peers_look_for) {
  std::vector<uint8_t> answer;
  const uint8_t body[] = {1, 'x'};
  append_http_answer(200, body, true, answer);
  EXPECT_EQ(as_text(answer),
            "HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nConnection: Keep-Alive\r\n"
            "Content-Type: application/x-fcs\r\nContent-Length: 2\r\n\r\n\1x");
  // The same as in the vectors, but for the length.
  for (const auto& step : test::load_vectors("rtmpt.json", "steps")) {
    if (step["from"] != "S") continue;
    const std::string http = step["http"];
    answer.clear();
    append_http_answer(http.find(" 404 ") != std::string::npos ? 404 : 200, {}, true, answer);
    const std::string_view ours = as_text(answer);
    EXPECT_EQ(ours.substr(0, ours.find("Length")), http.substr(0, http.find("Length")));
  }
  answer.clear();
  append_http_answer(405, {}, false, answer);
  EXPECT_NE(as_text(answer).find("\r\nConnection: close\r\nAllow: POST\r\n"), std::string::npos);
}

}  // namespace
}  // namespace penstock::tunnel

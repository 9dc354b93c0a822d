#include "controlplane/api/server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "penstock/base/prng.h"
#include "tests/unit/controlplane/plane.h"

namespace penstock::controlplane::api {
namespace {

using nlohmann::json;

constexpr uint16_t port_of_tests = 23'010;
constexpr const char* token = "0123456789abcdef0123456789abcdef";

class ServerTest : public Plane {
 protected:
  void SetUp() override { start_dataplane(); }
  void serve_tcp() {
    auto listening = Server::listen_tcp(*parts, {"127.0.0.1", port_of_tests});
    ASSERT_TRUE(listening.has_value()) << listening.error();
    tcp = std::move(*listening);
  }
  void serve_unix() {
    auto listening = Server::listen_unix(*parts, folder.file("api.sock"));
    ASSERT_TRUE(listening.has_value()) << listening.error();
    local = std::move(*listening);
  }
  void want_token() {
    folder.write("token", std::string(token) + "\n");
    folder.write("penstock.toml",
                 config_text("[control]\ntoken_file = \"" + folder.file("token") + "\"\n"));
    ASSERT_TRUE(reload(*parts).has_value());
  }
  httplib::Client caller() { return httplib::Client("127.0.0.1", port_of_tests); }

  /// Sends bytes as they are; what comes back until the other side closes. The library does not
  /// answer a peer that has closed its half: only where no answer is expected.
  static std::string raw(const std::string& bytes, bool half_close) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_of_tests);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string answer;
    if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      (void)::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (half_close) ::shutdown(socket, SHUT_WR);
      std::array<char, 4096> piece{};
      for (ssize_t count = 0; (count = ::recv(socket, piece.data(), piece.size(), 0)) > 0;) {
        answer.append(piece.data(), static_cast<size_t>(count));
      }
    }
    ::close(socket);
    return answer;
  }
  static int status_of(const std::string& answer) {
    return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
  }

  std::unique_ptr<Server> tcp;
  std::unique_ptr<Server> local;
};

TEST_F(ServerTest, the_socket_is_its_owners_alone_and_needs_no_token) {
  want_token();
  serve_unix();
  struct stat status {};
  ASSERT_EQ(::stat(folder.file("api.sock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  httplib::Client cli(folder.file("api.sock"));
  cli.set_address_family(AF_UNIX);
  const auto answer = cli.Get("/api/v1/status");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_TRUE(json::parse(answer->body)["dataplane"]["attached"]);
  EXPECT_EQ(cli.Put("/api/v1/tunables/gop_bytes", R"({"value": 4096})", "application/json")->status,
            200);
  EXPECT_EQ(cli.Delete("/api/v1/tunables/gop_bytes")->status, 200);
  local.reset();
  EXPECT_NE(::stat(folder.file("api.sock").c_str(), &status), 0) << "removed at the end";
}

TEST_F(ServerTest, a_socket_left_behind_is_replaced_and_a_live_one_is_not) {
  const std::string path = folder.file("api.sock");
  {
    const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(dead);
  }
  serve_unix();
  EXPECT_NE(Server::listen_unix(*parts, path).error().find("another process"), std::string::npos);
  folder.write("file", "precious");
  EXPECT_NE(Server::listen_unix(*parts, folder.file("file")).error().find("no socket"),
            std::string::npos);
  EXPECT_EQ(folder.read("file"), "precious");
}

TEST_F(ServerTest, a_port_in_use_is_refused_with_what_to_do) {
  serve_tcp();
  const auto second = Server::listen_tcp(*parts, {"127.0.0.1", port_of_tests});
  ASSERT_FALSE(second.has_value()) << "two processes must not share a port without noticing";
  EXPECT_NE(second.error().find("in use"), std::string::npos) << second.error();
}

TEST_F(ServerTest, a_token_is_asked_for_when_one_is_configured) {
  want_token();
  serve_tcp();
  auto caller_ = caller();
  EXPECT_EQ(caller_.Get("/api/v1/status")->status, 401);
  EXPECT_EQ(caller_.Get("/metrics")->status, 401);
  EXPECT_EQ(caller_.Post("/api/v1/drain", "", "text/plain")->status, 401);
  EXPECT_EQ(dataplane->wanted().draining, 0u);
  EXPECT_EQ(caller_.Get("/healthz")->status, 200) << "a load balancer has no token";
  for (const std::string& wrong :
       {std::string("Bearer"), std::string("Bearer "), "Bearer " + std::string(token) + "x",
        std::string("Basic ") + token, std::string(token)}) {
    EXPECT_EQ(caller_.Get("/api/v1/status", {{"Authorization", wrong}})->status, 401) << wrong;
  }
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER "}) {
    const std::string right = std::string(scheme) + token;
    EXPECT_EQ(caller_.Get("/api/v1/status", {{"Authorization", right}})->status, 200) << scheme;
  }
}

TEST_F(ServerTest, without_a_token_pages_in_a_browser_cannot_reach_it) {
  serve_tcp();
  auto caller_ = caller();
  EXPECT_EQ(caller_.Get("/api/v1/status")->status, 200);
  EXPECT_EQ(caller_.Get("/api/v1/status", {{"Host", "rebound.example:23010"}})->status, 403);
  EXPECT_EQ(
      caller_.Post("/api/v1/drain", {{"Origin", "http://evil.example"}}, "", "text/plain")->status,
      403);
  EXPECT_EQ(dataplane->wanted().draining, 0u);
  EXPECT_EQ(caller_
                .Get("/api/v1/status",
                     {{"Host", "127.0.0.1:23010"}, {"Origin", "http://127.0.0.1:23010"}})
                ->status,
            200);
}

TEST_F(ServerTest, a_request_within_the_body_of_a_refused_one_is_not_taken) {
  serve_tcp();
  const std::string inner = "POST /api/v1/drain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  raw("POST /api/v1/streams/a/b/kick HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: "
      "http://evil.example\r\nContent-Length: " +
          std::to_string(30'000'000) + "\r\n\r\n" + inner,
      false);
  raw("GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 50\r\n\r\n" + inner,
      false);
  EXPECT_EQ(dataplane->wanted().draining, 0u);
}

struct Garbage {
  const char* what;
  std::string bytes;
  int status;  // 0: any
};

TEST_F(ServerTest, garbage_is_refused_and_the_next_one_is_served) {
  serve_tcp();
  const std::string head = " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  const std::vector<Garbage> all = {
      {"nothing", "", 0},
      {"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0},
      {"zeros", std::string(10'000, '\0'), 0},
      {"unknown method", "BREW /api/v1/status" + head + "\r\n", 501},
      {"unknown long method", std::string(600, 'B') + " /api/v1/status" + head + "\r\n", 501},
      {"options", "OPTIONS /api/v1/status" + head + "\r\n", 405},
      {"patch", "PATCH /api/v1/status" + head + "Content-Length: 2\r\n\r\n{}", 405},
      {"post without length", "POST /api/v1/drain/x" + head + "\r\n", 404},
      {"chunked",
       "POST /api/v1/config/check" + head + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", 411},
      {"huge length",
       "POST /api/v1/config/check" + head + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {"large length", "POST /api/v1/config/check" + head + "Content-Length: 99999999\r\n\r\n",
       413},
      {"large for a small body",
       "PUT /api/v1/tunables/gop_bytes" + head + "Content-Length: 20000\r\n\r\n", 413},
      {"negative length", "PUT /api/v1/tunables/gop_bytes" + head + "Content-Length: -1\r\n\r\n",
       400},
      {"two lengths",
       "PUT /api/v1/tunables/gop_bytes" + head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
       400},
      {"cut body", "PUT /api/v1/tunables/gop_bytes" + head + "Content-Length: 50\r\n\r\n{", 0},
      {"no json", "PUT /api/v1/tunables/gop_bytes" + head + "Content-Length: 3\r\n\r\n\xFF\x01{",
       400},
      {"deep json",
       "PUT /api/v1/tunables/gop_bytes" + head + "Content-Length: 15000\r\n\r\n" +
           std::string(15'000, '['),
       400},
      {"form",
       "POST /api/v1/config/check" + head +
           "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5\r\n\r\n--x--",
       415},
      {"zip bomb",
       "POST /api/v1/config/check" + head +
           "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
       415},
      {"long path", "GET /" + std::string(7'000, 'a') + head + "\r\n", 414},
      {"longer path", "GET /" + std::string(100'000, 'a') + head + "\r\n", 0},
      {"long header", "GET /api/v1/status" + head + "X: " + std::string(100'000, 'a') + "\r\n\r\n",
       0},
      {"many ranges",
       "GET /api/v1/openapi.json" + head + "Range: bytes=0-" +
           [] {
             std::string ranges;
             for (int i = 0; i < 1'500; ++i) ranges += ",0-";
             return ranges;
           }() +
           "\r\n\r\n",
       400},
      {"percent", "GET /api/v1/streams/%ff%00%0a/%zz%" + head + "\r\n", 404},
      {"null in path", "GET /api/v1/streams/live/%00" + head + "\r\n", 404},
  };
  for (const Garbage& one : all) {
    const std::string answer = raw(one.bytes, one.status == 0);
    if (one.status != 0) {
      EXPECT_EQ(status_of(answer), one.status) << one.what << ": " << answer;
    }
    const size_t body = answer.find("\r\n\r\n");
    const bool is_json = body != std::string::npos && answer.find("application/json") < body;
    if (is_json) {
      EXPECT_TRUE(json::parse(answer.substr(body)).contains("error")) << one.what;
    }
    EXPECT_EQ(caller().Get("/api/v1/version")->status, 200) << "after: " << one.what;
  }
}

TEST_F(ServerTest, noise_does_not_end_it) {
  serve_tcp();
  Prng noise(11);
  const std::string start =
      "PUT /api/v1/tunables/gop_bytes?x=%41 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
      "14\r\n\r\n{\"value\": 4096}";
  for (int round = 0; round < 300; ++round) {
    std::string bytes = start;
    for (uint64_t change = noise.below(6) + 1; change > 0; --change) {
      bytes[noise.below(bytes.size())] = static_cast<char>(noise.next());
    }
    (void)raw(bytes.substr(0, noise.below(bytes.size()) + 1), true);
  }
  EXPECT_EQ(caller().Get("/api/v1/version")->status, 200);
}

TEST_F(ServerTest, a_configuration_larger_than_a_form_may_be_is_checked) {
  serve_tcp();
  std::string text = config_text("[admission]\npublish = \"keys\"\nkeys = [\n");
  for (int i = 0; i < 2'000; ++i) text += "\"live/key" + std::to_string(i) + "\",\n";
  const auto answer =
      caller().Post("/api/v1/config/check", text + "]\n", "application/x-www-form-urlencoded");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body.find("problems\":[]") != std::string::npos, true)
      << answer->body.substr(0, 300);
}

TEST_F(ServerTest, idle_peers_on_tcp_do_not_keep_the_socket_from_answering) {
  serve_tcp();
  serve_unix();
  std::vector<int> idle;
  for (int i = 0; i < 40; ++i) {
    idle.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_of_tests);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(idle.back(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  httplib::Client cli(folder.file("api.sock"));
  cli.set_address_family(AF_UNIX);
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(cli.Get("/api/v1/status")->status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(500));
  for (const int socket : idle) ::close(socket);
}

TEST_F(ServerTest, hundreds_of_idle_and_of_trickling_peers_do_not_hide_the_health) {
  serve_tcp();
  std::vector<int> held;
  for (int i = 0; i < 650; ++i) {
    held.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_of_tests);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(held.back(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    if (i % 16 == 0) (void)::send(held.back(), "G", 1, MSG_NOSIGNAL);
  }
  const auto began = std::chrono::steady_clock::now();
  const auto answer = caller().Get("/healthz");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(3'000));
  for (const int socket : held) ::close(socket);
}

TEST_F(ServerTest, many_threads_ask_while_the_loop_turns_and_the_data_plane_dies) {
  serve_tcp();
  StopFlag stop;
  std::vector<std::thread> askers;
  for (int i = 0; i < 4; ++i) {
    askers.emplace_back([&, i] {
      const char* paths[] = {"/api/v1/streams", "/api/v1/status", "/metrics", "/api/v1/config"};
      while (!stop.raised()) {
        auto caller_ = caller();
        const auto answer = caller_.Get(paths[i]);
        // 503: the moment in which no data plane is attached.
        EXPECT_TRUE(answer && (answer->status == 200 || answer->status == 503));
        caller_.Put("/api/v1/tunables/gop_bytes", R"({"value": 4096})", "application/json");
      }
    });
  }
  for (uint64_t run = 10; run < 16; ++run) {
    dataplane.reset();
    dataplane = std::make_unique<FakeDataplane>(folder.path(), FakeDataplane::Shape{.run_id = run});
    for (int i = 0; i < 30; ++i) {
      dataplane->put_stream(0, static_cast<uint32_t>(i),
                            stream_row(run * 100 + static_cast<uint64_t>(i), "live/x"));
      turn(120);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  stop.raise();
  for (std::thread& asker : askers) asker.join();
  EXPECT_NE(parts->link.current(), nullptr);
}

}  // namespace
}  // namespace penstock::controlplane::api

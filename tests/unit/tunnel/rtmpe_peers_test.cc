// Real peers over a real connection: rtmpdump plays, and GStreamer's rtmpsink publishes; both are
// librtmp. They send form 6 and follow the number of S0, so 8 and 9 are checked by them too.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "penstock/base/limits.h"
#include "penstock/tunnel/rtmpe_layer.h"
#include "tests/unit/rtmp/session_probe.h"

namespace penstock::tunnel {
namespace {

using test::octets;
using test::Octets;
using Clock = std::chrono::steady_clock;

bool installed(const char* program) {
  return std::system(("command -v " + std::string(program) + " > /dev/null").c_str()) == 0;
}

/// A program that ends with the test, whatever comes.
class Program {
 public:
  explicit Program(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int output : {STDOUT_FILENO, STDERR_FILENO})
      posix_spawn_file_actions_addopen(&actions, output, "/dev/null", O_WRONLY, 0);
    EXPECT_EQ(posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Program() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Leaves it the time to end by itself.
  void join() {
    const Clock::time_point until = Clock::now() + std::chrono::seconds(10);
    while (Clock::now() < until) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = 0;
        return;
      }
      usleep(10'000);
    }
    ADD_FAILURE() << "does not end";
  }

 private:
  pid_t pid_ = 0;
};

/// A listener that takes one connection: layer and session over its socket.
class Server {
 public:
  explicit Server(uint8_t version) : layer_({.version = version, .random_seed = version}) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, any, length), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, any, &length), 0);
    port_ = ntohs(address.sin_port);
    above.session.skip_handshake();
    above.answers = rtmp::Refusal::none;
  }
  ~Server() {
    if (connection_ >= 0) ::close(connection_);
    ::close(listener_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::string url() const {
    return "rtmpe://127.0.0.1:" + std::to_string(port_) + "/live/cam";
  }

  /// Until an event of the session begins with `begin`, or the peer has gone.
  bool serve_until(std::string_view begin) {
    const Clock::time_point until = Clock::now() + std::chrono::seconds(15);
    while (Clock::now() < until) {
      const auto found = [&](const std::string& event) { return event.starts_with(begin); };
      if (std::ranges::any_of(above.events, found)) return true;
      pollfd waiting{connection_ < 0 ? listener_ : connection_, POLLIN, 0};
      if (poll(&waiting, 1, 100) <= 0) continue;
      if (connection_ < 0) {
        connection_ = accept(listener_, nullptr, nullptr);
      } else if (!receive()) {
        return false;
      }
    }
    return false;
  }

  void send_session_bytes() {
    if (layer_.established()) layer_.seal(above.session.outbox().take(), to_peer_);
    for (Bytes left = to_peer_; !left.empty();) {
      const ssize_t sent = ::send(connection_, left.data(), left.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      left = left.subspan(static_cast<size_t>(sent));
    }
    to_peer_.clear();
  }

  void end() { shutdown(connection_, SHUT_WR); }

  test::SessionProbe above;

 private:
  bool receive() {
    uint8_t bytes[4096];
    const ssize_t count = recv(connection_, bytes, sizeof(bytes), 0);
    if (count <= 0) return false;
    Octets room(1000);
    for (Bytes left(bytes, static_cast<size_t>(count));;) {
      const auto opened = layer_.open(left, room, to_peer_);
      if (!opened) {
        ADD_FAILURE() << fault_info(opened.error()).text;
        return false;
      }
      left = left.subspan(opened->input_bytes);
      if (!above.feed(Bytes(room).first(opened->output_bytes))) {
        ADD_FAILURE() << fault_info(*above.fault).text;
        return false;
      }
      if (opened->input_bytes == 0 && opened->output_bytes == 0) break;
    }
    send_session_bytes();
    return true;
  }

  int listener_ = -1;
  int connection_ = -1;
  uint16_t port_ = 0;
  RtmpeLayer layer_;
  Octets to_peer_;
};

class RtmpePeers : public testing::TestWithParam<uint8_t> {};
INSTANTIATE_TEST_SUITE_P(, RtmpePeers, testing::Values(6, 8, 9),
                         [](const auto& form) { return std::to_string(form.param); });

TEST_P(RtmpePeers, rtmpdump_plays) {
  if (!installed("rtmpdump")) GTEST_SKIP() << "rtmpdump is not installed";
  const auto file = std::filesystem::temp_directory_path() /
                    ("penstock-rtmpe-" + std::to_string(getpid()) + ".flv");
  Server server(GetParam());
  Program player({"rtmpdump", "-r", server.url(), "--live", "-o", file, "-m", "5"});
  ASSERT_TRUE(server.serve_until("play asked 1 live/cam"));
  const Octets frame = test::filler(100'000, 1);
  for (uint32_t timestamp : {0u, 40u, 80u}) {
    server.above.session.outbox().append(test::chunked(
        {.chunk_stream_id = 6, .message_type = 9, .timestamp = timestamp, .message_stream_id = 1},
        frame, chunk_bytes_out));
  }
  server.above.session.publisher_went(1);
  server.send_session_bytes();
  server.end();
  player.join();
  std::ifstream stream(file, std::ios::binary);
  const std::string written(std::istreambuf_iterator<char>(stream), {});
  const std::string_view expected = as_text(frame);
  size_t found = 0;
  for (size_t at = 0; (at = written.find(expected, at)) != std::string::npos; at += frame.size())
    ++found;
  EXPECT_EQ(found, 3u) << written.size() << " bytes written";
  std::filesystem::remove(file);
}

TEST_P(RtmpePeers, rtmpsink_publishes) {
  if (!installed("gst-launch-1.0") || std::system("gst-inspect-1.0 --exists rtmpsink") != 0)
    GTEST_SKIP() << "GStreamer's rtmpsink is not installed";
  Server server(GetParam());
  Program publisher({"gst-launch-1.0", "-q", "audiotestsrc", "num-buffers=10", "!", "alawenc", "!",
                     "flvmux", "streamable=true", "!", "rtmpsink",
                     "location=" + server.url() + " live=1"});
  EXPECT_TRUE(server.serve_until("publish asked 1 live/cam"));
  server.serve_until("publish ended");
  publisher.join();
  EXPECT_EQ(server.above.media.size(), 10u);
  for (const test::Media& message : server.above.media) EXPECT_EQ(message.kind, 8);
}

}  // namespace
}  // namespace penstock::tunnel

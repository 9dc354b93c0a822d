#include "controlplane/cli/api_socket.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace penstock::controlplane::cli {
namespace {

class Folder {
 public:
  Folder() { path_ = ::mkdtemp(pattern_); }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  char pattern_[32] = "/tmp/penstock_cli_XXXXXX";
  std::string path_;
};

/// A stand-in for penstock-control that says back what it was asked.
class Answerer {
 public:
  explicit Answerer(const std::string& path) {
    peer_.set_address_family(AF_UNIX);
    const auto echo = [](const httplib::Request& request, httplib::Response& response) {
      const Json said = {{"method", request.method},
                         {"path", request.path},
                         {"host", request.get_header_value("Host")},
                         {"body", request.body}};
      response.set_content(said.dump(), "application/json");
    };
    peer_.Get("/echo.*", echo);
    peer_.Post("/echo.*", echo);
    peer_.Put("/echo.*", echo);
    peer_.Delete("/echo.*", echo);
    peer_.Get("/refused", [](const httplib::Request&, httplib::Response& response) {
      response.status = 404;
      response.set_content(R"({"error":"no such stream: live/x","hint":"see penstockctl streams"})",
                           "application/json");
    });
    peer_.Get("/text", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("hello", "text/plain");
    });
    EXPECT_TRUE(peer_.bind_to_port(path, 80));
    thread_ = std::thread([this] { peer_.listen_after_bind(); });
    while (!peer_.is_running()) std::this_thread::yield();
  }
  ~Answerer() {
    peer_.stop();
    thread_.join();
  }

 private:
  httplib::Server peer_;
  std::thread thread_;
};

TEST(ApiSocket, requests_carry_method_target_and_body) {
  const Folder folder;
  const Answerer answerer(folder.file("s"));
  const ApiSocket api(folder.file("s"));
  const Answer got = api.get("/echo/" + escaped("live/a b%?"));
  ASSERT_TRUE(got) << got.error().text;
  EXPECT_EQ(text_of(*got, "method"), "GET");
  EXPECT_EQ(text_of(*got, "path"), "/echo/live/a b%?");
  EXPECT_EQ(text_of(*got, "host"), "localhost");
  const Answer posted = api.post("/echo", {{"reason", "x"}});
  ASSERT_TRUE(posted);
  EXPECT_EQ(text_of(*posted, "method"), "POST");
  EXPECT_EQ(text_of(*posted, "body"), R"({"reason":"x"})");
  const Answer put = api.put("/echo", {{"value", 1}});
  ASSERT_TRUE(put);
  EXPECT_EQ(text_of(*put, "method"), "PUT");
  const Answer erased = api.erase("/echo");
  ASSERT_TRUE(erased);
  EXPECT_EQ(text_of(*erased, "method"), "DELETE");
}

TEST(ApiSocket, refusal_says_what_the_other_side_said) {
  const Folder folder;
  const Answerer answerer(folder.file("s"));
  const Answer refused = ApiSocket(folder.file("s")).get("/refused");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text, "no such stream: live/x");
  EXPECT_EQ(refused.error().hint, "see penstockctl streams");
}

TEST(ApiSocket, answer_that_is_not_json_is_a_failure) {
  const Folder folder;
  const Answerer answerer(folder.file("s"));
  const Answer text = ApiSocket(folder.file("s")).get("/text");
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().text.find("not penstock-control"), std::string::npos);
}

TEST(ApiSocket, absent_process_is_named_with_what_to_do_next) {
  const Folder folder;
  const Answer absent = ApiSocket(folder.file("none")).get("/");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().text, "penstock-control is not running at " + folder.file("none"));
  EXPECT_NE(absent.error().hint.find("start it with tools/run"), std::string::npos);
}

TEST(ApiSocket, socket_left_by_a_killed_process_reads_as_absent) {
  const Folder folder;
  { const Answerer answerer(folder.file("s")); }
  const Answer absent = ApiSocket(folder.file("s")).get("/echo");
  ASSERT_FALSE(absent);
  EXPECT_NE(absent.error().text.find("is not running"), std::string::npos);
}

TEST(ApiSocket, path_that_no_socket_can_have_is_refused) {
  const Answer refused = ApiSocket(std::string(200, 'x')).get("/");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find("--socket"), std::string::npos) << refused.error().text;
  EXPECT_NE(refused.error().hint.find("107"), std::string::npos);
}

TEST(ApiSocket, a_plain_file_is_not_a_socket) {
  const Folder folder;
  std::ofstream(folder.file("plain")) << "x";
  const Answer refused = ApiSocket(folder.file("plain")).get("/");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().text, folder.file("plain") + " is not a socket");
}

TEST(ApiSocket, a_process_that_does_not_answer_is_waited_for_3_seconds) {
  const Folder folder;
  const int stopped = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  folder.file("s").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(stopped, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(stopped, 1), 0);
  const auto began = std::chrono::steady_clock::now();
  const Answer none = ApiSocket(folder.file("s")).get("/");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(3'500));
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text.find("no answer within 3 s"), std::string::npos) << none.error().text;
  ::close(stopped);
}

TEST(FailureOf, problems_of_a_configuration_follow_line_by_line) {
  const Failure failure = failure_of(
      422,
      R"({"error":"the file is refused","hint":"","problems":[{"file":"p.toml","line":7,"text":"x"}]})");
  EXPECT_EQ(failure.text, "the file is refused\np.toml:7: x");
  EXPECT_EQ(problem_text({{"file", "p.toml"}, {"line", 0}, {"text", "x"}}), "p.toml: x");
  EXPECT_NE(failure_of(500, "<html>").text.find("status 500"), std::string::npos);
}

TEST(FindSocket, given_wins_over_environment_wins_over_the_usual_places) {
  ::unsetenv("PENSTOCK_SOCKET");
  EXPECT_EQ(find_socket("/a"), "/a");
  EXPECT_TRUE(find_socket("") == "./state/control.sock" ||
              find_socket("") == "/run/penstock/control.sock");
  ::setenv("PENSTOCK_SOCKET", "/b", 1);
  EXPECT_EQ(find_socket(""), "/b");
  EXPECT_EQ(find_socket("/a"), "/a");
  ::unsetenv("PENSTOCK_SOCKET");
}

TEST(Escaped, keeps_what_a_path_may_hold_and_escapes_the_rest) {
  EXPECT_EQ(escaped("live/cam-1_a.b~"), "live/cam-1_a.b~");
  EXPECT_EQ(escaped("a b?c#d%e&f=g+"), "a%20b%3Fc%23d%25e%26f%3Dg%2B");
  EXPECT_EQ(escaped("\xC3\xA9\r\n"), "%C3%A9%0D%0A");
}

}  // namespace
}  // namespace penstock::controlplane::cli

#include "penstock/rtmp/login.h"

#include <gtest/gtest.h>

#include <map>

#include "penstock/rtmp/publisher_auth.h"
#include "tests/unit/rtmp/session_probe.h"
#include "tests/unit/rtmp/vectors.h"

namespace penstock::rtmp {
namespace {

const Instant start{5'000 * ns_per_s};
const Digest secret{1, 2, 3};

/// The value of a key in a description, up to the next "&".
std::string value_in(const std::string& text, const std::string& key) {
  const size_t at = text.find(key + "=");
  if (at == std::string::npos) return "";
  const size_t from = at + key.size() + 1;
  return text.substr(from, text.find('&', from) - from);
}

/// A server with the user bob, whose password is "secret".
struct Server {
  LoginChallenges challenges{secret, 7};
  std::string adobe_hash = adobe_password_hash("bob", "8a3f8a3f", "secret");
  std::string llnw_hash = llnw_password_hash("bob", "secret");
  LoginScheme offered = LoginScheme::adobe;

  LoginAnswer ask(std::string_view query, Instant now = start, std::string_view app = "live") {
    const LoginVerifier bob{"8a3f8a3f", adobe_hash, llnw_hash};
    const LoginQuery parsed = parse_login_query(query);
    const LoginVerifier* known = parsed.user == "bob" ? &bob : nullptr;
    return answer_login({parsed, app, now}, offered, known, as_bytes("decoy"), challenges);
  }
};

/// What an encoder answers to a description of round 2.
std::string adobe_reply(const std::string& told, std::string_view user, std::string_view password) {
  const std::string opaque = value_in(told, "opaque");
  const std::string hash = adobe_password_hash(user, value_in(told, "salt"), password);
  return "authmod=adobe&user=" + std::string(user) +
         "&challenge=436b5804&response=" + adobe_response(hash, opaque, "436b5804") +
         "&opaque=" + opaque;
}

std::string llnw_reply(const std::string& told, std::string_view user, std::string_view password,
                       std::string_view app = "live") {
  const std::string nonce = value_in(told, "nonce");
  return "authmod=llnw&user=" + std::string(user) + "&nonce=" + nonce +
         "&cnonce=70f5216d&nc=00000001&response=" +
         llnw_response(llnw_password_hash(user, password), nonce, "70f5216d",
                       llnw_target_hash(app));
}

TEST(login_query, is_found_between_other_pairs) {
  const LoginQuery query = parse_login_query(
      "token=1&x?authmod=adobe&user=bob&user=eve&challenge=a=b==&response=c+/=&opaque=&pass=p%20q");
  EXPECT_EQ(query.authmod, "adobe");
  EXPECT_EQ(query.user, "bob");
  EXPECT_EQ(query.challenge, "a=b==");
  EXPECT_EQ(query.response, "c+/=");
  EXPECT_EQ(query.opaque, "");
  EXPECT_EQ(query.password, "p%20q");
  EXPECT_TRUE(query.has_password());
  EXPECT_FALSE(parse_login_query("user=bob&password=").has_password());
  EXPECT_EQ(parse_login_query("pass=a&password=b").password, "b");
  EXPECT_TRUE(parse_login_query("user&&=&?=?").user.empty());
}

TEST(login, who_comes_with_nothing_is_told_the_scheme_in_the_words_that_encoders_look_for) {
  Server server;
  EXPECT_EQ(server.ask("").step, LoginStep::user_asked);
  EXPECT_EQ(server.ask("token=1").description,
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ");
  EXPECT_EQ(server.ask("authmod=llnw").description,
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ");
  server.offered = LoginScheme::llnw;
  EXPECT_EQ(server.ask("authmod=unheard-of&user=bob").description,
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ");
}

TEST(login, adobe_takes_three_rounds) {
  Server server;
  const LoginAnswer told = server.ask("authmod=adobe&user=bob");
  EXPECT_EQ(told.step, LoginStep::challenged);
  EXPECT_TRUE(
      told.description.starts_with("[ AccessManager.Reject ] : [ authmod=adobe ] : "
                                   "?reason=needauth&user=bob&salt=8a3f8a3f&challenge="))
      << told.description;
  const LoginAnswer in = server.ask(adobe_reply(told.description, "bob", "secret"));
  EXPECT_EQ(in.step, LoginStep::admitted);
  EXPECT_EQ(in.description, "");
}

TEST(login, llnw_takes_three_rounds_and_is_for_one_app) {
  Server server;
  const auto round = [&](std::string_view app) {
    const LoginAnswer told = server.ask("authmod=llnw&user=bob", start, app);
    EXPECT_EQ(told.step, LoginStep::challenged);
    return told.description;
  };
  EXPECT_EQ(server.ask(llnw_reply(round("live"), "bob", "secret"), start, "live").step,
            LoginStep::admitted);
  const std::string told = round("live/inst");
  EXPECT_EQ(server.ask(llnw_reply(told, "bob", "secret"), start, "live/inst").step,
            LoginStep::failed)
      << "the response is for the app \"live\"";
  EXPECT_EQ(
      server.ask(llnw_reply(round("live/inst"), "bob", "secret", "live/inst"), start, "live/inst")
          .step,
      LoginStep::admitted);
}

TEST(login, wrong_password_and_unknown_user_read_the_same) {
  Server server;
  for (const auto& [scheme, reply] :
       {std::pair{std::string("adobe"),
                  +[](const std::string&told, std::string_view user) {
                    return adobe_reply(told, user, "guess");
                  }},
        std::pair{std::string("llnw"), +[](const std::string&told, std::string_view user) {
                    return llnw_reply(told, user, "guess");
                  }}}) {
    std::map<std::string, std::string> answers;
    for (const std::string user : {"bob", "eve"}) {
      const LoginAnswer told = server.ask("authmod=" + scheme + "&user=" + user);
      ASSERT_EQ(told.step, LoginStep::challenged) << user;
      EXPECT_EQ(value_in(told.description, "salt").size(), scheme == "adobe" ? 8u : 0u);
      const LoginAnswer failed = server.ask(reply(told.description, user));
      EXPECT_EQ(failed.step, LoginStep::failed);
      answers[user] = failed.description.substr(0, failed.description.find("&opaque="));
    }
    EXPECT_EQ(answers["bob"],
              "[ AccessManager.Reject ] : [ authmod=" + scheme + " ] : ?reason=authfailed");
    EXPECT_EQ(answers["bob"], answers["eve"]);
  }
}

TEST(login, a_user_that_is_not_there_has_a_salt_that_stays) {
  Server server;
  Server after_a_restart{.challenges = LoginChallenges(Digest{9}, 8)};
  const auto salt = [](Server& from, const std::string& user) {
    return value_in(from.ask("authmod=adobe&user=" + user).description, "salt");
  };
  EXPECT_EQ(salt(server, "eve"), salt(after_a_restart, "eve"));
  EXPECT_NE(salt(server, "eve"), salt(server, "mallory"));
}

TEST(login, a_challenge_is_taken_once_in_its_minute_for_its_user) {
  Server server;
  const auto told = [&] { return server.ask("authmod=adobe&user=bob").description; };
  const std::string reply = adobe_reply(told(), "bob", "secret");
  std::string of_another = reply;
  of_another.replace(of_another.find("bob"), 3, "eve");
  EXPECT_EQ(server.ask(of_another).step, LoginStep::failed);
  EXPECT_EQ(server.ask(reply, start.after_ns(60 * ns_per_s)).step, LoginStep::admitted);
  EXPECT_EQ(server.ask(reply).step, LoginStep::failed) << "a replay";
  EXPECT_EQ(server.ask(adobe_reply(told(), "bob", "secret"), start.after_ns(61 * ns_per_s)).step,
            LoginStep::failed);
}

TEST(login, who_has_no_password_cannot_make_a_taken_challenge_be_forgotten) {
  Server server;
  const auto told = [&] { return server.ask("authmod=adobe&user=bob").description; };
  const std::string heard = adobe_reply(told(), "bob", "secret");
  ASSERT_EQ(server.ask(heard).step, LoginStep::admitted);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(server.ask(adobe_reply(told(), "bob", "guess")).step, LoginStep::failed);
  }
  EXPECT_EQ(server.ask(heard).step, LoginStep::failed);
}

TEST(login, two_in_one_moment_both_get_in) {
  Server server;
  const std::string first = server.ask("authmod=adobe&user=bob").description;
  const std::string second = server.ask("authmod=adobe&user=bob").description;
  EXPECT_NE(first, second);
  EXPECT_EQ(server.ask(adobe_reply(first, "bob", "secret")).step, LoginStep::admitted);
  EXPECT_EQ(server.ask(adobe_reply(second, "bob", "secret")).step, LoginStep::admitted);
}

TEST(login, another_worker_takes_the_challenge_and_another_process_does_not) {
  Server server;
  const std::string reply =
      adobe_reply(server.ask("authmod=adobe&user=bob").description, "bob", "secret");
  Server worker{.challenges = LoginChallenges(secret, 99)};
  Server process{.challenges = LoginChallenges(Digest{4}, 7)};
  EXPECT_EQ(process.ask(reply).step, LoginStep::failed);
  EXPECT_EQ(worker.ask(reply, Instant{start.ns - ns_per_s}).step, LoginStep::admitted)
      << "its clock may be a tick behind";
}

TEST(login, a_challenge_of_one_scheme_is_none_of_the_other) {
  Server server;
  const std::string opaque = value_in(server.ask("authmod=adobe&user=bob").description, "opaque");
  EXPECT_EQ(server.ask(llnw_reply("&nonce=" + opaque, "bob", "secret")).step, LoginStep::failed);
}

TEST(login, what_no_encoder_sends_is_refused_and_fits_into_its_room) {
  Server server;
  const std::string long_user(64, 'u');
  EXPECT_LE(server.ask("authmod=adobe&user=" + long_user).description.size(),
            login_description_bytes_max);
  EXPECT_EQ(server.ask("authmod=adobe&user=" + long_user + "u").step, LoginStep::failed);
  for (const std::string_view opaque :
       {"", "x", "zzzzzzzz0000000000000000000000000000", "000000000000000000000000000000000000"}) {
    const LoginAnswer answer =
        server.ask("authmod=adobe&user=bob&challenge=a&response=b&opaque=" + std::string(opaque));
    EXPECT_EQ(answer.step, LoginStep::failed);
    EXPECT_EQ(answer.description,
              "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed");
  }
}

TEST(login, a_password_in_the_query_is_looked_at) {
  const std::string hash = adobe_password_hash("bob", "salt", "secret");
  const LoginVerifier bob{"salt", hash, hash};
  const auto matches = [&](std::string_view query, const LoginVerifier* known) {
    return password_matches(parse_login_query(query), known, as_bytes("decoy"));
  };
  EXPECT_TRUE(matches("user=bob&password=secret", &bob));
  EXPECT_TRUE(matches("pass=secret&user=bob", &bob));
  EXPECT_FALSE(matches("user=bob&password=Secret", &bob));
  EXPECT_FALSE(matches("user=bob&password=", &bob));
  EXPECT_FALSE(matches("user=bob&password=secret", nullptr));
}

}  // namespace
}  // namespace penstock::rtmp

// The session's part: it asks, and answers as it is told.
namespace penstock::test {
namespace {

rtmp::SessionSettings with_login() {
  rtmp::SessionSettings settings;
  settings.login = true;
  return settings;
}

TEST(session_login, a_connect_waits_for_its_answer_and_then_goes_on_as_ever) {
  SessionProbe asked(with_login());
  SessionProbe plain;
  for (SessionProbe* peer : {&asked, &plain}) {
    peer->shaken();
    ASSERT_TRUE(peer->command(connect_body(
        "live/?user=bob", [](amf::Amf0Writer& writer) { writer.property("type", "nonprivate"); })));
  }
  EXPECT_EQ(asked.take_events(),
            std::vector<std::string>{"connect asked live/ ? user=bob to publish"});
  EXPECT_TRUE(asked.sent().empty());
  asked.session.answer_connect({});
  asked.pull();
  EXPECT_EQ(asked.take_events(), plain.take_events());
  EXPECT_EQ(asked.sent(), plain.sent());
  asked.session.answer_connect({.refusal = rtmp::Refusal::denied, .text = "late"});
  EXPECT_TRUE(asked.sent().empty()) << "there is one answer";
}

TEST(session_login, a_refused_connect_is_told_why_and_to_close) {
  SessionProbe peer(with_login());
  peer.shaken();
  ASSERT_TRUE(peer.command(connect_body("live")));
  EXPECT_EQ(peer.take_events(), std::vector<std::string>{"connect asked live ? "});
  peer.session.answer_connect({.refusal = rtmp::Refusal::denied, .text = "[ Access ] : why"});
  EXPECT_EQ(peer.sent(), (std::vector<std::string>{
                             "_error[0] 1 error NetConnection.Connect.Rejected", "close[0] 0"}));
  EXPECT_NE(as_text(peer.last_sent.at(0).payload).find("[ Access ] : why"), std::string::npos);
}

TEST(session_login, nothing_happens_before_the_answer) {
  SessionProbe peer(with_login());
  peer.shaken();
  ASSERT_TRUE(peer.command(connect_body("live")));
  EXPECT_FALSE(peer.command(command_body("createStream", 2)));
  EXPECT_EQ(peer.fault, Fault::command_unexpected);
}

TEST(session_login, a_second_connect_before_the_answer_is_a_fault) {
  SessionProbe peer(with_login());
  peer.shaken();
  ASSERT_TRUE(peer.command(connect_body("live")));
  EXPECT_FALSE(peer.command(connect_body("live")));
  EXPECT_EQ(peer.fault, Fault::command_unexpected);
}

}  // namespace
}  // namespace penstock::test

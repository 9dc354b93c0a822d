#include "controlplane/verdicts.h"

#include <gtest/gtest.h>

#include "tests/unit/controlplane/fake_dataplane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

control::VerdictRequest request(uint64_t id, std::string_view name, bool publish = true) {
  control::VerdictRequest made;
  made.request_id = id;
  made.connection_id = id + 100;
  made.publish = publish ? 1 : 0;
  made.name.set(name);
  made.peer.set("127.0.0.1:4");
  made.query.set("key=top-secret");
  return made;
}

struct JudgeCase {
  bool keys;
  bool publish;
  std::string_view name;
  bool allowed;
};

TEST(judge, open_admits_all_and_keys_admits_listed_publishers_and_all_players) {
  config::Config config;
  config.keys = {"live/a", "live/b", "studio/one/c"};
  const JudgeCase cases[] = {
      {false, true, "live/z", true},      {true, true, "live/a", true},
      {true, true, "studio/one/c", true}, {true, true, "live/z", false},
      {true, true, "live/", false},       {true, true, "", false},
      {true, true, "live/a ", false},     {true, true, "LIVE/A", false},
      {true, false, "live/z", true},      {true, true, "live/\xFF", false},
  };
  for (const JudgeCase& one : cases) {
    config.publish = one.keys ? control::AdmissionMode::keys : control::AdmissionMode::open;
    const Verdict verdict = judge(config, request(1, one.name, one.publish));
    EXPECT_EQ(verdict.allowed, one.allowed) << one.name;
    EXPECT_EQ(verdict.text.empty(), one.allowed) << "a refusal says why, an admission nothing";
  }
}

TEST(verdicts, each_request_is_answered_to_the_worker_that_asked) {
  const TempDir folder;
  FakeDataplane dataplane(folder.path());
  const auto attachment = Attachment::attach(dataplane.path()).value();
  config::Config config;
  config.publish = control::AdmissionMode::keys;
  config.keys = {"live/a"};
  Log log(config::LogFormat::text, control::LogLevel::trace);
  Verdicts verdicts(log);
  EXPECT_EQ(verdicts.answer(*attachment, config), 0u);
  for (uint64_t id = 1; id <= 100; ++id) {
    ASSERT_TRUE(dataplane.region().worker(1).verdicts.push(
        request(id, id % 2 == 0 ? "live/a" : "live/sesame")));
  }
  testing::internal::CaptureStderr();
  EXPECT_EQ(verdicts.answer(*attachment, config), 100u);
  const std::string logged = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(eventually([&] { return dataplane.commands(1).size() == 100; }));
  const auto commands = dataplane.commands(1);
  for (size_t i = 0; i < commands.size(); ++i) {
    EXPECT_EQ(commands[i].kind, control::CommandKind::verdict);
    EXPECT_EQ(commands[i].request_id, i + 1);
    EXPECT_EQ(commands[i].connection_id, i + 101);
    EXPECT_EQ(commands[i].allowed, i % 2 == 0 ? 0u : 1u);
    EXPECT_EQ(commands[i].text.view(), i % 2 == 0 ? "stream key not valid" : "");
  }
  EXPECT_TRUE(dataplane.commands(0).empty());
  EXPECT_EQ(verdicts.allowed(), 50u);
  EXPECT_EQ(verdicts.refused(), 50u);
  EXPECT_NE(logged.find("refused request=publish stream=live/sesame"), std::string::npos) << logged;
  EXPECT_EQ(logged.find("top-secret"), std::string::npos) << "the query is in no line";
}

}  // namespace
}  // namespace penstock::controlplane

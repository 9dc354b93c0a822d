#include "controlplane/users.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <tuple>

#include "penstock/control/layout.h"
#include "tests/unit/controlplane/plane.h"
#include "tests/unit/controlplane/support.h"

namespace penstock::controlplane {
namespace {

using Kind = UserRefusal::Kind;

std::unique_ptr<Users> opened(const TempDir& folder) {
  auto users = std::make_unique<Users>();
  const auto result = users->open(folder.file("store.db"));
  EXPECT_TRUE(result.has_value()) << result.error();
  return users;
}

TEST(user_row, hashes_are_those_of_the_vectors) {
  std::ifstream file(std::string(VECTORS_DIR) + "/auth.json");
  const auto vectors = nlohmann::json::parse(file);
  const control::UserRow row = user_row("bob", "secret", {}, "8a3f");
  EXPECT_EQ(row.adobe_hash, vectors["adobe"]["md5_1_base64"]);
  EXPECT_EQ(row.llnw_hash, vectors["llnw"]["ha1"]);
  EXPECT_EQ(user_row("bob", "secret", {}).salt.size(), control::user_salt_bytes);
  EXPECT_NE(user_row("bob", "secret", {}).salt, user_row("bob", "secret", {}).salt);
}

TEST(random_password, is_long_and_never_the_same) {
  std::set<std::string> made;
  for (int i = 0; i < 100; ++i) made.insert(random_password());
  EXPECT_EQ(made.size(), 100u);
  EXPECT_EQ(made.begin()->size(), 20u);
}

TEST(users, outlive_the_process_that_made_them) {
  const TempDir folder;
  std::string text;
  {
    const auto users = opened(folder);
    ASSERT_TRUE(users->add("eve", "two words", {"studio/*", "live/a,b"}).has_value());
    ASSERT_TRUE(users->add("bob", "secret", {}).has_value());
    text = users->text();
  }
  const auto users = opened(folder);
  EXPECT_EQ(users->text(), text) << "the decoy's secret and all salts are the same";
  const control::UserList list = control::parse_users(text);
  EXPECT_FALSE(list.decoy.empty());
  ASSERT_EQ(list.users.size(), 2u);
  EXPECT_EQ(list.users[0].name, "bob") << "sorted";
  EXPECT_EQ(list.users[1],
            user_row("eve", "two words", {"studio/*", "live/a,b"}, list.users[1].salt));
  EXPECT_EQ(users->list().value()[1].allow, (std::vector<std::string>{"studio/*", "live/a,b"}));
}

TEST(users, are_changed_and_removed) {
  const TempDir folder;
  const auto users = opened(folder);
  ASSERT_TRUE(users->add("bob", "secret", {"live/*"}).has_value());
  const std::string before = users->text();
  ASSERT_TRUE(users->change("bob", "other", {}).has_value());
  EXPECT_NE(users->text(), before);
  EXPECT_EQ(users->list().value()[0].allow, std::vector<std::string>{"live/*"});
  const std::string changed = users->text();
  ASSERT_TRUE(users->change("bob", {}, std::vector<std::string>{}).has_value());
  EXPECT_EQ(control::parse_users(users->text()).users[0].adobe_hash,
            control::parse_users(changed).users[0].adobe_hash);
  EXPECT_TRUE(users->list().value()[0].allow.empty());
  ASSERT_TRUE(users->remove("bob").has_value());
  EXPECT_EQ(users->size(), 0u);
  EXPECT_EQ(users->remove("bob").error().kind, Kind::missing);
  EXPECT_EQ(users->change("bob", "x", {}).error().kind, Kind::missing);
}

TEST(users, a_change_that_is_stored_has_succeeded_whatever_else_is_wrong_with_the_store) {
  const TempDir folder;
  const auto users = opened(folder);
  ASSERT_TRUE(users->add("bob", "secret", {}).has_value());
  // What reading all of it again would fail at.
  ASSERT_TRUE(Store::open(folder.file("store.db"))->statement("DELETE FROM settings").run());
  const auto added = users->add("abe", "secret", {"live/*"});
  EXPECT_TRUE(added.has_value()) << added.error().text;
  EXPECT_TRUE(users->change("bob", "other", {}).has_value());
  ASSERT_EQ(users->list()->size(), 2u);
  EXPECT_EQ(users->list().value()[0].name, "abe");
  EXPECT_EQ(users->list().value()[0].allow, std::vector<std::string>{"live/*"});
  EXPECT_GE(users->list().value()[1].changed_unix_ms, users->list().value()[1].created_unix_ms);
  EXPECT_TRUE(users->remove("abe").has_value());
  EXPECT_EQ(control::parse_users(users->text()).users.at(0).name, "bob");
}

TEST(users, what_encoders_cannot_send_is_refused) {
  const TempDir folder;
  const auto users = opened(folder);
  for (const char* name : {"", "b&b", "b b", "b?", "b=c", "b/c", "bäb", "a\tb"}) {
    EXPECT_EQ(users->add(name, "secret", {}).error().kind, Kind::invalid) << name;
  }
  EXPECT_FALSE(users->add(std::string(65, 'a'), "secret", {}).has_value());
  for (const char* password : {"", "a&b", "a?b", "a\nb"}) {
    EXPECT_EQ(users->add("bob", password, {}).error().kind, Kind::invalid) << password;
  }
  EXPECT_FALSE(users->add("bob", std::string(129, 'a'), {}).has_value());
  for (const char* pattern : {"", "live", "*/a", "/live", "live//a", "live/a?b", "li\tve/*"}) {
    EXPECT_EQ(users->add("bob", "secret", {pattern}).error().kind, Kind::invalid) << pattern;
  }
  EXPECT_EQ(users->size(), 0u);
  ASSERT_TRUE(users->add("b.o_b-1@x", "pässword = +/", {"*"}).has_value());
  EXPECT_EQ(users->add("b.o_b-1@x", "secret", {}).error().kind, Kind::exists);
}

TEST(users, the_store_is_for_its_owner_alone_and_holds_no_password) {
  const TempDir folder;
  folder.write("store.db", "");
  ::chmod(folder.file("store.db").c_str(), 0644);
  const auto users = opened(folder);
  ASSERT_TRUE(users->add("bob", "correct horse battery", {}).has_value());
  struct stat status {};
  ASSERT_EQ(::stat(folder.file("store.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(folder.read("store.db").find("correct horse"), std::string::npos);
  const std::string hash = control::parse_users(users->text()).users[0].llnw_hash;
  EXPECT_NE(folder.read("store.db").find(hash), std::string::npos);
  ASSERT_TRUE(users->remove("bob").has_value());
  EXPECT_EQ(folder.read("store.db").find(hash), std::string::npos) << "removed is overwritten";
}

class UsersPlane : public Plane {};

TEST_F(UsersPlane, a_change_is_with_the_workers_when_the_request_is_answered) {
  start_dataplane();
  const auto added = ask_json("POST", "/api/v1/users", R"({"name":"bob","password":"secret"})");
  EXPECT_TRUE(added["applied"].get<bool>()) << added;
  EXPECT_FALSE(added.contains("password")) << "what was given is not repeated";
  control::Wanted& wanted = dataplane->region().wanted();
  const control::WantedState state = dataplane->wanted();
  const std::string text(wanted.users.data(), state.users_bytes);
  EXPECT_EQ(text, parts->users.text());
  EXPECT_EQ(state.users_hash, control::fnv1a(text));
  ASSERT_EQ(ask("DELETE", "/api/v1/users/bob").status, 200);
  const control::WantedState after = dataplane->wanted();
  EXPECT_TRUE(control::parse_users({wanted.users.data(), after.users_bytes}).users.empty());
}

TEST_F(UsersPlane, a_password_that_is_made_is_told_once_and_works) {
  const auto added = ask_json("POST", "/api/v1/users", R"({"name":"bob"})");
  const std::string password = added["password"];
  const control::UserRow row = control::parse_users(parts->users.text()).users.at(0);
  EXPECT_EQ(row, user_row("bob", password, {}, row.salt));
  EXPECT_EQ(ask("GET", "/api/v1/users").body.find(password), std::string::npos);
}

TEST_F(UsersPlane, what_is_asked_for_twice_or_matches_nothing_is_refused) {
  ASSERT_EQ(ask("POST", "/api/v1/users", R"({"name":"bob","password":"secret"})").status, 200);
  const std::string before = parts->users.text();
  const std::string both = R"("password":"other","make_password":true})";
  EXPECT_EQ(ask("PUT", "/api/v1/users/bob", "{" + both).status, 400);
  EXPECT_EQ(ask("POST", "/api/v1/users", R"({"name":"eve",)" + both).status, 400);
  const auto refused = ask("PUT", "/api/v1/users/bob", R"({"allow":["live"]})");
  EXPECT_EQ(refused.status, 422);
  EXPECT_NE(refused.body.find("app/name"), std::string::npos) << refused.body;
  EXPECT_EQ(parts->users.text(), before);
  const auto made = ask_json("PUT", "/api/v1/users/bob", R"({"make_password":true})");
  EXPECT_EQ(made["password"].get<std::string>().size(), 20u);
  EXPECT_FALSE(ask_json("PUT", "/api/v1/users/bob", R"({"allow":["*"]})").contains("password"));
}

TEST_F(UsersPlane, of_changes_at_once_none_is_lost_on_the_way_to_the_workers) {
  start_dataplane();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      const std::string name = "user" + std::to_string(i);
      EXPECT_EQ(
          api::answer(*parts, {"POST", "/api/v1/users", {}, R"({"name":")" + name + "\"}"}).status,
          200);
    });
  }
  for (std::thread& thread : threads) thread.join();
  turn();
  const std::string text(dataplane->region().wanted().users.data(),
                         dataplane->wanted().users_bytes);
  EXPECT_EQ(text, parts->users.text());
  EXPECT_EQ(control::parse_users(text).users.size(), 8u);
}

/// A control plane that has come up with a store that it cannot use.
class UsersUnknown : public Plane {
 protected:
  UsersUnknown() {
    folder.write("store.db", std::string(8192, 'x'));
    parts = std::make_unique<Parts>(*parts->reconciler.settings(), folder.file("history.jsonl"));
    EXPECT_FALSE(parts->users.open(folder.file("store.db")).has_value());
    steering = std::make_unique<Steering>(*parts, folder.file("dataplane.sock"));
  }
};

TEST_F(UsersUnknown, are_neither_shown_nor_changed_and_status_says_so) {
  for (const auto& [method, path, body] :
       {std::tuple{"GET", "/api/v1/users", ""},
        std::tuple{"POST", "/api/v1/users", R"({"name":"eve"})"},
        std::tuple{"PUT", "/api/v1/users/bob", R"({"make_password":true})"},
        std::tuple{"DELETE", "/api/v1/users/bob", ""}}) {
    const auto answer = ask(method, path, body);
    EXPECT_EQ(answer.status, 503) << method;
    EXPECT_NE(answer.body.find("store.db"), std::string::npos) << answer.body;
  }
  folder.write("penstock.toml", config_text("[admission]\npublish = \"login\"\n"));
  ASSERT_TRUE(reload(*parts).has_value());
  std::string all;
  for (const std::string& line : warnings(*parts)) all += line + "\n";
  EXPECT_NE(all.find("store.db"), std::string::npos) << all;
  EXPECT_EQ(all.find("there are no users"), std::string::npos) << all;
}

TEST_F(UsersUnknown, that_were_applied_last_stay_with_the_workers) {
  dataplane = std::make_unique<FakeDataplane>(folder.path());
  const std::string text = "bob\tsalt\tadobe\tllnw\n";
  control::Wanted& wanted = dataplane->region().wanted();
  std::ranges::copy(text, wanted.users.begin());
  control::WantedState state = dataplane->wanted();
  state.users_bytes = static_cast<uint32_t>(text.size());
  state.users_hash = control::fnv1a(text);
  wanted.state.write(state);
  turn();
  ASSERT_TRUE(parts->link.current() != nullptr);
  ASSERT_EQ(ask("PUT", "/api/v1/tunables/limits.gop_bytes", R"({"value":0})").status, 200);
  EXPECT_GT(dataplane->wanted().epoch, state.epoch);
  EXPECT_EQ(dataplane->wanted().users_bytes, text.size());
  EXPECT_EQ(dataplane->wanted().users_hash, control::fnv1a(text));
  EXPECT_EQ(std::string_view(wanted.users.data(), text.size()), text);
}

TEST_F(UsersPlane, nobody_may_publish_is_a_warning) {
  folder.write("penstock.toml", config_text("[admission]\npublish = \"login\"\n"));
  ASSERT_TRUE(reload(*parts).has_value());
  const auto told = [&] {
    std::string all;
    for (const std::string& line : warnings(*parts)) all += line + "\n";
    return all.find("there are no users") != std::string::npos;
  };
  EXPECT_TRUE(told());
  ASSERT_EQ(ask("POST", "/api/v1/users", R"({"name":"bob"})").status, 200);
  EXPECT_FALSE(told());
}

}  // namespace
}  // namespace penstock::controlplane

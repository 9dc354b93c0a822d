#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/admission_feed.h"

namespace penstock::dataplane {
namespace {

control::WantedState state_of(const std::string& keys, const std::string& users) {
  control::WantedState state;
  state.keys_bytes = static_cast<uint32_t>(keys.size());
  state.keys_hash = control::fnv1a(keys);
  state.users_bytes = static_cast<uint32_t>(users.size());
  state.users_hash = control::fnv1a(users);
  return state;
}

std::shared_ptr<const AdmissionLists> lists_of(const std::string& keys, const std::string& users) {
  return std::make_shared<const AdmissionLists>(state_of(keys, users), keys, users);
}

std::string user_line(const std::string& name) { return name + "\tsalt\tadobe\tllnw\n"; }

TEST(admission_lists, are_looked_into_by_whole_names_in_whatever_order_they_came) {
  const auto lists = lists_of("live/b\nlive/a\n\nlive/cc",
                              user_line("eve") + user_line("bob") + "no line of ours\n");
  for (const char* key : {"live/a", "live/b", "live/cc"}) EXPECT_TRUE(lists->has_key(key)) << key;
  for (const char* key : {"", "live/", "live/c", "live/bb"})
    EXPECT_FALSE(lists->has_key(key)) << key;
  ASSERT_NE(lists->user("bob"), nullptr);
  EXPECT_EQ(lists->user("eve")->name, "eve");
  for (const char* name : {"", "bo", "bobb", "zed"}) EXPECT_EQ(lists->user(name), nullptr) << name;
}

TEST(admission_lists, belong_to_the_states_that_name_both) {
  const auto lists = lists_of("live/a\n", user_line("bob"));
  EXPECT_TRUE(lists->are_of(state_of("live/a\n", user_line("bob"))));
  EXPECT_FALSE(lists->are_of(state_of("live/b\n", user_line("bob"))));
  EXPECT_FALSE(lists->are_of(state_of("live/a\n", user_line("eve"))));
  EXPECT_FALSE(lists->are_of({}));
  EXPECT_TRUE(AdmissionLists().are_of(state_of("", ""))) << "an empty list is not half-written";
}

TEST(admission_feed, replaces_nothing_before_both_lists_are_there) {
  AdmissionFeed feed;
  EXPECT_TRUE(feed.has({}));
  feed.offer(lists_of("live/a\n", user_line("bob")));
  const auto first = state_of("live/a\n", user_line("bob"));
  ASSERT_TRUE(feed.has(first));
  EXPECT_FALSE(feed.current().has_key("live/a"));
  feed.take(first);
  EXPECT_TRUE(feed.current().has_key("live/a"));
  const auto second = state_of("live/b\n", user_line("eve"));
  EXPECT_FALSE(feed.has(second));
  feed.offer(lists_of("live/b\n", user_line("bob")));
  EXPECT_FALSE(feed.has(second));
  EXPECT_TRUE(feed.current().has_key("live/a"));
  EXPECT_TRUE(feed.has(first)) << "what is in use may be wanted again";
  feed.offer(lists_of("live/b\n", user_line("eve")));
  ASSERT_TRUE(feed.has(second));
  feed.take(second);
  EXPECT_NE(feed.current().user("eve"), nullptr);
}

TEST(admission_feed, frees_what_the_last_worker_has_let_go_of_and_only_when_main_looks) {
  AdmissionFeed feeds[2];
  auto old = lists_of("live/a\n", "");
  const std::weak_ptr<const AdmissionLists> watched = old;
  for (AdmissionFeed& feed : feeds) feed.offer(old);
  old.reset();
  const auto offer_and_take = [&](const std::string& keys, size_t which) {
    feeds[which].offer(lists_of(keys, ""));
    ASSERT_TRUE(feeds[which].has(state_of(keys, "")));
    feeds[which].take(state_of(keys, ""));
  };
  for (AdmissionFeed& feed : feeds) {
    ASSERT_TRUE(feed.has(state_of("live/a\n", "")));
    feed.take(state_of("live/a\n", ""));
  }
  offer_and_take("live/b\n", 0);
  feeds[0].keep();
  EXPECT_FALSE(watched.expired()) << "the other worker reads it";
  offer_and_take("live/b\n", 1);
  EXPECT_FALSE(watched.expired()) << "no worker frees";
  feeds[1].keep();
  EXPECT_TRUE(watched.expired());
}

TEST(admission_feed, a_worker_that_stalls_finds_the_newest_and_memory_is_bounded) {
  AdmissionFeed feed;
  feed.offer(lists_of("live/first\n", ""));
  ASSERT_TRUE(feed.has(state_of("live/first\n", "")));
  feed.take(state_of("live/first\n", ""));
  std::vector<std::weak_ptr<const AdmissionLists>> made;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 10; ++i) {
      auto lists = lists_of("live/" + std::to_string(10 * round + i) + "\n", "");
      made.emplace_back(lists);
      feed.offer(std::move(lists));
      // It looks, and what it looks for is something else.
      if (i % 3 == 0) {
        EXPECT_FALSE(feed.has(state_of("live/other\n", "")));
      }
    }
    EXPECT_LE(std::ranges::count_if(made, [](const auto& one) { return !one.expired(); }), 12);
  }
  const auto last = state_of("live/999\n", "");
  while (!feed.has(last)) feed.keep();
  feed.take(last);
  EXPECT_TRUE(feed.current().has_key("live/999"));
}

}  // namespace
}  // namespace penstock::dataplane

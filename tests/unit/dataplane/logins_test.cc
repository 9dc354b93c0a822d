#include "dataplane/logins.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "penstock/rtmp/publisher_auth.h"

namespace penstock::dataplane {
namespace {

const Instant start{5'000 * ns_per_s};

engine::Endpoint address(uint8_t last) {
  engine::Endpoint peer;
  peer.address[0] = 192;
  peer.address[3] = last;
  peer.port = 4000;
  return peer;
}

control::UserRow user(std::string name, std::string password, std::vector<std::string> allow = {}) {
  return {.name = name,
          .salt = "8a3f8a3f",
          .adobe_hash = adobe_password_hash(name, "8a3f8a3f", password),
          .llnw_hash = llnw_password_hash(name, password),
          .allow = std::move(allow)};
}

std::unique_ptr<const AdmissionLists> lists_of(const control::UserList& users) {
  const std::string text = control::users_text(users);
  control::WantedState state;
  state.users_bytes = static_cast<uint32_t>(text.size());
  state.users_hash = control::fnv1a(text);
  return std::make_unique<const AdmissionLists>(state, "", text);
}

struct Door {
  Logins logins{rtmp::Digest{1}, 7, 1};
  std::unique_ptr<const AdmissionLists> lists;
  Door() {
    use({.decoy = "decoy", .users = {user("bob", "secret", {"live/*"}), user("eve", "apple")}});
  }
  void use(const control::UserList& users) {
    auto next = lists_of(users);
    logins.use(*next);
    lists = std::move(next);
  }
  Logins::Answer connect(std::string_view query, bool publishes = true,
                         control::LoginOffer offer = control::LoginOffer::adobe,
                         Instant now = start, uint8_t from = 7) {
    return logins.connect({.app = "live", .query = query, .publishes = publishes}, address(from),
                          offer, now);
  }
  Logins::Answer publish(std::string_view who, std::string_view stream, std::string_view query = {},
                         Instant now = start, uint8_t from = 7) {
    return logins.publish(who, stream, query, address(from), now);
  }
};

struct ConnectCase {
  const char* query;
  bool publishes;
  control::LoginOffer offer;
  bool allowed;
  const char* told;
};

TEST(logins, connect_is_refused_only_to_who_will_have_to_log_in) {
  using control::LoginOffer;
  const ConnectCase cases[] = {
      {"", false, LoginOffer::adobe, true, ""},
      {"token=1", false, LoginOffer::adobe, true, ""},
      {"", true, LoginOffer::adobe, false, "code=403 need auth; authmod=adobe"},
      {"", true, LoginOffer::llnw, false, "code=403 need auth; authmod=llnw"},
      {"", true, LoginOffer::query, true, ""},
      {"user=bob&password=x", true, LoginOffer::adobe, true, ""},
      {"user=bob", true, LoginOffer::adobe, false, "code=403 need auth; authmod=adobe"},
      {"authmod=llnw&user=bob", false, LoginOffer::query, false, "reason=needauth&user=bob&nonce="},
      {"authmod=adobe&user=bob", true, LoginOffer::llnw, false, "reason=needauth&user=bob&salt="},
  };
  Door door;
  for (const ConnectCase& one : cases) {
    const Logins::Answer answer = door.connect(one.query, one.publishes, one.offer);
    EXPECT_EQ(answer.allowed, one.allowed) << one.query;
    EXPECT_NE(answer.text.find(one.told), std::string::npos) << one.query << ": " << answer.text;
    EXPECT_FALSE(answer.fault.has_value()) << "rounds are no fault";
    EXPECT_TRUE(answer.user.empty());
  }
}

TEST(logins, publish_needs_a_user_and_a_name_that_it_may_use) {
  Door door;
  EXPECT_TRUE(door.publish("bob", "live/cam").allowed);
  EXPECT_EQ(door.publish("bob", "studio/cam").text, "this user may not publish this name");
  EXPECT_TRUE(door.publish("eve", "studio/cam").allowed);
  EXPECT_EQ(door.publish("", "live/cam").text, "login needed: user and password");
  EXPECT_FALSE(door.publish("", "live/cam").fault.has_value());
  const Logins::Answer removed = door.publish("removed", "live/cam");
  EXPECT_FALSE(removed.allowed);
  EXPECT_FALSE(removed.fault.has_value()) << "it had logged in";
  const Logins::Answer in = door.publish("", "live/cam", "user=bob&password=secret");
  EXPECT_TRUE(in.allowed);
  EXPECT_EQ(in.user, "bob");
  EXPECT_FALSE(door.publish("", "studio/cam", "user=bob&pass=secret").allowed);
  for (const char* query : {"user=bob&password=apple", "user=nobody&password=secret"}) {
    const Logins::Answer answer = door.publish("", "live/cam", query);
    EXPECT_EQ(answer.text, "login failed") << query;
    EXPECT_EQ(answer.fault, Fault::login_failed);
  }
}

TEST(logins, users_that_went_cannot_log_in_and_new_ones_can) {
  Door door;
  door.use({.decoy = "decoy", .users = {user("new", "pear")}});
  EXPECT_FALSE(door.publish("", "live/cam", "user=bob&password=secret").allowed);
  EXPECT_TRUE(door.publish("", "live/cam", "user=new&password=pear").allowed);
  door.use({});
  EXPECT_FALSE(door.publish("", "live/cam", "user=new&password=pear").allowed);
}

TEST(logins, guessing_from_one_address_is_slowed_down_and_others_are_not) {
  Door door;
  const auto guess = [&](Instant now, uint8_t from) {
    return door.publish("", "live/cam", "user=bob&password=guess", now, from).fault;
  };
  for (uint64_t i = 0; i < LoginAttempts::burst; ++i) {
    EXPECT_EQ(guess(start, 7), Fault::login_failed) << i;
  }
  EXPECT_EQ(guess(start, 7), Fault::login_flood);
  EXPECT_FALSE(door.publish("", "live/cam", "user=bob&password=secret").allowed)
      << "a right one is not told apart meanwhile";
  EXPECT_EQ(door.connect("authmod=adobe&user=bob&response=x&opaque=y").fault, Fault::login_flood);
  EXPECT_FALSE(door.connect("authmod=adobe&user=bob").fault.has_value())
      << "a challenge tells nothing";
  EXPECT_EQ(guess(start, 8), Fault::login_failed);
  EXPECT_TRUE(door.publish("", "live/cam", "user=eve&password=apple", start, 7).allowed)
      << "its neighbour at that address";
  EXPECT_TRUE(door.publish("bob", "live/cam").allowed) << "who is in stays in";
  const Instant later = start.after_ns(LoginAttempts::interval_ns);
  EXPECT_EQ(guess(later, 7), Fault::login_failed);
  EXPECT_EQ(guess(later, 7), Fault::login_flood);
  const Instant much_later = later.after_ns(LoginAttempts::burst * LoginAttempts::interval_ns);
  EXPECT_TRUE(door.publish("", "live/cam", "user=bob&password=secret", much_later).allowed);
}

/// The value of a key in what a peer was told, up to the next "&".
std::string told(const std::string& text, const std::string& key) {
  const size_t from = text.find(key + "=") + key.size() + 1;
  return text.substr(from, text.find('&', from) - from);
}

TEST(logins, rounds_may_come_from_different_addresses) {
  Door door;
  EXPECT_EQ(door.connect("", true, control::LoginOffer::adobe, start, 1).text,
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ");
  const std::string challenge =
      door.connect("authmod=adobe&user=bob", true, control::LoginOffer::adobe, start, 2).text;
  const std::string opaque = told(challenge, "opaque");
  const std::string response = rtmp::adobe_response(
      adobe_password_hash("bob", told(challenge, "salt"), "secret"), opaque, "436b5804");
  const std::string reply =
      "authmod=adobe&user=bob&challenge=436b5804&response=" + response + "&opaque=" + opaque;
  EXPECT_EQ(door.connect(reply, true, control::LoginOffer::adobe, start, 3).user, "bob");
}

TEST(logins, a_studio_behind_one_address_is_let_in) {
  Door door;
  for (int encoder = 0; encoder < 200; ++encoder) {
    EXPECT_TRUE(door.publish("", "live/cam", "user=bob&password=secret").allowed);
  }
}

TEST(login_attempts, a_network_of_ipv6_is_one_address) {
  LoginAttempts attempts(3, 1);
  engine::Endpoint peer;
  peer.ipv6 = true;
  peer.address[0] = 0x20;
  for (uint8_t i = 0; i < LoginAttempts::burst; ++i) {
    peer.address[15] = i;
    EXPECT_TRUE(attempts.allowed(peer, "bob", start));
    attempts.failed(peer, "bob", start);
  }
  EXPECT_FALSE(attempts.allowed(peer, "bob", start));
  peer.address[7] = 1;
  EXPECT_TRUE(attempts.allowed(peer, "bob", start));
}

TEST(login_attempts, an_ipv4_address_is_the_same_through_a_listener_for_both) {
  LoginAttempts attempts(3, 1);
  const auto mapped = [](uint8_t last) {
    engine::Endpoint peer{.ipv6 = true};
    peer.address[10] = peer.address[11] = 0xFF;
    peer.address[12] = 192;
    peer.address[15] = last;
    return peer;
  };
  for (uint64_t i = 0; i < LoginAttempts::burst; ++i) attempts.failed(mapped(7), "bob", start);
  EXPECT_FALSE(attempts.allowed(mapped(7), "bob", start));
  EXPECT_FALSE(attempts.allowed(address(7), "bob", start));
  EXPECT_TRUE(attempts.allowed(mapped(8), "bob", start));
  engine::Endpoint loopback{.ipv6 = true};
  loopback.address[15] = 1;
  EXPECT_TRUE(attempts.allowed(loopback, "bob", start));
}

TEST(login_attempts, workers_share_what_an_address_has) {
  for (const uint32_t workers : {1U, 2U, 3U, 5U, 10U, 64U}) {
    std::vector<LoginAttempts> all;
    for (uint32_t worker = 0; worker < workers; ++worker) all.emplace_back(worker, workers);
    // Who has connections to all of them and guesses whenever one lets it.
    uint64_t at_once = 0;
    uint64_t in_an_hour = 0;
    for (uint64_t second = 0; second <= 3600; ++second) {
      const Instant now = start.after_ns(second * ns_per_s);
      for (LoginAttempts& one : all) {
        for (; one.allowed(address(7), "bob", now); ++in_an_hour)
          one.failed(address(7), "bob", now);
      }
      if (second == 0) at_once = in_an_hour;
    }
    EXPECT_GE(at_once, LoginAttempts::burst) << workers;
    EXPECT_LE(at_once, std::max<uint64_t>(LoginAttempts::burst + workers,
                                          LoginAttempts::worker_burst_min * workers))
        << workers;
    EXPECT_NEAR(static_cast<double>(in_an_hour - at_once), 600.0, workers) << workers;
  }
}

TEST(login_attempts, an_address_that_tries_many_users_is_slowed_down_for_all_of_them) {
  LoginAttempts attempts(3, 1);
  uint64_t tried = 0;
  while (attempts.allowed(address(7), std::to_string(tried), start)) {
    attempts.failed(address(7), std::to_string(tried++), start);
  }
  EXPECT_EQ(tried, LoginAttempts::burst * LoginAttempts::users_share);
  EXPECT_FALSE(attempts.allowed(address(7), "bob", start));
  EXPECT_TRUE(attempts.allowed(address(8), "bob", start));
  const Instant later = start.after_ns(LoginAttempts::interval_ns / LoginAttempts::users_share);
  EXPECT_TRUE(attempts.allowed(address(7), "bob", later));
}

TEST(login_attempts, nine_encoders_that_are_wrong_for_good_hurt_no_other) {
  LoginAttempts attempts(3, 2);
  for (uint64_t second = 0; second < 600; ++second) {
    const Instant now = start.after_ns(second * ns_per_s);
    for (uint64_t encoder = 0; encoder < LoginAttempts::users_share - 1; ++encoder) {
      const std::string user = "old" + std::to_string(encoder);
      if (attempts.allowed(address(7), user, now)) attempts.failed(address(7), user, now);
    }
    ASSERT_TRUE(attempts.allowed(address(7), "bob", now)) << second;
  }
}

TEST(login_attempts, one_wrong_try_shuts_no_door) {
  LoginAttempts attempts(3, 64);
  attempts.failed(address(7), "bob", start);
  EXPECT_TRUE(attempts.allowed(address(7), "bob", start));
}

TEST(login_attempts, many_addresses_do_not_make_it_forget_the_worst) {
  LoginAttempts attempts(3, 1);
  for (int i = 0; i < 20; ++i) attempts.failed(address(7), "bob", start);
  engine::Endpoint peer;
  for (uint32_t i = 0; i < 100'000; ++i) {
    peer.address[0] = 10;
    peer.address[1] = static_cast<uint8_t>(i >> 16);
    peer.address[2] = static_cast<uint8_t>(i >> 8);
    peer.address[3] = static_cast<uint8_t>(i);
    attempts.failed(peer, "bob", start);
  }
  EXPECT_FALSE(attempts.allowed(address(7), "bob", start));
}

}  // namespace
}  // namespace penstock::dataplane

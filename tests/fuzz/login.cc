// Publisher login over several connections, addresses and workers: whatever the queries and however
// rounds are mixed, repeated and late, nobody is admitted but by the right password for a challenge
// of ours, made for that user and scheme not longer ago than it holds, and by each challenge once
// at each worker; who has all that is admitted; and what answers say fits into what
// encoders keep.
//
// Input: operations of a byte and its arguments; see LLVMFuzzerTestOneInput.

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dataplane/logins.h"
#include "penstock/base/assert.h"
#include "penstock/rtmp/publisher_auth.h"

using namespace penstock;
using control::LoginOffer;
using dataplane::Logins;

namespace {

constexpr size_t input_bytes_max = 4096;
constexpr size_t workers = 2;
constexpr std::array<std::string_view, 4> users = {"bob", "eve", "nobody", "b.o_b-1@x"};
constexpr std::array<std::string_view, 4> passwords = {"secret", "apple", "", "secre"};
constexpr std::array<std::string_view, 4> apps = {"live", "live/room", "", "studio"};
constexpr std::array<std::string_view, 4> streams = {"live/a", "live", "studio/a", "live/b/c"};

// All but nobody have the password of their place.
bool is_right(uint8_t user, uint8_t password) { return user % 4 != 2 && user % 4 == password % 4; }
// bob may publish below live/, the others everywhere.
bool is_allowed(uint8_t user, std::string_view stream) {
  return user % 4 != 0 || stream.starts_with("live/");
}

control::UserRow row(size_t user, std::vector<std::string> allow) {
  const std::string name(users[user]);
  return {.name = name,
          .salt = "8a3f8a3f",
          .adobe_hash = adobe_password_hash(name, "8a3f8a3f", passwords[user]),
          .llnw_hash = llnw_password_hash(name, passwords[user]),
          .allow = std::move(allow)};
}

engine::Endpoint address(uint8_t number) {
  engine::Endpoint peer{.ipv6 = (number & 2) != 0};
  peer.address[0] = 32;
  peer.address[3] = number & 1;
  peer.port = number;  // of no importance
  return peer;
}

std::string value_of(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view value = text.substr(at + key.size());
  return std::string(value.substr(0, value.find('&')));
}

struct Challenge {
  bool adobe = true;
  uint8_t user = 0;
  Instant made;
  std::string salt;
  std::string text;
  std::set<size_t> taken;  // at which workers
};

class World {
 public:
  World() {
    for (uint64_t worker = 0; worker < workers; ++worker) {
      doors_.push_back(std::make_unique<Logins>(rtmp::Digest{7}, worker, workers));
      doors_.back()->use(lists_);
    }
  }

  /// The second round: who asks for a challenge gets one, there or not.
  void ask(uint8_t how, uint8_t user) {
    const bool adobe = (how & 1) != 0;
    const std::string query = std::string(adobe ? "authmod=adobe" : "authmod=llnw") +
                              "&user=" + std::string(users[user % 4]);
    const Logins::Answer answer = connect(how, "live", query);
    PENSTOCK_ASSERT(!answer.allowed && !answer.fault);
    PENSTOCK_ASSERT(value_of(answer.text, "user=") == users[user % 4]);
    Challenge made{.adobe = adobe,
                   .user = static_cast<uint8_t>(user % 4),
                   .made = now_,
                   .salt = value_of(answer.text, "salt="),
                   .text = value_of(answer.text, adobe ? "opaque=" : "nonce="),
                   .taken = {}};
    PENSTOCK_ASSERT(made.text.size() == rtmp::LoginChallenges::text_bytes);
    PENSTOCK_ASSERT(adobe == (made.salt.size() == rtmp::login_salt_bytes));
    // Two that fall together in the memory of taken ones may be taken again, one after the other
    // (LoginChallenges::taken_).
    const std::string place = place_of(made.text);
    const bool alone = std::ranges::none_of(
        challenges_, [&](const Challenge& one) { return place_of(one.text) == place; });
    if (alone) challenges_.push_back(std::move(made));
  }

  /// The third round, by a challenge that was made. `change`: a byte of the query is another.
  void answer(uint8_t how, uint8_t which, uint8_t user, uint8_t password, uint8_t change) {
    if (challenges_.empty()) return;
    Challenge& challenge = challenges_[which % challenges_.size()];
    const std::string name(users[user % 4]);
    const std::string_view app = apps[password / 4 % 4];
    std::string response;
    if (challenge.adobe) {
      const std::string hash = adobe_password_hash(name, challenge.salt, passwords[password % 4]);
      response = rtmp::adobe_response(hash, challenge.text, "12ab34cd");
    } else {
      response = rtmp::llnw_response(llnw_password_hash(name, passwords[password % 4]),
                                     challenge.text, "12ab34cd", rtmp::llnw_target_hash(app));
    }
    std::string query = challenge.adobe ? "authmod=adobe&user=" + name + "&challenge=12ab34cd" +
                                              "&response=" + response + "&opaque=" + challenge.text
                                        : "authmod=llnw&user=" + name + "&nonce=" + challenge.text +
                                              "&cnonce=12ab34cd&nc=00000001&response=" + response;
    const bool changed = change != 0;
    if (changed) query[change * query.size() / 256] ^= static_cast<char>(1 + change % 7);
    const Logins::Answer told = connect(how, app, query);
    const size_t worker = worker_of(how);
    const uint64_t age_ns = now_.ns - challenge.made.ns;
    const bool good = !changed && is_right(user, password) && user % 4 == challenge.user &&
                      age_ns <= rtmp::login_challenge_ns && !challenge.taken.contains(worker);
    if (told.allowed && !told.user.empty()) {
      // A changed byte may be one that says nothing ("nc"), but never one of these.
      PENSTOCK_ASSERT(told.user == users[challenge.user] && is_right(user, password));
      // It is dated to the second.
      PENSTOCK_ASSERT(age_ns < rtmp::login_challenge_ns + ns_per_s);
      PENSTOCK_ASSERT(!challenge.taken.contains(worker));
      challenge.taken.insert(worker);
      publish_all(how, challenge.user, told.user);
      return;
    }
    PENSTOCK_ASSERT(!good || told.fault == Fault::login_flood);
  }

  void publish(uint8_t how, uint8_t user, uint8_t password) {
    const std::string query = "user=" + std::string(users[user % 4]) +
                              ((how & 64) != 0 ? "&pass=" : "&password=") +
                              std::string(passwords[password % 4]);
    const std::string_view stream = streams[password / 4 % 4];
    const Logins::Answer told = door(how).publish({}, stream, query, address(from_of(how)), now_);
    const bool good = is_right(user, password) && is_allowed(user, stream);
    PENSTOCK_ASSERT(!told.allowed || (good && told.user == users[user % 4]));
    PENSTOCK_ASSERT(told.allowed || !good || told.fault == Fault::login_flood);
  }

  /// Whatever a query is, it has no answer to a challenge, and none of the passwords but by saying
  /// it.
  void raw(uint8_t how, std::string_view query) {
    PENSTOCK_ASSERT(connect(how, "live", query).user.empty());
    const Logins::Answer told = door(how).publish({}, "live/a", query, address(from_of(how)), now_);
    const bool says = query.find("secre") != query.npos || query.find("apple") != query.npos;
    PENSTOCK_ASSERT(!told.allowed || says);
    PENSTOCK_ASSERT(told.allowed == told.text.empty());
  }

  void pass(uint8_t time) { now_ = now_.after_ms(uint64_t{time} * time * 4); }

 private:
  // The last ten bits of its number, all but.
  static std::string place_of(std::string_view challenge) {
    return std::string(challenge.substr(13, 3));
  }
  static uint8_t from_of(uint8_t how) { return how >> 1 & 3; }
  static size_t worker_of(uint8_t how) { return how >> 3 & 1; }
  Logins& door(uint8_t how) { return *doors_[worker_of(how)]; }

  Logins::Answer connect(uint8_t how, std::string_view app, std::string_view query) {
    constexpr std::array offers = {LoginOffer::adobe, LoginOffer::llnw, LoginOffer::query,
                                   LoginOffer::adobe};
    Logins::Answer answer =
        door(how).connect({.app = app, .query = query, .publishes = (how & 128) == 0},
                          address(from_of(how)), offers[how >> 4 & 3], now_);
    PENSTOCK_ASSERT(answer.allowed == answer.text.empty());
    PENSTOCK_ASSERT(answer.text.size() <= rtmp::login_description_bytes_max);
    PENSTOCK_ASSERT(answer.allowed || answer.text.starts_with("[ AccessManager.Reject ] : [ "));
    PENSTOCK_ASSERT(!answer.allowed || !answer.fault);
    return answer;
  }

  void publish_all(uint8_t how, uint8_t user, std::string_view name) {
    for (const std::string_view stream : streams) {
      const Logins::Answer told = door(how).publish(name, stream, {}, address(9), now_);
      PENSTOCK_ASSERT(told.allowed == is_allowed(user, stream) && !told.fault);
    }
  }

  const std::string text_ = control::users_text(
      {.decoy = "decoy", .users = {row(0, {"live/*"}), row(1, {"*"}), row(3, {})}});
  const dataplane::AdmissionLists lists_{{}, "", text_};
  std::vector<std::unique_ptr<Logins>> doors_;
  std::vector<Challenge> challenges_;
  Instant now_{5'000 * ns_per_s};
};

/// Takes arguments off the input; zeros behind its end.
class Script {
 public:
  explicit Script(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  uint8_t next() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  std::string_view next(size_t count) {
    const Bytes taken = bytes_.first(std::min(count, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return as_text(taken);
  }

 private:
  Bytes bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script(Bytes(data, std::min(size, input_bytes_max)));
  World world;
  while (!script.empty()) {
    const uint8_t operation = script.next();
    // Bits: scheme, address (2), worker, offer (2), key of the password, plays.
    const uint8_t how = script.next();
    switch (operation % 5) {
      case 0:
        world.ask(how, script.next());
        break;
      case 1: {  // challenge, user, password and app, changed byte
        const uint8_t which = script.next();
        const uint8_t user = script.next();
        const uint8_t password = script.next();
        world.answer(how, which, user, password, script.next());
        break;
      }
      case 2: {
        const uint8_t user = script.next();
        world.publish(how, user, script.next());
        break;
      }
      case 3: {
        const uint8_t count = script.next();
        world.raw(how, script.next(count));
        break;
      }
      default:  // up to 260 s
        world.pass(how);
        break;
    }
  }
  return 0;
}

#include "controlplane/users.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "controlplane/clock.h"
#include "penstock/base/hex.h"
#include "penstock/base/login_hash.h"
#include "penstock/control/layout.h"

namespace penstock::controlplane {
namespace {

// 32 characters, so that each takes 5 random bits: 100 bits a password.
constexpr std::string_view password_characters = "abcdefghijkmnpqrstuvwxyz23456789";
static_assert(password_characters.size() == 32);
constexpr size_t password_characters_made = 20;

constexpr std::string_view add_sql = "INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
constexpr std::string_view change_sql =
    "UPDATE users SET salt = ?2, adobe_hash = ?3, llnw_hash = ?4, allow = ?5, changed_unix_ms = ?7 "
    "WHERE name = ?1";

template <size_t Count>
std::array<unsigned char, Count> random_bytes() {
  std::array<unsigned char, Count> bytes;
  if (RAND_bytes(bytes.data(), Count) != 1) throw std::runtime_error("no random bytes");
  return bytes;
}

std::string joined(const std::vector<std::string>& patterns) {
  std::string text;
  for (const std::string& pattern : patterns) text += (text.empty() ? "" : "\t") + pattern;
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> patterns;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\t'), text.size());
    patterns.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return patterns;
}

using Refused = std::unexpected<UserRefusal>;
using Kind = UserRefusal::Kind;

std::expected<void, UserRefusal> check_name(std::string_view name) {
  if (control::is_user_name(name)) return {};
  return Refused({Kind::invalid, "not a user name",
                  "accepted: 1 to 64 letters, digits, '.', '_', '-' and '@'"});
}

std::expected<void, UserRefusal> check_password(std::string_view password) {
  const auto refused = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '&' || c == '?';
  };
  const bool fits = !password.empty() && password.size() <= password_bytes_max;
  if (fits && std::ranges::none_of(password, refused)) return {};
  return Refused({Kind::invalid, "not a password that encoders can send",
                  "accepted: 1 to 128 bytes without '&', '?' and control characters"});
}

std::expected<void, UserRefusal> check_allow(const std::vector<std::string>& allow) {
  if (allow.size() > control::user_allows_max) {
    return Refused({Kind::invalid, "too many patterns",
                    "accepted: at most " + std::to_string(control::user_allows_max)});
  }
  if (std::ranges::all_of(allow, control::is_allow_pattern)) return {};
  return Refused({Kind::invalid, "not a pattern of stream names",
                  "accepted: app/name, or its start with a '*' at the end, as in live/* or *"});
}

UserRefusal no_user(const std::string& name) {
  return {Kind::missing, "no user is called " + name, "see penstockctl user list"};
}

}  // namespace

std::string random_password() {
  std::string text;
  for (const unsigned char byte : random_bytes<password_characters_made>()) {
    text += password_characters[byte % password_characters.size()];
  }
  return text;
}

control::UserRow user_row(std::string_view name, std::string_view password,
                          std::vector<std::string> allow) {
  const auto bytes = random_bytes<control::user_salt_bytes / 2>();
  return user_row(name, password, std::move(allow), hex(bytes));
}

control::UserRow user_row(std::string_view name, std::string_view password,
                          std::vector<std::string> allow, std::string salt) {
  return {.name = std::string(name),
          .salt = salt,
          .adobe_hash = adobe_password_hash(name, salt, password),
          .llnw_hash = llnw_password_hash(name, password),
          .allow = std::move(allow)};
}

std::expected<void, std::string> Users::open(const std::string& path) {
  const std::lock_guard lock(mutex_);
  auto opened = Store::open(path);
  if (!opened) return std::unexpected(problem_ = opened.error());
  store_.emplace(std::move(*opened));
  const auto decoy = random_bytes<16>();
  const bool ready = store_->statement("INSERT OR IGNORE INTO settings VALUES ('decoy', ?)")
                         .bind(hex(decoy))
                         .run() &&
                     load();
  problem_ = ready ? "" : "cannot use " + path + ": " + store_->problem();
  if (ready) return {};
  store_.reset();
  return std::unexpected(problem_);
}

bool Users::load() {
  control::UserList rows;
  std::vector<UserView> views;
  Statement decoy = store_->statement("SELECT value FROM settings WHERE key = 'decoy'");
  if (!decoy.step()) return false;
  rows.decoy = decoy.text(0);
  Statement users = store_->statement(
      "SELECT name, salt, adobe_hash, llnw_hash, allow, created_unix_ms, changed_unix_ms "
      "FROM users ORDER BY name");
  while (users.step()) {
    const control::UserRow row{.name = users.text(0),
                               .salt = users.text(1),
                               .adobe_hash = users.text(2),
                               .llnw_hash = users.text(3),
                               .allow = split(users.text(4))};
    rows.users.push_back(row);
    views.push_back({row.name, row.allow, users.number(5), users.number(6)});
  }
  if (users.failed()) return false;
  rows_ = std::move(rows);
  views_ = std::move(views);
  return true;
}

control::UserRow* Users::find(std::string_view name) {
  const auto found = std::ranges::find(rows_.users, name, &control::UserRow::name);
  return found == rows_.users.end() ? nullptr : &*found;
}

std::expected<void, UserRefusal> Users::check_open() const {
  if (store_) return {};
  return Refused({Kind::store, problem_, "then restart penstock-control"});
}

std::expected<void, UserRefusal> Users::not_written() const {
  return Refused({Kind::store, "the store cannot be written: " + store_->problem(),
                  "is the disk full, or state_dir not writable?"});
}

std::expected<void, UserRefusal> Users::store(const control::UserRow& row, std::string_view sql) {
  control::UserList next = rows_;
  const auto place = std::ranges::lower_bound(next.users, row.name, {}, &control::UserRow::name);
  const auto index = place - next.users.begin();
  const bool added = place == next.users.end() || place->name != row.name;
  if (added) {
    next.users.insert(place, row);
  } else {
    *place = row;
  }
  if (control::users_text(next).size() > control::users_bytes_max) {
    return Refused({Kind::full, "no room for more users", "remove some first"});
  }
  const uint64_t now = unix_ms();
  const bool stored = store_->statement(sql)
                          .bind(row.name)
                          .bind(row.salt)
                          .bind(row.adobe_hash)
                          .bind(row.llnw_hash)
                          .bind(joined(row.allow))
                          .bind(now)
                          .bind(now)
                          .run();
  if (!stored) return not_written();
  // Not read back from the store: what is in it holds, whether or not it can be read just now.
  rows_ = std::move(next);
  if (added) views_.insert(views_.begin() + index, UserView{.created_unix_ms = now});
  UserView& view = views_[static_cast<size_t>(index)];
  view.name = row.name;
  view.allow = row.allow;
  view.changed_unix_ms = now;
  return {};
}

std::expected<void, UserRefusal> Users::add(const std::string& name, std::string_view password,
                                            const std::vector<std::string>& allow) {
  if (auto checked = check_name(name); !checked) return checked;
  if (auto checked = check_password(password); !checked) return checked;
  if (auto checked = check_allow(allow); !checked) return checked;
  const std::lock_guard lock(mutex_);
  if (auto checked = check_open(); !checked) return checked;
  if (find(name) != nullptr) {
    return Refused({Kind::exists, "there is a user " + name + " already",
                    "penstockctl user passwd changes the password"});
  }
  return store(user_row(name, password, allow), add_sql);
}

std::expected<void, UserRefusal> Users::change(
    const std::string& name, std::optional<std::string_view> password,
    const std::optional<std::vector<std::string>>& allow) {
  if (password) {
    if (auto checked = check_password(*password); !checked) return checked;
  }
  if (allow) {
    if (auto checked = check_allow(*allow); !checked) return checked;
  }
  if (auto checked = check_name(name); !checked) return checked;
  const std::lock_guard lock(mutex_);
  if (auto checked = check_open(); !checked) return checked;
  const control::UserRow* present = find(name);
  if (present == nullptr) return Refused(no_user(name));
  control::UserRow row = password ? user_row(name, *password, present->allow) : *present;
  if (allow) row.allow = *allow;
  return store(row, change_sql);
}

std::expected<void, UserRefusal> Users::remove(const std::string& name) {
  if (auto checked = check_name(name); !checked) return checked;
  const std::lock_guard lock(mutex_);
  if (auto checked = check_open(); !checked) return checked;
  if (find(name) == nullptr) return Refused(no_user(name));
  if (!store_->statement("DELETE FROM users WHERE name = ?").bind(name).run()) return not_written();
  std::erase_if(rows_.users, [&](const control::UserRow& row) { return row.name == name; });
  std::erase_if(views_, [&](const UserView& view) { return view.name == name; });
  return {};
}

std::expected<std::vector<UserView>, UserRefusal> Users::list() const {
  const std::lock_guard lock(mutex_);
  if (auto checked = check_open(); !checked) return Refused(checked.error());
  return views_;
}

std::string Users::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

size_t Users::size() const {
  const std::lock_guard lock(mutex_);
  return views_.size();
}

std::string Users::text() const {
  const std::lock_guard lock(mutex_);
  return control::users_text(rows_);
}

void Users::hand_to(const std::function<void(std::string)>& take) const {
  const std::lock_guard lock(mutex_);
  take(control::users_text(rows_));
}

}  // namespace penstock::controlplane

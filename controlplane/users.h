#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/store.h"
#include "penstock/control/users.h"

namespace penstock::controlplane {

// Encoders send it in no form but hashed; what it may not hold is what ends a value in a query.
constexpr size_t password_bytes_max = 128;

/// As an operator may see it: nothing of the password is in it.
struct UserView {
  std::string name;
  std::vector<std::string> allow;
  uint64_t created_unix_ms = 0;
  uint64_t changed_unix_ms = 0;
};

/// Why nothing was changed.
struct UserRefusal {
  enum class Kind : uint8_t { invalid, exists, missing, full, store };
  Kind kind{};
  std::string text;
  std::string hint;
};

/// Publishers that may log in, kept in the store. Of a password only what logins are checked
/// against is kept, and nothing here ever logs. Any thread.
class Users {
 public:
  /// Once, before anything else. The error says what to do; with it nothing can be changed, and
  /// nobody knows who the users are.
  [[nodiscard]] std::expected<void, std::string> open(const std::string& path);

  [[nodiscard]] std::expected<void, UserRefusal> add(const std::string& name,
                                                     std::string_view password,
                                                     const std::vector<std::string>& allow);
  /// What is not given stays as it is.
  [[nodiscard]] std::expected<void, UserRefusal> change(
      const std::string& name, std::optional<std::string_view> password,
      const std::optional<std::vector<std::string>>& allow);
  [[nodiscard]] std::expected<void, UserRefusal> remove(const std::string& name);
  [[nodiscard]] std::expected<std::vector<UserView>, UserRefusal> list() const;
  /// Why the store is not open, and what to do; empty when it is.
  [[nodiscard]] std::string problem() const;
  [[nodiscard]] size_t size() const;

  /// As the region wants it: control::users_text(). It holds what an attacker would need: for the
  /// region alone.
  [[nodiscard]] std::string text() const;
  /// Gives that to `take` while nobody changes anything, so that of two changes at once the later
  /// one is also taken later.
  void hand_to(const std::function<void(std::string)>& take) const;

 private:
  [[nodiscard]] bool load();
  [[nodiscard]] std::expected<void, UserRefusal> store(const control::UserRow& row,
                                                       std::string_view sql);
  [[nodiscard]] std::expected<void, UserRefusal> check_open() const;
  [[nodiscard]] std::expected<void, UserRefusal> not_written() const;
  [[nodiscard]] control::UserRow* find(std::string_view name);

  mutable std::mutex mutex_;
  std::optional<Store> store_;
  std::string problem_ = "the store is not open";
  // The table, by name: what is read is read from here. Both have the same rows.
  control::UserList rows_;
  std::vector<UserView> views_;
};

/// 20 letters and digits, without those that look alike.
[[nodiscard]] std::string random_password();

/// The row for a password, with a salt of its own.
[[nodiscard]] control::UserRow user_row(std::string_view name, std::string_view password,
                                        std::vector<std::string> allow);
/// The same with a given salt.
[[nodiscard]] control::UserRow user_row(std::string_view name, std::string_view password,
                                        std::vector<std::string> allow, std::string salt);

}  // namespace penstock::controlplane

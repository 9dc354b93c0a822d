#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "penstock/control/layout.h"
#include "penstock/control/users.h"

namespace penstock::dataplane {

/// Which names may be published, and who may log in: the lists of one WantedState, ready to be
/// looked into. Made by main, never changed, read by every worker: 44,000 users take 50 ms to
/// parse, and a worker that did so would have its streams wait as long.
class AdmissionLists {
 public:
  /// Empty ones.
  AdmissionLists() = default;
  /// The texts have to be those that the hashes of `state` are of.
  AdmissionLists(const control::WantedState& state, std::string keys, std::string_view users);
  AdmissionLists(const AdmissionLists&) = delete;
  AdmissionLists& operator=(const AdmissionLists&) = delete;

  /// These are the lists that `state` is to be applied with.
  [[nodiscard]] bool are_of(const control::WantedState& state) const;

  [[nodiscard]] bool has_key(std::string_view name) const;
  /// Null: there is no such user.
  [[nodiscard]] const control::UserRow* user(std::string_view name) const;
  [[nodiscard]] std::string_view decoy() const { return users_.decoy; }

 private:
  /// What a state says of a list. An empty one has no hash: it cannot be half-written.
  struct Mark {
    uint32_t bytes = 0;
    uint64_t hash = 0;
    bool operator==(const Mark&) const = default;
  };
  [[nodiscard]] static Mark mark(uint32_t bytes, uint64_t hash) {
    return {bytes, bytes == 0 ? 0 : hash};
  }

  Mark keys_mark_;
  Mark users_mark_;
  std::string keys_text_;
  std::vector<std::string_view> keys_;  // into it; sorted
  control::UserList users_;             // sorted by name
};

}  // namespace penstock::dataplane

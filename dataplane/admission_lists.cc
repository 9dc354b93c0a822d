#include "dataplane/admission_lists.h"

#include <algorithm>
#include <utility>

namespace penstock::dataplane {

AdmissionLists::AdmissionLists(const control::WantedState& state, std::string keys,
                               std::string_view users)
    : keys_mark_(mark(state.keys_bytes, state.keys_hash)),
      users_mark_(mark(state.users_bytes, state.users_hash)),
      keys_text_(std::move(keys)),
      users_(control::parse_users(users)) {
  for (std::string_view rest = keys_text_; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (end > 0) keys_.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  // The control plane sorts both; whoever writes the region need not be one of ours.
  std::ranges::sort(keys_);
  std::ranges::sort(users_.users, {}, &control::UserRow::name);
}

bool AdmissionLists::are_of(const control::WantedState& state) const {
  return keys_mark_ == mark(state.keys_bytes, state.keys_hash) &&
         users_mark_ == mark(state.users_bytes, state.users_hash);
}

bool AdmissionLists::has_key(std::string_view name) const {
  return std::ranges::binary_search(keys_, name);
}

const control::UserRow* AdmissionLists::user(std::string_view name) const {
  const auto found = std::ranges::lower_bound(users_.users, name, {}, &control::UserRow::name);
  return found == users_.users.end() || found->name != name ? nullptr : &*found;
}

}  // namespace penstock::dataplane

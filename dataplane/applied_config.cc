#include "dataplane/applied_config.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "dataplane/text_file.h"

namespace penstock::dataplane {
namespace {

// Closes the file: what lacks it was cut short.
constexpr std::string_view last_line = "# complete\n";

// The one setting that may be live and is no tunable.
constexpr std::string_view log_level_name = "log.level";

/// Leaves a file alone that says the same already: 4 MiB of users would else be written and synced
/// whenever a tunable changes. It has been synced before it got its name.
std::expected<void, std::string> replace_file(const std::string& path, std::string_view text) {
  if (const auto present = read_text_file(path); present && *present == text) return {};
  const std::string beside = path + ".new";
  // 0600: the list of admission keys is in it.
  const int descriptor = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return std::unexpected(beside + ": " + std::strerror(errno));
  bool written = true;
  while (written && !text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    written = count > 0;
    if (written) text.remove_prefix(static_cast<size_t>(count));
  }
  written = written && ::fsync(descriptor) == 0;
  const int cause = errno;
  ::close(descriptor);
  if (!written || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int why = written ? errno : cause;
    ::unlink(beside.c_str());
    return std::unexpected(path + ": " + std::strerror(why));
  }
  return {};
}

}  // namespace

AppliedConfigFile::AppliedConfigFile(std::string state_dir)
    : path_(state_dir + "/applied.toml"),
      live_path_(state_dir + "/applied_live"),
      users_path_(state_dir + "/applied_users") {}

std::expected<std::optional<AppliedConfig>, std::string> AppliedConfigFile::load() const {
  const auto text = read_text_file(path_);
  if (!text) {
    if (text.error() == ENOENT) return std::nullopt;
    return std::unexpected(path_ + ": " + std::strerror(text.error()));
  }
  // An empty or half-written file would parse: as other settings than were applied.
  if (!text->ends_with(last_line)) return std::unexpected(path_ + ": incomplete");
  const auto parsed = config::parse(*text, path_);
  if (!parsed) return std::unexpected(parsed.error().front().to_string());
  AppliedConfig applied{.config = *parsed, .users = users()};
  if (const auto live = read_text_file(live_path_)) {
    size_t from = 0;
    while (from < live->size()) {
      const size_t end = std::min(live->find('\n', from), live->size());
      if (const auto tunable =
              control::find_tunable(std::string_view(*live).substr(from, end - from))) {
        applied.tuned_live |= uint64_t{1} << static_cast<size_t>(*tunable);
      }
      if (std::string_view(*live).substr(from, end - from) == log_level_name) {
        applied.tuned_live |= uint64_t{1} << control::tuned_log_level_bit;
      }
      from = end + 1;
    }
  }
  return applied;
}

std::expected<void, std::string> AppliedConfigFile::store(const AppliedConfig& applied) const {
  std::string live;
  for (size_t i = 0; i < control::tunable_count; ++i) {
    if ((applied.tuned_live >> i & 1) != 0)
      live += std::string(control::tunable_table[i].name) + '\n';
  }
  if ((applied.tuned_live >> control::tuned_log_level_bit & 1) != 0) {
    live += std::string(log_level_name) + '\n';
  }
  if (auto stored = replace_file(live_path_, live); !stored) return stored;
  if (auto stored = replace_file(users_path_, applied.users); !stored) return stored;
  return replace_file(path_, config::render(applied.config) + std::string(last_line));
}

std::string AppliedConfigFile::users() const {
  // Replaced whole or not at all; without it nobody logs in until the control plane is back.
  return read_text_file(users_path_).value_or("");
}

void AppliedConfigFile::remove() const {
  ::unlink(path_.c_str());
  ::unlink(live_path_.c_str());
}

std::optional<WantedLists> read_lists(const control::Wanted& wanted,
                                      const control::WantedState& state) {
  if (state.keys_bytes > control::keys_bytes_max ||
      state.certificates_bytes > control::certificates_bytes_max ||
      state.users_bytes > control::users_bytes_max) {
    return std::nullopt;
  }
  // Copied first: another process may write while we look.
  WantedLists lists{.keys = {wanted.keys.data(), state.keys_bytes},
                    .certificates = {wanted.certificates.data(), state.certificates_bytes},
                    .users = {wanted.users.data(), state.users_bytes}};
  if (control::fnv1a(lists.keys) != state.keys_hash ||
      control::fnv1a(lists.certificates) != state.certificates_hash ||
      control::fnv1a(lists.users) != state.users_hash) {
    return std::nullopt;
  }
  return lists;
}

AppliedConfig merge(const config::Config& base, const control::WantedState& wanted,
                    const WantedLists& lists) {
  AppliedConfig applied{.config = base};
  applied.config.publish = wanted.admission;
  applied.config.login_offer = wanted.login_offer;
  applied.users = lists.users;
  applied.config.log_level = wanted.log_level;
  applied.config.tunables = wanted.tunables;
  applied.config.keys.clear();
  std::string_view keys = lists.keys;
  while (!keys.empty()) {
    const size_t end = std::min(keys.find('\n'), keys.size());
    if (end > 0) applied.config.keys.emplace_back(keys.substr(0, end));
    keys.remove_prefix(std::min(end + 1, keys.size()));
  }
  applied.config.tls_tickets = std::min(wanted.tls_tickets, config::tls_tickets_max);
  if (auto certificates = config::parse_certificates_text(lists.certificates)) {
    applied.config.certificates = std::move(*certificates);
  }
  applied.tuned_live = uint64_t{wanted.tuned_live[1]} << 32 | wanted.tuned_live[0];
  return applied;
}

control::WantedState wanted_state(const AppliedConfig& applied, WantedLists& lists) {
  control::WantedState wanted;
  wanted.epoch = 1;
  wanted.tunables = applied.config.tunables;
  wanted.tuned_live[0] = static_cast<uint32_t>(applied.tuned_live);
  wanted.tuned_live[1] = static_cast<uint32_t>(applied.tuned_live >> 32);
  wanted.admission = applied.config.publish;
  wanted.login_offer = applied.config.login_offer;
  wanted.log_level = applied.config.log_level;
  lists = {};
  for (const std::string& key : applied.config.keys) {
    if (lists.keys.size() + key.size() + 1 > control::keys_bytes_max) break;
    lists.keys += key + '\n';
  }
  wanted.keys_bytes = static_cast<uint32_t>(lists.keys.size());
  wanted.keys_hash = control::fnv1a(lists.keys);
  lists.certificates = config::certificates_text(applied.config.certificates);
  // parse() takes no list that would not fit.
  if (lists.certificates.size() > control::certificates_bytes_max) lists.certificates.clear();
  wanted.certificates_bytes = static_cast<uint32_t>(lists.certificates.size());
  wanted.certificates_hash = control::fnv1a(lists.certificates);
  wanted.tls_tickets = applied.config.tls_tickets;
  if (applied.users.size() <= control::users_bytes_max) lists.users = applied.users;
  wanted.users_bytes = static_cast<uint32_t>(lists.users.size());
  wanted.users_hash = control::fnv1a(lists.users);
  return wanted;
}

}  // namespace penstock::dataplane

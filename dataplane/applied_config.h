#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "penstock/config/config.h"
#include "penstock/control/layout.h"

// The configuration that was last applied, on disk: a data plane that died starts from it alone,
// whatever has become of the configuration file and of the control plane. A clean stop removes it,
// and the next start reads the file again.
namespace penstock::dataplane {

struct AppliedConfig {
  config::Config config;
  std::string users;        // control::users_text()
  uint64_t tuned_live = 0;  // bit per tunable that an operator set at run time
};

class AppliedConfigFile {
 public:
  explicit AppliedConfigFile(std::string state_dir);

  /// Nothing when the last run stopped cleanly; the problem when there is a file that cannot be
  /// used.
  [[nodiscard]] std::expected<std::optional<AppliedConfig>, std::string> load() const;
  /// Replaces the file whole (written beside, synced, renamed): a full disk or a crash leaves the
  /// old one.
  [[nodiscard]] std::expected<void, std::string> store(const AppliedConfig& applied) const;
  void remove() const;
  /// The users that were last applied. They outlive a clean stop: no configuration file has them.
  [[nodiscard]] std::string users() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string live_path_;
  std::string users_path_;
};

/// The lists of control::Wanted that belong to a state, as far as they are used.
struct WantedLists {
  std::string keys;
  std::string certificates;
  std::string users;
};

/// Nothing when the lists in the region are not those that `state` says (they are being written).
[[nodiscard]] std::optional<WantedLists> read_lists(const control::Wanted& wanted,
                                                    const control::WantedState& state);

/// `base` with what `wanted` has changed.
[[nodiscard]] AppliedConfig merge(const config::Config& base, const control::WantedState& wanted,
                                  const WantedLists& lists);

/// The state to start with. `lists` receives what belongs to it.
[[nodiscard]] control::WantedState wanted_state(const AppliedConfig& applied, WantedLists& lists);

}  // namespace penstock::dataplane

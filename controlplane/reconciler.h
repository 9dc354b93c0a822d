#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config_file.h"
#include "controlplane/region.h"

namespace penstock::controlplane {

enum class TunableSource : uint8_t { fallback, file, live };
[[nodiscard]] std::string_view source_name(TunableSource source);

struct TunableView {
  control::TunableInfo info;
  uint64_t value = 0;  // what the data plane runs with, or will
  uint64_t file_value = 0;
  TunableSource source{};
  bool restart_needed = false;
};

enum class TuneRefusal : uint8_t { not_live, out_of_range };

struct WaitingKey {
  std::string key;
  std::string running;
  std::string file;
  std::string_view restart;  // of which process
};

struct Reloaded {
  std::vector<std::string> changed;
  std::vector<std::string> restart_needed;          // of penstockd
  std::vector<std::string> restart_needed_control;  // of penstock-control
  std::vector<std::string> kept_live;
  std::vector<std::string> certificates;  // whose files are others than before: what they are now
};

/// What the data plane should be doing (configuration file, live tunables, drain), and the writing
/// of it into the region wherever the region says otherwise. Level-triggered: it may be run at any
/// time, and does nothing where all is well.
///
/// Who remembers what: live tunables and the live log level are in the region while this process is
/// dead, and here while the data plane is. A drain belongs to a run of the data plane and ends with
/// it. Any thread.
class Reconciler {
 public:
  explicit Reconciler(Settings settings);

  /// A region has been attached. The first one tells what an earlier control process had set live.
  void adopt(const Attachment& attachment);
  /// True: the region's wanted state differed, and was written with a new epoch.
  bool reconcile(Attachment& attachment);

  [[nodiscard]] std::shared_ptr<const Settings> settings() const;
  /// The file's configuration, with what the data plane was started with where only a restart
  /// changes it.
  [[nodiscard]] config::Config running() const;
  /// The new file takes the place of the old one; what was set live stays.
  Reloaded replace(Settings settings);

  std::expected<void, TuneRefusal> tune(control::Tunable tunable, uint64_t value);
  std::expected<void, TuneRefusal> untune(control::Tunable tunable);
  void set_log_level(std::optional<control::LogLevel> level);  // nothing: back to the file's
  /// `to`: the URL that peers are asked to reconnect to; empty: the one that they came to.
  void set_draining(bool draining, std::string to = {});
  /// control::users_text(). Until it is told, the users that the data plane has are those wanted.
  void set_users(std::string users_text);

  [[nodiscard]] TunableView tunable(control::Tunable tunable) const;
  [[nodiscard]] control::LogLevel log_level() const;
  [[nodiscard]] bool log_level_live() const;
  [[nodiscard]] bool draining() const;
  [[nodiscard]] uint64_t wanted_epoch() const;
  /// What runs and what the file says, for every key that waits for a restart.
  [[nodiscard]] std::vector<WaitingKey> waiting() const;
  /// Keys of the file that a restart of penstockd (of penstock-control) would change.
  [[nodiscard]] std::vector<std::string> restart_needed() const;
  [[nodiscard]] std::vector<std::string> restart_needed_control() const;

 private:
  [[nodiscard]] control::WantedState wanted() const;
  void hash_lists();
  void adopt_users(const control::Wanted& region, const control::WantedState& present);
  [[nodiscard]] std::vector<std::string> dataplane_keys_behind() const;

  mutable std::mutex mutex_;
  const Settings initial_;
  std::shared_ptr<const Settings> settings_;
  std::optional<config::Config> started_;  // what the data plane was started with
  std::array<std::optional<uint64_t>, control::tunable_count> live_;
  std::optional<control::LogLevel> live_log_level_;
  bool draining_ = false;
  std::string drain_to_;
  bool users_told_ = false;
  std::string users_text_;
  // Of the texts, made when they are set: 8 MiB would else be hashed each second.
  uint64_t keys_hash_ = 0;
  uint64_t certificates_hash_ = 0;
  uint64_t users_hash_ = control::fnv1a({});
  bool adopted_ = false;
  uint64_t epoch_ = 0;
};

/// True when every worker has applied `epoch` within `patience`.
[[nodiscard]] bool wait_applied(const Attachment& attachment, uint64_t epoch,
                                std::chrono::milliseconds patience);

}  // namespace penstock::controlplane

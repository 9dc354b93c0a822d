#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/applied_config.h"
#include "dataplane/engine/engine.h"
#include "dataplane/mailbox.h"
#include "dataplane/region_memory.h"
#include "penstock/config/config.h"

// What penstockd does before its workers run. Every failure is one line with its cause and what
// would fix it.
namespace penstock::dataplane {

// Six kills under load: the last process's lock and ports were gone after 250 ms at most.
constexpr uint32_t restart_wait_ms = 5000;

struct Options {
  std::string config_path;
  std::string
      state_dir;  // overrides the file's; needed to start when the file cannot be read any more
  bool ignore_applied = false;  // start from the file even after an unclean end
  bool help = false;
  bool version = false;
};

/// The usage error as text for the operator.
[[nodiscard]] std::expected<Options, std::string> parse_options(int argc, char** argv);
[[nodiscard]] std::string usage_text();

/// Holds the state folder for this process: two data planes on one folder would take each other's
/// socket.
class StateFolder {
 public:
  /// Waits up to wait_ms for a holder that is just ending: the kernel tears a killed process's
  /// rings down for some hundred ms, and a restart must not fail for that.
  [[nodiscard]] static std::expected<StateFolder, std::string> take(
      const std::string& path, uint32_t wait_ms = restart_wait_ms);
  StateFolder(StateFolder&& other) noexcept;
  StateFolder(const StateFolder&) = delete;
  StateFolder& operator=(const StateFolder&) = delete;
  StateFolder& operator=(StateFolder&&) = delete;
  ~StateFolder();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  StateFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_ = -1;
};

struct Start {
  AppliedConfig applied;
  std::string state_dir;
  std::string note;  // worth a warning line; empty when there is nothing to say
};

/// Decides what to start from: the file, or after an unclean end the configuration that was last
/// applied.
[[nodiscard]] std::expected<Start, std::string> choose_start(const Options& options);

/// Of all lists, in the order of config::listener_lists(): the number of one among them is the
/// engine's number of the listener.
[[nodiscard]] std::expected<std::vector<engine::Endpoint>, std::string> listen_endpoints(
    const config::Config& config);

/// Reserved, not touched: pages cost memory when they are first used.
[[nodiscard]] std::expected<MutableBytes, std::string> reserve_frame_memory(uint64_t bytes);

/// Refuses cores that this machine (or this process's cpuset) does not have.
[[nodiscard]] std::expected<void, std::string> check_cores(const std::vector<uint32_t>& cores);
void pin_to_core(uint32_t core);

struct DescriptorLimit {
  uint64_t connections_max = 0;  // what there are descriptors for, at most what was asked
  std::string shortfall;         // for the operator; empty when there is none
};
/// Raises the descriptor limit to what connections_max needs, as far as the host allows.
[[nodiscard]] DescriptorLimit raise_descriptor_limit(uint64_t connections_max);

}  // namespace penstock::dataplane

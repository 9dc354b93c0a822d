#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/engine/dpdk/dpdk_host.h"
#include "penstock/base/bytes.h"
#include "penstock/base/time.h"
#include "penstock/config/config.h"
#include "penstock/control/layout.h"

// What main wires for the engine "dpdk": from the configuration to its host, and from that to the
// shared region.
namespace penstock::dataplane {

/// What the configuration says, as the engines' host takes it. `listeners` of all lists, in the
/// order of their numbers.
[[nodiscard]] engine::DpdkOptions dpdk_options(const config::Config& config,
                                               std::span<const engine::Endpoint> listeners,
                                               const uint64_t (&secret)[2]);

/// Of dpdk_options(). The threads that DPDK starts are left without signals: those are for whoever
/// reads them.
[[nodiscard]] std::expected<std::unique_ptr<engine::DpdkHost>, std::string> start_dpdk(
    const config::Config& config, std::span<const engine::Endpoint> listeners,
    const uint64_t (&secret)[2]);

/// A line for the log: which devices there are, and what is listened on.
[[nodiscard]] std::string dpdk_line(engine::DpdkHost& host, const config::Config& config);

/// Writes the workers' rows of their links, and notices when one goes down or comes back. Main
/// alone calls it.
class LinkReports {
 public:
  LinkReports(engine::DpdkHost& host, control::Region region)
      : host_(host), region_(region), up_(region.plan().workers, true) {}

  /// Lines that are worth a warning; writes once a second.
  [[nodiscard]] std::vector<std::string> look(Instant now);

 private:
  engine::DpdkHost& host_;
  control::Region region_;
  std::vector<bool> up_;  // by worker, when it was last looked at
  Instant next_;
};

/// `with_device`: its numbers as well.
void fill_link_row(const engine::DpdkWorkerStats& stats, bool with_device, control::LinkRow& row);

}  // namespace penstock::dataplane

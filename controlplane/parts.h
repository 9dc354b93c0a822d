#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "controlplane/catalog.h"
#include "controlplane/config_file.h"
#include "controlplane/history.h"
#include "controlplane/kept.h"
#include "controlplane/log.h"
#include "controlplane/rates.h"
#include "controlplane/reconciler.h"
#include "controlplane/region.h"
#include "controlplane/users.h"

namespace penstock::controlplane {

/// Everything that the steering loop and the API work on. Each part guards itself; there is no lock
/// over all of them.
struct Parts {
  Parts(const Settings& settings, std::string history_path);

  const uint64_t started_unix_ms;
  Log log;
  RegionLink link;
  Catalog catalog;
  History history;
  Rates rates;
  Reconciler reconciler;
  KeptWatch kept;
  Users users;
};

[[nodiscard]] std::string_view software_version();

struct Pushed {
  uint64_t epoch = 0;
  bool applied = false;  // every worker runs with it
};

// A worker looks at its orders when it is rung, and else every 100 ms.
constexpr std::chrono::milliseconds apply_patience{400};

/// Writes what is wanted into the region, if there is one, and waits a moment for the workers to
/// apply it. The steering loop has no moment to give: others wait for its verdicts.
Pushed push(Parts& parts, std::chrono::milliseconds patience = apply_patience);

/// A line of the log for each of what an operator should know of the file.
void tell_cautions(Parts& parts, const Settings& settings);

/// Reads the configuration file again and pushes it. A bad one changes nothing.
std::expected<Reloaded, Problems> reload(Parts& parts);

/// The mirror, at most 50 ms old: what the API answers from.
void look(Parts& parts);

constexpr std::string_view not_attached_text = "penstockd is not attached";
constexpr std::string_view not_attached_hint =
    "it is not running, or has another state_dir: start it with the same configuration file, and "
    "look at its log";
/// Why what was ordered is lost when penstockd restarts; empty: it is on disk, as far as is known.
[[nodiscard]] std::string kept_ailment(const Parts& parts);

/// Why nobody can connect where TLS is spoken; empty when somebody can, or none is.
[[nodiscard]] std::string tls_ailment(const Parts& parts);

/// limits.connections_max, or what the data plane has descriptors for where that is less.
[[nodiscard]] uint64_t connections_allowed(const Parts& parts);

/// What the data plane says of the certificates of `epoch`, once it has looked at them; empty: they
/// serve.
[[nodiscard]] std::string certificate_problem(const Parts& parts, uint64_t epoch,
                                              std::chrono::milliseconds patience);

/// 90 percent of the limit or more. A limit of 0 is none.
[[nodiscard]] bool near_limit(uint64_t value, uint64_t limit);

/// Why the data plane is not well, one line; empty when it is.
[[nodiscard]] std::string ailment(const Parts& parts);

/// Why users can be neither shown nor changed, one line; empty when they can.
[[nodiscard]] std::string users_unknown(const Parts& parts);

/// What an operator should know, one line each.
[[nodiscard]] std::vector<std::string> warnings(const Parts& parts);

}  // namespace penstock::controlplane

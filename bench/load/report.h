#pragma once

#include <string>

#include "bench/load/generator.h"
#include "bench/load/options.h"
#include "bench/load/summary.h"

namespace penstock::load {

/// One JSON object, indented.
[[nodiscard]] std::string json_report(const Options& options, const Summary& summary,
                                      const Tally& tally);
/// For a reader; two lines for the canonical workload.
[[nodiscard]] std::string text_report(const Options& options, const Summary& summary,
                                      const Tally& tally);

[[nodiscard]] bool all_hold(const Options& options, const Summary& summary, const Tally& tally);

}  // namespace penstock::load

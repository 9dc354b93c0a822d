#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "bench/load/generator.h"
#include "bench/load/options.h"
#include "bench/load/summary.h"

namespace penstock::load {

struct Outcome {
  std::string failure;  // why it could not run; empty when it could
  std::string warning;  // it could, but not as it was wanted
  std::unique_ptr<Generator> generator;
  Summary summary;
};

/// One run from the first connection to the last reading; ends early when `stop` is set, and then
/// reports what was measured until then. Progress goes to stderr where that is a terminal.
[[nodiscard]] Outcome run_load(engine::Engine& engine, const Options& options,
                               const MediaLoop& loop, const volatile std::sig_atomic_t& stop);

}  // namespace penstock::load

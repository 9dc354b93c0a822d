#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/load/generator.h"
#include "bench/load/options.h"
#include "bench/load/server_usage.h"

namespace penstock::load {

/// A run in numbers. What cannot be told (no server pid, nothing stamped) is nothing.
struct Summary {
  double seconds = 0;  // of the window
  uint32_t publishers_wanted = 0;
  uint32_t publishers_held = 0;
  uint32_t players_wanted = 0;
  uint32_t players_held = 0;
  uint32_t players_silent = 0;  // wanted, and nothing of the window's media came
  uint32_t streams_wanted = 0;
  // Nothing, unless some player received media in the window, or waited for it in vain.
  std::optional<uint64_t> gaps;  // a player that was lost, silent or stalled has one for that
  std::optional<uint32_t> players_with_gaps;
  std::optional<uint32_t> players_stalled;
  std::optional<uint32_t> streams_without_gap;
  // Every player received media in the window, or what it missed has been counted with its age.
  bool latency_measured = false;
  double connections_per_second = 0;
  double generator_cpu_s = 0;

  struct Server {
    std::vector<uint32_t> pids;
    double cpu_s = 0;
    uint64_t resident_bytes_before = 0;
    uint64_t resident_bytes = 0;
    std::optional<double> cpu_s_per_gb_in;
    std::optional<double> cpu_s_per_gb_out;
    std::optional<double> cpu_us_per_message;
    std::optional<double> cpu_us_per_connection;
    std::optional<double> bytes_per_connection;
  };
  std::optional<Server> server;
};

/// What was read beside the tally, at the edges of the window.
struct Readings {
  Instant window_began;
  Instant window_ended;
  double generator_cpu_s = 0;  // over the window
  ServerUsage server_before;   // before the first connection
  ServerUsage server_began;
  ServerUsage server_ended;
};

[[nodiscard]] Summary summarise(const Options& options, Generator& generator,
                                const Readings& readings);

/// The number that an expectation names.
[[nodiscard]] std::optional<double> measure(std::string_view name, const Summary& summary,
                                            const Tally& tally);

}  // namespace penstock::load

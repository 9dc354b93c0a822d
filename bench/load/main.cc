#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <string>
#include <variant>

#include "bench/load/flv_source.h"
#include "bench/load/host.h"
#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/run.h"
#include "bench/load/variant.h"
#include "dataplane/engine/uring/uring_engine.h"

namespace {

using namespace penstock;
using namespace penstock::load;

enum ExitCode : int { done = 0, expectation_failed = 1, usage = 2, could_not_run = 3 };

volatile std::sig_atomic_t stop_asked = 0;

void ask_to_stop(int) {
  stop_asked = 1;
  // The second one ends it the hard way.
  std::signal(SIGINT, SIG_DFL);
}

int complain(const std::string& what, ExitCode code) {
  std::fprintf(stderr, "penstock-load: %s\n", what.c_str());
  return code;
}

/// False when it did not get there: a full disk, a reader that has gone.
bool print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
         std::fflush(stdout) == 0;
}

int complain_of_stdout() {
  return complain(fmt::format("cannot write to stdout: {}", std::strerror(errno)), could_not_run);
}

/// A connection or the ring must not become a standard stream. False when stdout is closed.
bool hold_standard_streams() {
  const bool has_stdout = ::fcntl(STDOUT_FILENO, F_GETFD) >= 0;
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest free number is taken.
    if (::fcntl(standard, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) return false;
  }
  return has_stdout;
}

/// Before the run, so that no run is in vain.
std::optional<std::string> open_percentiles(const Options& options, std::ofstream& file) {
  if (options.percentiles.empty() || options.percentiles == "-") return std::nullopt;
  file.open(options.percentiles);
  if (file) return std::nullopt;
  return fmt::format("cannot write {}: {}", options.percentiles, std::strerror(errno));
}

std::optional<std::string> prepare_host(const Options& options) {
  const uint32_t connections = options.publishers + options.players;
  if (auto problem = allow_connections(connections)) return problem;
  if (auto problem = check_local_ports(connections)) return problem;
  if (auto problem = check_congestion_control(options.congestion)) return problem;
  if (auto problem = check_processes(options.server_pids)) return problem;
  // Timers to the microsecond: the default slack of 50 us would be in every message's lag.
  prctl(PR_SET_TIMERSLACK, 1'000, 0, 0, 0);
  return options.core ? pin_to_core(*options.core) : std::nullopt;
}

engine::UringOptions engine_options_for(const Options& options) {
  engine::UringOptions wanted;
  wanted.connections_max = options.publishers + options.players + 16;
  wanted.wait_us_max = 0;    // gathering would be in every latency that is measured
  wanted.lazy_acks = false;  // and so would other peers' Nagle algorithm
  wanted.congestion_control = options.congestion;
  wanted.reset_connecting = true;
  if (options.read_bits_per_second == 0) return wanted;
  // A receive that is begun takes all that there is memory for, and a socket holds 6 MB: slow
  // players get memory for what they may all read in a millisecond, 4 receives at least.
  wanted.receive_slab_bytes = 4096;
  const uint64_t bytes_per_ms = options.players * options.read_bits_per_second / 8 / 1000;
  wanted.receive_slabs = static_cast<uint32_t>(
      std::bit_ceil(std::clamp<uint64_t>(bytes_per_ms / wanted.receive_slab_bytes, 4, 4096)));
  return wanted;
}

/// On stderr, so that it is read whatever form the report has.
void warn_of_lag(const Tally& tally) {
  // Half a frame of 30: up to there nobody would take it for another pattern.
  constexpr double lag_ms_fine = 16;
  const double lag_ms = static_cast<double>(tally.schedule_lag.at_share_ns(0.99)) / 1e6;
  if (lag_ms <= lag_ms_fine) return;
  std::fprintf(stderr,
               "penstock-load: messages went out late (p99 %.0f ms): this core, other work on it, "
               "or the server's receive window is the limit\n",
               lag_ms);
}

void warn_of_size(const MediaLoop& loop) {
  // What servers take (Penstock's limit too): no encoder comes near it.
  constexpr uint32_t message_bytes_usual = 8u << 20;
  uint32_t largest = 0;
  for (const LoopMessage& message : loop.messages)
    largest = std::max(largest, message.payload_bytes);
  if (largest <= message_bytes_usual) return;
  std::fprintf(stderr,
               "penstock-load: the largest message has %.1f MiB: servers refuse more than 8\n",
               largest / 1048576.0);
}

int run(Options options) {
  const auto endpoint = resolve(options.server);
  if (!endpoint) return complain(endpoint.error(), usage);
  options.endpoint = *endpoint;
  if (const auto problem = prepare_host(options)) return complain(*problem, could_not_run);
  auto loop = make_loop_for(options);
  if (!loop) return complain(loop.error(), could_not_run);
  warn_of_size(*loop);
  std::ofstream percentiles;
  if (const auto problem = open_percentiles(options, percentiles))
    return complain(*problem, could_not_run);
  auto engine = engine::make_uring_engine(engine_options_for(options));
  if (!engine) return complain(engine.error(), could_not_run);
  const auto layered = layered_for(options.variant, **engine, options.server);

  std::signal(SIGINT, ask_to_stop);
  std::signal(SIGTERM, ask_to_stop);
  const Outcome outcome = run_load(layered ? *layered : **engine, options, *loop, stop_asked);
  if (!outcome.failure.empty()) return complain(outcome.failure, could_not_run);

  const Tally& tally = outcome.generator->tally();
  if (!outcome.warning.empty()) complain(outcome.warning, done);
  warn_of_lag(tally);
  std::string report = options.json ? json_report(options, outcome.summary, tally)
                                    : text_report(options, outcome.summary, tally);
  if (options.percentiles == "-") report += tally.latency.percentile_lines();
  if (!print(report)) return complain_of_stdout();
  if (percentiles.is_open()) {
    percentiles << tally.latency.percentile_lines();
    percentiles.close();
    if (!percentiles) return complain("cannot write " + options.percentiles, could_not_run);
  }
  return all_hold(options, outcome.summary, tally) ? done : expectation_failed;
}

}  // namespace

int main(int argc, char** argv) {
  const bool has_stdout = hold_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // writing says so, too
  if (!has_stdout) return complain("cannot write to stdout: it is closed", could_not_run);
  try {
    auto parsed = parse_options(argc, argv);
    if (const auto* early = std::get_if<EarlyExit>(&parsed)) {
      if (!print(early->out)) return complain_of_stdout();
      std::fputs(early->err.c_str(), stderr);
      return early->code;
    }
    return run(std::move(std::get<Options>(parsed)));
  } catch (const std::exception& wrong) {
    return complain(wrong.what(), could_not_run);
  }
}

#include "bench/load/run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bench/load/host.h"
#include "bench/load/quantity.h"
#include "bench/load/workload.h"
#include "dataplane/engine/uring/ring.h"

namespace penstock::load {
namespace {

// Ctrl-C is noticed within this time.
constexpr uint64_t wait_ns_max = 100 * ns_per_ms;
constexpr uint64_t progress_ns = 500 * ns_per_ms;

/// One line that overwrites itself.
class Progress {
 public:
  explicit Progress(const Options& options) : options_(options), on_(::isatty(STDERR_FILENO)) {}
  ~Progress() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(Generator& generator, Workload::Phase phase) {
    const Instant now = generator.now();
    if (!on_ || now.since(shown_at_) < progress_ns) return;
    const Tally& tally = generator.tally();
    const double seconds = static_cast<double>(now.since(shown_at_)) / 1e9;
    const auto rate = [&](uint64_t bytes, uint64_t& before) {
      const uint64_t more = bytes < before ? bytes : bytes - before;  // the window counts anew
      before = bytes;
      return quantity_text(shown_ ? static_cast<double>(more) * 8 / seconds : 0, "bit/s");
    };
    std::string line =
        fmt::format("{} {}: publishers {}/{}", mode_name(options_.mode), phase_name(phase),
                    live(generator.publishers()), options_.publishers);
    if (options_.players > 0)
      line += fmt::format(", players {}/{}", live(generator.players()), options_.players);
    line += ", sent " + rate(tally.bytes_sent, sent_);
    if (options_.players > 0) {
      line +=
          fmt::format(", received {}, gaps {}", rate(tally.bytes_received, received_), tally.gaps);
    }
    if (tally.latency.total() > 0) {
      line += fmt::format(", latency p99 {:.2f} ms",
                          static_cast<double>(tally.latency.at_share_ns(0.99)) / 1e6);
    }
    line +=
        fmt::format(", opened {}, failed {}", tally.connections_opened, tally.connections_failed);
    fmt::print(stderr, "\r{}\x1b[K", line);
    std::fflush(stderr);
    shown_ = true;
    shown_at_ = now;
  }

 private:
  static std::string_view phase_name(Workload::Phase phase) {
    switch (phase) {
      case Workload::Phase::starting:
        return "starting";
      case Workload::Phase::warming:
        return "warming up";
      case Workload::Phase::measuring:
        return "measuring";
      case Workload::Phase::over:
        break;
    }
    return "over";
  }

  template <typename Peers>
  static long live(const Peers& peers) {
    return std::ranges::count_if(
        peers, [](const auto& peer) { return peer.link.state() == LinkState::live; });
  }

  const Options& options_;
  bool on_;
  bool shown_ = false;
  Instant shown_at_;
  uint64_t sent_ = 0;
  uint64_t received_ = 0;
};

bool never_accepted(const Publisher& publisher) { return publisher.failed && !publisher.ever_live; }

/// Every publisher has been turned away: whatever players there are, there is nothing to play.
bool no_publisher_left(Generator& generator) {
  const auto& publishers = generator.publishers();
  return !publishers.empty() && std::ranges::all_of(publishers, [](const Publisher& publisher) {
    return never_accepted(publisher) && publisher.link.state() == LinkState::idle;
  });
}

/// Not one stream has started, and none will: nobody is there, or all were turned away.
bool hopeless(Generator& generator) {
  const Tally& tally = generator.tally();
  if (no_publisher_left(generator)) return true;
  if (tally.connections_opened > 0 || tally.connections_failed == 0) return false;
  const size_t wanted = generator.publishers().size() + generator.players().size();
  const bool nobody_there = generator.first_failure().starts_with("connection ");
  if (!nobody_there && tally.connections_failed < wanted) return false;
  const auto at_work = [](const auto& peer) { return peer.link.state() != LinkState::idle; };
  return std::ranges::none_of(generator.publishers(), at_work) &&
         std::ranges::none_of(generator.players(), at_work);
}

std::string explain(const std::string& failure, const Options& options) {
  if (failure == "connection refused") {
    return fmt::format(
        "connection refused: nothing listens at {}; start the server or give --server",
        options.server);
  }
  if (failure == "connection timed out")
    return fmt::format("no answer from {}; is the address right?", options.server);
  if (failure == "no descriptor left")
    return "no descriptor left; raise the limit (`ulimit -n 65536`)";
  if (failure.starts_with("no local port")) {
    return fmt::format("no local port left or no way to {}; see `ss -s` and `ip route get`",
                       options.server);
  }
  return fmt::format("no stream could be started at {}: {}", options.server, failure);
}

class Run {
 public:
  Run(engine::Engine& engine, const Options& options, const MediaLoop& loop)
      : options_(options),
        progress_(options),
        generator_(std::make_unique<Generator>(engine, options, loop, engine::monotonic_now())),
        workload_(make_workload(options, generator_->now())) {
    readings_.server_before = read_server_usage(options.server_pids);
  }

  Outcome go(const volatile std::sig_atomic_t& stop) {
    Outcome outcome;
    Instant wake_at = workload_->step(*generator_);
    while (workload_->phase() != Workload::Phase::over && stop == 0) {
      if (workload_->phase() == Workload::Phase::measuring && !measuring_) begin_window();
      generator_->tick(std::min(wake_at, generator_->now().after_ns(wait_ns_max)));
      wake_at = workload_->step(*generator_);
      progress_.show(*generator_, workload_->phase());
      if (hopeless(*generator_)) {
        outcome.failure = explain(first_failure(), options_);
        return outcome;
      }
    }
    end_window();
    const auto refused = std::ranges::count_if(generator_->publishers(), never_accepted);
    if (refused > 0 && std::ranges::none_of(generator_->publishers(), &Publisher::ever_live)) {
      outcome.failure = explain(first_failure(), options_);
      return outcome;
    }
    if (refused > 0) {
      outcome.warning = fmt::format("{} of {} publishers could not publish: {}", refused,
                                    options_.publishers, first_failure());
    }
    outcome.summary = summarise(options_, *generator_, readings_);
    generator_->close_everything();
    generator_->tick(generator_->now());
    outcome.generator = std::move(generator_);
    return outcome;
  }

 private:
  const std::string& first_failure() const {
    const std::string& publishing = generator_->first_publish_failure();
    return publishing.empty() ? generator_->first_failure() : publishing;
  }

  void begin_window() {
    measuring_ = true;
    readings_.server_began = read_server_usage(options_.server_pids);
    generator_->begin_window();
    readings_.generator_cpu_s = thread_cpu_s();
    readings_.window_began = engine::monotonic_now();
  }

  void end_window() {
    if (measuring_) {
      generator_->end_window(readings_.window_began);
      readings_.window_ended = engine::monotonic_now();
    } else {
      begin_window();  // stopped before: what there is, is nothing
      readings_.window_ended = readings_.window_began;
    }
    readings_.generator_cpu_s = thread_cpu_s() - readings_.generator_cpu_s;
    readings_.server_ended = read_server_usage(options_.server_pids);
    // There nobody stays for the whole window.
    if (options_.mode == Mode::churn) {
      for (Publisher& publisher : generator_->publishers())
        publisher.held = publisher.link.state() == LinkState::live;
      for (Player& player : generator_->players())
        player.held = player.link.state() == LinkState::live;
    }
  }

  const Options& options_;
  Progress progress_;
  std::unique_ptr<Generator> generator_;
  std::unique_ptr<Workload> workload_;
  Readings readings_;
  bool measuring_ = false;
};

}  // namespace

Outcome run_load(engine::Engine& engine, const Options& options, const MediaLoop& loop,
                 const volatile std::sig_atomic_t& stop) {
  return Run(engine, options, loop).go(stop);
}

}  // namespace penstock::load

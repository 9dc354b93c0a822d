#include "bench/load/workload.h"

#include <algorithm>
#include <cmath>

#include "penstock/base/prng.h"

namespace penstock::load {
namespace {

uint64_t ns_of(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

constexpr uint64_t step_ns = 5 * ns_per_ms;

// Bringing up all links must be over so long after the last one was started.
constexpr uint64_t settle_ns_max = 12 * ns_per_s;

bool starting(const Link& link) {
  return link.state() == LinkState::connecting || link.state() == LinkState::starting;
}

template <typename Peers>
bool any_starting(const Peers& peers) {
  return std::ranges::any_of(peers, [](const auto& peer) { return starting(peer.link); });
}

/// One group starts over the ramp, then the other, so that no player waits for its stream (in raw
/// mode: that no byte is missed). Then warming up, then measuring.
class Steady final : public Workload {
 public:
  Steady(const Options& options, Instant now)
      : options_(options), ramp_began_(now), players_first_(options.raw) {}

  Instant step(Generator& generator) override {
    const Instant now = generator.now();
    switch (phase_) {
      case Phase::starting:
        start_due(generator, now);
        break;
      case Phase::warming:
        if (now < until_) return until_;
        phase_ = Phase::measuring;
        until_ = now.after_ns(ns_of(options_.duration_s));
        return until_;
      case Phase::measuring:
        if (now >= until_) phase_ = Phase::over;
        return until_;
      case Phase::over:
        break;
    }
    return now.after_ns(step_ns);
  }

 private:
  void start_due(Generator& generator, Instant now) {
    const bool players = players_first_ != second_;
    const uint32_t wanted = players ? options_.players : options_.publishers;
    const double share = options_.ramp_s > 0
                             ? static_cast<double>(now.since(ramp_began_)) / 1e9 / options_.ramp_s
                             : 1;
    const auto due = static_cast<uint32_t>(std::ceil(std::min(share, 1.0) * wanted));
    for (; started_ < due; ++started_) {
      if (players) {
        generator.start_player(started_);
      } else {
        generator.start_publisher(started_, started_);
      }
    }
    if (started_ < wanted) return;
    if (settling_since_ == Instant{}) settling_since_ = now;
    const bool settling =
        players ? any_starting(generator.players()) : any_starting(generator.publishers());
    if (settling && now.since(settling_since_) < settle_ns_max) return;
    settling_since_ = {};
    started_ = 0;
    ramp_began_ = now;
    if (second_) {
      phase_ = Phase::warming;
      until_ = now.after_ns(ns_of(options_.warmup_s));
    }
    second_ = true;
  }

  const Options& options_;
  Instant ramp_began_;
  Instant settling_since_;
  Instant until_;
  uint32_t started_ = 0;
  bool players_first_;
  bool second_ = false;
};

/// Connections that publish and are reset at once; every one has a name of its own, because a
/// server may take a while to free a name.
class Connects final : public Workload {
 public:
  explicit Connects(const Options& options) : options_(options) { phase_ = Phase::measuring; }

  Instant step(Generator& generator) override {
    const Instant now = generator.now();
    for (const uint32_t publisher : generator.published()) generator.close_publisher(publisher);
    const size_t shown = generator.ended().size();
    ended_ += static_cast<uint32_t>(shown);
    while (first_ < options_.concurrency && started_ < options_.count)
      generator.start_publisher(first_++, started_++);
    for (size_t i = 0; i < shown && started_ < options_.count; ++i)
      again_.push_back(generator.ended()[i]);
    for (; !again_.empty() && started_ < options_.count; again_.pop_back())
      generator.start_publisher(again_.back(), started_++);
    // A start that fails at once has ended at once, and is not shown again.
    for (size_t i = shown; i < generator.ended().size(); ++i) {
      ++ended_;
      again_.push_back(generator.ended()[i]);
    }
    if (ended_ < options_.count) return now.after_ns(step_ns * 20);
    // The server's part of the last closes belongs to them.
    if (ended_at_ == Instant{}) ended_at_ = now;
    if (now.since(ended_at_) > 200 * ns_per_ms) phase_ = Phase::over;
    return now.after_ns(step_ns);
  }

 private:
  const Options& options_;
  uint32_t first_ = 0;
  uint32_t started_ = 0;
  uint32_t ended_ = 0;
  std::vector<uint32_t> again_;
  Instant ended_at_;
};

/// Publishers that live for a random time and come back; in a storm all end at once, and come back
/// as fast as `concurrency` lets them.
class Churn final : public Workload {
 public:
  Churn(const Options& options, Instant now)
      : options_(options),
        prng_(now.ns),
        change_at_(options.publishers),
        over_at_(now.after_ns(ns_of(options.ramp_s + options.duration_s))),
        storm_at_(options.storm_s > 0 ? now.after_ns(ns_of(options.ramp_s + options.storm_s))
                                      : Instant::never()),
        players_at_(now.after_ns(ns_of(options.ramp_s))) {
    phase_ = Phase::measuring;
    for (uint32_t i = 0; i < options.publishers; ++i)
      change_at_[i] = now.after_ns(ns_of(options.ramp_s * i / options.publishers));
  }

  Instant step(Generator& generator) override {
    const Instant now = generator.now();
    if (now >= over_at_) phase_ = Phase::over;
    if (now >= players_at_) {
      for (uint32_t i = 0; i < options_.players; ++i) generator.start_player(i);
      players_at_ = Instant::never();
    }
    const bool storm = now >= storm_at_;
    if (storm) storm_at_ = now.after_ns(ns_of(options_.storm_s));
    for (const uint32_t publisher : generator.published()) {
      // An exponential distribution: ends are independent of each other, as accidents are.
      const double uniform = static_cast<double>(prng_.below(1 << 30) + 1) / (1 << 30);
      change_at_[publisher] = now.after_ns(ns_of(-std::log(uniform) * options_.life_s));
    }
    // A name may be taken until the server has noticed that its publisher is gone.
    for (const uint32_t publisher : generator.ended())
      change_at_[publisher] = now.after_ms(prng_.below(retry_ms_max));
    if (now >= step_at_ || storm) change_due(generator, now, storm);
    return std::min(over_at_, step_at_);
  }

 private:
  static constexpr uint64_t retry_ms_max = 200;

  void change_due(Generator& generator, Instant now, bool storm) {
    step_at_ = now.after_ns(step_ns);
    auto& publishers = generator.publishers();
    auto busy = static_cast<uint32_t>(std::ranges::count_if(
        publishers, [](const Publisher& publisher) { return starting(publisher.link); }));
    for (uint32_t i = 0; i < publishers.size(); ++i) {
      const LinkState state = publishers[i].link.state();
      if (state == LinkState::live && (storm || now >= change_at_[i])) {
        generator.close_publisher(i);
      } else if (state == LinkState::idle && now >= change_at_[i] && busy < options_.concurrency) {
        generator.start_publisher(i, i);
        ++busy;
      }
    }
  }

  const Options& options_;
  Prng prng_;
  std::vector<Instant> change_at_;  // of each publisher: when it starts, or ends
  Instant over_at_;
  Instant storm_at_;
  Instant players_at_;
  Instant step_at_;
};

}  // namespace

std::unique_ptr<Workload> make_workload(const Options& options, Instant now) {
  if (options.mode == Mode::connect) return std::make_unique<Connects>(options);
  if (options.mode == Mode::churn) return std::make_unique<Churn>(options, now);
  return std::make_unique<Steady>(options, now);
}

}  // namespace penstock::load

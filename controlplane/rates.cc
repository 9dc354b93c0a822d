#include "controlplane/rates.h"

#include <algorithm>
#include <cmath>

#include "penstock/base/time.h"

namespace penstock::controlplane {
namespace {

/// Per second; 0 when the counter went back, or took a step that no network makes (both are damage
/// in the region).
uint64_t bits_per_second(uint64_t from, uint64_t to, double seconds) {
  constexpr double bits_per_second_max = 1e13;
  if (to < from) return 0;
  const double rate = static_cast<double>(to - from) * 8 / seconds;
  return rate < bits_per_second_max ? static_cast<uint64_t>(std::llround(rate)) : 0;
}

}  // namespace

void Rates::sample(const Attachment& attachment, uint64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (attachment.hello().run_id != run_id_) samples_.clear();
  run_id_ = attachment.hello().run_id;
  if (!samples_.empty() && now_ns - samples_.back().at_ns < sample_every_ns) return;
  Sample sample{now_ns, {}};
  for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
    const control::WorkerArea& area = attachment.region().worker(worker);
    const auto counter = [&area](control::Counter which) {
      return area.counters[static_cast<size_t>(which)].get();
    };
    sample.workers.push_back({counter(control::Counter::bytes_received),
                              counter(control::Counter::bytes_sent), area.busy_ns.get()});
  }
  samples_.push_back(std::move(sample));
  if (samples_.size() > window_ns / sample_every_ns + 1) samples_.pop_front();
}

void Rates::forget() {
  const std::lock_guard lock(mutex_);
  samples_.clear();
}

std::vector<WorkerRates> Rates::workers() const {
  const std::lock_guard lock(mutex_);
  if (samples_.empty()) return {};
  const Sample& first = samples_.front();
  const Sample& last = samples_.back();
  std::vector<WorkerRates> rates(last.workers.size());
  if (last.at_ns <= first.at_ns) return rates;
  const double seconds =
      static_cast<double>(last.at_ns - first.at_ns) / static_cast<double>(ns_per_s);
  for (size_t i = 0; i < rates.size(); ++i) {
    const Numbers& from = first.workers[i];
    const Numbers& to = last.workers[i];
    rates[i].bits_per_second_in = bits_per_second(from.bytes_in, to.bytes_in, seconds);
    rates[i].bits_per_second_out = bits_per_second(from.bytes_out, to.bytes_out, seconds);
    const double busy_ns =
        to.busy_ns < from.busy_ns ? 0 : static_cast<double>(to.busy_ns - from.busy_ns);
    rates[i].busy_percent = std::min(
        100.0, std::round(busy_ns / (seconds * static_cast<double>(ns_per_s)) * 1000) / 10);
  }
  return rates;
}

}  // namespace penstock::controlplane

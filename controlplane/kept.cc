#include "controlplane/kept.h"

#include <thread>

#include "controlplane/text.h"

namespace penstock::controlplane {

void KeptWatch::look(const control::Region& region, uint64_t now_ns) {
  const bool lags = region.header().kept_epoch.observe() < applied_epoch(region);
  const std::lock_guard lock(mutex_);
  if (!lags) {
    lagging_since_ns_.reset();
    kept_ = true;
    return;
  }
  if (!lagging_since_ns_) lagging_since_ns_ = now_ns;
  kept_ = keeping_problem(region).empty() && now_ns < *lagging_since_ns_ + patience_ns;
}

void KeptWatch::forget() {
  const std::lock_guard lock(mutex_);
  lagging_since_ns_.reset();
  kept_ = true;
}

bool KeptWatch::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_;
}

std::string keeping_problem(const control::Region& region) {
  control::KeptRow row;
  if (!region.header().kept.read(row)) return {};
  return clean_text(row.problem.view());
}

void wait_kept(const control::Region& region, uint64_t epoch, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (region.header().kept_epoch.observe() < epoch && keeping_problem(region).empty() &&
         std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace penstock::controlplane

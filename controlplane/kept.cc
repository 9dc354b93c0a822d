#include "controlplane/kept.h"

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
  kept_ = now_ns < *lagging_since_ns_ + patience_ns;
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

}  // namespace penstock::controlplane

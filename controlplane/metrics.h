#pragma once

#include <prometheus/collectable.h>

#include <string>
#include <vector>

#include "controlplane/parts.h"

namespace penstock::controlplane {

/// The workers' counters, faults and rows as Prometheus families; nothing is counted here that is
/// not in the region.
class Metrics : public prometheus::Collectable {
 public:
  explicit Metrics(const Parts& parts) : parts_(parts) {}
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

  // 11 series per stream, about 100 bytes each: 11 MB of text at most. More streams are counted,
  // not listed.
  static constexpr size_t streams_listed_max = 10'000;

 private:
  const Parts& parts_;
};

[[nodiscard]] std::string metrics_text(const Parts& parts);

}  // namespace penstock::controlplane

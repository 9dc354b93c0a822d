#include "bench/load/histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

namespace penstock::load {
namespace {

constexpr double ns_per_ms = 1e6;
constexpr int lines_per_halving = 5;

}  // namespace

size_t Histogram::index_of(uint64_t ns) {
  ns = std::min(ns, (uint64_t{1} << value_bits) - 1);
  if (ns < 2 * steps) return ns;
  const auto shift = static_cast<uint32_t>(std::bit_width(ns)) - precision_bits - 1;
  return steps * shift + (ns >> shift);
}

/// The largest value that is counted at this place.
uint64_t Histogram::highest_at(size_t index) {
  if (index < 2 * steps) return index;
  const uint64_t shift = index / steps - 1;
  return ((index - steps * shift + 1) << shift) - 1;
}

void Histogram::clear() {
  counts_.fill(0);
  total_ = max_ = 0;
}

uint64_t Histogram::at_share_ns(double share) const {
  if (total_ == 0) return 0;
  const auto wanted =
      std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share * static_cast<double>(total_))));
  uint64_t seen = 0;
  for (size_t i = 0; i < places; ++i) {
    seen += counts_[i];
    if (seen >= wanted) return std::min(highest_at(i), max_);
  }
  return max_;
}

std::string Histogram::percentile_lines() const {
  std::string out = fmt::format("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile",
                                "TotalCount", "1/(1-Percentile)");
  double mean = 0;
  double squares = 0;
  uint64_t seen = 0;
  double share = 0;
  for (size_t i = 0; i < places; ++i) {
    if (counts_[i] == 0) continue;
    const double value = static_cast<double>(std::min(highest_at(i), max_)) / ns_per_ms;
    mean += value * static_cast<double>(counts_[i]);
    squares += value * value * static_cast<double>(counts_[i]);
    seen += counts_[i];
    const double reached = static_cast<double>(seen) / static_cast<double>(total_);
    if (reached < share) continue;
    const std::string inverse = seen == total_ ? "inf" : fmt::format("{:.2f}", 1 / (1 - reached));
    fmt::format_to(std::back_inserter(out), "{:12.3f} {:14.12f} {:10} {:>14}\n", value, reached,
                   seen, inverse);
    // A fifth of what lies between here and the next halving of the rest.
    const double halving = std::exp2(std::floor(-std::log2(std::max(1 - reached, 1e-12))));
    share = reached + 1 / (halving * 2 * lines_per_halving);
  }
  const auto count = static_cast<double>(std::max<uint64_t>(total_, 1));
  mean /= count;
  fmt::format_to(std::back_inserter(out),
                 "#[Mean    = {:12.3f}, StdDeviation   = {:12.3f}]\n"
                 "#[Max     = {:12.3f}, Total count    = {:12}]\n"
                 "#[Buckets = {:12}, SubBuckets     = {:12}]\n",
                 mean, std::sqrt(std::max(0.0, squares / count - mean * mean)),
                 static_cast<double>(max_) / ns_per_ms, total_, value_bits - precision_bits,
                 2 * steps);
  return out;
}

}  // namespace penstock::load

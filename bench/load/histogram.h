#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace penstock::load {

/// How often which value came, to three significant digits: 1024 steps within each power of two.
/// Counting costs one addition; 0 to 2^40 ns (18 min), and what is above counts as that. 250 KB, of
/// which only what really comes is touched.
class Histogram {
 public:
  void count(uint64_t ns) {
    ++counts_[index_of(ns)];
    ++total_;
    if (ns > max_) max_ = ns;
  }
  void clear();

  [[nodiscard]] uint64_t total() const { return total_; }
  [[nodiscard]] uint64_t max_ns() const { return max_; }
  /// The value that `share` (0 to 1) of all are not above; 0 when there is none.
  [[nodiscard]] uint64_t at_share_ns(double share) const;

  /// In the layout of HdrHistogram's percentile output (values in ms), which its plotter reads:
  /// value, share, count so far, 1 / (1 - share); five lines for each halving of what is left.
  [[nodiscard]] std::string percentile_lines() const;

 private:
  static constexpr uint32_t precision_bits = 10;
  static constexpr uint32_t steps = 1u << precision_bits;
  static constexpr uint32_t value_bits = 40;
  // Up to 2 * steps as it is, then `steps` for each power of two.
  static constexpr size_t places = steps * (value_bits - precision_bits + 1);

  [[nodiscard]] static size_t index_of(uint64_t ns);
  [[nodiscard]] static uint64_t highest_at(size_t index);

  std::unique_ptr<std::array<uint64_t, places>> memory_ =
      std::make_unique<std::array<uint64_t, places>>();
  std::array<uint64_t, places>& counts_ = *memory_;
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace penstock::load

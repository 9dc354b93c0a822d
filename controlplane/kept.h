#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "controlplane/region.h"

namespace penstock::controlplane {

/// Watches whether what the workers run with is on disk as well, where a data plane that dies would
/// start from. Any thread.
class KeptWatch {
 public:
  // The data plane writes within 20 ms and tries again every second: three failures are no slow
  // disk.
  static constexpr uint64_t patience_ns = 3'000'000'000;

  /// A look at the region; the loop has one several times per second.
  void look(const control::Region& region, uint64_t now_ns);
  /// The data plane is out of sight: nothing is known of the next one.
  void forget();

  /// False: it lags for longer than the patience, or the data plane says that it cannot.
  [[nodiscard]] bool kept() const;

 private:
  mutable std::mutex mutex_;
  std::optional<uint64_t> lagging_since_ns_;
  bool kept_ = true;
};

/// Why the data plane cannot keep it, from its own mouth; empty: it can, or has not tried.
[[nodiscard]] std::string keeping_problem(const control::Region& region);

/// Waits until `epoch` is on disk, or cannot be; at most `patience`.
void wait_kept(const control::Region& region, uint64_t epoch, std::chrono::milliseconds patience);

}  // namespace penstock::controlplane

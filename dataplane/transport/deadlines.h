#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "penstock/base/time.h"

namespace penstock::transport {

/// When each of some keys wants to be looked at. To the nanosecond, unlike the worker's wheel:
/// requests are held for 15 ms.
class Deadlines {
 public:
  /// `at` is where the key stands (never: nowhere), and is moved to `to`.
  void move(uint32_t key, Instant& at, Instant to) {
    if (at == to) return;
    if (at == Instant::never()) {
      entries_.emplace(to, key);
    } else {
      auto entry = entries_.extract({at, key});
      if (to != Instant::never()) {
        entry.value().first = to;
        entries_.insert(std::move(entry));
      }
    }
    at = to;
  }
  /// The key that has been due longest. It stays due until it is moved.
  [[nodiscard]] std::optional<uint32_t> due(Instant now) const {
    if (entries_.empty() || entries_.begin()->first > now) return std::nullopt;
    return entries_.begin()->second;
  }
  [[nodiscard]] Instant next() const {
    return entries_.empty() ? Instant::never() : entries_.begin()->first;
  }

 private:
  std::set<std::pair<Instant, uint32_t>> entries_;
};

}  // namespace penstock::transport

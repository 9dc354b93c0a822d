#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/log_record.h"
#include "penstock/base/time.h"

namespace penstock::dataplane {

/// How many lines a second may say the same: the same event for the same reason. By the event alone
/// a storm of resets would swallow the one peer that was dropped for something else, and its number
/// would stand behind a reason that is not theirs. Owner: a worker.
class LogRation {
 public:
  /// How many of its kind were left out since the last line of it; nothing: this one is, too.
  [[nodiscard]] std::optional<uint32_t> take(LogEvent event, std::string_view reason, Instant now) {
    Row& row = find(key_of(event, reason), now);
    if (now.since(row.second_since) >= ns_per_s) {
      row.second_since = now;
      row.count = 0;
    }
    if (++row.count > log_records_per_second_max) {
      ++row.left_out;
      return std::nullopt;
    }
    const uint32_t left_out = row.left_out;
    row.left_out = 0;
    return left_out;
  }

 private:
  struct Row {
    uint64_t key = 0;
    Instant second_since;
    uint32_t count = 0;
    uint32_t left_out = 0;
  };

  static uint64_t key_of(LogEvent event, std::string_view reason) {
    // Never 0, which is a free row.
    return control::fnv1a(reason) << 8 | (static_cast<uint64_t>(event) + 1);
  }

  Row& find(uint64_t key, Instant now) {
    Row* free = nullptr;
    for (Row& row : rows_) {
      if (row.key == key) return row;
      const bool quiet =
          row.key == 0 || (row.left_out == 0 && now.since(row.second_since) >= ns_per_s);
      if (quiet && free == nullptr) free = &row;
    }
    // More kinds within a second than there are rows share the last one.
    if (free == nullptr) return rows_.back();
    *free = Row{.key = key, .second_since = now};
    return *free;
  }

  // Some 60 faults end a connection, and a few events have reasons of their own. Searched for lines
  // that are warnings only, which are 50 a second of a kind.
  std::array<Row, 96> rows_{};
};

}  // namespace penstock::dataplane

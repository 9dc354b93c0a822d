#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "controlplane/rows.h"

namespace penstock::controlplane {

/// The last streams that ended, newest first, over restarts of the control plane: one JSON object
/// per line in a file, which is written anew from memory when it has grown to twice of what is
/// kept. Any thread.
class History {
 public:
  // About 800 bytes per line: 1.6 MB of file at most, and the same in memory.
  static constexpr size_t streams_kept = 1'000;

  /// Reads what is there. A line that makes no sense (cut by a crash) is left out. An empty path
  /// keeps nothing on disk.
  explicit History(std::string path, size_t kept = streams_kept);

  /// Oldest first. One that is known already (same run, same stream) or has no name is left out.
  /// False: the file could not be written; memory has them nevertheless.
  bool add(const std::vector<EndedStream>& ended);

  [[nodiscard]] std::vector<EndedStream> newest(size_t offset, size_t limit) const;
  [[nodiscard]] size_t size() const;
  /// False: the file lacks what memory has. It is tried again with every add(), once a second.
  [[nodiscard]] bool written() const;

 private:
  void load();
  void remember(EndedStream ended);
  [[nodiscard]] bool known(const EndedStream& ended) const;
  [[nodiscard]] bool append(const std::string& lines);
  [[nodiscard]] bool rewrite();

  const std::string path_;
  const size_t kept_;
  mutable std::mutex mutex_;
  std::deque<EndedStream> newest_;  // newest at the front
  size_t lines_in_file_ = 0;
  bool written_ = true;
  std::chrono::steady_clock::time_point tried_at_;
};

}  // namespace penstock::controlplane

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/log_record.h"
#include "penstock/config/config.h"

namespace penstock::dataplane {

/// "2026-11-23T04:05:06.789Z info publish started stream=live/cam1 peer=192.0.2.7:4000 ...", or the
/// same as a JSON object. Text that a peer chose is escaped: a line stays a line.
[[nodiscard]] std::string log_line(const LogRecord& record, config::LogFormat format);

/// Takes records out of the workers' rings and writes lines to standard error. Owner: main's
/// thread.
class LogWriter {
 public:
  LogWriter(std::vector<LogRing*> rings, config::LogFormat format);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  /// At most a ring's worth per worker, and nothing while standard error takes nothing: who keeps
  /// house has more to do. What does not fit into the rings meanwhile is dropped and counted.
  /// Whether there was anything, or is.
  bool drain();
  /// A line of main's own.
  void write(control::LogLevel level, std::string_view text);

 private:
  struct Sink;
  std::unique_ptr<Sink> sink_;
  std::vector<LogRing*> rings_;
  config::LogFormat format_;
};

}  // namespace penstock::dataplane

#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "penstock/config/config.h"
#include "penstock/control/layout.h"

namespace spdlog {
class logger;
}

namespace penstock::controlplane {

[[nodiscard]] std::string_view log_level_name(control::LogLevel level);
[[nodiscard]] std::optional<control::LogLevel> find_log_level(std::string_view name);

struct LogField {
  LogField(std::string_view name, std::string_view text) : key(name), value(text) {}
  LogField(std::string_view name, uint64_t number)
      : key(name), value(std::to_string(number)), number_(true) {}

  std::string_view key;
  std::string value;
  bool number_ = false;
};

/// One line per event on stderr, as text or as JSON. Any thread. Names of streams are public, and
/// `stream` is the same here as in penstockd's lines; tokens and query strings are never in a
/// field.
class Log {
 public:
  Log(config::LogFormat format, control::LogLevel level);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  void set_level(control::LogLevel level);
  void set_format(config::LogFormat format);
  [[nodiscard]] control::LogLevel level() const;

  void write(control::LogLevel level, std::string_view event,
             std::initializer_list<LogField> fields = {});

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<spdlog::logger> logger_;
  config::LogFormat format_;
  control::LogLevel level_;
};

/// What follows time and level in a line: exposed for tests.
[[nodiscard]] std::string log_line(config::LogFormat format, std::string_view event,
                                   std::initializer_list<LogField> fields);

}  // namespace penstock::controlplane

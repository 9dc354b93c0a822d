#include "controlplane/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <nlohmann/json.hpp>

#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

constexpr std::array<std::string_view, 5> level_names = {"trace", "debug", "info", "warning",
                                                         "error"};
constexpr std::array<spdlog::level::level_enum, 5> spdlog_levels = {
    spdlog::level::trace, spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
    spdlog::level::err};

constexpr const char* text_pattern = "%Y-%m-%dT%H:%M:%S.%eZ %-7l control %v";
constexpr const char* json_pattern =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","process":"control",%v})";

size_t index_of(control::LogLevel level) {
  const auto index = static_cast<size_t>(level);
  return index < level_names.size() ? index : static_cast<size_t>(control::LogLevel::info);
}

void set_pattern(spdlog::logger& logger, config::LogFormat format) {
  const char* pattern = format == config::LogFormat::json ? json_pattern : text_pattern;
  logger.set_formatter(
      std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc));
}

std::string json_text(std::string_view text) { return nlohmann::json(clean_text(text)).dump(); }

std::string text_value(std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" \"\\=") == std::string_view::npos &&
                     clean_text(text) == text;
  return plain ? std::string(text) : json_text(text);
}

}  // namespace

std::string_view log_level_name(control::LogLevel level) { return level_names[index_of(level)]; }

std::optional<control::LogLevel> find_log_level(std::string_view name) {
  for (size_t i = 0; i < level_names.size(); ++i) {
    if (level_names[i] == name) return static_cast<control::LogLevel>(i);
  }
  return std::nullopt;
}

std::string log_line(config::LogFormat format, std::string_view event,
                     std::initializer_list<LogField> fields) {
  if (format == config::LogFormat::json) {
    std::string line = "\"event\":" + json_text(event);
    for (const LogField& field : fields) {
      line +=
          "," + json_text(field.key) + ":" + (field.number_ ? field.value : json_text(field.value));
    }
    return line;
  }
  std::string line = clean_text(event);
  for (const LogField& field : fields)
    line += " " + std::string(field.key) + "=" + text_value(field.value);
  return line;
}

Log::Log(config::LogFormat format, control::LogLevel level)
    : logger_(std::make_shared<spdlog::logger>("control",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>())),
      format_(format),
      level_(level) {
  set_pattern(*logger_, format_);
  logger_->set_level(spdlog_levels[index_of(level)]);
}

Log::~Log() = default;

void Log::set_level(control::LogLevel level) {
  const std::lock_guard lock(mutex_);
  level_ = level;
  logger_->set_level(spdlog_levels[index_of(level)]);
}

void Log::set_format(config::LogFormat format) {
  const std::lock_guard lock(mutex_);
  if (format == format_) return;
  format_ = format;
  set_pattern(*logger_, format);
}

control::LogLevel Log::level() const {
  const std::lock_guard lock(mutex_);
  return level_;
}

void Log::write(control::LogLevel level, std::string_view event,
                std::initializer_list<LogField> fields) {
  const std::lock_guard lock(mutex_);
  if (level < level_) return;
  logger_->log(spdlog_levels[index_of(level)], "{}", log_line(format_, event, fields));
}

}  // namespace penstock::controlplane

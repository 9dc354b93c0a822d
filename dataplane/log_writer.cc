#include "dataplane/log_writer.h"

#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

namespace penstock::dataplane {
namespace {

std::string time_text(uint64_t unix_ms) {
  const auto seconds = static_cast<time_t>(unix_ms / 1000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + length, sizeof(text) - length, ".%03uZ",
                static_cast<unsigned>(unix_ms % 1000));
  return text;
}

/// What a peer sent, fit for one line: control characters become "?", those of ISO 6429 that a
/// terminal takes out of UTF-8 (C2 80 to C2 9F) too. Names stay as they are in `penstockctl`.
std::string printable(std::string_view text) {
  std::string result(text);
  for (size_t i = 0; i < result.size(); ++i) {
    const auto byte = static_cast<uint8_t>(result[i]);
    const bool c1 =
        byte >= 0x80 && byte <= 0x9F && i > 0 && static_cast<uint8_t>(text[i - 1]) == 0xC2;
    if (byte < 0x20 || byte == 0x7F || c1) result[i] = '?';
  }
  return result;
}

uint64_t now_unix_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

/// A pipe whose reader has stopped would hold us in write() for ever.
bool takes_bytes() {
  pollfd wait{STDERR_FILENO, POLLOUT, 0};
  return poll(&wait, 1, 0) == 1 && (wait.revents & POLLOUT) != 0;
}

std::string json_line(const nlohmann::ordered_json& line) {
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string log_line(const LogRecord& record, config::LogFormat format) {
  const LogEventInfo info = log_event_info(record.event);
  const std::string name = printable(record.name.view());
  const std::string peer = printable(record.peer.view());
  const std::string detail = printable(record.detail.view());
  if (format == config::LogFormat::json) {
    nlohmann::ordered_json line;
    line["time"] = time_text(record.unix_ms);
    line["level"] = config::log_level_name(record.level);
    line["event"] = info.name;
    if (!name.empty()) line["stream"] = name;
    if (!peer.empty()) line["peer"] = peer;
    if (record.connection_id != 0) line["connection"] = record.connection_id;
    line["worker"] = record.worker;
    if (record.number != 0) line[std::string(info.number)] = record.number;
    if (record.suppressed != 0) line["suppressed"] = record.suppressed;
    if (!detail.empty()) line["detail"] = detail;
    return json_line(line);
  }
  std::string line = time_text(record.unix_ms);
  line.append(" ").append(config::log_level_name(record.level)).append(" ").append(info.text);
  if (!detail.empty()) line.append(": ").append(detail);
  if (!name.empty()) line.append(" stream=").append(name);
  if (!peer.empty()) line.append(" peer=").append(peer);
  if (record.connection_id != 0)
    line.append(" connection=").append(std::to_string(record.connection_id));
  line.append(" worker=").append(std::to_string(record.worker));
  if (record.number != 0) {
    line.append(" ").append(info.number).append("=").append(std::to_string(record.number));
  }
  if (record.suppressed != 0) {
    line.append(" (and ").append(std::to_string(record.suppressed)).append(" more like this)");
  }
  return line;
}

struct LogWriter::Sink {
  spdlog::logger logger{"penstockd", std::make_shared<spdlog::sinks::stderr_sink_st>()};
};

LogWriter::LogWriter(std::vector<LogRing*> rings, config::LogFormat format)
    : sink_(std::make_unique<Sink>()), rings_(std::move(rings)), format_(format) {
  sink_->logger.set_level(spdlog::level::trace);  // levels are decided where records are made
  sink_->logger.set_pattern("%v");
}

LogWriter::~LogWriter() { drain(); }

bool LogWriter::drain() {
  bool any = false;
  LogRecord records[4];  // a pipe that says it has room has it for 4 KiB: four lines
  for (LogRing* ring : rings_) {
    for (uint32_t taken = 0; taken < LogRing::capacity() && takes_bytes();) {
      const uint32_t count = ring->pop(records);
      if (count == 0) break;
      any = true;
      for (uint32_t i = 0; i < count; ++i) {
        sink_->logger.log(spdlog::level::info, log_line(records[i], format_));
      }
      taken += count;
    }
    any = any || !ring->empty();
  }
  if (any) sink_->logger.flush();
  return any;
}

void LogWriter::write(control::LogLevel level, std::string_view text) {
  if (!takes_bytes()) return;
  const std::string time = time_text(now_unix_ms());
  if (format_ == config::LogFormat::json) {
    nlohmann::ordered_json line;
    line["time"] = time;
    line["level"] = config::log_level_name(level);
    line["event"] = "process";
    line["detail"] = printable(text);
    sink_->logger.log(spdlog::level::info, json_line(line));
  } else {
    sink_->logger.log(spdlog::level::info, time + " " + std::string(config::log_level_name(level)) +
                                               " " + printable(text));
  }
  sink_->logger.flush();
}

}  // namespace penstock::dataplane

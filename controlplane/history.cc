#include "controlplane/history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

using nlohmann::json;

// A name of 255 bytes, three texts of 64, a reason of 128, 25 numbers of 20 digits, and the field
// names: below 2 KB. A line of 64 KiB is not one of ours.
constexpr size_t line_bytes_max = 64 * 1024;

// Visits every field once: what is written and what is read cannot come apart.
template <typename Visit>
void each_number(Stream& stream, Visit visit) {
  visit("stream_id", stream.stream_id);
  visit("worker", stream.worker);
  visit("connection_id", stream.connection_id);
  visit("since_unix_ms", stream.since_unix_ms);
  visit("width", stream.width);
  visit("height", stream.height);
  visit("sample_rate", stream.sample_rate);
  visit("channels", stream.channels);
  visit("video_bits_per_second", stream.video_bits_per_second);
  visit("audio_bits_per_second", stream.audio_bits_per_second);
  visit("fps_milli", stream.fps_milli);
  visit("keyframe_interval_ms", stream.keyframe_interval_ms);
  visit("av_drift_ms", stream.av_drift_ms);
  visit("timestamp_jumps", stream.timestamp_jumps);
  visit("last_timestamp_ms", stream.last_timestamp_ms);
  visit("subscribers", stream.subscribers);
  visit("bytes_received", stream.bytes_received);
  visit("bytes_sent", stream.bytes_sent);
  visit("frames_received", stream.frames_received);
  visit("frames_skipped", stream.frames_skipped);
  visit("frames_dropped", stream.frames_dropped);
  visit("gop_bytes", stream.gop_bytes);
}

template <typename Visit>
void each_text(EndedStream& ended, Visit visit) {
  visit("name", ended.stream.name);
  visit("publisher", ended.stream.publisher);
  visit("encoder", ended.stream.encoder);
  visit("video_codec", ended.stream.video_codec);
  visit("audio_codec", ended.stream.audio_codec);
  visit("reason", ended.reason);
}

std::string line_of(EndedStream ended) {
  json line = json::object();
  each_text(ended, [&line](const char* key, const std::string& text) { line[key] = text; });
  each_number(ended.stream, [&line](const char* key, auto number) { line[key] = number; });
  line["run_id"] = ended.run_id;
  line["ended_unix_ms"] = ended.ended_unix_ms;
  return line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

template <typename Number>
void read_number(const json& line, const char* key, Number& number) {
  const auto found = line.find(key);
  if (found != line.end() && found->is_number_integer()) number = found->get<Number>();
}

/// What a line must have to be taken back; a row without it would be there until the next start.
bool readable(const EndedStream& ended) {
  return !ended.stream.name.empty() && ended.ended_unix_ms != 0;
}

std::optional<EndedStream> ended_of(const std::string& text) {
  const json line = json::parse(text, nullptr, false);
  if (!line.is_object()) return std::nullopt;
  EndedStream ended;
  each_text(ended, [&line](const char* key, std::string& value) {
    const auto found = line.find(key);
    if (found != line.end() && found->is_string()) value = clean_text(found->get<std::string>());
  });
  each_number(ended.stream,
              [&line](const char* key, auto& number) { read_number(line, key, number); });
  read_number(line, "run_id", ended.run_id);
  read_number(line, "ended_unix_ms", ended.ended_unix_ms);
  if (!readable(ended)) return std::nullopt;
  return ended;
}

bool write_whole(const std::string& path, const std::string& text, int flags) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  if (file < 0) return false;
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(file, text.data() + written, text.size() - written);
    if (count <= 0) break;
    written += static_cast<size_t>(count);
  }
  const bool closed = ::close(file) == 0;
  return written == text.size() && closed;
}

}  // namespace

History::History(std::string path, size_t kept) : path_(std::move(path)), kept_(kept) { load(); }

void History::load() {
  if (path_.empty()) return;
  std::ifstream file(path_, std::ios::binary);
  std::string line;
  bool whole = true;
  while (std::getline(file, line)) {
    ++lines_in_file_;
    whole = !file.eof();  // the last line ends without a newline when a crash cut it
    if (line.size() > line_bytes_max) continue;
    if (auto ended = ended_of(line)) remember(std::move(*ended));
  }
  // A cut last line would swallow the next one.
  if (!whole) (void)rewrite();
}

void History::remember(EndedStream ended) {
  newest_.push_front(std::move(ended));
  if (newest_.size() > kept_) newest_.pop_back();
}

bool History::known(const EndedStream& ended) const {
  return std::ranges::any_of(newest_, [&ended](const EndedStream& other) {
    return other.stream.stream_id == ended.stream.stream_id && other.run_id == ended.run_id;
  });
}

bool History::add(const std::vector<EndedStream>& ended) {
  const std::lock_guard lock(mutex_);
  std::string lines;
  for (const EndedStream& one : ended) {
    if (!readable(one) || known(one)) continue;
    lines += line_of(one);
    ++lines_in_file_;
    remember(one);
  }
  if (path_.empty()) return true;
  const auto now = std::chrono::steady_clock::now();
  if (written_ && lines.empty()) return true;
  if (!written_ && now - tried_at_ < std::chrono::seconds(1)) return false;
  tried_at_ = now;
  // What could not be appended may be there in part: then the file is written anew.
  written_ = !written_ || lines_in_file_ > 2 * kept_ ? rewrite() : append(lines);
  return written_;
}

bool History::written() const {
  const std::lock_guard lock(mutex_);
  return written_;
}

bool History::append(const std::string& lines) { return write_whole(path_, lines, O_APPEND); }

/// Whole or not at all: a crash in between leaves the old file.
bool History::rewrite() {
  std::string lines;
  for (auto oldest = newest_.rbegin(); oldest != newest_.rend(); ++oldest)
    lines += line_of(*oldest);
  const std::string next = path_ + ".next";
  if (!write_whole(next, lines, O_TRUNC)) return false;
  if (std::rename(next.c_str(), path_.c_str()) != 0) return false;
  lines_in_file_ = newest_.size();
  return true;
}

std::vector<EndedStream> History::newest(size_t offset, size_t limit) const {
  const std::lock_guard lock(mutex_);
  const size_t from = std::min(offset, newest_.size());
  const size_t to = from + std::min(limit, newest_.size() - from);
  return {newest_.begin() + static_cast<std::ptrdiff_t>(from),
          newest_.begin() + static_cast<std::ptrdiff_t>(to)};
}

size_t History::size() const {
  const std::lock_guard lock(mutex_);
  return newest_.size();
}

}  // namespace penstock::controlplane

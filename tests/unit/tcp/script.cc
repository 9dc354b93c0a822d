#include "tests/unit/tcp/script.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace penstock::engine::tcp {
namespace {

constexpr uint32_t own_first = 0xfffff000;  // wraps after a few segments
constexpr uint32_t peer_first = 0x7ffff000;
// TSvals of ours are milliseconds since the script's start.
constexpr uint32_t timestamp_offset = static_cast<uint32_t>(-1000 * 1000);

struct FlagLetter {
  char letter;
  uint8_t bit;
};
constexpr FlagLetter flag_letters[] = {{'S', flag::syn}, {'F', flag::fin}, {'R', flag::rst},
                                       {'P', flag::psh}, {'.', flag::ack}, {'E', flag::ece},
                                       {'W', flag::cwr}};

uint32_t number(std::string_view text) {
  return static_cast<uint32_t>(std::strtol(std::string(text).c_str(), nullptr, 10));
}

SequenceRange range(const std::string& text, char between) {
  const size_t at = text.find(between);
  return {number(text.substr(0, at)), number(text.substr(at + 1))};
}

constexpr std::string_view reasons[] = {"ours", "reset", "timeout", "refused", "unreachable"};

}  // namespace

ScriptOptions::ScriptOptions() {
  stack.connections_max = 1;
  stack.sent_segments_max = 1024;
  stack.held_packets_max = 64;
  stack.receive_blocks = 16;
  negotiated = {.segment_bytes_max = 1000,
                .window_scaling = false,
                .sack = true,
                .timestamps = false,
                .ecn = false};
}

Script::Script(const ScriptOptions& options)
    : options_(options), parts_(options_.stack, counters_), bytes_(1 << 20, 'x') {
  own_ = own_first + 1;
  peer_ = peer_first + 1;
  if (options_.passive) {
    connection_.open_passive(parts_,
                             {.own_first = own_first,
                              .peer_first = peer_first,
                              .peer_window = 60000,
                              .negotiated = options_.negotiated,
                              .timestamp_offset = timestamp_offset,
                              .rtt_ns = 100 * ns_per_ms},
                             now_);
    StackEvent event;
    std::ignore = connection_.next_event(event, now_);
  } else {
    connection_.open_active(
        parts_,
        {.own_first = own_first, .segment_bytes_max = 1000, .timestamp_offset = timestamp_offset},
        now_);
    gather();
  }
  if (!options_.passive || options_.quick_acks) return;
  // Bytes until ACKs are not at once any more; numbers then count from there.
  for (int i = 0; i < 16; ++i) {
    arrive({"<", ".", "0:1", "ack", "0", "win", "60000", "ts", "0:0"});
    StackEvent event;
    while (connection_.next_event(event, now_)) {
    }
    ++peer_;
  }
  out_.clear();
}

std::string Script::run(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.empty() || words[0][0] == '#') continue;
    if (std::string wrong = step(words); !wrong.empty()) return line + ": " + wrong;
  }
  return {};
}

std::string Script::step(const std::vector<std::string>& words) {
  std::vector<std::string> rest = words;
  if (rest[0][0] == '+') {
    pass(number(rest[0].substr(1)));
    rest.erase(rest.begin());
    if (rest.empty()) return {};
  }
  if (rest[0] == "<") {
    arrive(rest);
    return {};
  }
  if (rest[0] == ">") return expect(rest);
  if (rest[0] == "event") return expect_event(rest);
  return call(rest);
}

void Script::pass(uint64_t ms) {
  const Instant until = now_.after_ms(ms);
  while (connection_.deadline() <= until) {
    now_ = std::max(now_, connection_.deadline());
    connection_.expire(now_);
    gather();
  }
  now_ = until;
}

void Script::gather() {
  Sent sent;
  while (connection_.wants_output() && connection_.transmit(sent.segment, now_)) {
    ++parts_.packets_out;
    if (!hold_transmitted_) parts_.packets_transmitted = parts_.packets_out;
    sent.bytes = 0;
    for (size_t i = 0; i < sent.segment.slice_count; ++i) {
      sent.bytes += static_cast<uint32_t>(sent.segment.slices[i].size());
    }
    out_.push_back(sent);
  }
}

void Script::arrive(const std::vector<std::string>& words) {
  SegmentIn segment;
  for (const FlagLetter& known : flag_letters) {
    if (words[1].find(known.letter) != std::string::npos) segment.flags |= known.bit;
  }
  const SequenceRange numbers = range(words[2], ':');
  segment.sequence = peer_ + numbers.begin;
  payloads_.push_back(
      std::make_unique<std::vector<uint8_t>>(numbers.end - numbers.begin, uint8_t{'y'}));
  segment.payload = *payloads_.back();
  segment.window = 60000;
  for (size_t i = 3; i < words.size(); ++i) {
    if (words[i] == "ce") {
      segment.ecn = Ecn::experienced;
      continue;
    }
    const std::string& value = words[i + 1];
    if (words[i] == "ack") {
      segment.acknowledgment = own_ + number(value);
    } else if (words[i] == "win") {
      segment.window = static_cast<uint16_t>(number(value));
    } else if (words[i] == "mss") {
      segment.options.segment_bytes_max = static_cast<uint16_t>(number(value));
    } else if (words[i] == "ts") {
      const SequenceRange times = range(value, ':');
      segment.options.has_timestamps = true;
      segment.options.timestamp = times.begin;
      segment.options.timestamp_echo = times.end;
    } else if (words[i] == "sack") {
      if (segment.has(flag::syn)) segment.options.sack_permitted = true;
      std::istringstream list(value);
      for (std::string one; std::getline(list, one, ',');) {
        SequenceRange sack = range(one, '-');
        sack.begin += own_;
        sack.end += own_;
        segment.options.sacks[segment.options.sack_count++] = sack;
      }
    }
    ++i;
  }
  parts_.memory.recycle();
  std::ignore = connection_.receive(segment, now_);
  gather();
}

std::string Script::text_of(const Sent& sent, std::string_view like) const {
  const SegmentOut& segment = sent.segment;
  std::string text;
  for (const FlagLetter& known : flag_letters) {
    if ((segment.flags & known.bit) != 0) text += known.letter;
  }
  const uint32_t begin = segment.sequence - own_;
  const auto shown = [](uint32_t value) { return std::to_string(static_cast<int32_t>(value)); };
  text += " " + shown(begin) + ":" + shown(begin + sent.bytes);
  if ((segment.flags & flag::ack) != 0) text += " ack " + shown(segment.acknowledgment - peer_);
  if (like.find(" win ") != std::string_view::npos) {
    text += " win " + std::to_string(segment.window);
  }
  if (like.find(" ts ") != std::string_view::npos) {
    text += " ts " + std::to_string(segment.options.timestamp) + ":" +
            std::to_string(segment.options.timestamp_echo);
  }
  if (like.find(" ect") != std::string_view::npos && segment.ecn != Ecn::not_capable) {
    text += " ect";
  }
  for (size_t i = 0; i < segment.options.sack_count; ++i) {
    const SequenceRange sack = segment.options.sacks[i];
    text += (i == 0 ? " sack " : ",") + shown(sack.begin - peer_) + "-" + shown(sack.end - peer_);
  }
  return text;
}

std::string Script::expect(const std::vector<std::string>& words) {
  std::string wanted;
  for (size_t i = 1; i < words.size(); ++i) wanted += (i == 1 ? "" : " ") + words[i];
  if (wanted == "none") return out_.empty() ? "" : "went out: " + text_of(out_.front(), "");
  if (out_.empty()) return "nothing went out";
  const std::string got = text_of(out_.front(), wanted);
  out_.pop_front();
  return got == wanted ? "" : "went out: " + got;
}

std::string Script::expect_event(const std::vector<std::string>& words) {
  std::string wanted;
  for (size_t i = 1; i < words.size(); ++i) wanted += (i == 1 ? "" : " ") + words[i];
  StackEvent event;
  std::string got = "none";
  if (connection_.next_event(event, now_)) {
    constexpr std::string_view kinds[] = {"accepted", "connected", "received",
                                          "ended",    "sent",      "closed"};
    got = kinds[static_cast<size_t>(event.kind)];
    if (event.kind == StackEventKind::received) got += " " + std::to_string(event.bytes.size());
    if (event.kind == StackEventKind::sent) got += " " + std::to_string(event.sent_bytes);
    if (event.kind == StackEventKind::closed) {
      got += " " + std::string(reasons[static_cast<size_t>(event.reason)]);
    }
  }
  gather();
  return got == wanted ? "" : "event: " + got;
}

std::string Script::call(const std::vector<std::string>& words) {
  const std::string& what = words[0];
  if (what == "send") {
    const Bytes slices[] = {Bytes(bytes_).first(number(words[1]))};
    connection_.send(slices, now_);
  } else if (what == "finish") {
    connection_.finish(now_);
  } else if (what == "close") {
    connection_.close(now_);
  } else if (what == "reading") {
    connection_.set_reading(words[1] == "on", now_);
  } else if (what == "low") {
    connection_.set_low_water(number(words[1]));
  } else if (what == "mss") {
    connection_.lower_segment_bytes(static_cast<uint16_t>(number(words[1])), now_);
  } else if (what == "hold") {
    hold_transmitted_ = true;
  } else if (what == "transmitted") {
    parts_.packets_transmitted = parts_.packets_out;
  } else {
    return "no such step";
  }
  gather();
  return {};
}

}  // namespace penstock::engine::tcp

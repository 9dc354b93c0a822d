#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/engine/tcp/connection.h"

namespace penstock::engine::tcp {

struct ScriptOptions {
  StackOptions stack;
  Negotiated negotiated;
  bool passive = true;
  bool quick_acks = false;  // keeps the ACKs at once of a connection's beginning

  ScriptOptions();
};

/// One connection against lines of text. Numbers count from the first byte of each direction; times
/// are milliseconds. One step per line:
///
///     +10 < . 0:1448 ack 0 win 1000 ts 5:3 sack 10-20,30-40 ce    a segment comes
///     +0 > . 0:0 ack 1448 sack 2896-4344                          this went out next
///     +40 > none                                                 nothing went out by then
///     send 1000 | finish | close | reading off | reading on | low 100 | mss 600 | transmitted
///     event received 1448 | event ended | event sent 100 | event closed reset | event none
///
/// Flags: S F R P, '.' for ACK, E for ECE and W for CWR. Of what goes out, win, ts and ecn are only
/// compared when the line names them.
class Script {
 public:
  explicit Script(const ScriptOptions& options = {});

  /// Empty, or the first step that went otherwise.
  std::string run(std::string_view text);
  Connection& connection() { return connection_; }
  StackCounters& counters() { return counters_; }

 private:
  struct Sent {
    SegmentOut segment;
    uint32_t bytes = 0;
  };
  std::string step(const std::vector<std::string>& words);
  void pass(uint64_t ms);
  void gather();
  void arrive(const std::vector<std::string>& words);
  std::string expect(const std::vector<std::string>& words);
  std::string expect_event(const std::vector<std::string>& words);
  std::string call(const std::vector<std::string>& words);
  [[nodiscard]] std::string text_of(const Sent& sent, std::string_view like) const;

  ScriptOptions options_;
  StackCounters counters_;
  ConnectionParts parts_;
  Connection connection_;
  Instant now_{1000 * ns_per_s};
  uint32_t own_ = 0;   // the number of our first byte
  uint32_t peer_ = 0;  // and of the peer's
  std::deque<Sent> out_;
  std::vector<std::unique_ptr<std::vector<uint8_t>>> payloads_;
  std::vector<uint8_t> bytes_;
  bool hold_transmitted_ = false;
};

}  // namespace penstock::engine::tcp

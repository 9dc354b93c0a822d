#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <string>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/time.h"

namespace penstock::tunnel {

struct RtmptInitiatorSettings {
  std::string host = "localhost";  // as the Host field says it
  bool ident = false;              // ask /fcs/ident2 first, as Flash does
  size_t post_bytes_max = 64 * 1024;
};

/// One RTMPT peer, the asking side: a stream of bytes each way over requests that are answered one
/// at a time. No socket, no clock, no callback. Its first request is in outbox() from the start.
/// Owner: one loop.
class RtmptInitiator {
 public:
  RtmptInitiator(RtmptInitiatorSettings settings, Instant now);

  /// RTMP for the other side: goes out with the next request. Copied.
  void send(Bytes bytes, Instant now);
  /// HTTP for the carrier, in order; the caller takes what it has written off the front.
  [[nodiscard]] std::vector<uint8_t>& outbox() { return outbox_; }
  /// HTTP of the carrier; appends what it holds of RTMP to `received`. A fault ends it: the other
  /// side has no such session (any more), or does not speak RTMPT.
  std::expected<void, Fault> feed(Bytes input, std::vector<uint8_t>& received, Instant now);
  /// The request under way is asked again, on the new carrier that outbox() is for from now on.
  void carrier_lost();
  /// After what was given to send(), the session is closed.
  void finish(Instant now);

  void expire(Instant now);
  [[nodiscard]] Instant deadline() const;
  [[nodiscard]] bool open() const { return !session_.empty(); }
  /// The session is closed, and the other side has said so.
  [[nodiscard]] bool closed() const { return stage_ == Stage::closed; }
  /// Bytes given to send() that no answered request has carried yet.
  [[nodiscard]] size_t unsent_bytes() const { return unsent_.size() + posted_bytes_; }

 private:
  enum class Stage : uint8_t { ident, opening, open, closing, closed };

  void ask(std::string_view what, Bytes body);
  void ask_next(Instant now);
  std::expected<void, Fault> take_answer(uint16_t status, Bytes body,
                                         std::vector<uint8_t>& received, Instant now);

  RtmptInitiatorSettings settings_;
  Stage stage_ = Stage::opening;
  bool waiting_ = false;  // a request is under way
  bool finishing_ = false;
  std::string session_;
  uint32_t sequence_ = 0;
  Instant poll_at_ = Instant::never();
  size_t posted_bytes_ = 0;  // of the request under way
  std::vector<uint8_t> unsent_;
  std::vector<uint8_t> request_;  // under way, as it was written
  std::vector<uint8_t> outbox_;
  std::vector<uint8_t> answer_;  // as much as is here of it
};

}  // namespace penstock::tunnel

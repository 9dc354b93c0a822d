#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/rtmp/outbox.h"

namespace penstock::rtmp {

struct InitiatorSettings {
  bool publish = true;  // or play
  std::string app;
  std::string name;
  std::string tc_url;
  std::string flash_ver;  // left out when empty, as librtmp's publisher does
  bool digest = false;    // signed handshake
  uint32_t chunk_bytes =
      4096;  // for our sending, announced before connect as OBS does; 128: nothing is announced
  uint32_t message_bytes_max = 8 * 1024 * 1024;
  bool enhanced = false;  // declare Enhanced RTMP capabilities
  bool reconnects = false;  // with enhanced: who owns this goes elsewhere when asked to
};

// ---- What an initiator reports. Views are valid until the next call of next() or feed(). ----

/// Everything that was fed has been used.
struct InputUsed {};
/// publish or play is accepted.
struct Started {};
/// Any other status, or an _error; for an _error of connect the connection is of no more use.
struct StatusReceived {
  std::string_view level;
  std::string_view code;
  std::string_view description;
};
/// User control Stream EOF: the publisher of what we play has gone.
struct StreamEnded {};
/// A whole audio, video or data message, as a player gets it.
struct MessageReceived {
  uint8_t type = 0;
  uint32_t timestamp = 0;
  Bytes body;
};
using InitiatorEvent =
    std::variant<InputUsed, Started, StatusReceived, StreamEnded, MessageReceived>;

/// One RTMP peer as a state machine, the connecting side: publishes or plays one stream. No socket,
/// no clock, no callback. Its first bytes are in outbox() from the start. Owner: one loop; never
/// shared.
class Initiator {
 public:
  /// `random_seed` fills the handshake.
  Initiator(InitiatorSettings settings, uint64_t random_seed);
  ~Initiator();
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  /// A layer below does the handshake (RTMPE): what is sent and fed are chunks. Before the first
  /// feed() only, and while nothing was taken from outbox() yet.
  void skip_handshake();

  /// `input` must stay valid until next() has returned InputUsed. Only after InputUsed (or before
  /// the first event).
  void feed(Bytes input);
  std::expected<InitiatorEvent, Fault> next();

  /// After Started, when publishing: one audio, video or data message. Data is to begin with its
  /// name; "@setDataFrame" is put before onMetaData by the caller who wants it.
  void send(uint8_t message_type, uint32_t timestamp, Bytes body);
  /// FCUnpublish (when publishing) and deleteStream.
  void finish();

  [[nodiscard]] bool started() const;
  /// Of the stream, once started: for callers that write wire forms of their own.
  [[nodiscard]] uint32_t message_stream_id() const;
  [[nodiscard]] Outbox& outbox();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::rtmp

#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/load/continuity.h"
#include "dataplane/engine/engine.h"
#include "penstock/rtmp/chunk_reader.h"
#include "penstock/rtmp/initiator.h"

namespace penstock::load {

enum class LinkState : uint8_t {
  idle,        // not connected
  connecting,  // until the host says yes or no
  starting,    // handshake, connect, createStream, publish or play
  live,
  closing,  // until the engine reports `closed`
};

struct StreamName {
  std::string app;
  std::string tc_url;
  std::string name;  // with its query
};

/// One connection to the server under test, publisher or player alike: brought up by an Initiator,
/// which is dropped when the stream has started; from there on it answers what must be answered
/// (pings, acknowledgements) and hands out what comes.
class Link {
 public:
  /// What all links of a run have in common.
  struct Setup {
    engine::Engine& engine;
    engine::Endpoint server;
    uint32_t chunk_bytes = 4096;
    bool digest = false;
    bool raw = false;
    bool handshake_below = false;  // the engine's layers have RTMP's handshake done
  };

  [[nodiscard]] LinkState state() const { return state_; }
  [[nodiscard]] engine::ConnectionId id() const { return id_; }
  [[nodiscard]] Instant since() const { return since_; }  // of the present state
  [[nodiscard]] uint32_t message_stream_id() const { return message_stream_id_; }
  /// Bytes given to the engine that are still needed.
  [[nodiscard]] uint32_t unsent_bytes() const { return unsent_bytes_; }

  /// In raw mode `name` is not looked at, and the connection is live as soon as it is there. False
  /// when the engine has no place or the host no descriptor for it; the link is idle then.
  [[nodiscard]] bool open(const Setup& setup, bool publish, const StreamName& name,
                          uint32_t stream_index, Instant now);
  void on_connected(const Setup& setup, Instant now);
  /// Takes what came. Then next_piece() until it has nothing. An error ends the connection: its
  /// kind, for the statistics.
  std::optional<std::string> feed(const Setup& setup, Bytes input, Instant now);
  /// A piece of an audio, video or data message; what is the connection's own is dealt with here.
  /// A fault of the server's ends the connection.
  std::expected<std::optional<rtmp::Piece>, Fault> next_piece(const Setup& setup);
  /// True once for each Stream EOF that came: the publisher of what is played has gone.
  [[nodiscard]] bool take_stream_ended() { return std::exchange(stream_ended_, false); }

  /// Bytes that stay put until unsent_bytes() is 0 again.
  void send(const Setup& setup, std::span<const Bytes> slices);
  /// Bytes of the link's own; kept here until they have gone.
  void send_own(const Setup& setup, std::vector<uint8_t> bytes);
  void on_sent(const Setup& setup, uint32_t bytes);
  void close(const Setup& setup, Instant now);
  void on_closed(Instant now);

 private:
  void enter(LinkState state, Instant now) {
    state_ = state;
    since_ = now;
  }
  void flush_own(const Setup& setup);
  void flush_initiator(const Setup& setup);
  std::optional<std::string> bring_up(const Setup& setup, Bytes input, Instant now);
  void on_control(const Setup& setup, uint8_t type, Bytes body);

  engine::ConnectionId id_;
  LinkState state_ = LinkState::idle;
  bool publish_ = false;
  bool stream_ended_ = false;
  uint32_t stream_index_ = 0;
  uint32_t message_stream_id_ = 1;
  uint32_t unsent_bytes_ = 0;
  uint32_t handshake_left_ = 0;  // bytes of the server's handshake, before its first chunk
  uint32_t ack_window_bytes_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t bytes_acknowledged_ = 0;
  Instant since_;
  std::unique_ptr<rtmp::Initiator> initiator_;
  // Reads along from the first chunk, so that it knows the server's chunk size and headers when
  // the initiator goes.
  rtmp::ChunkReader reader_;
  MessageHead control_;
  std::vector<uint8_t> own_in_flight_;
  std::vector<uint8_t> own_waiting_;  // behind what is in flight
};

}  // namespace penstock::load

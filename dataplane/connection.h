#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/egress.h"
#include "dataplane/engine/engine.h"
#include "dataplane/stream.h"
#include "penstock/rtmp/session.h"

namespace penstock::dataplane {

/// A publish or play request on its way to an answer.
struct Ask {
  enum class Stage : uint8_t { verdict, claim };
  bool publish = false;
  Stage stage = Stage::verdict;
  uint32_t message_stream_id = 0;
  uint64_t request_id = 0;
  uint64_t stream_id = 0;  // publish, from the claim on
  Instant decide_at{};     // without a verdict by then, our own copy of the policy decides
  std::string name;
};

/// One peer. Owner: the worker that accepted it, for its whole life.
struct Connection {
  engine::ConnectionId id;
  uint64_t connection_id = 0;  // unique in a run, below 2^53: it crosses JSON
  uint32_t row = 0;            // slot in the shared region
  rtmp::Session session;
  Egress egress;

  Stream* published = nullptr;
  std::vector<std::unique_ptr<Subscription>> subscriptions;
  std::vector<Ask>
      asks;  // while one is open the session is not pulled: media waits for its verdict
  std::vector<uint8_t> held;  // input that waits for the answer
  bool reading = true;
  bool dirty = false;     // in the worker's list of connections with something to send
  bool closing = false;   // nothing more is taken from the peer
  bool finished = false;  // FIN asked for
  bool cut = false;       // the engine was told to close it
  bool traced = false;
  bool amf3 = false;        // the peer reads it
  uint64_t timer_slot = 0;  // of the one timer entry that counts
  Instant close_at = Instant::never();
  bool reconnect_asked = false;  // since the drain began, if it can
  Instant reconnects_until{};    // it was asked, and has until then
  uint32_t low_water = 1;
  bool gathered = false;         // the mark is one for a stream that nobody watches
  uint64_t low_water_bytes = 0;  // bytes_received at the last look
  Instant low_water_look_at{};

  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t reported_bytes = 0;  // received and sent, when the row was last written
  uint64_t since_unix_ms = 0;
  std::string app;
  std::string software;
  std::string user;  // who has logged in on it; empty: nobody
  engine::Endpoint peer;
  engine::Transport transport = engine::Transport::rtmp;
  control::AddressText peer_text;

  Connection(const rtmp::SessionSettings& settings, uint64_t seed, Instant now)
      : session(settings, seed, now) {}

  [[nodiscard]] bool waiting_for_answer() const { return !asks.empty(); }
};

/// Of these what events touch, from the front: up to reported_bytes.
constexpr size_t connection_hot_bytes = 5 * 64;

}  // namespace penstock::dataplane

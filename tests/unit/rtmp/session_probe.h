#pragma once

#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "penstock/amf/amf0.h"
#include "penstock/rtmp/message.h"
#include "penstock/rtmp/session.h"
#include "penstock/rtmp/wire.h"
#include "tests/unit/rtmp/chunk_collector.h"
#include "tests/unit/rtmp/support.h"

namespace penstock::test {

using Write = std::function<void(amf::Amf0Writer&)>;

/// Body of a command: name, transaction, null, then what `arguments` writes.
inline Octets command_body(std::string_view name, double transaction, const Write& arguments = {}) {
  Octets body;
  amf::Amf0Writer writer(body);
  writer.string(name);
  writer.number(transaction);
  writer.null();
  if (arguments) arguments(writer);
  return body;
}

inline Octets named_command(std::string_view name, double transaction, std::string_view text) {
  return command_body(name, transaction, [&](amf::Amf0Writer& writer) { writer.string(text); });
}

inline Octets connect_body(std::string_view app, const Write& more = {}) {
  Octets body;
  amf::Amf0Writer writer(body);
  writer.string("connect");
  writer.number(1);
  writer.object_begin();
  writer.property("app", app);
  writer.property("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)");
  writer.property("tcUrl", "rtmp://localhost/" + std::string(app));
  if (more) more(writer);
  writer.object_end();
  return body;
}

inline Octets chunked(const rtmp::WireHeader& header, Bytes payload, uint32_t chunk_bytes = 128) {
  rtmp::WireHeader whole = header;
  whole.message_bytes = static_cast<uint32_t>(payload.size());
  Octets wire(rtmp::wire_bytes(whole, chunk_bytes));
  rtmp::wire_write(wire.data(), whole, chunk_bytes, 0, payload);
  return wire;
}

inline Octets simple_handshake() {
  Octets both{3};
  append(both, filler(1536, 77));
  std::fill_n(both.begin() + 5, 4, uint8_t{0});
  return both;
}

struct Media {
  uint32_t message_stream_id = 0;
  uint8_t kind = 0;
  uint32_t timestamp = 0;
  Octets payload;
  bool operator==(const Media&) const = default;
};

/// A session with a peer that the test plays: what it reports is kept as text, media as whole
/// messages, what it sends as decoded messages.
class SessionProbe {
 public:
  explicit SessionProbe(rtmp::SessionSettings given = {})
      : settings(given), session(settings, 42, start), sent_(1 << 20, 1 << 24) {
    sent_.reader.set_limits(1 << 20, 1 << 24);
  }

  static constexpr Instant start{1'000'000'000'000};

  /// Feeds in runs of `run_bytes` and pulls everything; false after a fault.
  bool feed(Bytes bytes) {
    if (fault) return false;
    for (size_t at = 0; at < bytes.size();) {
      // A copy of its own, so that a view that outlives its input is seen by the memory checker.
      run_ = octets(bytes.subspan(at, std::min(run_bytes, bytes.size() - at)));
      at += run_.size();
      session.feed(run_, now);
      if (!pull()) return false;
    }
    return true;
  }

  bool send(uint8_t chunk_stream_id, uint8_t type, uint32_t message_stream_id, Bytes body,
            uint32_t timestamp = 0) {
    return feed(chunked({.chunk_stream_id = chunk_stream_id,
                         .message_type = type,
                         .timestamp = timestamp,
                         .message_stream_id = message_stream_id},
                        body, chunk_bytes));
  }
  bool control(const rtmp::ControlMessage& message) {
    return send(2, message.type, 0, message.body());
  }
  bool command(const Octets& body, uint32_t message_stream_id = 0) {
    return send(3, rtmp::message_type::command, message_stream_id, body);
  }
  bool audio(uint32_t timestamp, Bytes body, uint32_t message_stream_id = 1) {
    return send(4, rtmp::message_type::audio, message_stream_id, body, timestamp);
  }
  bool video(uint32_t timestamp, Bytes body, uint32_t message_stream_id = 1) {
    return send(6, rtmp::message_type::video, message_stream_id, body, timestamp);
  }

  // Steps that most tests begin with; each forgets what was reported and sent in it.
  SessionProbe& shaken() {
    feed(simple_handshake());
    const Octets answer = session.outbox().take();
    require(answer.size() == 1 + 2 * 1536, "S0, S1 and S2");
    feed(Bytes(answer).subspan(1, 1536));
    return quiet();
  }
  SessionProbe& connected(std::string_view app = "live") {
    shaken();
    command(connect_body(app));
    return quiet();
  }
  SessionProbe& publishing(std::string_view name = "cam") {
    connected();
    command(command_body("createStream", 2));
    command(named_command("publish", 3, name), 1);
    session.answer_publish(1, {}, now);
    return quiet();
  }
  SessionProbe& playing(std::string_view name = "cam") {
    connected();
    command(command_body("createStream", 2));
    command(named_command("play", 3, name), 1);
    session.answer_play(1, {});
    return quiet();
  }
  SessionProbe& quiet() {
    sent();
    events.clear();
    media.clear();
    return *this;
  }

  /// What the session has sent since the last call: control as hex, commands as
  /// "name[message stream] transaction level code".
  std::vector<std::string> sent() {
    if (!session.outbox().empty()) {
      const Octets bytes = session.outbox().take();
      require(sent_.feed(bytes), "what a session sends is a chunk stream");
    }
    std::vector<std::string> lines;
    for (const WholeMessage& message : sent_.decoded.messages) lines.push_back(describe(message));
    last_sent = std::move(sent_.decoded.messages);
    sent_.decoded.messages.clear();
    return lines;
  }

  std::vector<std::string> take_events() { return std::exchange(events, {}); }

  rtmp::SessionSettings settings;
  Instant now = start;
  rtmp::Session session;
  size_t run_bytes = SIZE_MAX;
  uint32_t chunk_bytes = 128;            // of the peer
  Prng* rests = nullptr;                 // takes rests of media in one go, into rooms of any size
  bool pause_at_asked = false;           // stop pulling at PublishAsked
  std::optional<rtmp::Refusal> answers;  // given at once to every question
  std::function<void(const rtmp::PlayAsked&)> on_play_asked;
  std::vector<std::string> events;
  std::vector<Media> media;
  std::vector<Octets> data;
  std::vector<WholeMessage> last_sent;
  std::optional<Fault> fault;

  bool pull() {
    for (;;) {
      auto event = session.next();
      if (!event) {
        fault = event.error();
        return false;
      }
      if (std::holds_alternative<rtmp::NeedInput>(*event)) return true;
      std::visit([this](const auto& one) { on(one); }, *event);
      if (answers) answer(*event);
      if (pause_at_asked && std::holds_alternative<rtmp::PublishAsked>(*event)) return true;
    }
  }

 private:
  static std::string number(uint64_t value) { return std::to_string(value); }
  static std::string shortest(double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.15g", value);
    return text;
  }
  static std::string text(std::string_view view) { return std::string(view); }

  void answer(const rtmp::Event& event) {
    const rtmp::Verdict verdict{.refusal = *answers, .text = "asked and answered"};
    if (std::holds_alternative<rtmp::ConnectAsked>(event)) session.answer_connect(verdict);
    if (const auto* publish = std::get_if<rtmp::PublishAsked>(&event)) {
      session.answer_publish(publish->message_stream_id, verdict, now);
    }
    if (const auto* play = std::get_if<rtmp::PlayAsked>(&event)) {
      session.answer_play(play->message_stream_id, verdict);
    }
  }

  void on(const rtmp::NeedInput&) {}
  void on(const rtmp::ConnectAsked& e) {
    events.push_back("connect asked " + text(e.app) + " ? " + text(e.query) +
                     (e.publishes ? " to publish" : ""));
  }
  void on(const rtmp::HandshakeDone& e) {
    events.push_back(e.digest ? "handshake digest" : "handshake simple");
  }
  void on(const rtmp::Connected& e) {
    events.push_back("connected " + text(e.app) + " | " + text(e.flash_ver) + " | " +
                     text(e.tc_url));
  }
  void on(const rtmp::PublishAsked& e) {
    events.push_back("publish asked " + number(e.message_stream_id) + " " + text(e.name) + " ? " +
                     text(e.query));
  }
  void on(const rtmp::PlayAsked& e) {
    if (on_play_asked) on_play_asked(e);
    events.push_back("play asked " + number(e.message_stream_id) + " " + text(e.name) + " ? " +
                     text(e.query));
  }
  void on(const rtmp::MediaPiece& e) {
    if (e.offset == 0) {
      require(!parts_.contains(e.slot), "one message in a slot at a time");
      parts_[e.slot] = {};
    }
    require(parts_.contains(e.slot), "the first piece comes first");
    Octets& part = parts_[e.slot];
    require(part.size() == e.offset, "pieces come in order");
    append(part, e.bytes);
    if (rests != nullptr && rests->chance(800)) {
      Octets room(rests->below(2 * (e.message_bytes - part.size()) + 1));
      room.resize(std::min(room.size(), e.message_bytes - part.size()));
      append(part, Bytes(room).first(session.take_rest(e.slot, room)));
    }
    if (part.size() < e.message_bytes) return;
    media.push_back({e.message_stream_id, static_cast<uint8_t>(e.kind), e.timestamp, part});
    parts_.erase(e.slot);
  }
  void on(const rtmp::MediaAborted& e) {
    parts_.erase(e.slot);
    events.push_back("aborted");
  }
  void on(const rtmp::DataMessage& e) {
    data.push_back(octets(e.body));
    events.push_back("data " + number(e.message_type) + (e.metadata ? " metadata" : "") +
                     (e.clears_metadata ? " clears" : "") + " at " + number(e.timestamp));
  }
  void on(const rtmp::PublishEnded& e) {
    parts_.clear();
    events.push_back("publish ended " + number(e.message_stream_id));
  }
  void on(const rtmp::PlayEnded& e) {
    events.push_back("play ended " + number(e.message_stream_id));
  }
  void on(const rtmp::PlayPaused& e) { events.push_back(e.paused ? "paused" : "resumed"); }
  void on(const rtmp::ReceiveChanged& e) {
    events.push_back(std::string(e.wanted ? "wants " : "no ") +
                     (e.kind == rtmp::MediaKind::audio ? "audio" : "video"));
  }
  void on(const rtmp::Tolerated& e) {
    events.push_back("tolerated " + text(fault_info(e.fault).name));
  }

  static std::string describe(const WholeMessage& message) {
    if (message.type < 7) return "control " + number(message.type) + " " + to_hex(message.payload);
    if (message.type == 16 || message.type == 19) {
      return "shared " + number(message.type) + " " + to_hex(message.payload);
    }
    Bytes body = message.payload;
    std::string line;
    if (message.type == 17 || message.type == 15) {
      line = "amf3 ";
      require(!body.empty() && body[0] == 0, "the format byte");
      body = body.subspan(1);
    }
    const auto values = amf::read_amf0(body);
    require(values.has_value(), "what a session sends is AMF");
    line += text(values->at(0).as_string().value_or("?")) + "[" +
            number(message.message_stream_id) + "]";
    if (message.type == 18 || message.type == 15) line += " data";
    for (size_t i = 1; i < values->size(); ++i) {
      const amf::Value& value = (*values)[i];
      if (const auto plain = value.as_number()) line += " " + shortest(*plain);
      if (const auto level = value.find_string("level")) line += " " + text(*level);
      if (const auto code = value.find_string("code")) line += " " + text(*code);
    }
    return line;
  }

  Octets run_;
  std::map<uint8_t, Octets> parts_;
  ChunkCollector sent_;
};

}  // namespace penstock::test

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "penstock/base/bounded_vector.h"
#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/time.h"
#include "penstock/tunnel/rtmpt.h"

namespace penstock::tunnel {

/// The body of a send: a run of somebody else's bytes, or bytes of its own.
struct TunnelBody {
  uint32_t sequence = 0;
  Bytes run;
  std::vector<uint8_t> owned;

  [[nodiscard]] Bytes bytes() const { return owned.empty() ? run : Bytes(owned); }
};

/// One RTMPT session, the accepting side: numbered requests, whichever connections they come on,
/// become one stream of bytes each way. No socket, no HTTP, no clock, no callback. Every request
/// gets exactly one answer. Owner: one worker.
///
/// After each call that may change something (ask, settled, written, lost, send, set_reading,
/// finish, expire, end) the caller takes bodies until there is none, then answers, then the rest.
///
/// Invariants: bodies come out in the order of their numbers and once each. At most one answer with
/// data is on its way, and no later one is given before that one was written; so what was answered
/// and not written can be said again, and nothing else ever has to be.
class TunnelSession {
 public:
  /// The caller's name for a request that is yet to be answered.
  using Tag = uint64_t;

  struct Answer {
    Tag tag = 0;
    uint16_t status = 200;
    Bytes body;           // valid until the next call
    bool counts = false;  // the session must be told by written() or lost() what became of it
  };

  TunnelSession(uint64_t idle_ms, Instant now) : idle_ms_(idle_ms), asked_at_(now) {}

  /// A send, idle or close. A body that must wait is copied if it is a run; one whose turn it is
  /// comes out of take_body() as it is.
  void ask(Tag tag, RtmptVerb verb, TunnelBody body, Instant now);
  /// The next bytes of the peer, in order; its request is answered once they are settled().
  [[nodiscard]] bool take_body(TunnelBody& body);
  /// The body with this number had its effect: what there is to say to it has been given to send().
  void settled(uint32_t sequence);
  [[nodiscard]] bool take_answer(Answer& answer, Instant now);
  /// The answer to `tag` has gone out.
  void written(Tag tag);
  /// The answer to `tag`, given or yet to be given, will reach nobody. The peer may ask again.
  void lost(Tag tag, Instant now);

  /// Bytes for the peer; copied.
  void send(Bytes bytes);
  /// Of these, how many more than last time have gone out in an answer that was written.
  [[nodiscard]] uint32_t take_sent();
  [[nodiscard]] uint64_t queued_bytes() const { return queued_bytes_; }
  /// Off: no bodies, and no answer to a request that has one.
  void set_reading(bool on) { reading_ = on; }
  /// What is queued is still answered, then the session is over.
  void finish() { finishing_ = true; }
  /// Over now: everybody who waits is told that there is no such session.
  void end(std::optional<Fault> fault = std::nullopt);

  void expire(Instant now);
  [[nodiscard]] Instant deadline() const;

  /// Nothing more will come of it, but answers to those who wait.
  [[nodiscard]] bool over() const { return over_; }
  /// The peer closed it.
  [[nodiscard]] bool closed_by_peer() const { return closed_by_peer_; }
  /// Why it is over, if it was the peer's fault.
  [[nodiscard]] std::optional<Fault> fault() const { return fault_; }

  // Requests that may wait for an earlier one. Flash had four connections.
  static constexpr uint32_t window = 8;
  // What they hold: the largest body. Twice the window of a 1 Mbit/s stream at a second's distance.
  static constexpr size_t waiting_bytes_max = 1024 * 1024;
  // The same request on several connections: a proxy that tried again.
  static constexpr size_t tags_max = 4;
  static constexpr size_t answer_bytes_max = 64 * 1024;
  static constexpr uint64_t gap_ms = 1'000;
  // FFmpeg reads nothing else while it waits for an answer.
  static constexpr uint64_t hold_ms_max = 500;

 private:
  using Tags = BoundedVector<Tag, tags_max>;

  struct Place {
    bool there = false;
    RtmptVerb verb{};
    Instant arrived_at;
    TunnelBody body;
    Tags tags;
  };
  struct Last {
    uint32_t sequence = 0;
    bool there = false;
    bool on_its_way = false;    // has data, and nobody knows yet whether it went out
    std::vector<uint8_t> body;  // the interval, then data
    Tags tags;                  // while on its way
  };
  enum class What : uint8_t { last, interval, zero, nothing };
  struct Told {
    Tag tag = 0;
    uint16_t status = 200;
    What what{};
    bool counts = false;
  };

  [[nodiscard]] Place& at(uint32_t sequence) { return places_[sequence % window]; }
  [[nodiscard]] const Place& at(uint32_t sequence) const { return places_[sequence % window]; }
  void repeat(Tag tag, uint32_t sequence);
  void wait(Tag tag, RtmptVerb verb, TunnelBody body, Instant now);
  void look_for_gap(Instant now);
  [[nodiscard]] bool has_gap() const;
  [[nodiscard]] Instant answer_at() const;
  void answer_next();
  [[nodiscard]] bool anybody_waits() const;

  uint64_t idle_ms_;
  Instant asked_at_;
  Instant gap_since_ = Instant::never();
  uint32_t next_body_ = 0;    // the number whose turn it is
  uint32_t next_answer_ = 0;  // of those before next_body_, the first without an answer
  uint32_t settled_before_ = 0;
  bool reading_ = true;
  bool finishing_ = false;
  bool over_ = false;
  bool closed_by_peer_ = false;
  std::optional<Fault> fault_;
  std::array<Place, window> places_;  // of the numbers from next_answer_ on
  size_t waiting_bytes_ = 0;
  Last last_;
  RtmptInterval interval_;
  std::vector<Told> told_;
  size_t told_count_ = 0;                   // of told_, already taken
  std::deque<std::vector<uint8_t>> queue_;  // each an answer's body, its interval still to be set
  std::vector<uint8_t> spare_;
  uint64_t queued_bytes_ = 0;
  uint32_t sent_bytes_ = 0;
};

}  // namespace penstock::tunnel

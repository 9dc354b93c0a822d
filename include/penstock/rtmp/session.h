#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string_view>
#include <variant>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/time.h"
#include "penstock/rtmp/outbox.h"

namespace penstock::rtmp {

enum class MediaKind : uint8_t { audio = 8, video = 9 };  // values: RTMP message types

/// What the owner may change while sessions run. The session reads it on every use, so a tuned
/// value takes effect at once.
struct SessionSettings {
  uint32_t message_bytes_max = 8 * 1024 * 1024;
  uint32_t partial_bytes_max =
      16 * 1024 * 1024;  // declared bytes of all unfinished messages of a connection
  uint64_t handshake_ns = 5 * ns_per_s;
  uint64_t connect_to_publish_ns = 10 * ns_per_s;
  uint64_t first_media_ns = 15 * ns_per_s;
  uint64_t silent_publisher_ns = 8 * ns_per_s;
  bool login = false;  // connects are reported by ConnectAsked, and wait for answer_connect()
};

// ---- What a session reports. Views are valid until the next call of next() or feed(). ----

/// Everything that was fed has been used.
struct NeedInput {};

/// The handshake is complete (for statistics).
struct HandshakeDone {
  bool digest = false;
};

/// Only with SessionSettings::login. Answer with answer_connect(); until then the peer may do
/// nothing else.
struct ConnectAsked {
  std::string_view app;    // as sent, without query
  std::string_view query;  // of app and tcUrl, merged
  bool publishes = false;  // it says so: "type" is "nonprivate", which players leave out
};

/// connect was accepted, by the session itself or by answer_connect().
struct Connected {
  std::string_view app;        // normalised, without query
  std::string_view flash_ver;  // the encoder's or player's name of itself; may be empty
  std::string_view tc_url;     // with its query removed: it may carry a key
  bool amf3 = false;           // it reads messages of type 15 to 17 (objectEncoding 3)
};

/// Answer with answer_publish(), now or later; media that arrives before is reported as usual.
/// `name` is "app/name", normalised; `query` is what followed "?" in app, tcUrl or name, merged
/// with precedence name > app > tcUrl.
struct PublishAsked {
  uint32_t message_stream_id = 0;
  std::string_view name;
  std::string_view query;
};

/// Answer with answer_play(). `aggregates`: media may come in aggregate messages; asked for by
/// "aggregate" true in connect's object, or by aggregate=1 in the query.
struct PlayAsked {
  uint32_t message_stream_id = 0;
  std::string_view name;
  std::string_view query;
  bool aggregates = false;
};

/// A run of an audio or video message's payload, in order; complete when offset + bytes.size() ==
/// message_bytes. Messages of different slots may interleave. A message without payload is one
/// empty piece.
struct MediaPiece {
  uint32_t message_stream_id =
      0;  // of the publish it belongs to, already mapped when the peer sent 0 or another
  MediaKind kind = MediaKind::audio;
  uint8_t slot = 0;        // < partial_messages_max: which unfinished message this belongs to
  uint32_t timestamp = 0;  // ms, wrapping
  uint32_t message_bytes = 0;
  uint32_t offset = 0;
  Bytes bytes;
};

/// The unfinished message of this slot will not be completed (Abort, or replaced).
struct MediaAborted {
  uint8_t slot = 0;
};

/// A whole data message of a published stream, as subscribers are to get it: "@setDataFrame" is
/// already removed, and AMF3 is said in AMF0, which every player reads. What AMF0 cannot say is of
/// type 15, with its format byte, and for players that read AMF3.
struct DataMessage {
  uint32_t message_stream_id = 0;
  uint8_t message_type = 18;
  uint32_t timestamp = 0;
  bool metadata = false;         // onMetaData: late joiners need it
  bool clears_metadata = false;  // @clearDataFrame: forget it; not to be relayed
  Bytes body;
};

/// The peer ended its publish (FCUnpublish, deleteStream, closeStream); the connection lives on.
struct PublishEnded {
  uint32_t message_stream_id = 0;
};
struct PlayEnded {
  uint32_t message_stream_id = 0;
};
struct PlayPaused {
  uint32_t message_stream_id = 0;
  bool paused = false;
};
/// receiveAudio or receiveVideo.
struct ReceiveChanged {
  uint32_t message_stream_id = 0;
  MediaKind kind = MediaKind::audio;
  bool wanted = true;
};
/// A fault that is only counted; the session goes on.
struct Tolerated {
  Fault fault{};
};

using Event = std::variant<NeedInput, HandshakeDone, Connected, PublishAsked, PlayAsked, MediaPiece,
                           MediaAborted, DataMessage, PublishEnded, PlayEnded, PlayPaused,
                           ReceiveChanged, Tolerated, ConnectAsked>;

/// Why a publish or play is refused; each has the code that clients stop on (protocol: 6.2, 6.4).
enum class Refusal : uint8_t {
  none,
  bad_name,          // NetStream.Publish.BadName: the name is in use, or not one we take
  denied,            // NetStream.Publish.Denied / NetStream.Play.Failed: not allowed
  stream_not_found,  // NetStream.Play.StreamNotFound
};

struct Verdict {
  Refusal refusal = Refusal::none;
  std::string_view text;  // shown by OBS, logged by FFmpeg: says why in a few words
  [[nodiscard]] bool allowed() const { return refusal == Refusal::none; }
};

/// One RTMP peer as a state machine, the accepting side: no socket, no clock, no callback.
///
/// The owner feeds bytes, pulls events until NeedInput, and takes what is to be sent from outbox().
/// After a fatal fault the session is dead: outbox() may hold a last message to the peer, and
/// nothing else may be called but the destructor. Owner: one worker; never shared.
class Session {
 public:
  /// `settings` must outlive the session. `random_seed` fills S1 and S2: filler, not secret.
  Session(const SessionSettings& settings, uint64_t random_seed, Instant now);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// A layer below the session has done the handshake (RTMPE): what is fed are chunks. Before the
  /// first feed() only.
  void skip_handshake();

  /// feed() and next() come soon: what they touch is to be there then.
  void prefetch() const;
  /// `input` must stay valid until next() has returned NeedInput. Only after NeedInput (or before
  /// the first event).
  void feed(Bytes input, Instant now);
  std::expected<Event, Fault> next();
  /// More of the message whose MediaPiece next() has returned last, straight into `room`, or past
  /// it. Returns the bytes taken; what they leave comes as pieces. 0 is always possible: only what
  /// the chunk reader can take in one go is taken, and of an aggregate's messages nothing.
  size_t take_rest(uint8_t slot, MutableBytes room);
  size_t skip_rest(uint8_t slot);
  /// Hands back the input that next() has not used yet, as if it had not been fed: an owner that
  /// must wait for a verdict keeps it and feeds it later. Views of it die with what was fed.
  [[nodiscard]] Bytes take_unread();

  /// On allowed: all that ends with the result, and Connected is the next event. On refused:
  /// NetConnection.Connect.Rejected with the verdict's text, and "close"; the owner closes.
  void answer_connect(const Verdict& verdict);
  /// On allowed: StreamBegin, onStatus NetStream.Publish.Start, onFCPublish. On refused: the error
  /// status, and the owner closes the connection after the outbox has gone out (FFmpeg does not
  /// close by itself). The clock for the first media starts at `now`, or at the last feed when that
  /// was later.
  void answer_publish(uint32_t message_stream_id, const Verdict& verdict, Instant now = {});
  /// On allowed: StreamBegin, Play.Reset, Play.Start, |RtmpSampleAccess, Data.Start.
  void answer_play(uint32_t message_stream_id, const Verdict& verdict);

  /// To a player: its publisher went (StreamEOF, Play.UnpublishNotify), or came (StreamBegin,
  /// Play.PublishNotify).
  void publisher_went(uint32_t message_stream_id);
  void publisher_came(uint32_t message_stream_id);
  /// To a publisher whose publish we end: error status with `text`; afterwards its media is
  /// ignored.
  void end_publish(uint32_t message_stream_id, std::string_view text);
  /// Asks the peer to go on elsewhere, if it has said that it can (Enhanced RTMP v2); false when it
  /// has not. It goes at its next keyframe and until then all is as before. `tc_url` empty: it
  /// comes back to the URL that it has; a URL without a path: to the app that it has, there.
  bool ask_to_reconnect(std::string_view tc_url, std::string_view text);

  /// When expire() must be called unless something happens before; Instant::never() when nothing is
  /// due.
  [[nodiscard]] Instant deadline() const;
  /// The fault of the deadline that has passed, or none.
  std::expected<void, Fault> expire(Instant now);

  [[nodiscard]] Outbox& outbox();
  /// Bytes fed so far.
  [[nodiscard]] uint64_t bytes_received() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::rtmp

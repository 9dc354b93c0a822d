#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dataplane/admission_feed.h"
#include "dataplane/connection.h"
#include "dataplane/directory.h"
#include "dataplane/engine/engine.h"
#include "dataplane/log_ration.h"
#include "dataplane/log_record.h"
#include "dataplane/logins.h"
#include "dataplane/mailbox.h"
#include "dataplane/stream.h"
#include "dataplane/timer_wheel.h"
#include "penstock/control/layout.h"
#include "penstock/rtmp/metadata.h"

namespace penstock::dataplane {

/// Everything that a worker works with. The simulator differs from main.cc only in what it puts in
/// here.
struct WorkerParts {
  WorkerId id = 0;
  engine::Engine* engine = nullptr;
  std::vector<engine::Engine*> engines;  // of all workers: to wake them, nothing else
  Mesh* mesh = nullptr;
  control::Region region;
  LogRing* log = nullptr;
  MutableBytes frame_memory;           // aligned to block_bytes_min
  AdmissionFeed* admission = nullptr;  // none: no keys and no users
  uint64_t random_seed = 0;
  rtmp::Digest login_secret{};  // one for all workers
  int64_t unix_minus_monotonic_ms = 0;
  uint64_t connections_max = UINT64_MAX;  // what the host has descriptors for
  const StopFlag* stop = nullptr;
  /// Told of every set of tunables that the worker applies, on its thread.
  std::function<void(const control::TunableValues&)> tuned;
  /// Told on the worker's thread, once per tick, when main has something to look at (records in
  /// `log`, another state applied), and when the control plane has (questions). None: they look by
  /// themselves.
  std::function<void()> ring_main;
  std::function<void()> ring_control;
};

/// One core's loop: it owns the connections that its engine accepts, the streams published on them,
/// and its share of the names. It makes no system call and reads no clock. All other workers are
/// reached through rings (mailbox.h).
///
///   while (!worker.stopped()) { worker.wait(now()); worker.tick(now()); }
class Worker {
 public:
  Worker(WorkerParts parts, Instant now);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Lets the engine move bytes, and sleeps when there is nothing to do.
  void wait(Instant now);
  /// One turn: everything that has come, each kind within a bound.
  void tick(Instant now);
  /// After the stop flag was raised: every peer has been told and is gone, or its second is over.
  [[nodiscard]] bool stopped() const { return stopped_; }

  // What checkers ask after a run.
  [[nodiscard]] const FramePool& frames() const { return frames_; }
  [[nodiscard]] uint64_t leases_out() const;
  [[nodiscard]] size_t connections() const { return connection_count_; }
  [[nodiscard]] size_t streams() const { return streams_.size(); }
  [[nodiscard]] const Directory& directory() const { return directory_; }

 private:
  // worker.cc: the loop
  void apply_wanted();
  void take_commands();
  void take_command(const control::Command& command);
  void take_events();
  void prefetch(const engine::EngineEvent& event) const;
  void take_event(const engine::EngineEvent& event);
  void expire_timers();
  void expire(Connection& connection);
  void flush();
  void stop_step();

  // worker_connections.cc: one peer's life
  void accept(const engine::EngineEvent& event);
  void identified(Connection& connection, const engine::EngineEvent& event);
  void receive(Connection& connection, Bytes bytes);
  void peer_ended(Connection& connection);
  void closed(Connection& connection);
  void feed(Connection& connection, Bytes bytes);
  bool pull(Connection& connection);
  void resume(Connection& connection);
  void drop(Connection& connection, Fault fault, std::string_view why = {});
  void finish(Connection& connection);
  void cut(Connection& connection);
  void settle(Connection& connection);
  void schedule(Connection& connection);
  void wake_by(Connection& connection, Instant deadline);
  [[nodiscard]] Instant stalled_at(const Connection& connection) const;
  void mark_dirty(Connection& connection);
  void connections_changed();
  void take_engine_counts();
  void count_fault(Connection& connection, Fault fault);
  [[nodiscard]] Connection* find(engine::ConnectionId id) const;
  [[nodiscard]] Connection* find(uint64_t connection_id) const;
  [[nodiscard]] uint64_t connection_id_of(engine::ConnectionId id) const;

  // worker_sessions.cc: what a session reports
  void on(Connection& connection, const rtmp::NeedInput& event);
  void on(Connection& connection, const rtmp::HandshakeDone& event);
  void on(Connection& connection, const rtmp::Connected& event);
  void on(Connection& connection, const rtmp::PublishAsked& event);
  void on(Connection& connection, const rtmp::PlayAsked& event);
  void on(Connection& connection, const rtmp::MediaPiece& event);
  void on(Connection& connection, const rtmp::MediaAborted& event);
  void on(Connection& connection, const rtmp::DataMessage& event);
  void on(Connection& connection, const rtmp::PublishEnded& event);
  void on(Connection& connection, const rtmp::PlayEnded& event);
  void on(Connection& connection, const rtmp::PlayPaused& event);
  void on(Connection& connection, const rtmp::ReceiveChanged& event);
  void on(Connection& connection, const rtmp::Tolerated& event);
  void ask(Connection& connection, Ask ask, std::string_view query);
  [[nodiscard]] bool allowed_by_own_policy(const Ask& ask) const;
  void decide_by_own_policy(Connection& connection, uint64_t request_id);
  void verdict(Connection& connection, uint64_t request_id, bool allowed, std::string_view text);
  void claim_answered(Connection& connection, const Ask& asked, const Mail& answer);
  void refuse(Connection& connection, const Ask& ask, rtmp::Refusal refusal, std::string_view text);
  void answer_done(Connection& connection, uint64_t request_id);
  void forget_asks(Connection& connection);

  // worker_login.cc: publishers that have to log in
  void on(Connection& connection, const rtmp::ConnectAsked& event);
  bool login_allows(Connection& connection, const Ask& asked, std::string_view query);
  void logged_in(Connection& connection, std::string_view user);

  // worker_streams.cc: streams and their subscribers
  Stream* stream_for(std::string_view name);
  void forget_if_unused(Stream& stream);
  void start_publish(Connection& connection, const Ask& ask, uint64_t claim, uint64_t interested);
  void end_publish(Stream& stream, std::string_view reason);
  void clear_media(Stream& stream);
  void subscribe(Connection& connection, const Ask& ask);
  void unsubscribe(Subscription& subscription);
  void stream_over(Stream& stream);
  void send_past(Stream& stream, Subscription& subscription);
  void deliver_live(Stream& stream, Frame* frame);
  void deliver(Subscription& subscription, Frame* frame);
  void deliver_side(Subscription& subscription, Frame* frame);
  void release_held();
  void choose_hold();
  [[nodiscard]] bool picture_may_wait(Stream& stream, const Frame& frame) const;
  void hold(Stream& stream, uint64_t ns);
  void send_held(Stream& stream);
  void note_pace(Stream& stream, uint32_t timestamp);
  [[nodiscard]] bool fits(const Egress& egress, const Frame& frame) const;
  void queue(Subscription& subscription, Frame* frame);
  bool push(Subscription& subscription, Frame* frame);
  static void want_keyframe(Subscription& subscription);
  uint32_t skip_to_keyframe(Connection& connection);
  void drain_changed();
  void drain_step();
  bool ask_to_reconnect(Connection& connection);

  // worker_media.cc: from the publisher's pieces to frames
  void media_piece(Stream& stream, const rtmp::MediaPiece& piece);
  bool decide(Stream& stream, Assembly& assembly, Bytes prefix);
  void write(Stream& stream, Assembly& assembly, uint32_t offset, Bytes bytes);
  void complete(Stream& stream, Assembly& assembly);
  void abandon(Assembly& assembly);
  void data_message(Stream& stream, const rtmp::DataMessage& message);
  void publish_frame(Stream& stream, Frame* frame, const media::TagInfo& info);
  void keep_config(Stream& stream, Frame* frame, const media::TagInfo& info);
  void keep_in_gop(Stream& stream, Frame* frame);
  void begin_gop(Stream& stream, const Frame& key);
  void drop_gop(Stream& stream);
  [[nodiscard]] bool wanted(const Stream& stream, const media::TagInfo& info) const;
  Frame* begin_frame(Stream& stream, const rtmp::WireHeader& header);
  Frame* begin_kept_frame(Stream& stream, const rtmp::WireHeader& header);
  Frame* kept(Frame* frame);
  bool free_memory();
  bool shed_backlog();
  static void note_metadata(Stream& stream, const rtmp::DataMessage& message);

  // worker_mesh.cc: what crosses to other workers
  void send_mail(WorkerId to, const Mail& mail);
  void flush_deferred();
  void take_returns();
  void take_rings();
  bool take_mail(WorkerId other);
  void take_mail(const Mail& mail);
  void take_route(const Mail& mail);
  bool take_leases(WorkerId other);
  void take_lease(WorkerId from, const Lease& lease);
  bool lease(WorkerId to, Lease lease);
  void ask_to_shed(WorkerId to);
  void shed_leases(WorkerId lessor);
  void note(WorkerId to, const Lease& note);
  void lease_live(Stream& stream, Frame* frame);
  bool lease_headers(Stream& stream, WorkerId to);
  void announce_start(Stream& stream, WorkerId to, bool fresh);
  void send_past_to(WorkerId to, uint64_t stream_id, uint64_t token);
  void ring(WorkerId to);
  [[nodiscard]] bool rings_empty() const;
  void announce_interest(Stream& stream, bool on);
  void replica_started(Stream& stream, WorkerId owner, const Lease& note);
  void ask_to_join(Subscription& subscription);
  [[nodiscard]] WorkerId home_of(std::string_view name) const;

  // worker_report.cc: what others see
  void report();
  void report_stream(Stream& stream);
  void report_connection(Connection& connection);
  [[nodiscard]] control::StreamRow row_of(Stream& stream);
  void adjust_low_water(Connection& connection);
  void set_low_water(Connection& connection, uint32_t mark, bool gathered = false);
  void choose_gather();
  void log(LogEvent event, const Connection* connection, std::string_view name,
           std::string_view detail, uint64_t number = 0,
           const engine::Endpoint* stranger = nullptr);
  void count(control::Counter counter, uint64_t by = 1);
  void gauge(control::Counter counter, uint64_t value);
  [[nodiscard]] uint64_t unix_ms() const;
  [[nodiscard]] uint64_t tunable(control::Tunable tunable) const {
    return control::value_of(wanted_.tunables, tunable);
  }

  WorkerParts parts_;
  engine::Engine& engine_;
  Mesh& mesh_;
  control::WorkerArea& area_;
  const uint32_t worker_count_;

  Instant now_;
  Instant ticked_at_;
  FramePool frames_;
  TimerWheel wheel_;
  Directory directory_;
  rtmp::SessionSettings session_settings_;

  control::WantedState wanted_;
  uint32_t wanted_sequence_ = UINT32_MAX;
  AdmissionFeed no_feed_;
  AdmissionFeed& admission_;
  Logins logins_;

  std::vector<std::unique_ptr<Connection>> connections_;  // by ConnectionId::index
  size_t connection_count_ = 0;
  engine::EngineCounts engine_seen_;
  size_t publisher_count_ = 0;
  size_t subscriber_count_ = 0;
  size_t gathered_connections_ = 0;  // with a low-water mark above 1
  uint64_t gather_ns_ = UINT64_MAX;  // as last told to the engine
  // The region has copies for others; we never read them back, whoever maps it can write there.
  uint32_t connection_slots_used_ = 0;
  uint32_t stream_slots_used_ = 0;
  std::vector<uint32_t> free_stream_rows_;
  std::vector<Stream*> streams_by_row_;
  std::unordered_map<std::string_view, std::unique_ptr<Stream>> streams_;  // key lies in the stream
  std::unordered_map<uint64_t, Stream*> streams_by_id_;
  std::unordered_map<uint64_t, Subscription*> joining_;  // by token

  std::vector<engine::EngineEvent> events_;
  size_t event_count_ = 0;
  std::vector<engine::ConnectionId> dirty_;  // with something to send, from dirty_head_ on
  size_t dirty_head_ = 0;
  struct Held {
    Instant until;
    uint64_t stream_id = 0;
  };
  std::deque<Held> held_;  // streams whose sound waits for a picture, oldest first
  bool holding_ = false;   // what is being delivered may wait
  uint64_t hold_ns_ = 0;   // for how long, at the present load
  uint64_t picture_hold_ns_ = 0;
  uint64_t moved_ = 0;  // messages in and frames out, at the last look
  Instant hold_looked_at_{};
  std::vector<TimerWheel::Entry> due_;
  std::array<std::deque<Mail>, workers_max> deferred_mail_;
  std::array<std::deque<Lease>, workers_max> deferred_notes_;
  std::array<uint32_t, workers_max> leases_out_{};
  std::array<Instant, workers_max> shed_asked_at_{};
  bool main_has_to_look_ = false;  // since a tick that is not yet to its end; so asked_
  bool asked_ = false;
  // A bit per worker.
  uint64_t rung_ = 0;      // something was put into a ring for it in this tick
  uint64_t to_visit_ = 0;  // it rang, and its rings to us are not known to be empty
  uint64_t deferred_ = 0;  // has deferred mail or notes
  uint64_t lent_to_ = 0;   // has leases_out_

  uint64_t next_stream_ = 1;
  uint64_t next_token_ = 1;
  uint64_t next_request_ = 1;
  uint32_t asks_open_ = 0;
  uint32_t gop_victim_ = 0;
  // By row: what may have changed since it was last looked at. 10,000 that wait cost no look.
  std::vector<bool> stirred_connections_;
  std::vector<bool> stirred_streams_;
  size_t report_stream_cursor_ = 0;
  size_t report_connection_cursor_ = 0;
  Instant report_at_;
  Instant memory_logged_at_;
  LogRation log_ration_;
  Instant shed_at_;
  Instant nothing_to_free_at_;
  bool accepting_ = true;
  bool stopping_ = false;
  bool stopped_ = false;
  Instant stop_at_;
};

}  // namespace penstock::dataplane

#include "dataplane/engine/uring/uring_engine.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "dataplane/engine/uring/acceptor.h"
#include "dataplane/engine/uring/gather.h"
#include "dataplane/engine/uring/index_queue.h"
#include "dataplane/engine/uring/listener.h"
#include "dataplane/engine/uring/operation.h"
#include "dataplane/engine/uring/receive_slabs.h"
#include "dataplane/engine/uring/ring.h"
#include "dataplane/engine/uring/send_queue.h"
#include "penstock/base/assert.h"

namespace penstock::engine {
namespace {

// 64 bytes each. More SQEs in one tick than this cost one more enter.
constexpr uint32_t sqes_max = 4096;

// A burst to 2000 subscribers holds the core for 12 ms; 512 sends are 3 ms, after which receiving
// has its turn.
constexpr uint32_t sends_per_enter_max = 512;

// The same for receives: those that found no slab would mostly find none again.
constexpr uint32_t rearms_per_enter_max = 512;

// One enter runs at most 20 deferred completions unless it waits for more (kernel:
// IO_LOCAL_TW_DEFAULT_MAX).
constexpr uint32_t completions_per_enter = 20;

// Instant::never() as a timeout would overflow the kernel's clock and return at once, for ever.
constexpr uint64_t wait_ns_max = 3600 * ns_per_s;

// The first exchanges of a connection are small questions and answers. An encoder that leaves
// Nagle's algorithm on (FFmpeg does) sends half a question and waits for our ACK before it sends
// the rest, and we would delay that by 40 ms, because we have just sent something. So what gets no
// answer within a tick gets its ACK; an answer carries one by itself. Measured with FFmpeg 5.1:
// 139 ms from connect to publish without, 2 ms with.

// What a peer sends until it publishes: 3 KiB of handshake, then commands of less than 1 KiB. Who
// has sent more publishes.
constexpr uint32_t setup_bytes = 16 * 1024;

// A publisher's ACKs may be delayed: one for every message is half of what receiving costs
// (measured at 1000 publishers, engine_bench: 3.4 CPU-s/GB with them, 1.0 without). The kernel
// forgets that it may after 40 ms without a second segment, so it is told again every 32 receives,
// which is twice a second for 73 messages per second; every 8 saves nothing more.
constexpr uint8_t receives_per_lazy_ack = 32;

// Connections begun in one enter: their addresses are kept until it has read them.
constexpr uint32_t connects_per_enter_max = 256;

CloseReason reason_of(int error) {
  switch (error) {
    case ETIMEDOUT:
    case EHOSTUNREACH:
      return CloseReason::timeout;
    case ECONNREFUSED:
      return CloseReason::refused;
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case EACCES:
    case EAFNOSUPPORT:
      return CloseReason::no_address;
    default:
      return CloseReason::reset;
  }
}

struct Connection {
  int fd = -1;
  uint32_t generation = 1;
  uint32_t low_water_bytes = 1;
  uint32_t setup_bytes_left = setup_bytes;
  uint32_t receive_armed_in = 0;  // turn
  uint8_t receives_until_lazy_ack = 0;
  bool in_use : 1 = false;      // from `accepted`, or connect(), to `closed`
  bool ack_owed : 1 = false;    // while it is set up: received, and nothing sent since
  bool connecting : 1 = false;  // a connect is queued or in flight
  bool reading_wanted : 1 = false;
  bool rest_may_wait : 1 = false;
  bool receiving : 1 = false;     // a receive is in flight
  bool leaving_rest : 1 = false;  // of this kind: it ends with less than the mark
  bool behind : 1 = false;        // the last of this kind found the mark reached when it was armed
  bool cancelling_receive : 1 = false;
  bool rearm_queued : 1 = false;
  bool sending : 1 = false;  // a send is in flight
  bool send_queued : 1 = false;
  bool end_seen : 1 = false;   // the peer's FIN
  bool finishing : 1 = false;  // finish() was called
  bool finished : 1 = false;   // our FIN is out
  bool closing : 1 = false;    // ends when nothing is in flight
  CloseReason reason = CloseReason::ours;
  SendQueue queue;
  msghdr message{};  // must stay put until the SQE is submitted
  Endpoint peer;     // connecting: where to
};

class LinuxUringEngine final : public UringEngine {
 public:
  explicit LinuxUringEngine(const UringOptions&);
  ~LinuxUringEngine() override;
  LinuxUringEngine(const LinuxUringEngine&) = delete;
  LinuxUringEngine& operator=(const LinuxUringEngine&) = delete;

  std::expected<void, std::string> open(const UringOptions&);

  std::span<EngineEvent> poll(std::span<EngineEvent> events, Instant wake_at) override;
  std::optional<ConnectionId> connect(const Endpoint& peer) override;
  void send(ConnectionId, std::span<const Bytes> slices) override;
  void set_reading(ConnectionId, bool on) override;
  void set_low_water(ConnectionId, uint32_t bytes, Rest rest) override;
  void finish(ConnectionId) override;
  void close(ConnectionId) override;
  bool set_accepting(bool on) override { return acceptor_.set_on(on); }
  void set_gather_max(uint64_t ns) override { gather_.set_max(ns); }
  [[nodiscard]] EngineCounts counts() const override { return {.refused = counters_.refused}; }
  void wake() override;

  [[nodiscard]] std::span<const Endpoint> listeners() const override {
    return acceptor_.endpoints();
  }
  [[nodiscard]] const UringCounters& counters() const override { return counters_; }
  [[nodiscard]] uint64_t memory_bytes() const override { return memory_bytes_; }

 private:
  Connection* find(ConnectionId);
  uint32_t index_of(const Connection& connection) const {
    return static_cast<uint32_t>(&connection - connections_.data());
  }
  io_uring_sqe& next_sqe(Operation, const Connection&);
  EngineEvent& report(EngineEventKind, const Connection&);
  [[nodiscard]] bool room() const { return filled_ < events_.size(); }

  void adopt_thread();
  void end_everything();
  void start_pending(Instant now);
  Ring::Wait choose_wait(Instant now, Instant wake_at) const;
  uint32_t take_completions();
  void take_completion(const io_uring_cqe&);
  void report_closed();

  void admit(int fd, uint16_t listener);
  Connection& take_place(int fd);
  void start_connect(Connection&);
  void cancel_connect(Connection&);
  void on_connect(Connection&, int result);

  void arm_wake();
  void arm_receive(Connection&);
  void queue_rearm(Connection&);
  void cancel_receive(Connection&);
  void on_receive(Connection&, const io_uring_cqe&);
  void on_cancelled(Operation, Connection&, const io_uring_cqe&);
  void choose_acks(Connection&, size_t received_bytes);

  void queue_send(Connection&);
  void start_send(Connection&);
  void cancel_send(Connection&);
  void on_send(Connection&, int result);
  void end_sending(Connection&);

  void begin_close(Connection&, CloseReason);
  void close_when_idle(Connection&);

  bool ran_dry_ = false;  // a receive found no slab in the last turn: its bytes wait in the socket
  uint32_t turn_ = 0;     // counts the enters that wait
  Ring ring_;
  ReceiveSlabs slabs_;
  Gather gather_;
  SocketOptions socket_options_;
  bool lazy_acks_;
  Acceptor acceptor_;
  std::vector<Connection> connections_;
  SendBlockPool blocks_;
  IndexQueue
      free_;  // connection places nobody uses; first in first out, so that generations age evenly
  IndexQueue rearms_;                             // receives to start
  IndexQueue sends_;                              // sends to start
  IndexQueue acks_;                               // connections that may owe an ACK
  IndexQueue connects_;                           // connects to start
  std::vector<SocketAddress> connect_addresses_;  // of the connects in this enter
  IndexQueue closed_;                             // ended, to be reported
  int wake_fd_ = -1;
  bool woken_ = false;
  std::span<EngineEvent> events_;  // of the poll() that runs
  size_t filled_ = 0;
  UringCounters counters_;
  uint64_t memory_bytes_ = 0;
};

// A subscriber has one block in its queue most of the time, a publisher none.
LinuxUringEngine::LinuxUringEngine(const UringOptions& options)
    : socket_options_{options.peer_silent_ms_max, options.congestion_control,
                      options.reset_connecting},
      lazy_acks_(options.lazy_acks),
      acceptor_(ring_, socket_options_),
      connections_(options.connections_max),
      blocks_(options.connections_max + 64),
      free_(options.connections_max),
      rearms_(options.connections_max),
      sends_(options.connections_max),
      acks_(options.connections_max),
      connects_(options.connections_max),
      closed_(options.connections_max) {
  for (uint32_t i = 0; i < options.connections_max; ++i) free_.push(i);
  gather_.set_max(options.wait_us_max * ns_per_us);
}

LinuxUringEngine::~LinuxUringEngine() {
  // The kernel must be done with the caller's bytes and with our slabs before they go. When another
  // thread owned the ring and has ended, its end cancelled everything.
  if (ring_.adopted() && ring_.owned_by_this_thread()) end_everything();
  for (Connection& connection : connections_) {
    if (connection.fd >= 0) ::close(connection.fd);
  }
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

std::expected<void, std::string> LinuxUringEngine::open(const UringOptions& options) {
  // A connection can have a receive, a send and a cancel complete in one tick; what does not fit
  // waits in the kernel.
  const uint32_t cqes = std::clamp(std::bit_ceil(options.connections_max * 2), 4096U, 65536U);
  if (auto opened = ring_.open(sqes_max, cqes); !opened) return opened;
  if (auto opened = slabs_.open(ring_, options.receive_slabs, options.receive_slab_bytes,
                                options.incremental_slabs);
      !opened) {
    return opened;
  }
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return std::unexpected(std::string("eventfd: ") + std::strerror(errno));
  if (auto opened = acceptor_.open(options.listeners); !opened) return opened;
  memory_bytes_ = slabs_.memory_bytes() + ring_.memory_bytes() + cqes * sizeof(io_uring_cqe) +
                  uint64_t{options.connections_max} * (sizeof(Connection) + 6 * sizeof(uint32_t)) +
                  uint64_t{options.connections_max + 64} * sizeof(SendBlock);
  return {};
}

Connection* LinuxUringEngine::find(ConnectionId id) {
  if (id.index >= connections_.size()) return nullptr;
  Connection& connection = connections_[id.index];
  return connection.in_use && connection.generation == id.generation ? &connection : nullptr;
}

io_uring_sqe& LinuxUringEngine::next_sqe(Operation operation, const Connection& connection) {
  io_uring_sqe& sqe = ring_.next_sqe();
  sqe.user_data = user_data_of(operation, index_of(connection), connection.generation);
  return sqe;
}

EngineEvent& LinuxUringEngine::report(EngineEventKind kind, const Connection& connection) {
  EngineEvent& event = events_[filled_++];
  event = {};
  event.kind = kind;
  event.id = {index_of(connection), connection.generation};
  return event;
}

void LinuxUringEngine::adopt_thread() {
  ring_.adopt_by_this_thread();
  arm_wake();
}

void LinuxUringEngine::end_everything() {
  set_accepting(false);
  for (Connection& connection : connections_) {
    if (connection.in_use) begin_close(connection, CloseReason::ours);
  }
  EngineEvent scratch[64];
  const Instant give_up_at = monotonic_now().after_ms(1000);
  while ((free_.size() < connections_.size() || !acceptor_.settled()) &&
         monotonic_now() < give_up_at) {
    poll(scratch, monotonic_now().after_ms(1));
  }
}

std::span<EngineEvent> LinuxUringEngine::poll(std::span<EngineEvent> events, Instant wake_at) {
  PENSTOCK_ASSERT(!events.empty());
  if (!ring_.adopted()) adopt_thread();
  slabs_.release_shown();  // before receives are armed again: some found no slab
  events_ = events;
  filled_ = 0;
  Instant now = monotonic_now();
  do {
    ++turn_;
    start_pending(now);
    report_closed();
    const Ring::Wait wait = choose_wait(now, wake_at);
    ran_dry_ = false;
    if (wait.completions > 1) ++counters_.gathered;
    ring_.enter(wait);
    uint32_t taken = take_completions();
    for (uint32_t last = taken; last >= completions_per_enter && room();) {
      ring_.enter({});
      last = take_completions();
      taken += last;
    }
    now = monotonic_now();
    gather_.count(taken, now);
    report_closed();
  } while (filled_ == 0 && !woken_ && now < wake_at);
  woken_ = false;
  counters_.enters = ring_.enters();
  counters_.accept_pauses = acceptor_.pauses();
  counters_.send_blocks_grown = blocks_.grown();
  return events.first(filled_);
}

void LinuxUringEngine::start_pending(Instant now) {
  if (!acceptor_.settled()) acceptor_.maintain(now);
  for (uint32_t left = std::min(rearms_.size(), rearms_per_enter_max); left > 0; --left) {
    Connection& connection = connections_[rearms_.pop()];
    connection.rearm_queued = false;
    if (connection.in_use && !connection.closing && connection.reading_wanted &&
        !connection.receiving && !connection.end_seen) {
      arm_receive(connection);
    }
  }
  connect_addresses_.clear();
  for (uint32_t left = std::min(connects_.size(), connects_per_enter_max); left > 0; --left) {
    start_connect(connections_[connects_.pop()]);
  }
  for (uint32_t left = std::min(sends_.size(), sends_per_enter_max); left > 0; --left) {
    Connection& connection = connections_[sends_.pop()];
    connection.send_queued = false;
    if (connection.in_use && !connection.closing && !connection.sending &&
        !connection.queue.empty()) {
      start_send(connection);
    }
  }
  while (!acks_.empty()) {
    Connection& connection = connections_[acks_.pop()];
    const bool owed = connection.ack_owed;
    connection.ack_owed = false;
    if (!owed || !connection.in_use || connection.closing) continue;
    const int on = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
  }
}

Ring::Wait LinuxUringEngine::choose_wait(Instant now, Instant wake_at) const {
  const bool work_left = filled_ > 0 || woken_ || !closed_.empty() || !sends_.empty() ||
                         !connects_.empty() || !rearms_.empty() || ran_dry_ ||
                         ring_.completions_ready() > 0;
  if (work_left || now >= wake_at) return {};
  const Instant until = std::min(wake_at, acceptor_.retry_at(now));
  return gather_.choose(std::min(until.since(now), wait_ns_max), events_.size(),
                        ring_.has_min_wait());
}

uint32_t LinuxUringEngine::take_completions() {
  const uint32_t ready = ring_.completions_ready();
  uint32_t taken = 0;
  // One completion is one event at most, so that what does not fit simply stays in the ring.
  for (; taken < ready && room(); ++taken) {
    const io_uring_cqe completion = ring_.front_completion();
    ring_.pop_completion();
    take_completion(completion);
  }
  return taken;
}

void LinuxUringEngine::take_completion(const io_uring_cqe& completion) {
  const Operation operation = operation_of(completion.user_data);
  const uint32_t index = engine::index_of(completion.user_data);
  switch (operation) {
    case Operation::wake:
      woken_ = true;
      if ((completion.flags & IORING_CQE_F_MORE) == 0) arm_wake();
      return;
    case Operation::accept:
      if (const int fd = acceptor_.on_accept(index, completion); fd >= 0) {
        admit(fd, static_cast<uint16_t>(index));
      }
      return;
    case Operation::cancel_accept:
      return acceptor_.on_cancelled(index);
    case Operation::receive:
      return on_receive(connections_[index], completion);
    case Operation::send:
      return on_send(connections_[index], completion.res);
    case Operation::connect:
      return on_connect(connections_[index], completion.res);
    case Operation::cancel_connect:
    case Operation::cancel_receive:
    case Operation::cancel_send:
      return on_cancelled(operation, connections_[index], completion);
  }
  PENSTOCK_ASSERT(false);
}

void LinuxUringEngine::report_closed() {
  while (!closed_.empty() && room()) {
    Connection& connection = connections_[closed_.pop()];
    report(EngineEventKind::closed, connection).reason = connection.reason;
    connection.in_use = false;
    ++connection.generation;
    free_.push(index_of(connection));
  }
}

// Accepting
// ---------------------------------------------------------------------------------------------------------

void LinuxUringEngine::admit(int fd, uint16_t listener) {
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (free_.empty()) {
    // A reset sends the peer elsewhere at once, and leaves nothing in TIME_WAIT here.
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
    ++counters_.refused;
    return;
  }
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &length) != 0) {
    ::close(fd);  // reset before we saw it
    return;
  }
  Connection& connection = take_place(fd);
  EngineEvent& accepted = report(EngineEventKind::accepted, connection);
  accepted.peer = to_endpoint(peer);
  accepted.listener = listener;
  arm_receive(connection);
}

Connection& LinuxUringEngine::take_place(int fd) {
  Connection& connection = connections_[free_.pop()];
  const uint32_t generation = connection.generation;
  const bool in_acks = connection.ack_owed;
  const bool in_sends = connection.send_queued;
  const bool in_rearms = connection.rearm_queued;
  connection = {};
  connection.generation = generation;
  // The place may be in these queues still, and must not be put there twice.
  connection.ack_owed = in_acks;
  connection.send_queued = in_sends;
  connection.rearm_queued = in_rearms;
  connection.fd = fd;
  connection.in_use = true;
  connection.reading_wanted = true;
  return connection;
}

// Connecting
// ---------------------------------------------------------------------------------------------------------

std::optional<ConnectionId> LinuxUringEngine::connect(const Endpoint& peer) {
  if (free_.empty()) return std::nullopt;
  const int fd = open_connecting_socket(peer, socket_options_);
  if (fd < 0) return std::nullopt;
  Connection& connection = take_place(fd);
  connection.connecting = true;
  connection.peer = peer;
  connect_addresses_.reserve(connects_per_enter_max);  // never moves: the kernel reads from it
  connects_.push(index_of(connection));
  return ConnectionId{index_of(connection), connection.generation};
}

void LinuxUringEngine::cancel_connect(Connection& connection) {
  io_uring_sqe& sqe = next_sqe(Operation::cancel_connect, connection);
  io_uring_prep_cancel64(
      &sqe, user_data_of(Operation::connect, index_of(connection), connection.generation), 0);
}

void LinuxUringEngine::start_connect(Connection& connection) {
  if (connection.closing) {  // before it began
    connection.connecting = false;
    return close_when_idle(connection);
  }
  const SocketAddress& address =
      connect_addresses_.emplace_back(to_socket_address(connection.peer));
  io_uring_sqe& sqe = next_sqe(Operation::connect, connection);
  io_uring_prep_connect(&sqe, connection.fd, address.get(), address.length);
}

void LinuxUringEngine::on_connect(Connection& connection, int result) {
  PENSTOCK_ASSERT(connection.in_use && connection.connecting);
  connection.connecting = false;
  if (connection.closing) return close_when_idle(connection);
  if (result < 0) return begin_close(connection, reason_of(-result));
  report(EngineEventKind::connected, connection).peer = connection.peer;
  if (connection.reading_wanted) arm_receive(connection);
  queue_send(connection);
  if (connection.finishing) end_sending(connection);
}

// Waking
// ------------------------------------------------------------------------------------------------------------

void LinuxUringEngine::arm_wake() {
  io_uring_sqe& sqe = ring_.next_sqe();
  // A multishot poll fires on every write, so that nobody has to read the counter: it takes 2^64
  // wakes to fill.
  io_uring_prep_poll_multishot(&sqe, wake_fd_, POLLIN);
  sqe.user_data = user_data_of(Operation::wake, 0);
}

void LinuxUringEngine::wake() {
  const uint64_t one = 1;
  const ssize_t written = write(wake_fd_, &one, sizeof one);
  PENSTOCK_ASSERT(written == sizeof one);
}

// Receiving
// ---------------------------------------------------------------------------------------------------------

void LinuxUringEngine::arm_receive(Connection& connection) {
  io_uring_sqe& sqe = next_sqe(Operation::receive, connection);
  connection.leaving_rest = connection.rest_may_wait;
  if (connection.leaving_rest) {
    // When a read empties a socket that got several small segments, the kernel sends an ACK from
    // within it. One byte that stays leaves that to the timer of delayed ACKs (40 ms), which runs
    // where packets come in. It waits first, because the mark is for waits alone. Who sends faster
    // than a mark per turn is read as far as a slab goes: its marks would else be its bandwidth.
    const uint32_t length = connection.behind ? 0 : connection.low_water_bytes - 1;
    io_uring_prep_recv(&sqe, connection.fd, nullptr, length, 0);
    sqe.ioprio |= IORING_RECVSEND_POLL_FIRST;
    connection.receive_armed_in = turn_;
  } else {
    io_uring_prep_recv_multishot(&sqe, connection.fd, nullptr, 0, 0);
  }
  sqe.flags |= IOSQE_BUFFER_SELECT;
  sqe.buf_group = ReceiveSlabs::group;
  connection.receiving = true;
  connection.cancelling_receive = false;
}

void LinuxUringEngine::queue_rearm(Connection& connection) {
  if (connection.rearm_queued) return;
  connection.rearm_queued = true;
  rearms_.push(index_of(connection));
}

void LinuxUringEngine::cancel_receive(Connection& connection) {
  if (!connection.receiving || connection.cancelling_receive) return;
  connection.cancelling_receive = true;
  io_uring_sqe& sqe = next_sqe(Operation::cancel_receive, connection);
  io_uring_prep_cancel64(
      &sqe, user_data_of(Operation::receive, index_of(connection), connection.generation), 0);
}

void LinuxUringEngine::set_reading(ConnectionId id, bool on) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing) return;
  connection->reading_wanted = on;
  if (connection->connecting) return;
  if (!on) {
    cancel_receive(*connection);
  } else if (!connection->receiving && !connection->end_seen) {
    queue_rearm(*connection);
  }
}

void LinuxUringEngine::set_low_water(ConnectionId id, uint32_t bytes, Rest rest) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing) return;
  bytes = std::max(bytes, 1U);
  connection->rest_may_wait = rest == Rest::may_wait && bytes > 1;
  // A receive that leaves a rest ends with what it brings, one that does not goes on.
  if (connection->rest_may_wait && !connection->leaving_rest) cancel_receive(*connection);
  if (bytes == connection->low_water_bytes) return;
  connection->low_water_bytes = bytes;
  // The kernel looks at what is there when the mark changes, and wakes the receive if it is enough
  // now.
  const int value = static_cast<int>(std::min<uint32_t>(bytes, INT32_MAX));
  setsockopt(connection->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value);
}

void LinuxUringEngine::on_receive(Connection& connection, const io_uring_cqe& completion) {
  PENSTOCK_ASSERT(connection.in_use && connection.receiving);
  const int result = completion.res;
  const bool has_buffer = (completion.flags & IORING_CQE_F_BUFFER) != 0;
  const Bytes bytes = has_buffer ? slabs_.take(completion) : Bytes{};
  const bool shown = !connection.closing && !bytes.empty();
  if (has_buffer && !shown) slabs_.release(completion);
  if ((completion.flags & IORING_CQE_F_MORE) == 0) {
    connection.receiving = false;
    connection.cancelling_receive = false;
    connection.behind =
        connection.leaving_rest && !bytes.empty() && connection.receive_armed_in == turn_;
  }
  if (connection.closing) return close_when_idle(connection);
  if (shown) {
    choose_acks(connection, bytes.size());
    slabs_.mark_shown(completion);
    report(EngineEventKind::received, connection).bytes = bytes;
  } else if (result == 0) {
    connection.end_seen = true;
    report(EngineEventKind::ended, connection);
    if (connection.finished) begin_close(connection, CloseReason::ours);
    return;
  } else if (result == -ENOBUFS) {
    ++counters_.receive_memory_dry;
    ran_dry_ = true;
  } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    return begin_close(connection, reason_of(-result));
  }
  if (!connection.receiving && connection.reading_wanted) queue_rearm(connection);
}

void LinuxUringEngine::choose_acks(Connection& connection, size_t received_bytes) {
  if (!lazy_acks_) return;
  if (received_bytes < connection.setup_bytes_left) {
    connection.setup_bytes_left -= static_cast<uint32_t>(received_bytes);
    if (!connection.ack_owed) acks_.push(index_of(connection));
    connection.ack_owed = true;
    return;
  }
  connection.setup_bytes_left = 0;
  if (connection.receives_until_lazy_ack-- > 0) return;
  connection.receives_until_lazy_ack = receives_per_lazy_ack;
  const int off = 0;
  setsockopt(connection.fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

void LinuxUringEngine::on_cancelled(Operation operation, Connection& connection,
                                    const io_uring_cqe& completion) {
  const uint64_t current = user_data_of(operation, index_of(connection), connection.generation);
  if (completion.user_data != current || !connection.in_use || completion.res >= 0) return;
  // Not found: either it has ended meanwhile, or it was just between two shots. Then it must be
  // tried again, or a close() would never be over.
  if (operation == Operation::cancel_receive) {
    connection.cancelling_receive = false;
    const bool other_kind = connection.rest_may_wait && !connection.leaving_rest;
    if (connection.closing || !connection.reading_wanted || other_kind) cancel_receive(connection);
  } else if (operation == Operation::cancel_connect) {
    if (connection.connecting) cancel_connect(connection);
  } else if (connection.sending) {
    cancel_send(connection);
  }
}

// Sending
// -----------------------------------------------------------------------------------------------------------

void LinuxUringEngine::send(ConnectionId id, std::span<const Bytes> slices) {
  PENSTOCK_ASSERT(slices.size() <= send_slices_max);
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing) return;
  PENSTOCK_ASSERT(!connection->finishing);
  for (const Bytes slice : slices) {
    if (!slice.empty()) connection->queue.push(blocks_, slice);
  }
  queue_send(*connection);
}

void LinuxUringEngine::queue_send(Connection& connection) {
  if (connection.send_queued || connection.sending || connection.connecting ||
      connection.queue.empty()) {
    return;
  }
  connection.send_queued = true;
  sends_.push(index_of(connection));
}

void LinuxUringEngine::start_send(Connection& connection) {
  SendBlock& block = *connection.queue.head;
  io_uring_sqe& sqe = next_sqe(Operation::send, connection);
  const uint32_t count = block.end - block.first;
  // Without MSG_WAITALL a full socket ends the operation with what went out: progress is seen while
  // a slow peer takes it.
  if (count == 1) {
    const iovec& slice = block.slices[block.first];
    io_uring_prep_send(&sqe, connection.fd, slice.iov_base, slice.iov_len, MSG_NOSIGNAL);
  } else {
    connection.message = {};
    connection.message.msg_iov = &block.slices[block.first];
    connection.message.msg_iovlen = count;
    io_uring_prep_sendmsg(&sqe, connection.fd, &connection.message, MSG_NOSIGNAL);
  }
  connection.sending = true;
  connection.ack_owed = false;
}

void LinuxUringEngine::cancel_send(Connection& connection) {
  io_uring_sqe& sqe = next_sqe(Operation::cancel_send, connection);
  io_uring_prep_cancel64(
      &sqe, user_data_of(Operation::send, index_of(connection), connection.generation), 0);
}

void LinuxUringEngine::on_send(Connection& connection, int result) {
  PENSTOCK_ASSERT(connection.in_use && connection.sending);
  connection.sending = false;
  if (connection.closing) return close_when_idle(connection);
  if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ENOBUFS) {
    return begin_close(connection, reason_of(-result));
  }
  if (result > 0) {
    connection.queue.consume(blocks_, static_cast<size_t>(result));
    report(EngineEventKind::sent, connection).sent_bytes = static_cast<uint32_t>(result);
  }
  queue_send(connection);
  if (connection.finishing) end_sending(connection);
}

void LinuxUringEngine::finish(ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing || connection->finishing) return;
  connection->finishing = true;
  end_sending(*connection);
}

void LinuxUringEngine::end_sending(Connection& connection) {
  if (connection.sending || connection.connecting || !connection.queue.empty()) return;
  // A plain call: io_uring's SHUTDOWN always goes through a kernel thread.
  if (shutdown(connection.fd, SHUT_WR) != 0) return begin_close(connection, CloseReason::reset);
  connection.finished = true;
  if (connection.end_seen) begin_close(connection, CloseReason::ours);
}

// Closing
// -----------------------------------------------------------------------------------------------------------

void LinuxUringEngine::close(ConnectionId id) {
  Connection* connection = find(id);
  if (connection == nullptr || connection->closing) return;
  begin_close(*connection, CloseReason::ours);
}

void LinuxUringEngine::begin_close(Connection& connection, CloseReason reason) {
  if (connection.closing) return;
  connection.closing = true;
  connection.reason = reason;
  cancel_receive(connection);
  if (connection.sending) cancel_send(connection);
  if (connection.connecting) cancel_connect(connection);
  close_when_idle(connection);
}

void LinuxUringEngine::close_when_idle(Connection& connection) {
  if (connection.receiving || connection.sending || connection.connecting) return;
  connection.queue.clear(blocks_);
  ::close(connection.fd);
  connection.fd = -1;
  closed_.push(index_of(connection));
}

}  // namespace

std::expected<std::unique_ptr<UringEngine>, std::string> make_uring_engine(
    const UringOptions& options) {
  if (options.connections_max == 0) return std::unexpected("connections_max must be at least 1");
  auto engine = std::make_unique<LinuxUringEngine>(options);
  if (auto opened = engine->open(options); !opened) {
    return std::unexpected(std::move(opened.error()));
  }
  return engine;
}

}  // namespace penstock::engine

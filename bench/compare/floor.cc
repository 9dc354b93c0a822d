// penstock-floor: what moving the bytes costs when nobody looks at them. A bare io_uring receiver
// and sender, written against liburing alone so that it shares nothing with the engine that it is
// the yardstick for.
//
// A peer sends 8 bytes, 'P' or 'S', three zeros and a stream index (u32, little endian). From then
// on what a 'P' sends goes to every 'S' of that stream as it came, one SEND per received run and
// player, or nowhere when there is none.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

#include "dataplane/engine/uring/uring_compat.h"

namespace {

namespace compat = penstock::engine::compat;

constexpr uint32_t connections_max = 16384;
constexpr uint32_t streams_max = 16384;
constexpr uint32_t hello_bytes_wanted = 8;

// 1.7 s of an encoder's 73 messages per second. A player that lags more is cut off, so that it
// cannot pin all slabs.
constexpr uint32_t runs_max = 128;

// A connection can have a receive and a send complete in one tick.
constexpr uint32_t cqes_max = 2 * connections_max;

struct Options {
  std::string listen = "127.0.0.1:1936";
  uint32_t wait_us = 0;
  uint32_t low_water_bytes = 1;
  bool leave_rest = false;
  bool quick_ack = true;
  uint32_t quick_ack_every = 0;
  uint32_t slab_bytes = 256 * 1024;
  uint32_t slabs = 64;
  // What a gathering wait asks for beyond the sends that it submits, which mostly complete at once.
  uint32_t completions = 256;
  uint32_t sqes = 4096;  // 64 bytes each; a tick that has more enters once more
  int core = -1;
};

enum class Role : uint8_t { unknown, publisher, player };
enum class Operation : uint8_t { accept, receive, send, cancel };

/// Bytes of one receive that a player is still to get. Holds its slab.
struct Run {
  uint32_t slab;
  uint32_t offset;
  uint32_t bytes;
};

/// All zeros is a free place: the array of these is mapped, and only what is used becomes memory.
struct Connection {
  int fd;
  uint32_t stream;
  uint32_t receives;
  uint32_t first_run;
  uint32_t queued_runs;
  Role role;
  uint8_t hello_bytes;
  bool receiving;  // a receive is in flight, or waits for a slab
  bool sending;
  bool closing;
  uint8_t hello[hello_bytes_wanted];
  Run runs[runs_max];
};

struct Slab {
  uint32_t filled_bytes = 0;
  uint32_t held = 0;  // runs in players' queues
  bool full = false;  // the kernel is done with it
};

struct Counters {
  uint64_t enters = 0;
  uint64_t receives = 0;
  uint64_t received_bytes = 0;
  uint64_t sends = 0;
  uint64_t sent_bytes = 0;
  uint64_t slabs_dry = 0;
  uint64_t waits_for_slab = 0;  // players held all of them
  uint64_t players_cut_off = 0;
};

volatile sig_atomic_t stopped = 0;

[[noreturn]] void die(const char* what, int error) {
  std::fprintf(stderr, "penstock-floor: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

template <typename T>
T* map_zeroed(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("no memory", errno);
  return static_cast<T*>(memory);
}

void set_option(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

int open_listener(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
  const unsigned long port =
      colon == text.npos ? 0 : std::strtoul(text.c_str() + colon + 1, nullptr, 10);
  if (port == 0 || port > 65535 ||
      inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    std::fprintf(
        stderr,
        "penstock-floor: --listen %s: an IPv4 address and a port are wanted, as 127.0.0.1:1936\n",
        text.c_str());
    std::exit(2);
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket", errno);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 4096) != 0) {
    die(("cannot listen on " + text).c_str(), errno);
  }
  return fd;
}

class Floor {
 public:
  explicit Floor(const Options&);
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;
  void run();
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  void open_ring();
  void open_slabs();
  io_uring_sqe& next_sqe(Operation, uint32_t index);
  void enter(uint32_t completions, uint32_t wait_us);
  void take(const io_uring_cqe&);

  void accept_more();
  void on_accept(const io_uring_cqe&);
  void arm_receive(uint32_t index);
  bool rearm();
  void on_receive(uint32_t index, const io_uring_cqe&);
  void on_bytes(uint32_t index, Run);
  void greet(uint32_t index);
  void start_send(uint32_t index);
  void on_send(uint32_t index, int result);
  void enqueue(uint32_t player, const Run&);
  void begin_close(uint32_t index);
  void close_when_idle(uint32_t index);

  void give_to_kernel(uint32_t slab);
  void let_go(uint32_t slab);

  const Options options_;
  const int listener_;
  io_uring ring_{};
  io_uring_buf_ring* slab_ring_ = nullptr;
  uint8_t* slab_memory_ = nullptr;
  std::vector<Slab> slabs_;
  uint32_t slabs_with_kernel_ = 0;
  Connection* connections_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> without_slab_;  // receives to start again when a slab has come back
  std::vector<std::vector<uint32_t>> players_;
  uint32_t sends_prepared_ = 0;
  Counters counters_;
};

Floor::Floor(const Options& options)
    : options_(options),
      listener_(open_listener(options.listen)),
      slabs_(options.slabs),
      connections_(map_zeroed<Connection>(connections_max * sizeof(Connection))),
      players_(streams_max) {
  without_slab_.reserve(connections_max);
  free_.reserve(connections_max);
  for (uint32_t index = connections_max; index > 0; --index) free_.push_back(index - 1);
  open_ring();
  open_slabs();
  accept_more();
}

void Floor::open_ring() {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                 IORING_SETUP_CLAMP;
  params.cq_entries = cqes_max;
  if (const int result = io_uring_queue_init_params(options_.sqes, &ring_, &params); result < 0) {
    die("io_uring_setup (Linux 6.12 or newer is needed)", -result);
  }
  if ((params.features & compat::feature_min_wait) == 0) die("io_uring without min_wait", ENOSYS);
  if (io_uring_register_ring_fd(&ring_) != 1) die("io_uring_register_ring_fd", EINVAL);
}

void Floor::open_slabs() {
  const uint64_t bytes = uint64_t{options_.slabs} * options_.slab_bytes;
  slab_memory_ = map_zeroed<uint8_t>(bytes);
  madvise(slab_memory_, bytes, MADV_HUGEPAGE);
  slab_ring_ = map_zeroed<io_uring_buf_ring>(options_.slabs * sizeof(io_uring_buf));
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(slab_ring_);
  registration.ring_entries = options_.slabs;
  registration.pad = compat::buffer_ring_incremental;
  if (const int result = io_uring_register_buf_ring(&ring_, &registration, 0); result < 0) {
    die("incrementally consumed buffer ring (Linux 6.12 or newer is needed)", -result);
  }
  io_uring_buf_ring_init(slab_ring_);
  for (uint32_t slab = 0; slab < options_.slabs; ++slab) give_to_kernel(slab);
}

io_uring_sqe& Floor::next_sqe(Operation operation, uint32_t index) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    enter(0, 0);
    sqe = io_uring_get_sqe(&ring_);
  }
  sqe->user_data = uint64_t{static_cast<uint8_t>(operation)} << 32 | index;
  return *sqe;
}

void Floor::run() {
  while (stopped == 0) {
    // Who was left without a slab has bytes waiting: gathering would cap what all slabs hold per
    // wait, 16 MiB per 30 ms.
    if (rearm()) {
      enter(0, 0);
    } else {
      if (!without_slab_.empty()) ++counters_.waits_for_slab;
      enter(options_.wait_us == 0 ? 1 : options_.completions + sends_prepared_, options_.wait_us);
    }
    sends_prepared_ = 0;
    for (uint32_t left = io_uring_cq_ready(&ring_); left > 0; --left) {
      const io_uring_cqe completion = ring_.cq.cqes[*ring_.cq.khead & ring_.cq.ring_mask];
      io_uring_cq_advance(&ring_, 1);
      take(completion);
    }
  }
}

void Floor::enter(uint32_t completions, uint32_t wait_us) {
  // SIGTERM is blocked outside of this call: it cannot fall between the look at `stopped` and the
  // wait.
  sigset_t signals_while_waiting;
  sigemptyset(&signals_while_waiting);
  compat::EnterArgument argument;
  argument.sigmask = reinterpret_cast<uintptr_t>(&signals_while_waiting);
  argument.sigmask_bytes = _NSIG / 8;
  argument.min_wait_us = wait_us;
  // Without a timeout of its own the wait would end with min_wait, completions or not.
  __kernel_timespec timeout{.tv_sec = 3600, .tv_nsec = 0};
  argument.timeout = reinterpret_cast<uintptr_t>(&timeout);
  ++counters_.enters;
  const int result = io_uring_enter2(
      static_cast<unsigned>(ring_.enter_ring_fd), compat::publish_sqes(ring_), completions,
      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | IORING_ENTER_REGISTERED_RING,
      reinterpret_cast<sigset_t*>(&argument), sizeof argument);
  const bool passing =
      result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
  if (result < 0 && !passing) die("io_uring_enter", -result);
}

void Floor::take(const io_uring_cqe& completion) {
  const auto index = static_cast<uint32_t>(completion.user_data);
  switch (static_cast<Operation>(completion.user_data >> 32)) {
    case Operation::accept:
      return on_accept(completion);
    case Operation::receive:
      return on_receive(index, completion);
    case Operation::send:
      return on_send(index, completion.res);
    case Operation::cancel:
      return;
  }
}

void Floor::accept_more() {
  io_uring_prep_multishot_accept(&next_sqe(Operation::accept, 0), listener_, nullptr, nullptr,
                                 SOCK_CLOEXEC);
}

void Floor::on_accept(const io_uring_cqe& completion) {
  // A yardstick that turns peers away measures nothing: it ends instead.
  if (completion.res < 0 && completion.res != -ECONNABORTED && completion.res != -EINTR) {
    die("accept (ulimit -n?)", -completion.res);
  }
  if ((completion.flags & IORING_CQE_F_MORE) == 0) accept_more();
  if (completion.res < 0) return;
  if (free_.empty()) die("more than 16384 connections", EMFILE);
  const uint32_t index = free_.back();
  free_.pop_back();
  connections_[index].fd = completion.res;
  arm_receive(index);
}

// Receiving
// -----------------------------------------------------------------------------------------------

void Floor::arm_receive(uint32_t index) {
  Connection& connection = connections_[index];
  io_uring_sqe& sqe = next_sqe(Operation::receive, index);
  if (options_.leave_rest && connection.role == Role::publisher) {
    io_uring_prep_recv(&sqe, connection.fd, nullptr, options_.low_water_bytes - 1, 0);
    sqe.ioprio |= IORING_RECVSEND_POLL_FIRST;
  } else {
    io_uring_prep_recv_multishot(&sqe, connection.fd, nullptr, 0, 0);
  }
  sqe.flags |= IOSQE_BUFFER_SELECT;
  sqe.buf_group = 0;
  connection.receiving = true;
}

/// Only when there is a slab, or they would all fail again, and again. True: something was armed.
bool Floor::rearm() {
  if (without_slab_.empty() || slabs_with_kernel_ == 0) return false;
  for (const uint32_t index : without_slab_) arm_receive(index);
  without_slab_.clear();
  return true;
}

void Floor::on_receive(uint32_t index, const io_uring_cqe& completion) {
  Connection& connection = connections_[index];
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const uint32_t slab = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    const uint32_t bytes = completion.res > 0 ? static_cast<uint32_t>(completion.res) : 0;
    const Run run{slab, slabs_[slab].filled_bytes, bytes};
    slabs_[slab].filled_bytes += bytes;
    if ((completion.flags & compat::cqe_buffer_more) == 0) {
      slabs_[slab].full = true;
      --slabs_with_kernel_;
    }
    ++slabs_[slab].held;
    if (bytes > 0 && !connection.closing) on_bytes(index, run);
    let_go(slab);
  }
  if ((completion.flags & IORING_CQE_F_MORE) != 0) return;
  connection.receiving = false;
  if (connection.closing) return close_when_idle(index);
  if (completion.res == -ENOBUFS) {
    ++counters_.slabs_dry;
    connection.receiving = true;
    without_slab_.push_back(index);
  } else if (completion.res > 0 || completion.res == -ECANCELED) {
    arm_receive(index);
  } else {
    begin_close(index);
  }
}

void Floor::on_bytes(uint32_t index, Run run) {
  Connection& connection = connections_[index];
  ++counters_.receives;
  counters_.received_bytes += run.bytes;
  if (connection.role == Role::unknown) {
    const uint32_t part = std::min(run.bytes, hello_bytes_wanted - connection.hello_bytes);
    std::memcpy(connection.hello + connection.hello_bytes,
                slab_memory_ + uint64_t{run.slab} * options_.slab_bytes + run.offset, part);
    connection.hello_bytes = static_cast<uint8_t>(connection.hello_bytes + part);
    if (connection.hello_bytes == hello_bytes_wanted) greet(index);
    run.offset += part;
    run.bytes -= part;
  }
  if (connection.role != Role::publisher || run.bytes == 0) return;
  ++connection.receives;
  if (options_.quick_ack_every > 0 && connection.receives % options_.quick_ack_every == 0) {
    set_option(connection.fd, IPPROTO_TCP, TCP_QUICKACK, 0);
  }
  for (const uint32_t player : players_[connection.stream]) enqueue(player, run);
}

void Floor::greet(uint32_t index) {
  Connection& connection = connections_[index];
  std::memcpy(&connection.stream, connection.hello + 4, sizeof connection.stream);
  if (connection.stream >= streams_max) return begin_close(index);
  if (connection.hello[0] == 'S') {
    connection.role = Role::player;
    players_[connection.stream].push_back(index);
  } else if (connection.hello[0] == 'P') {
    connection.role = Role::publisher;
    if (options_.low_water_bytes > 1) {
      set_option(connection.fd, SOL_SOCKET, SO_RCVLOWAT,
                 static_cast<int>(options_.low_water_bytes));
    }
    // The receive of its first bytes goes on until it is cancelled; the next one is of its kind.
    if (options_.leave_rest && connection.receiving) {
      io_uring_prep_cancel_fd(&next_sqe(Operation::cancel, index), connection.fd, 0);
    }
    if (!options_.quick_ack) set_option(connection.fd, IPPROTO_TCP, TCP_QUICKACK, 0);
  } else {
    begin_close(index);
  }
}

// Sending
// -----------------------------------------------------------------------------------------------

void Floor::enqueue(uint32_t player, const Run& run) {
  Connection& connection = connections_[player];
  if (connection.closing) return;
  if (connection.queued_runs == runs_max) {
    ++counters_.players_cut_off;
    return begin_close(player);
  }
  connection.runs[(connection.first_run + connection.queued_runs) % runs_max] = run;
  ++connection.queued_runs;
  ++slabs_[run.slab].held;
  if (!connection.sending) start_send(player);
}

void Floor::start_send(uint32_t index) {
  Connection& connection = connections_[index];
  const Run& run = connection.runs[connection.first_run];
  io_uring_sqe& sqe = next_sqe(Operation::send, index);
  io_uring_prep_send(&sqe, connection.fd,
                     slab_memory_ + uint64_t{run.slab} * options_.slab_bytes + run.offset,
                     run.bytes, MSG_NOSIGNAL);
  connection.sending = true;
  ++sends_prepared_;
}

void Floor::on_send(uint32_t index, int result) {
  Connection& connection = connections_[index];
  connection.sending = false;
  if (connection.closing) return close_when_idle(index);
  if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ENOBUFS)
    return begin_close(index);
  const uint32_t bytes = result > 0 ? static_cast<uint32_t>(result) : 0;
  ++counters_.sends;
  counters_.sent_bytes += bytes;
  Run& run = connection.runs[connection.first_run];
  run.offset += bytes;
  run.bytes -= bytes;
  if (run.bytes == 0) {
    connection.first_run = (connection.first_run + 1) % runs_max;
    --connection.queued_runs;
    let_go(run.slab);
  }
  if (connection.queued_runs > 0) start_send(index);
}

// Ending
// -----------------------------------------------------------------------------------------------

void Floor::begin_close(uint32_t index) {
  Connection& connection = connections_[index];
  connection.closing = true;
  shutdown(connection.fd, SHUT_RDWR);  // ends what is in flight
  // A receive that waits for a slab is armed once more and then ends by the shutdown.
  close_when_idle(index);
}

void Floor::close_when_idle(uint32_t index) {
  Connection& connection = connections_[index];
  if (connection.receiving || connection.sending) return;
  for (; connection.queued_runs > 0; --connection.queued_runs) {
    let_go(connection.runs[connection.first_run].slab);
    connection.first_run = (connection.first_run + 1) % runs_max;
  }
  if (connection.role == Role::player) std::erase(players_[connection.stream], index);
  close(connection.fd);
  connection = {};
  free_.push_back(index);
}

// Slabs
// -----------------------------------------------------------------------------------------------

void Floor::let_go(uint32_t index) {
  Slab& slab = slabs_[index];
  if (--slab.held == 0 && slab.full) give_to_kernel(index);
}

void Floor::give_to_kernel(uint32_t slab) {
  slabs_[slab] = {};
  io_uring_buf_ring_add(slab_ring_, slab_memory_ + uint64_t{slab} * options_.slab_bytes,
                        options_.slab_bytes, static_cast<uint16_t>(slab),
                        io_uring_buf_ring_mask(options_.slabs), 0);
  io_uring_buf_ring_advance(slab_ring_, 1);
  ++slabs_with_kernel_;
}

void prepare_process(const Options& options) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (options.core >= 0) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<size_t>(options.core), &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) != 0) die("--core", errno);
  }
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  std::string quick_ack = "on";
  CLI::App app{"The floor of bench/compare: receives and forwards bytes, and knows no protocol",
               "penstock-floor"};
  app.add_option("--listen", options.listen, "IPv4 address and port")->capture_default_str();
  app.add_option("--wait-us", options.wait_us, "gather completions for so long; 0: wake for each")
      ->capture_default_str();
  app.add_option("--low-water", options.low_water_bytes, "SO_RCVLOWAT of publishers; 1: none")
      ->check(CLI::Range(1U, 1U << 30))
      ->capture_default_str();
  app.add_flag("--leave-rest", options.leave_rest,
               "read a byte less than the mark each time: emptying a socket costs an ACK");
  app.add_option("--quick-ack", quick_ack,
                 "off: TCP_QUICKACK is cleared when a publisher says hello")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--quick-ack-every", options.quick_ack_every,
                 "and after every so many receives; 0: not again")
      ->capture_default_str();
  app.add_option("--slab-bytes", options.slab_bytes)
      ->check(CLI::Range(4096U, 1U << 24))
      ->capture_default_str();
  app.add_option("--slabs", options.slabs, "a power of two")
      ->check(CLI::Range(1U, 32768U))
      ->capture_default_str();
  app.add_option("--completions", options.completions,
                 "how many end a gathering wait, beside the sends that it submits")
      ->check(CLI::Range(1U, cqes_max / 2))
      ->capture_default_str();
  app.add_option("--sqes", options.sqes, "submitted in one enter at most; a power of two")
      ->check(CLI::Range(1U, 32768U))
      ->capture_default_str();
  app.add_option("--core", options.core, "pin to this core");
  CLI11_PARSE(app, argc, argv);
  if (!std::has_single_bit(options.slabs)) {
    std::fprintf(stderr, "penstock-floor: --slabs %u is not a power of two\n", options.slabs);
    return 2;
  }
  // A receive of 0 bytes would be one of a whole slab.
  if (options.leave_rest && options.low_water_bytes < 2) {
    std::fprintf(stderr, "penstock-floor: --leave-rest: a --low-water of 2 or more is wanted\n");
    return 2;
  }
  options.quick_ack = quick_ack == "on";

  prepare_process(options);
  Floor floor(options);
  floor.run();
  const Counters& counted = floor.counters();
  std::fprintf(stderr,
               "penstock-floor: %lu enters, %lu receives of %lu bytes, %lu sends of %lu bytes, %lu "
               "times no slab, %lu waits for one, %lu players cut off\n",
               counted.enters, counted.receives, counted.received_bytes, counted.sends,
               counted.sent_bytes, counted.slabs_dry, counted.waits_for_slab,
               counted.players_cut_off);
  return 0;
}

#include "dataplane/engine/uring/ring.h"

#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "penstock/base/assert.h"

namespace penstock::engine {
namespace {

std::string kernel_release() {
  utsname name{};
  return uname(&name) == 0 ? name.release : "unknown";
}

std::string setup_failure(int error) {
  switch (error) {
    case ENOSYS:
      return "this kernel (" + kernel_release() +
             ") has no io_uring; Linux 6.1 or newer with CONFIG_IO_URING is needed";
    case EPERM:
    case EACCES:
      return "io_uring is forbidden here; allow it with `sysctl -w kernel.io_uring_disabled=0`, "
             "or in the container's seccomp profile (io_uring_setup, io_uring_enter, "
             "io_uring_register)";
    case EINVAL:
      return "the io_uring of this kernel (" + kernel_release() +
             ") lacks SINGLE_ISSUER or DEFER_TASKRUN; Linux 6.1 or newer is needed";
    case ENOMEM:
      return "no memory for the io_uring; raise the limit on locked memory (`ulimit -l unlimited`, "
             "or LimitMEMLOCK=infinity in the unit)";
    case EMFILE:
    case ENFILE:
      return "no descriptor left for the io_uring; raise the limit (`ulimit -n 65536`, or "
             "LimitNOFILE=65536 in the unit)";
    default:
      return std::string("io_uring_setup: ") + std::strerror(error);
  }
}

}  // namespace

Instant monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return {static_cast<uint64_t>(now.tv_sec) * ns_per_s + static_cast<uint64_t>(now.tv_nsec)};
}

Ring::~Ring() {
  if (open_) io_uring_queue_exit(&ring_);
}

std::expected<void, std::string> Ring::open(uint32_t sqes, uint32_t cqes) {
  io_uring_params params{};
  // R_DISABLED: SINGLE_ISSUER binds the ring to the thread that enables it, which is the worker's
  // and not main's. SUBMIT_ALL: one refused SQE must not hold back those behind it. NO_SQARRAY is
  // left out: liburing 2.3 would take the missing array for the ring header and overwrite it.
  params.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
                 IORING_SETUP_CLAMP;
  params.cq_entries = cqes;
  const int result = io_uring_queue_init_params(sqes, &ring_, &params);
  if (result < 0) return std::unexpected(setup_failure(-result));
  open_ = true;
  const uint32_t needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE;
  if ((params.features & needed) != needed) {
    return std::unexpected(
        "the io_uring of this kernel (" + kernel_release() +
        ") lacks EXT_ARG, NODROP or SUBMIT_STABLE; Linux 6.1 or newer is needed");
  }
  has_min_wait_ = (params.features & compat::feature_min_wait) != 0;
  return {};
}

void Ring::adopt_by_this_thread() {
  PENSTOCK_ASSERT(open_ && owner_ == 0);
  owner_ = gettid();
  // Not io_uring_enable_rings(): the shared liburing 2.3 declares it and does not export it.
  const int enabled = io_uring_register(static_cast<unsigned>(ring_.ring_fd),
                                        IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  PENSTOCK_ASSERT(enabled == 0);
  // Spares the kernel a look-up per enter. Refused when the thread has 16 rings already: then it
  // goes without.
  registered_ = io_uring_register_ring_fd(&ring_) == 1;
}

bool Ring::owned_by_this_thread() const { return owner_ == gettid(); }

namespace {

// 5 s: a host that has no memory for so long serves nobody, and a restart may.
constexpr int submit_attempts_max = 5000;

}  // namespace

io_uring_sqe& Ring::next_sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  for (int attempt = 0; sqe == nullptr && attempt < submit_attempts_max; ++attempt) {
    // The kernel may be short of memory for requests for a moment: what is queued waits with us.
    if (attempt > 0) usleep(1000);
    enter({});
    sqe = io_uring_get_sqe(&ring_);
  }
  PENSTOCK_ASSERT(sqe != nullptr);
  return *sqe;
}

void Ring::enter(const Wait& wait) {
  __kernel_timespec timeout{};
  timeout.tv_sec = static_cast<int64_t>(wait.timeout_ns / ns_per_s);
  timeout.tv_nsec = static_cast<int64_t>(wait.timeout_ns % ns_per_s);
  compat::EnterArgument argument;
  argument.timeout = reinterpret_cast<uintptr_t>(&timeout);
  if (has_min_wait_) argument.min_wait_us = static_cast<uint32_t>(wait.min_wait_ns / ns_per_us);

  uint32_t flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  if (registered_) flags |= IORING_ENTER_REGISTERED_RING;
  ++enters_;
  const int result = io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd),
                                     compat::publish_sqes(ring_), wait.completions, flags,
                                     reinterpret_cast<sigset_t*>(&argument), sizeof argument);
  // Nothing of these is lost: what was not submitted or not waited for is so by the next enter.
  // EBUSY and ENOMEM say that completions wait in the kernel for room in the ring, which this
  // poll() makes.
  PENSTOCK_ASSERT(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
                  result == -EBUSY || result == -ENOMEM);
}

uint64_t Ring::memory_bytes() const {
  return ring_.sq.ring_sz + uint64_t{ring_.sq.ring_entries} * sizeof(io_uring_sqe);
}

}  // namespace penstock::engine

#pragma once

#include <liburing.h>

#include <cstdint>

// What kernels after 6.1 offer and liburing 2.3 does not know. Each has a run-time probe in Ring; a
// newer liburing defines some of these names itself, hence the names of our own.
namespace penstock::engine::compat {

// io_uring_params.features: wait for many completions, but no longer than min_wait unless there are
// none (Linux 6.12).
constexpr uint32_t feature_min_wait = 1U << 15;

// io_uring_buf_reg.flags, which 2.3 calls `pad`: a provided buffer is used up by several receives
// (Linux 6.12).
constexpr uint16_t buffer_ring_incremental = 2;

// io_uring_cqe.flags: more receives will follow into the same buffer.
constexpr uint32_t cqe_buffer_more = 1U << 4;

/// io_uring_getevents_arg with the name that its third field got in Linux 6.12.
struct EnterArgument {
  uint64_t sigmask = 0;
  uint32_t sigmask_bytes = 0;
  uint32_t min_wait_us = 0;
  uint64_t timeout = 0;
};
static_assert(sizeof(EnterArgument) == sizeof(io_uring_getevents_arg));

/// Shows the prepared SQEs to the kernel; returns how many it has not taken yet. liburing does this
/// inside its submit calls and has none that takes a min_wait. The array of indices is the identity
/// since liburing 2.2, so the tail is all there is; a plain store is enough because only SQPOLL
/// rings are read before the enter call.
inline uint32_t publish_sqes(io_uring& ring) {
  io_uring_sq& sq = ring.sq;
  sq.sqe_head = sq.sqe_tail;
  *sq.ktail = sq.sqe_tail;
  return sq.sqe_tail - *sq.khead;
}

}  // namespace penstock::engine::compat

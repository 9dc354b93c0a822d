#include "dataplane/engine/uring/receive_slabs.h"

#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "penstock/base/assert.h"

namespace penstock::engine {
namespace {

uint16_t slab_index(const io_uring_cqe& completion) {
  return static_cast<uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
}

void* map_memory(uint64_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

ReceiveSlabs::~ReceiveSlabs() {
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
  if (ring_ != nullptr) munmap(ring_, ring_bytes_);
}

std::expected<void, std::string> ReceiveSlabs::open(Ring& ring, uint32_t slabs, uint32_t slab_bytes,
                                                    bool incremental) {
  if (!std::has_single_bit(slabs) || slabs > 32768 || slab_bytes < 256) {
    return std::unexpected(
        "receive memory: the number of slabs must be a power of two of at most "
        "32768, and a slab at least 256 bytes");
  }
  slab_bytes_ = slab_bytes;
  memory_bytes_ = uint64_t{slabs} * slab_bytes;
  ring_bytes_ = slabs * sizeof(io_uring_buf);
  memory_ = static_cast<uint8_t*>(map_memory(memory_bytes_));
  ring_ = static_cast<io_uring_buf_ring*>(map_memory(ring_bytes_));
  if (memory_ == nullptr || ring_ == nullptr) {
    return std::unexpected("receive memory: no " + std::to_string(memory_bytes_) +
                           " bytes; lower the receive memory of the workers");
  }
  madvise(memory_, memory_bytes_, MADV_HUGEPAGE);  // fewer TLB misses on the copy; a hint

  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uintptr_t>(ring_);
  registration.ring_entries = slabs;
  registration.bgid = group;
  registration.pad = incremental ? compat::buffer_ring_incremental : 0;
  incremental_ = incremental;
  int result = io_uring_register_buf_ring(&ring.raw(), &registration, 0);
  if (result == -EINVAL && incremental) {  // before Linux 6.12: one receive per slab
    registration.pad = 0;
    incremental_ = false;
    result = io_uring_register_buf_ring(&ring.raw(), &registration, 0);
  }
  if (result < 0) {
    return std::unexpected(std::string("receive memory: the kernel refuses the buffer ring (") +
                           std::strerror(-result) + "); Linux 6.1 or newer is needed");
  }
  io_uring_buf_ring_init(ring_);
  slabs_.resize(slabs);
  shown_.reserve(slabs);
  for (uint32_t i = 0; i < slabs; ++i) give_to_kernel(static_cast<uint16_t>(i));
  return {};
}

Bytes ReceiveSlabs::take(const io_uring_cqe& completion) {
  const uint16_t index = slab_index(completion);
  Slab& slab = slabs_[index];
  const uint32_t bytes = completion.res > 0 ? static_cast<uint32_t>(completion.res) : 0;
  PENSTOCK_ASSERT(!slab.full && bytes <= slab_bytes_ - slab.filled_bytes);
  const Bytes run{memory_ + uint64_t{index} * slab_bytes_ + slab.filled_bytes, bytes};
  slab.filled_bytes += bytes;
  ++slab.held;
  if ((completion.flags & compat::cqe_buffer_more) == 0) slab.full = true;
  return run;
}

void ReceiveSlabs::release(const io_uring_cqe& completion) { let_go(slab_index(completion), 1); }

void ReceiveSlabs::mark_shown(const io_uring_cqe& completion) {
  const uint16_t index = slab_index(completion);
  if (slabs_[index].shown++ == 0) shown_.push_back(index);
}

void ReceiveSlabs::release_shown() {
  for (const uint16_t index : shown_) {
    const uint32_t runs = slabs_[index].shown;
    slabs_[index].shown = 0;
    let_go(index, runs);
  }
  shown_.clear();
}

void ReceiveSlabs::let_go(uint16_t index, uint32_t runs) {
  Slab& slab = slabs_[index];
  PENSTOCK_ASSERT(slab.held >= runs);
  slab.held -= runs;
  if (slab.held == 0 && slab.full) give_to_kernel(index);
}

void ReceiveSlabs::give_to_kernel(uint16_t index) {
  slabs_[index] = {};
  io_uring_buf_ring_add(ring_, memory_ + uint64_t{index} * slab_bytes_, slab_bytes_, index,
                        io_uring_buf_ring_mask(static_cast<uint32_t>(slabs_.size())), 0);
  io_uring_buf_ring_advance(ring_, 1);
}

}  // namespace penstock::engine

#pragma once

#include <rte_mbuf.h>

#include <cstdint>

namespace penstock::engine {

class Transmitter;

/// In the private part of a packet that points at the caller's bytes: who wants to know when the
/// device is done with them. DPDK wants private parts in multiples of 8.
struct alignas(8) SliceUse {
  rte_mbuf_ext_shared_info info;
  Transmitter* transmitter = nullptr;
  uint64_t packet = 0;
};
static_assert(sizeof(SliceUse) % RTE_MBUF_PRIV_ALIGN == 0);

}  // namespace penstock::engine

#include "dataplane/engine/dpdk/transmitter.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "dataplane/engine/dpdk/slice_use.h"
#include "penstock/base/assert.h"

namespace penstock::engine {
namespace {

void let_go(void*, void* opaque) {
  const auto* use = static_cast<const SliceUse*>(opaque);
  use->transmitter->slice_done(use->packet);
}

void append(rte_mbuf& to, Bytes bytes) {
  std::memcpy(rte_pktmbuf_mtod_offset(&to, uint8_t*, to.data_len), bytes.data(), bytes.size());
  to.data_len = static_cast<uint16_t>(to.data_len + bytes.size());
}

void set_checksums(const tcp::PacketOut& packet, rte_mbuf& head) {
  if (!packet.wants_ip_checksum && !packet.wants_tcp_checksum) return;
  const auto ip_bytes = static_cast<uint64_t>(packet.l4_offset - packet.ip_offset);
  head.tx_offload = rte_mbuf_tx_offload(packet.ip_offset, ip_bytes, 0, 0, 0, 0, 0);
  head.ol_flags |= packet.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
  if (packet.wants_ip_checksum) head.ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
  if (packet.wants_tcp_checksum) head.ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
}

}  // namespace

Transmitter::Transmitter(const SendQueueFacts& facts, const PacketPools& pools,
                         EngineCounters& counters)
    : facts_(facts),
      pools_(pools),
      counters_(counters),
      pending_(pools.sizes.in_flight_max),
      mask_(pools.sizes.in_flight_max - 1) {}

Transmitter::~Transmitter() {
  rte_pktmbuf_free_bulk(waiting_.data(), static_cast<unsigned>(waiting_count_));
}

size_t Transmitter::room() const {
  return std::min({burst_packets, waiting_max - waiting_count_,
                   static_cast<size_t>(pending_.size() - (added_ - done_))});
}

bool Transmitter::may_point_at(Bytes slice) const {
  if (!facts_.takes_slices) return false;
  if (!facts_.needs_offered_memory) return true;
  return std::ranges::any_of(offered_, [&](Bytes memory) {
    return slice.data() >= memory.data() &&
           slice.data() + slice.size() <= memory.data() + memory.size();
  });
}

/// A packet without memory that points at `slice`, of the packet that is being added.
rte_mbuf* Transmitter::reference(Bytes slice) {
  rte_mbuf* made = rte_pktmbuf_alloc(pools_.slices);
  if (made == nullptr) return nullptr;
  auto* use = static_cast<SliceUse*>(rte_mbuf_to_priv(made));
  use->info.free_cb = let_go;
  use->info.fcb_opaque = use;
  rte_mbuf_ext_refcnt_set(&use->info, 1);
  use->transmitter = this;
  use->packet = added_;
  // DPDK has no constant bytes; what goes out is only read.
  auto* at = const_cast<uint8_t*>(slice.data());
  rte_pktmbuf_attach_extbuf(made, at, reinterpret_cast<rte_iova_t>(at),
                            static_cast<uint16_t>(slice.size()), &use->info);
  made->data_off = 0;
  made->data_len = static_cast<uint16_t>(slice.size());
  made->pkt_len = made->data_len;
  ++pending_[added_ & mask_];
  ++counters_.slices_by_reference;
  return made;
}

bool Transmitter::append_slices(const tcp::PacketOut& packet, rte_mbuf* head) {
  rte_mbuf* last = head;
  rte_mbuf* copy = nullptr;  // the last one, when it has memory of its own and room
  for (uint8_t i = 0; i < packet.slice_count; ++i) {
    const Bytes slice = packet.slices[i];
    rte_mbuf* next = nullptr;
    if (may_point_at(slice)) {
      next = reference(slice);
      copy = nullptr;
      if (next == nullptr) return false;
    } else {
      ++counters_.slices_copied;
      if (copy == nullptr) {
        next = copy = rte_pktmbuf_alloc(pools_.packets);
        if (next == nullptr) return false;
      }
      if (rte_pktmbuf_tailroom(copy) < slice.size()) {
        if (next != nullptr) rte_pktmbuf_free(next);
        return false;
      }
      append(*copy, slice);
    }
    if (next != nullptr) {
      last->next = next;
      last = next;
      ++head->nb_segs;
    }
  }
  return true;
}

rte_mbuf* Transmitter::build(const tcp::PacketOut& packet) {
  const size_t bytes = packet.bytes();
  const bool small = bytes <= PacketPools::small_bytes_max;
  const bool whole = small || !facts_.takes_slices;
  rte_mbuf* head = rte_pktmbuf_alloc(whole && !small ? pools_.packets : pools_.headers);
  if (head == nullptr) return nullptr;
  append(*head, {packet.header.data(), packet.header_bytes});
  if (whole) {
    if (rte_pktmbuf_tailroom(head) < packet.payload_bytes) {
      rte_pktmbuf_free(head);
      return nullptr;
    }
    for (uint8_t i = 0; i < packet.slice_count; ++i) append(*head, packet.slices[i]);
    counters_.slices_copied += packet.slice_count;
  } else if (!append_slices(packet, head)) {
    rte_pktmbuf_free(head);
    return nullptr;
  }
  head->pkt_len = static_cast<uint32_t>(bytes);
  set_checksums(packet, *head);
  return head;
}

void Transmitter::add(const tcp::PacketOut& packet) {
  PENSTOCK_ASSERT(added_ - done_ < pending_.size());
  rte_mbuf* made = build(packet);
  ++added_;
  if (made == nullptr) {
    ++counters_.no_memory_to_send;  // to the stack, it is lost on the way
    return;
  }
  push(made);
}

void Transmitter::push(rte_mbuf* packet) {
  PENSTOCK_ASSERT(waiting_count_ < waiting_max);
  waiting_[waiting_count_++] = packet;
}

void Transmitter::add_whole(rte_mbuf* packet) {
  if (waiting_count_ + burst_packets >= waiting_max) {
    rte_pktmbuf_free(packet);
    return;
  }
  push(packet);
}

void Transmitter::flush() {
  size_t first = 0;
  while (first < waiting_count_) {
    auto count = static_cast<uint16_t>(std::min(waiting_count_ - first, burst_packets));
    rte_mbuf** burst = waiting_.data() + first;
    if (facts_.fills_checksums) {
      const uint16_t good = rte_eth_tx_prepare(facts_.port, facts_.queue, burst, count);
      if (good == 0) {
        ++counters_.refused_to_send;
        rte_pktmbuf_free(burst[0]);
        ++first;
        continue;
      }
      count = good;
    }
    uint64_t bytes[burst_packets + 1] = {};
    for (uint16_t i = 0; i < count; ++i) bytes[i + 1] = bytes[i] + burst[i]->pkt_len;
    const uint16_t taken = rte_eth_tx_burst(facts_.port, facts_.queue, burst, count);
    first += taken;
    counters_.packets_sent += taken;
    counters_.bytes_sent += bytes[taken];
    if (taken < count) {
      ++counters_.device_full;
      break;
    }
  }
  std::copy(waiting_.begin() + static_cast<ptrdiff_t>(first),
            waiting_.begin() + static_cast<ptrdiff_t>(waiting_count_), waiting_.begin());
  waiting_count_ -= first;
}

void Transmitter::forget_slices() {
  size_t kept = 0;
  for (rte_mbuf* packet : std::span(waiting_).first(waiting_count_)) {
    // What points at slices has more pieces than one. So has what was copied in a second piece
    // because a device may not read its slices where they lie: that goes as well.
    if (packet->nb_segs == 1) {
      waiting_[kept++] = packet;
    } else {
      rte_pktmbuf_free(packet);
    }
  }
  waiting_count_ = kept;
}

void Transmitter::reclaim(Instant now) {
  if (done_ != done_seen_ || done_ == added_) {
    done_seen_ = done_;
    moved_at_ = now;
    return;
  }
  const int freed = rte_eth_tx_done_cleanup(facts_.port, facts_.queue, 0);
  // Such a driver lets go of packets when later ones need their place, or in batches that nothing
  // fills. Those that come now are copied, so that nobody waits for them.
  if (freed <= 0 && now.since(moved_at_) > hoarding_ns && waiting_count_ == 0) {
    facts_.takes_slices = false;
  }
}

uint64_t Transmitter::transmitted() {
  while (done_ != added_ && pending_[done_ & mask_] == 0) ++done_;
  return done_;
}

}  // namespace penstock::engine

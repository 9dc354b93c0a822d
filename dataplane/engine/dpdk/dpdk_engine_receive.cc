#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <bit>

#include "dataplane/engine/dpdk/dpdk_engine.h"

// What comes in: from the device, from the other workers, and from the kernel.
namespace penstock::engine {
namespace {

constexpr uint64_t bit(size_t number) { return uint64_t{1} << number; }

constexpr uint64_t workers_mask = ~(bit(Crossings::ringer_first_worker) - 1);

Bytes bytes_of(const rte_mbuf* packet) {
  return {rte_pktmbuf_mtod(packet, const uint8_t*), packet->data_len};
}

rte_mbuf* packet_of(tcp::PacketToken token) { return reinterpret_cast<rte_mbuf*>(token.value); }

bool has_flag(const rte_mbuf* packet, uint64_t mask, uint64_t wanted) {
  return (packet->ol_flags & mask) == wanted;
}

/// The kernel's devices tell of a VLAN beside the packet; the stack reads it in the packet. False
/// when there is no room for it.
bool restore_tag(rte_mbuf*& packet) {
  if ((packet->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) == 0) return true;
  if (rte_vlan_insert(&packet) != 0) return false;
  packet->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN);
  return true;
}

}  // namespace

size_t DpdkEngine::receive(uint64_t rung) {
  input_count_ = 0;
  size_t taken = take_burst();
  if ((rung & workers_mask) != 0) taken += take_crossings(rung);
  if ((rung & bit(Crossings::ringer_link)) != 0) stack_.announce();
  if ((rung & bit(Crossings::ringer_kernel)) != 0) take_kernel_packets();
  if (input_count_ > 0) {
    stack_.input({input_.data(), input_count_}, now_);
    if (parts_.exceptions != nullptr) offer_exceptions();
  }
  if ((rung & workers_mask) != 0) hear_news(rung);
  if (parts_.crossings->workers() > 1) {
    if (input_count_ > 0) share_news();
    ring_others();
  }
  return taken;
}

size_t DpdkEngine::take_burst() {
  std::array<rte_mbuf*, burst_packets> burst;
  const uint16_t count = rte_eth_rx_burst(parts_.device->port(), parts_.queue, burst.data(),
                                          static_cast<uint16_t>(burst.size()));
  counters_.packets_received += count;
  const bool alone = parts_.crossings->workers() == 1;
  for (uint16_t i = 0; i < count; ++i) {
    counters_.bytes_received += burst[i]->pkt_len;
    if (burst[i]->nb_segs != 1 || !restore_tag(burst[i])) {
      // Its memory fits the largest packet that we let pass, so it is none of those.
      ++counters_.received_in_segments;
      rte_pktmbuf_free(burst[i]);
    } else if (alone || !redirect(burst[i])) {
      take(burst[i]);
    }
  }
  return count;
}

/// To the stack. A packet that says of itself that its checksum is bad is looked at again there,
/// and counted.
void DpdkEngine::take(rte_mbuf* packet) {
  tcp::PacketIn& in = input_[input_count_++];
  in.bytes = bytes_of(packet);
  in.token = {reinterpret_cast<uintptr_t>(packet)};
  in.ip_checksum_good = has_flag(packet, RTE_MBUF_F_RX_IP_CKSUM_MASK, RTE_MBUF_F_RX_IP_CKSUM_GOOD);
  in.l4_checksum_good = has_flag(packet, RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
}

/// True: the packet was another worker's, and has gone there.
bool DpdkEngine::redirect(rte_mbuf* packet) {
  const auto flow = flow_of_packet(bytes_of(packet));
  if (!flow) return false;
  const size_t owner = parts_.steering->owner(*flow);
  if (owner == parts_.id) return false;
  if (trusts_queue_ && !flow->unusual) ++counters_.hash_mismatches;
  if (parts_.crossings->between(parts_.id, owner).packets.push(packet)) {
    ++counters_.packets_redirected;
    rang_ |= bit(owner);
  } else {
    ++counters_.redirections_full;
    rte_pktmbuf_free(packet);
  }
  return true;
}

size_t DpdkEngine::take_crossings(uint64_t rung) {
  size_t taken = 0;
  // From another one each time: with four and more workers that are behind, the first ones would
  // have all the room for themselves.
  const auto first = static_cast<int>(rota_.first_of(rung & workers_mask));
  for (uint64_t left = std::rotr(rung & workers_mask, first); left != 0; left &= left - 1) {
    const auto ringer = static_cast<size_t>(std::countr_zero(left) + first) % Doorbell::ringers_max;
    const size_t from = ringer - Crossings::ringer_first_worker;
    std::array<rte_mbuf*, burst_packets> burst;
    const size_t room = std::min(burst.size(), input_packets - input_count_);
    const uint32_t count =
        parts_.crossings->between(from, parts_.id).packets.pop(std::span(burst).first(room));
    // Rung before what is left was put there, as a rule: it is looked at again unasked.
    if (count == room) unvisited_ |= bit(ringer);
    for (uint32_t i = 0; i < count; ++i) take(burst[i]);
    counters_.packets_adopted += count;
    taken += count;
  }
  return taken;
}

/// Answers of neighbours are among them: the kernel asked some of these questions.
void DpdkEngine::offer_exceptions() {
  for (const tcp::PacketIn& packet : stack_.exceptions()) except(packet_of(packet.token));
}

/// The stack lets go of the packet as of any other, so the exception path has a reference of its
/// own; neither writes.
void DpdkEngine::except(rte_mbuf* packet) {
  rte_mbuf_refcnt_update(packet, 1);
  if (parts_.exceptions->offer(parts_.id, packet, now_)) {
    ++counters_.exceptions_sent;
    return;
  }
  ++counters_.exceptions_limited;
  rte_pktmbuf_free(packet);
}

void DpdkEngine::take_kernel_packets() {
  if (parts_.exceptions == nullptr) return;
  std::array<rte_mbuf*, Transmitter::burst_packets> packets;
  const uint32_t count = parts_.exceptions->from_kernel().pop(packets);
  if (count == packets.size()) unvisited_ |= bit(Crossings::ringer_kernel);
  for (uint32_t i = 0; i < count; ++i) transmitter_.add_whole(packets[i]);
  counters_.exceptions_received += count;
  transmitter_.flush();
}

void DpdkEngine::hear_news(uint64_t rung) {
  for (uint64_t left = rung & workers_mask; left != 0; left &= left - 1) {
    const auto from = static_cast<size_t>(std::countr_zero(left)) - Crossings::ringer_first_worker;
    std::array<tcp::NeighbourNews, 16> news;
    while (const uint32_t count = parts_.crossings->between(from, parts_.id).news.pop(news)) {
      for (uint32_t i = 0; i < count; ++i) stack_.hear_neighbour(news[i], now_);
    }
  }
}

void DpdkEngine::share_news() {
  std::array<tcp::NeighbourNews, 16> room;
  while (true) {
    const auto news = stack_.take_neighbour_news(room);
    for (size_t to = 0; to < engines_.size(); ++to) {
      if (to == parts_.id || news.empty()) continue;
      for (const tcp::NeighbourNews& one : news) {
        // A full ring loses nothing for good: the neighbour is asked for again.
        if (!parts_.crossings->between(parts_.id, to).news.push(one)) break;
      }
      rang_ |= bit(to);
    }
    if (news.size() < room.size()) return;
  }
}

/// One ring per worker and turn, however much it was handed.
void DpdkEngine::ring_others() {
  for (; rang_ != 0; rang_ &= rang_ - 1) {
    const auto other = static_cast<size_t>(std::countr_zero(rang_));
    engines_[other]->ring(Crossings::ringer_first_worker + static_cast<uint32_t>(parts_.id));
  }
}

}  // namespace penstock::engine

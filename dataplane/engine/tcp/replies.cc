#include "dataplane/engine/tcp/replies.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace penstock::engine::tcp {

Replies::Replies(uint32_t block_bytes, StackCounters& counters)
    : block_bytes_(block_bytes),
      counters_(counters),
      ready_(ready_max),
      memory_(std::make_unique<uint8_t[]>(size_t{block_bytes} * blocks)) {
  waiting_.reserve(waiting_max);
}

PacketOut* Replies::add() {
  if (ready_.full()) {
    ++counters_.waiting_dropped;
    forget_kept();
    return nullptr;
  }
  Reply& reply = ready_.push_in_place();
  reply.block = std::exchange(next_block_, blocks);
  return &reply.packet;
}

PacketOut* Replies::add_waiting(NeighbourRef neighbour) {
  const auto same = std::count_if(waiting_.begin(), waiting_.end(), [&](const Waiting& other) {
    return other.neighbour.index == neighbour.index;
  });
  if (waiting_.size() == waiting_max || same >= waiting_max_each) {
    ++counters_.waiting_dropped;
    forget_kept();
    return nullptr;
  }
  Waiting& waiting = waiting_.emplace_back();
  waiting.reply.block = std::exchange(next_block_, blocks);
  waiting.neighbour = neighbour;
  return &waiting.reply.packet;
}

void Replies::settle(Neighbours& neighbours, Instant now) {
  size_t kept = 0;
  for (Waiting& waiting : waiting_) {
    const bool failed = neighbours.failed(waiting.neighbour);
    const MacAddress* mac = failed ? nullptr : neighbours.use(waiting.neighbour, now);
    if (failed || (mac != nullptr && ready_.full())) {
      ++counters_.waiting_dropped;
      give_back(waiting.reply.block);
    } else if (mac == nullptr) {
      waiting_[kept++] = waiting;
    } else {
      std::memcpy(waiting.reply.packet.header.data(), mac->bytes.data(), mac->bytes.size());
      ready_.push(waiting.reply);
    }
  }
  waiting_.resize(kept);
}

Bytes Replies::keep(Bytes data, uint64_t packets_transmitted) {
  if (data.size() > block_bytes_) return {};
  for (uint32_t block = 0; block < blocks; ++block) {
    if (block_packets_[block] > packets_transmitted) continue;
    block_packets_[block] = unsent;
    next_block_ = block;
    uint8_t* at = memory_.get() + size_t{block} * block_bytes_;
    copy_bytes(at, data);
    return {at, data.size()};
  }
  return {};
}

void Replies::forget_kept() { give_back(std::exchange(next_block_, blocks)); }

void Replies::give_back(uint32_t block) {
  if (block != blocks) block_packets_[block] = 0;
}

void Replies::take(PacketOut& packet, uint64_t number) {
  const Reply& reply = ready_.front();
  packet = reply.packet;
  if (reply.block != blocks) block_packets_[reply.block] = number;
  ready_.pop();
}

size_t Replies::memory_bytes() const {
  return ready_.memory_bytes() + waiting_.capacity() * sizeof(Waiting) +
         size_t{block_bytes_} * blocks;
}

}  // namespace penstock::engine::tcp

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"

namespace penstock::engine {

/// Which connection a packet is about: both ends as 16 bytes, IPv4 in the first four.
struct PacketFlow {
  std::array<uint8_t, 16> remote{};
  std::array<uint8_t, 16> local{};
  uint16_t remote_port = 0;
  uint16_t local_port = 0;
  bool ipv6 = false;
  // The device may have hashed less of it than a plain segment: an error that quotes one, or one
  // behind extension headers.
  bool unusual = false;
};

/// Nothing for what is about no connection; a packet may be anything.
[[nodiscard]] std::optional<PacketFlow> flow_of_packet(Bytes packet);

/// Which worker owns a connection. All of its packets must come to that one's stack, whatever queue
/// they arrive in.
class Steering {
 public:
  /// Toeplitz hashing with two bytes repeated: both directions have one hash (Woo and Park 2012).
  static constexpr uint16_t symmetric_key = 0x6d5a;

  Steering(size_t workers, uint64_t secret);

  /// From now on the device's way: queue = table[hash % entries], by symmetric_key. A queue is a
  /// worker.
  void follow_device(std::vector<uint16_t> queues) { queues_ = std::move(queues); }
  [[nodiscard]] bool follows_device() const { return !queues_.empty(); }

  [[nodiscard]] size_t owner(const PacketFlow& flow) const;
  [[nodiscard]] size_t owner(const tcp::Flow& flow) const;

 private:
  size_t workers_;
  std::array<uint64_t, 11> keys_{};
  std::vector<uint16_t> queues_;
};

}  // namespace penstock::engine

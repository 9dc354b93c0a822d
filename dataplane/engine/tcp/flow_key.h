#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/engine/tcp/siphash.h"
#include "dataplane/engine/tcp/types.h"
#include "penstock/base/bytes.h"

namespace penstock::engine::tcp {

/// Which of a stack's own addresses.
enum class LocalAddress : uint8_t { ipv4, ipv6, link_local };

/// A Flow as tables keep it: a remote IPv4 address is IPv4-mapped (RFC 4291: 2.5.5.2), and the own
/// address, of which there are three, is a number. So it is three words, whatever the version.
struct FlowKey {
  uint64_t remote[2] = {};  // the 16 bytes as they lie in memory
  uint16_t remote_port = 0;
  uint16_t local_port = 0;
  LocalAddress local = LocalAddress::ipv4;

  constexpr bool operator==(const FlowKey&) const = default;

  void set_remote_ipv4(const uint8_t* bytes) {
    uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    std::memcpy(mapped + 12, bytes, 4);
    std::memcpy(remote, mapped, 16);
  }
  void set_remote_ipv6(const uint8_t* bytes) { std::memcpy(remote, bytes, 16); }
  [[nodiscard]] bool ipv6() const { return local != LocalAddress::ipv4; }
  /// The remote address as it is in packets: 4 or 16 bytes.
  [[nodiscard]] Bytes remote_bytes() const {
    const auto* bytes = reinterpret_cast<const uint8_t*>(remote);
    return ipv6() ? Bytes{bytes, 16} : Bytes{bytes + 12, 4};
  }
  [[nodiscard]] uint64_t third_word() const {
    return uint64_t{remote_port} << 32 | uint64_t{local_port} << 8 | static_cast<uint64_t>(local);
  }
  [[nodiscard]] IpAddress remote_address() const {
    IpAddress address;
    address.ipv6 = ipv6();
    copy_bytes(address.bytes.data(), remote_bytes());
    return address;
  }
};

inline void set_remote(FlowKey& key, const IpAddress& address) {
  if (address.ipv6) {
    key.set_remote_ipv6(address.bytes.data());
  } else {
    key.set_remote_ipv4(address.bytes.data());
  }
}

/// For buckets: multilinear hashing (Lemire and Kaser 2014, "Strongly universal string hashing is
/// fast"). No two flows collide more often than chance lets them, whoever chooses the flows, as
/// long as hash values stay inside; six multiplications instead of SipHash's 60 rounds' worth of
/// latency, and this runs for every packet.
class FlowHash {
 public:
  explicit FlowHash(const Secret& secret) {
    for (uint8_t i = 0; i < keys_count; ++i) {
      keys_[i] = siphash(secret, Bytes{&i, 1});
    }
  }

  [[nodiscard]] uint32_t of(const FlowKey& key) const {
    uint64_t sum = keys_[0];
    sum += keys_[1] * static_cast<uint32_t>(key.remote[0]);
    sum += keys_[2] * (key.remote[0] >> 32);
    sum += keys_[3] * static_cast<uint32_t>(key.remote[1]);
    sum += keys_[4] * (key.remote[1] >> 32);
    sum += keys_[5] * (uint32_t{key.remote_port} << 16 | key.local_port);
    sum += keys_[6] * static_cast<uint32_t>(key.local);
    return static_cast<uint32_t>(sum >> 32);
  }

 private:
  static constexpr uint8_t keys_count = 7;
  uint64_t keys_[keys_count] = {};
};

}  // namespace penstock::engine::tcp

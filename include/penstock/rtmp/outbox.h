#pragma once

#include <cstdint>
#include <vector>

#include "penstock/base/bytes.h"

namespace penstock::rtmp {

/// Bytes that a session wants sent, in order. Off the hot path: answers, acknowledgements and pings
/// only; media never passes through here.
class Outbox {
 public:
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] Bytes view() const { return bytes_; }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  void append(Bytes more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  /// Room for `count` bytes more, which the caller fills in at once.
  [[nodiscard]] uint8_t* extend(size_t count) {
    // Connect is answered with 400 bytes in six messages: one allocation for all.
    if (bytes_.capacity() == 0 && count < room_bytes) bytes_.reserve(room_bytes);
    bytes_.resize(bytes_.size() + count);
    return bytes_.data() + bytes_.size() - count;
  }
  /// Takes everything; what was taken belongs to the caller.
  [[nodiscard]] std::vector<uint8_t> take() {
    std::vector<uint8_t> taken;
    taken.swap(bytes_);
    return taken;
  }

 private:
  static constexpr size_t room_bytes = 512;

  std::vector<uint8_t> bytes_;
};

}  // namespace penstock::rtmp

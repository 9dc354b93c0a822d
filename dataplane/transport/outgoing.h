#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/bytes.h"

namespace penstock::transport {

/// What a layered connection has with its engine: sealed bytes, and how many bytes of the caller's
/// are in them, so that `sent` means to the caller what it means without a layer.
class Outgoing {
 public:
  /// Bytes that stay put until they are sent.
  Bytes push(std::vector<uint8_t> sealed, uint32_t plain_bytes) {
    Run& run = runs_.emplace_back(Run{std::move(sealed), 0, plain_bytes});
    bytes_ += run.bytes.size();
    return run.bytes;
  }
  [[nodiscard]] bool empty() const { return runs_.empty(); }
  [[nodiscard]] size_t count() const { return runs_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

  /// So many sealed bytes went out; returns how many of the caller's bytes that completes.
  uint32_t sent(uint32_t sealed_bytes) {
    uint32_t plain_bytes = 0;
    bytes_ -= sealed_bytes;
    while (sealed_bytes > 0) {
      PENSTOCK_ASSERT(!runs_.empty());
      Run& run = runs_.front();
      const auto left = static_cast<uint32_t>(run.bytes.size()) - run.sent_bytes;
      if (sealed_bytes < left) {
        run.sent_bytes += sealed_bytes;
        break;
      }
      sealed_bytes -= left;
      plain_bytes += run.plain_bytes;
      runs_.pop_front();
    }
    return plain_bytes;
  }

 private:
  struct Run {
    std::vector<uint8_t> bytes;
    uint32_t sent_bytes = 0;
    uint32_t plain_bytes = 0;
  };
  size_t bytes_ = 0;      // that have not gone out
  std::deque<Run> runs_;  // a deque does not move its elements: the engine reads them
};

}  // namespace penstock::transport

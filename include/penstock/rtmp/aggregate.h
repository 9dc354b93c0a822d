#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"

namespace penstock::rtmp {

// What is around each message in an aggregate: a tag header before it, a back pointer behind it.
constexpr size_t aggregate_header_bytes = 11;
constexpr size_t aggregate_back_pointer_bytes = 4;

/// The aggregate's own timestamp is that of its first message.
[[nodiscard]] std::array<uint8_t, aggregate_header_bytes> aggregate_header(uint8_t message_type,
                                                                           uint32_t message_bytes,
                                                                           uint32_t timestamp);
[[nodiscard]] std::array<uint8_t, aggregate_back_pointer_bytes> aggregate_back_pointer(
    uint32_t message_bytes);

/// A run of the payload of one message inside an aggregate.
struct AggregatePiece {
  uint8_t message_type = 0;
  uint32_t timestamp = 0;
  uint32_t message_bytes = 0;
  uint32_t offset = 0;
  Bytes bytes;
};

/// Takes an aggregate message (type 22; RTMP 1.0, 7.1.6) apart while it arrives: payload is not
/// copied, and nothing is held but a tag header that straddles two runs. The body is FLV tags, each
/// with a back pointer, whose timestamps are moved so that the first has the aggregate's.
class AggregateReader {
 public:
  AggregateReader(uint32_t message_bytes, uint32_t timestamp)
      : left_(message_bytes), timestamp_(timestamp) {}

  /// The next run of the aggregate's payload; it must be used up (next() returned none) before
  /// another is fed.
  void feed(Bytes run) { run_ = run; }
  /// The next piece; none when the run is used up. Faults: aggregate_malformed, once, when a tag is
  /// cut by the end of the aggregate; what is left is then dropped, and no piece of the cut message
  /// has come out.
  std::expected<std::optional<AggregatePiece>, Fault> next();
  /// The type of the message that has begun and is not complete.
  [[nodiscard]] std::optional<uint8_t> unfinished_type() const {
    return step_ == Step::payload && offset_ > 0 ? std::optional(tag_type_) : std::nullopt;
  }

 private:
  enum class Step : uint8_t { header, payload, back_pointer, dropped };

  Bytes take(size_t bytes);
  bool gather(size_t bytes);
  std::expected<void, Fault> read_header();

  Bytes run_;
  uint32_t left_;  // of the aggregate's payload, behind what was taken
  uint32_t timestamp_;
  uint32_t shift_ = 0;
  uint32_t tag_timestamp_ = 0;
  uint32_t tag_bytes_ = 0;
  uint32_t offset_ = 0;
  uint8_t tag_type_ = 0;
  uint8_t held_bytes_ = 0;
  bool shift_known_ = false;
  Step step_ = Step::header;
  std::array<uint8_t, aggregate_header_bytes> held_{};
};

}  // namespace penstock::rtmp

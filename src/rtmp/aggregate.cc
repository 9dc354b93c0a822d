#include "penstock/rtmp/aggregate.h"

#include <algorithm>

namespace penstock::rtmp {

std::array<uint8_t, aggregate_header_bytes> aggregate_header(uint8_t type, uint32_t bytes,
                                                             uint32_t timestamp) {
  std::array<uint8_t, aggregate_header_bytes> header{type};
  store_u24(header.data() + 1, bytes);
  store_u24(header.data() + 4, timestamp & 0xFFFFFF);
  header[7] = static_cast<uint8_t>(timestamp >> 24);
  return header;
}

std::array<uint8_t, aggregate_back_pointer_bytes> aggregate_back_pointer(uint32_t bytes) {
  std::array<uint8_t, aggregate_back_pointer_bytes> pointer{};
  store_u32(pointer.data(), bytes + static_cast<uint32_t>(aggregate_header_bytes));
  return pointer;
}

std::expected<std::optional<AggregatePiece>, Fault> AggregateReader::next() {
  for (;;) {
    switch (step_) {
      case Step::header:
        // An end in front of a header is the end of the aggregate, also without the last back
        // pointer.
        if (left_ == 0 && held_bytes_ == 0) return std::nullopt;
        if (size_t{left_} + held_bytes_ < aggregate_header_bytes) {
          step_ = Step::dropped;
          return std::unexpected(Fault::aggregate_malformed);
        }
        if (!gather(aggregate_header_bytes)) return std::nullopt;
        if (const auto read = read_header(); !read) return std::unexpected(read.error());
        break;
      case Step::payload: {
        if (run_.empty() && tag_bytes_ > 0) return std::nullopt;
        const AggregatePiece piece{.message_type = tag_type_,
                                   .timestamp = tag_timestamp_,
                                   .message_bytes = tag_bytes_,
                                   .offset = offset_,
                                   .bytes = take(tag_bytes_ - offset_)};
        offset_ += static_cast<uint32_t>(piece.bytes.size());
        if (offset_ == tag_bytes_) step_ = Step::back_pointer;
        return piece;
      }
      case Step::back_pointer:
        // Its value is what 11 + size was; some write 0. Nothing depends on it.
        if (left_ + held_bytes_ < aggregate_back_pointer_bytes) {
          step_ = Step::dropped;
          break;
        }
        if (!gather(aggregate_back_pointer_bytes)) return std::nullopt;
        step_ = Step::header;
        break;
      case Step::dropped:
        take(run_.size());
        return std::nullopt;
    }
  }
}

Bytes AggregateReader::take(size_t bytes) {
  const Bytes taken = run_.first(std::min(bytes, run_.size()));
  run_ = run_.subspan(taken.size());
  left_ -= static_cast<uint32_t>(std::min<size_t>(taken.size(), left_));
  return taken;
}

/// Fills held_ up to `bytes`; true when they are there, and held_bytes_ is then 0 again.
bool AggregateReader::gather(size_t bytes) {
  const Bytes more = take(bytes - held_bytes_);
  copy_bytes(held_.data() + held_bytes_, more);
  held_bytes_ = static_cast<uint8_t>(held_bytes_ + more.size());
  if (held_bytes_ < bytes) return false;
  held_bytes_ = 0;
  return true;
}

std::expected<void, Fault> AggregateReader::read_header() {
  tag_type_ = held_[0] & 0x1F;
  tag_bytes_ = load_u24(held_.data() + 1);
  const uint32_t tag_timestamp = load_u24(held_.data() + 4) | uint32_t{held_[7]} << 24;
  if (!shift_known_) {
    shift_ = timestamp_ - tag_timestamp;
    shift_known_ = true;
  }
  tag_timestamp_ = tag_timestamp + shift_;
  offset_ = 0;
  if (tag_bytes_ > left_) {
    step_ = Step::dropped;
    return std::unexpected(Fault::aggregate_malformed);
  }
  step_ = Step::payload;
  return {};
}

}  // namespace penstock::rtmp

#include "penstock/rtmp/chunk_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "penstock/base/assert.h"

namespace penstock::rtmp {
namespace {

constexpr uint32_t timestamp_extended = 0xFFFFFF;
constexpr uint8_t message_header_bytes[] = {11, 7, 3, 0};  // by header type
constexpr uint8_t type3 = 3;

// RTMP 1.0 takes the timestamp of a type 0 header as the delta of a type 3 message right behind it,
// and FMLE relies on that (audio at 26, then type 3). Above this it cannot be the distance of two
// frames.
constexpr uint32_t delta_from_timestamp_max_ms = 10'000;

}  // namespace

std::expected<std::optional<Piece>, Fault> ChunkReader::next() {
  if (chunk_left_ == 0) {
    const auto ready = read_header();
    if (!ready) return std::unexpected(ready.error());
    if (!*ready) return std::nullopt;
    if (chunk_left_ == 0) return take_piece({});
  }
  const Bytes run = take_run();
  if (run.empty()) return std::nullopt;
  return take_piece(run);
}

/// use(run) is called with each run of payload, in order.
template <typename Use>
size_t ChunkReader::use_rest(uint8_t slot, size_t bytes_max, Use use) {
  if (held_bytes_ > 0 || streams_.empty()) return 0;
  ChunkStream& stream = streams_[current_];
  // Without a byte received, next() has yet to tell of this message.
  if (!stream.unfinished || stream.slot != slot || stream.received == 0) return 0;
  const bool plain = stream.id < index_.size() && !stream.has_extended;
  const uint8_t continuation = static_cast<uint8_t>(type3 << 6 | (stream.id & 63));
  const size_t rest = stream.message_bytes - stream.received;
  const size_t wanted = std::min(bytes_max, rest);
  const uint8_t* at = input_.data();
  const uint8_t* const end = at + input_.size();
  size_t taken = 0;
  size_t left = chunk_left_;
  for (;;) {
    const size_t count = std::min({left, wanted - taken, static_cast<size_t>(end - at)});
    use(Bytes(at, count));
    at += count;
    taken += count;
    left -= count;
    if (left > 0 || taken == wanted || at == end) break;
    if (!plain || *at != continuation) break;
    ++at;
    left = std::min<size_t>(chunk_bytes_, rest - taken);
  }
  input_ = {at, end};
  chunk_left_ = static_cast<uint32_t>(left);
  stream.received += static_cast<uint32_t>(taken);
  if (taken == rest) end_message(stream);
  return taken;
}

size_t ChunkReader::take_rest(uint8_t slot, MutableBytes room) {
  uint8_t* to = room.data();
  return use_rest(slot, room.size(), [&to](Bytes run) {
    // The size that most of these chunks have; a length that is known costs no call.
    if (run.size() == chunk_bytes_default) {
      std::memcpy(to, run.data(), chunk_bytes_default);
    } else {
      copy_bytes(to, run);
    }
    to += run.size();
  });
}

size_t ChunkReader::skip_rest(uint8_t slot) {
  return use_rest(slot, message_bytes_limit, [](Bytes) {});
}

std::expected<void, Fault> ChunkReader::set_chunk_size(uint32_t bytes) {
  if (bytes == 0) return std::unexpected(Fault::chunk_size_zero);
  chunk_bytes_ = std::min(bytes, chunk_bytes_max);
  return {};
}

std::optional<uint8_t> ChunkReader::abort(uint32_t chunk_stream_id) {
  // A chunk is never interrupted, so whoever has seen a whole Abort message stands between two
  // chunks.
  PENSTOCK_ASSERT(chunk_left_ == 0);
  ChunkStream* stream = find(chunk_stream_id);
  if (stream == nullptr || !stream->unfinished) return std::nullopt;
  end_message(*stream);
  return stream->slot;
}

ChunkReader::ChunkStream* ChunkReader::find(uint32_t chunk_stream_id) {
  if (chunk_stream_id < index_.size()) {
    const uint8_t index = index_[chunk_stream_id];
    return index == 0 ? nullptr : &streams_[index - 1u];
  }
  // Ids from 64 on are rare (one make of hardware encoder), and there are never more than
  // chunk_streams_max to look at.
  const auto found = std::find_if(streams_.begin(), streams_.end(), [&](const ChunkStream& stream) {
    return stream.id == chunk_stream_id;
  });
  return found == streams_.end() ? nullptr : &*found;
}

std::expected<ChunkReader::ChunkStream*, Fault> ChunkReader::make(uint32_t chunk_stream_id) {
  if (streams_.size() == chunk_streams_max) return std::unexpected(Fault::chunk_streams_exceeded);
  // Four cover every encoder that was seen (control, commands, audio, video), at 40 bytes each.
  if (streams_.empty()) streams_.reserve(4);
  streams_.push_back({.id = chunk_stream_id});
  if (chunk_stream_id < index_.size())
    index_[chunk_stream_id] = static_cast<uint8_t>(streams_.size());
  return &streams_.back();
}

/// Decodes the header at `at`, of which `available` bytes are there. Returns the bytes that have to
/// be there to do so, as far as can be told: when that is more than `available`, `header` is not to
/// be used.
size_t ChunkReader::decode(const uint8_t* at, size_t available, Header& header) {
  if (available == 0) return 1;
  header.type = at[0] >> 6;
  header.chunk_stream_id = at[0] & 63;
  header.message_at = 1;
  if (header.chunk_stream_id < 2) [[unlikely]] {
    header.message_at = header.chunk_stream_id == 0 ? 2 : 3;
    if (available < header.message_at) return header.message_at;
    header.chunk_stream_id = 64u + at[1] + (header.message_at == 3 ? 256u * at[2] : 0);
  }
  header.stream = find(header.chunk_stream_id);
  const size_t bytes = header.message_at + size_t{message_header_bytes[header.type]};
  header.bytes = static_cast<uint8_t>(bytes);
  header.has_extended = false;
  if (header.type != type3) {
    if (available < bytes) return bytes;
    header.time = load_u24(at + header.message_at);
    if (header.time != timestamp_extended) [[likely]]
      return bytes;
    if (available < bytes + 4) return bytes + 4;
    header.time = load_u32(at + bytes);
    header.has_extended = true;
    header.bytes = static_cast<uint8_t>(bytes + 4);
    return bytes + 4;
  }
  if (header.stream == nullptr || !header.stream->has_extended) [[likely]]
    return bytes;
  // The extended timestamp is repeated behind type 3 headers (RTMP 1.0, 5.3.1.3), but librtmp
  // before 2015, OBS before 2024 and several phones leave it out: it is one if it looks like the
  // one before, or like the message's own timestamp, which is what some servers repeat. Four bytes
  // of payload that look so by chance come once in 2^32 chunks.
  if (available < bytes + 4) return bytes + 4;
  const ChunkStream& stream = *header.stream;
  const uint32_t value = load_u32(at + bytes);
  const uint32_t timestamp = stream.unfinished ? stream.timestamp : stream.timestamp + stream.delta;
  if (value == stream.extended || value == timestamp)
    header.bytes = static_cast<uint8_t>(bytes + 4);
  return bytes + 4;
}

/// True when a header was read and its chunk's payload is next; false when it needs more input.
std::expected<bool, Fault> ChunkReader::read_header() {
  if (held_bytes_ > 0) [[unlikely]]
    return read_straddling_header();
  Header header;
  if (decode(input_.data(), input_.size(), header) > input_.size()) {
    copy_bytes(held_.data(), input_);
    held_bytes_ = static_cast<uint8_t>(input_.size());
    input_ = {};
    return false;
  }
  const uint8_t* at = input_.data();
  input_ = input_.subspan(header.bytes);
  if (const auto applied = apply(header, at); !applied) return std::unexpected(applied.error());
  return true;
}

std::expected<bool, Fault> ChunkReader::read_straddling_header() {
  Header header;
  for (;;) {
    const size_t needed = decode(held_.data(), held_bytes_, header);
    if (needed <= held_bytes_) break;
    const size_t count = std::min(needed - held_bytes_, input_.size());
    if (count == 0) return false;
    copy_bytes(held_.data() + held_bytes_, input_.first(count));
    held_bytes_ = static_cast<uint8_t>(held_bytes_ + count);
    input_ = input_.subspan(count);
  }
  if (const auto applied = apply(header, held_.data()); !applied)
    return std::unexpected(applied.error());
  // What was looked at as an extended timestamp and is none stays held: it is payload, or even the
  // next header.
  held_bytes_ = static_cast<uint8_t>(held_bytes_ - header.bytes);
  std::memmove(held_.data(), held_.data() + header.bytes, held_bytes_);
  return true;
}

std::expected<void, Fault> ChunkReader::apply(const Header& header, const uint8_t* at) {
  ChunkStream* stream = header.stream;
  if (stream == nullptr) [[unlikely]] {
    // A type 1 header is enough to go on with: librtmp answers a ping so, on a chunk stream that it
    // has not used before.
    if (header.type > 1) return std::unexpected(Fault::chunk_header_without_base);
    const auto made = make(header.chunk_stream_id);
    if (!made) return std::unexpected(made.error());
    stream = *made;
  }
  current_ = static_cast<uint8_t>(stream - streams_.data());
  if (header.type == type3) {
    if (!stream->unfinished) {
      stream->timestamp += stream->delta;
      if (const auto begun = begin_message(*stream, stream->message_bytes); !begun) return begun;
    }
  } else {
    // Type 0 says everything anew, so it can stand for the message that it interrupts; types 1 and
    // 2 would guess.
    if (stream->unfinished && header.type != 0) return std::unexpected(Fault::chunk_inside_message);
    at += header.message_at;
    if (header.type == 0) {
      stream->timestamp = header.time;
      stream->delta =
          header.time <= delta_from_timestamp_max_ms ? header.time : stream->delta_known;
    } else {
      stream->timestamp += header.time;
      stream->delta = stream->delta_known = header.time;
    }
    stream->has_extended = header.has_extended;
    stream->extended = header.time;
    const uint32_t message_bytes = header.type == 2 ? stream->message_bytes : load_u24(at + 3);
    if (const auto begun = begin_message(*stream, message_bytes); !begun) return begun;
    if (header.type < 2) stream->message_type = at[6];
    if (header.type == 0) stream->message_stream_id = load_u32_le(at + 7);
  }
  chunk_left_ = std::min(chunk_bytes_, stream->message_bytes - stream->received);
  return {};
}

std::expected<void, Fault> ChunkReader::begin_message(ChunkStream& stream, uint32_t message_bytes) {
  stream.replaces = stream.unfinished;
  if (stream.unfinished) end_message(stream);
  if (message_bytes > message_bytes_max_) return std::unexpected(Fault::message_too_large);
  if (free_slots_ == 0 || uint64_t{partial_bytes_} + message_bytes > partial_bytes_max_) {
    return std::unexpected(Fault::partial_messages_exceeded);
  }
  // The lowest free one: a message that replaces another has just freed its own, which must be
  // taken again.
  if (!stream.replaces) stream.slot = static_cast<uint8_t>(std::countr_zero(free_slots_));
  free_slots_ = static_cast<uint8_t>(free_slots_ & ~(1u << stream.slot));
  partial_bytes_ += message_bytes;
  stream.message_bytes = message_bytes;
  stream.received = 0;
  stream.unfinished = true;
  return {};
}

void ChunkReader::end_message(ChunkStream& stream) {
  stream.unfinished = false;
  free_slots_ = static_cast<uint8_t>(free_slots_ | 1u << stream.slot);
  partial_bytes_ -= stream.message_bytes;
}

Bytes ChunkReader::take_run() {
  if (held_bytes_ > 0) [[unlikely]] {
    const size_t count = std::min<size_t>(held_bytes_, chunk_left_);
    PENSTOCK_ASSERT(count <= run_.size());
    std::memcpy(run_.data(), held_.data(), count);
    held_bytes_ = static_cast<uint8_t>(held_bytes_ - count);
    std::memmove(held_.data(), held_.data() + count, held_bytes_);
    return Bytes(run_).first(count);
  }
  const Bytes run = input_.first(std::min<size_t>(input_.size(), chunk_left_));
  input_ = input_.subspan(run.size());
  return run;
}

/// The piece is made where the caller finds it. Copied, it would be read in wider words than it was
/// written in, and such a read waits until the writes have left the core.
std::expected<std::optional<Piece>, Fault> ChunkReader::take_piece(Bytes run) {
  ChunkStream& stream = streams_[current_];
  std::expected<std::optional<Piece>, Fault> taken(std::in_place, std::in_place);
  Piece& piece = **taken;
  piece.chunk_stream_id = stream.id;
  piece.message_stream_id = stream.message_stream_id;
  piece.timestamp = stream.timestamp;
  piece.message_bytes = stream.message_bytes;
  piece.offset = stream.received;
  piece.message_type = stream.message_type;
  piece.replaces = stream.replaces;
  piece.slot = stream.slot;
  piece.bytes = run;
  stream.replaces = false;
  stream.received += static_cast<uint32_t>(run.size());
  chunk_left_ -= static_cast<uint32_t>(run.size());
  if (stream.received == stream.message_bytes) end_message(stream);
  // The next header, far from here and not in the cache: it comes while this piece is worked on.
  __builtin_prefetch(input_.data());
  return taken;
}

}  // namespace penstock::rtmp

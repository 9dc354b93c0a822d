#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <utility>
#include <vector>

#include "penstock/base/bytes.h"
#include "penstock/base/fault.h"
#include "penstock/base/limits.h"

namespace penstock::rtmp {

constexpr uint32_t chunk_bytes_default = 128;  // RTMP 1.0, 5.4.1: each way, until told otherwise
constexpr uint32_t chunk_bytes_max =
    0xFFFFFF;  // no message is longer, so a larger size means the same
constexpr uint32_t message_bytes_limit = 0xFFFFFF;  // what the 24-bit length field can say

/// A run of one message's payload. The pieces of a message come in order and cover it once; those
/// of different messages may interleave, and differ in `slot`. A message without payload is one
/// empty piece.
struct Piece {
  uint32_t chunk_stream_id = 0;
  uint32_t message_stream_id = 0;
  uint32_t timestamp = 0;  // ms, wrapping
  uint32_t message_bytes = 0;
  uint32_t offset = 0;
  uint8_t message_type = 0;
  // First piece only: the unfinished message of this slot was given up for this one. It parts two
  // bytes that would be copied as one word, and were written one by one.
  bool replaces = false;
  uint8_t slot = 0;  // < partial_messages_max
  Bytes bytes;

  [[nodiscard]] bool whole() const { return bytes.size() == message_bytes; }
  [[nodiscard]] bool completes() const { return offset + bytes.size() == message_bytes; }
};

/// Takes the chunk layer (RTMP 1.0, 5.3) off a byte stream: bytes in, pieces of messages out.
///
/// Payload is never copied: a piece lies within the input that was fed. The one exception is up to
/// 4 bytes that were looked at as a possible extended timestamp, turned out to be payload, and came
/// in two inputs; these lie in the reader. Invariant: the pieces do not depend on where the input
/// was cut, save that a cut splits a piece. Set Chunk Size and Abort are the caller's to recognise
/// and to apply before it asks for the next piece.
class ChunkReader {
 public:
  /// `input` must stay valid until next() has returned no piece. Only then may more be fed.
  void feed(Bytes input) { input_ = input; }
  /// The next piece, or none when the input is used up. After a fault nothing more may be asked.
  std::expected<std::optional<Piece>, Fault> next();

  /// More of the message in `slot`, whose piece next() has returned last: as much of its payload as
  /// is in the input, has place in `room` and lies in chunks that follow one another with nothing
  /// between them but type 3 headers of one byte. Returns the bytes taken, which may be 0; next()
  /// goes on behind them. It saves a piece for every 128 bytes, and never says other than next()
  /// would.
  size_t take_rest(uint8_t slot, MutableBytes room);
  /// The same without the payload.
  size_t skip_rest(uint8_t slot);
  [[nodiscard]] bool unfinished(uint8_t slot) const { return (free_slots_ >> slot & 1) == 0; }

  /// Hands back the input that is not used yet, as if it had not been fed.
  [[nodiscard]] Bytes take_unread() { return std::exchange(input_, Bytes{}); }

  /// Sizes above chunk_bytes_max are taken as that. Faults: chunk_size_zero.
  std::expected<void, Fault> set_chunk_size(uint32_t bytes);
  /// Gives up the unfinished message of a chunk stream; returns its slot if there was one. Header
  /// state is kept.
  std::optional<uint8_t> abort(uint32_t chunk_stream_id);

  /// Both in payload bytes, `partial_bytes_max` over all messages that are unfinished at one time,
  /// as declared.
  void set_limits(uint32_t message_bytes_max, uint32_t partial_bytes_max) {
    message_bytes_max_ = message_bytes_max;
    partial_bytes_max_ = partial_bytes_max;
  }

 private:
  /// What the headers of a chunk stream leave out when it is as in the one before.
  struct ChunkStream {
    uint32_t id = 0;
    uint32_t timestamp = 0;
    uint32_t delta = 0;        // that a message with a type 3 header adds
    uint32_t delta_known = 0;  // of the last type 1 or 2 header
    uint32_t message_bytes = 0;
    uint32_t message_stream_id = 0;
    uint32_t extended = 0;  // the field, as it came with the last type 0, 1 or 2 header
    uint32_t received = 0;  // payload of the unfinished message so far
    uint8_t message_type = 0;
    uint8_t slot = 0;
    bool has_extended = false;
    bool unfinished = false;
    bool replaces = false;
  };

  struct Header {
    uint8_t type = 0;
    uint8_t bytes = 0;       // that the header takes
    uint8_t message_at = 0;  // bytes of the basic header
    bool has_extended = false;
    uint32_t chunk_stream_id = 0;
    uint32_t time = 0;  // the time field, or the extended one that stands for it
    ChunkStream* stream = nullptr;
  };

  ChunkStream* find(uint32_t chunk_stream_id);
  std::expected<ChunkStream*, Fault> make(uint32_t chunk_stream_id);
  size_t decode(const uint8_t* at, size_t available, Header& header);
  std::expected<bool, Fault> read_header();
  std::expected<bool, Fault> read_straddling_header();
  std::expected<void, Fault> apply(const Header& header, const uint8_t* at);
  std::expected<void, Fault> begin_message(ChunkStream& stream, uint32_t message_bytes);
  void end_message(ChunkStream& stream);
  template <typename Use>
  size_t use_rest(uint8_t slot, size_t bytes_max, Use use);
  Bytes take_run();
  std::expected<std::optional<Piece>, Fault> take_piece(Bytes run);

  // A header is at most 3 + 11 + 4 bytes.
  static constexpr size_t header_bytes_max = 18;

  Bytes input_;
  uint32_t chunk_bytes_ = chunk_bytes_default;
  uint32_t chunk_left_ = 0;  // payload still to come in the chunk that is being read
  uint32_t message_bytes_max_ = message_bytes_limit;
  uint32_t partial_bytes_max_ = message_bytes_limit;
  uint32_t partial_bytes_ = 0;
  uint8_t current_ = 0;  // index of the chunk stream that is being read
  uint8_t held_bytes_ = 0;
  uint8_t free_slots_ = 0xFF;  // one bit each
  std::vector<ChunkStream> streams_;
  std::array<uint8_t, 64> index_{};  // of chunk streams 2..63 in streams_, plus 1
  // Bytes of a header that is not complete yet, and what was looked at behind it.
  std::array<uint8_t, header_bytes_max> held_{};
  std::array<uint8_t, 4> run_{};  // payload that had to be held

  static_assert(partial_messages_max == 8, "one bit of free_slots_ each");
  static_assert(chunk_streams_max < 256, "indices are a byte");
};

}  // namespace penstock::rtmp

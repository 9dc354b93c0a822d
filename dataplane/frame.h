#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/block_pool.h"
#include "dataplane/mailbox.h"
#include "penstock/rtmp/wire.h"

namespace penstock::dataplane {

/// A message as it is relayed: its wire form, written once by the publisher's worker and the same
/// bytes for every subscriber. Three sorts, by where the bytes live: in a block (media), in memory
/// of its own (answers of a session), or in another worker's block (a stand-in, which gives
/// `leased` back when nobody here needs it any more). Owner: the worker whose FramePool made it.
/// Immutable after it was first queued, but for the count.
///
/// One cache line: 1000 streams with a GOP cache hold 150,000 of these, and each is cold when its
/// turn comes.
struct alignas(64) Frame {
  uint8_t* bytes = nullptr;
  uint32_t length = 0;
  uint32_t timestamp = 0;  // ms, wrapping
  FrameKind kind = FrameKind::control;
  bool key = false;     // video: the stream can be joined here
  bool config = false;  // a decoder cannot do without it: sequence header, metadata
  SideTrack side = SideTrack::no;
  uint16_t config_key = 0;  // with config: a newer one of the same kind and key replaces it; of a
                            // side track: which
  uint16_t lessor = 0;      // worker that owns `leased`
  uint32_t references = 0;
  bool resumes = false;  // with key: something is missing before it, of side tracks too
  Block* block = nullptr;
  Frame* leased = nullptr;
};

/// The payload in the first chunk of a media frame's wire form: all of it, for every configuration
/// record there is.
[[nodiscard]] Bytes first_chunk_body(const Frame& frame);

/// What such a frame adds to the payload of an aggregate message.
[[nodiscard]] uint32_t aggregated_bytes(const Frame& frame);

/// What AMF0 cannot say (rtmp::DataMessage): not for every player.
[[nodiscard]] bool needs_amf3(const Frame& frame);

/// Frames and the memory behind them. Owner: one worker.
class FramePool {
 public:
  explicit FramePool(MutableBytes arena) : blocks_(arena) {}
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  /// Where stand-ins of `lessor` give their frames back.
  void set_return_ring(WorkerId lessor, ReturnRing* ring) { return_rings_[lessor] = ring; }

  [[nodiscard]] BlockPool& blocks() { return blocks_; }

  /// Each has one reference, the caller's. Null when memory is used up.
  /// In a block of which the frame takes over one reference.
  [[nodiscard]] Frame* make_in_block(Block* block, uint8_t* bytes, uint32_t length);
  [[nodiscard]] Frame* make_own(Bytes bytes);
  [[nodiscard]] Frame* make_own_room(uint32_t length);
  /// The same message for a player that plays on another message stream than most.
  [[nodiscard]] Frame* make_copy_for(const Frame& frame, uint32_t message_stream_id);
  /// One message of type 22 with these in it, for a player that wants them so. Each is within one
  /// chunk, and all are of one message stream.
  [[nodiscard]] Frame* make_aggregate(std::span<Frame* const> frames);
  [[nodiscard]] Frame* make_stand_in(const Lease& lease, WorkerId lessor);

  static void add_reference(Frame* frame) { ++frame->references; }
  void release(Frame* frame);
  /// A GOP's worth: neighbours mostly lie in one block, which then is given back in one go.
  void release(std::span<Frame* const> frames);

  /// Frames that are neither free nor given back: 0 when every owner has let go.
  [[nodiscard]] size_t frames_in_use() const { return frames_in_use_; }

 private:
  [[nodiscard]] Frame* take();

  BlockPool blocks_;
  std::array<ReturnRing*, workers_max> return_rings_{};
  std::vector<Frame*> free_;
  std::vector<Block*> frame_blocks_;
  size_t frames_in_use_ = 0;
};

static_assert(sizeof(Frame) == 64);

/// Where a stream writes its frames: one behind the other in a block, so that what a subscriber has
/// queued is mostly one run of bytes, and one send (measured: two frames per send cost 0.6 of one,
/// four 0.4).
class FrameLog {
 public:
  /// A frame with room for the whole wire form when that is at most frame_bytes_at_once, else for a
  /// part of it: grow() adds as payload really arrives, because a peer may declare 16 MB and send
  /// nothing. Null when memory is used up.
  [[nodiscard]] Frame* begin(FramePool& pool, const rtmp::WireHeader& header, uint32_t chunk_bytes);
  /// Makes room up to `length` wire bytes. False when memory is used up; the frame is as before.
  [[nodiscard]] static bool grow(FramePool& pool, Frame* frame, size_t length);
  /// Wire bytes that there is room for before grow() is needed.
  [[nodiscard]] static size_t room(const Frame& frame);
  void clear(FramePool& pool);

  // A message of more than this lies in a block of its own, which has room for what has arrived and
  // is doubled when it grows.
  static constexpr size_t frame_bytes_at_once = 16 * 1024 - block_header_bytes;

 private:
  // References that frames will need are taken from the block at once, so that its header, cold by
  // then, is not touched for every frame.
  Block* block_ = nullptr;
  uint8_t* next_ = nullptr;  // where the next frame goes
  uint32_t room_ = 0;        // bytes from there
  uint32_t references_ = 0;  // of the block, not given to a frame yet
};

}  // namespace penstock::dataplane

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

#include "penstock/base/assert.h"
#include "penstock/base/limits.h"
#include "penstock/base/spsc_ring.h"
#include "penstock/control/layout.h"

// What crosses between two workers: values in rings of one producer and one consumer each, and they
// come back.
namespace penstock::dataplane {

struct Frame;
using WorkerId = uint32_t;

enum class FrameKind : uint8_t { audio, video, data, control };

/// A picture of a track that does not lead its stream (E-RTMP v2, multitrack): nobody joins or goes
/// on there, and to a subscriber it is of use from the first keyframe of its own track on.
enum class SideTrack : uint8_t { no, inter, key };

enum class LeaseKind : uint8_t {
  frame,     // a live frame of stream_id, for every subscriber of the receiver that is live
  snapshot,  // a frame of the past, for the one joining subscriber `token`
  joined,    // the snapshot of `token` is complete: from here on it is live
  started,   // stream_id is now the publisher of the name in `bytes`
  ended,     // stream_id is over; its frames have all been sent
};

/// A frame's reference held by another worker: what the receiver needs is in the lease, so that it
/// never reads the Frame, whose reference count its owner keeps changing. `frame` goes back through
/// the return ring exactly once (null: nothing to give back).
struct Lease {
  LeaseKind kind{};
  FrameKind frame_kind{};
  bool key = false;
  bool config = false;
  uint16_t config_key = 0;
  SideTrack side = SideTrack::no;
  bool resumes = false;
  uint32_t length = 0;
  uint32_t timestamp = 0;
  Frame* frame = nullptr;
  const uint8_t* bytes = nullptr;
  uint64_t stream_id = 0;
  uint64_t token = 0;  // snapshot, joined: the joiner; started: number of the claim
};

enum class MailKind : uint8_t {
  // to the home of a name
  claim,     // stream_id of `from` wants to publish `name`; connection_id asks
  release,   // stream_id no longer publishes `name`
  interest,  // `from` has (on) or no longer has (off) subscribers of `name`
  // from the home
  claim_answer,  // on: granted
  route,         // to the owner of stream_id: worker `worker` wants its frames (on) or not (off)
  // to the owner of a stream
  shed,         // memory of `from` is short: let go of what the most lagging subscriber has queued
  shed_leases,  // `from` can lend few frames more: the same, of the subscribers of its streams
  join,  // token, a new subscriber of `from`, wants the past of stream_id and then to be live
};

struct Mail {
  MailKind kind{};
  bool on = false;
  uint16_t from = 0;
  uint16_t worker = 0;
  uint64_t stream_id = 0;
  uint64_t connection_id = 0;
  uint64_t token = 0;       // join
  uint64_t interested = 0;  // claim_answer: bit per worker with subscribers
  uint64_t claim = 0;       // claim_answer: number of the claim at the name's home
  control::NameText name;
};

using LeaseRing = SpscRing<Lease, sized_at_start>;
using ReturnRing = SpscRing<Frame*, sized_at_start>;
using MailRing = SpscRing<Mail, sized_at_start>;

/// Rings per pair of workers: there are W * W of them, so they get smaller where there are many.
/// As large for 64 workers as for 2, they would take 64 * 64 * 624 KiB = 2.4 GiB, more than the
/// frames do; so it is 360 MiB, 5.6 MiB per worker (tests/sim/mesh_report).
struct RingSizes {
  // A second of 50 streams of 73 messages/s, or a burst of 4096 frames; with more workers, a
  // quarter second of 50 streams from each of them.
  uint32_t leases = 4096;  // 48 B each
  // As many frames as one worker may hold of another: every lease can come back without waiting.
  uint32_t returns = 16'384;  // 8 B each
  // Names move at the rate of publishes and plays, and spread over all homes: 1/W of it for each.
  // What does not fit waits with the sender.
  uint32_t mail = 1024;  // 304 B each
};

[[nodiscard]] constexpr RingSizes ring_sizes(uint32_t workers) {
  const uint32_t leases = workers <= 4 ? 4096 : workers <= 16 ? 2048 : 1024;
  const uint32_t mail = std::clamp(2048 / std::bit_ceil(workers), 32U, 1024U);
  return {.leases = leases, .returns = 4 * leases, .mail = mail};
}

/// One direction between two workers.
struct Link {
  LeaseRing leases;
  ReturnRing returns;  // frames that `to` gives back to `from`: producer is `to`
  MailRing mail;

  explicit Link(const RingSizes& sizes)
      : leases(sizes.leases), returns(sizes.returns), mail(sizes.mail) {}
};

/// All rings between the workers of one process. Made before they start, outlives them, and is
/// itself never changed.
class Mesh {
 public:
  explicit Mesh(uint32_t workers)
      : workers_(workers), sizes_(ring_sizes(workers)), doorbells_(workers), connections_(workers) {
    static_assert(workers_max <= Doorbell::ringers_max);
    PENSTOCK_ASSERT(workers >= 1 && workers <= workers_max);
    for (uint32_t i = 0; i < workers * workers; ++i)
      links_.push_back(std::make_unique<Link>(sizes_));
    for (auto& doorbell : doorbells_) doorbell = std::make_unique<Doorbell>();
    for (auto& cell : connections_) cell = std::make_unique<control::Cell>();
  }

  [[nodiscard]] uint32_t workers() const { return workers_; }
  /// Frames of one worker that another may hold.
  [[nodiscard]] uint32_t leases_out_max() const { return sizes_.returns; }
  /// Of these, what one subscriber may have queued; beyond, it skips to the next keyframe. Bytes do
  /// not bound their number: 16 MiB of a stream of 200 kbit/s, 73 messages/s of 342 B, are 49,000
  /// frames, and all that a pair has are 16,384 with 2 workers, 4096 with 64. A quarter: 56 s of
  /// that stream, or 14 s with 64 workers; and as many as the lease ring has places, so that a past
  /// which fits there fits here.
  [[nodiscard]] uint32_t leases_per_subscriber_max() const { return leases_out_max() / 4; }
  /// From here on the other worker is asked to shed: three who lag at their bound are suffered. The
  /// quarter that is left lasts 280 ms where 50 streams cross between two of 64 workers, and being
  /// asked, shedding and giving back takes a tick each.
  [[nodiscard]] uint32_t leases_shed_at() const { return leases_out_max() / 4 * 3; }
  /// Room in a ring that the past of a joiner leaves to live frames: a quarter.
  [[nodiscard]] uint32_t leases_for_live() const { return sizes_.leases / 4; }
  [[nodiscard]] Link& link(WorkerId from, WorkerId to) const {
    return *links_[from * workers_ + to];
  }
  [[nodiscard]] Doorbell& doorbell(WorkerId worker) const { return *doorbells_[worker]; }
  /// Connections of `worker`, written by it and read by all: the limit is on their sum.
  [[nodiscard]] control::Cell& connections(WorkerId worker) const { return *connections_[worker]; }
  [[nodiscard]] static constexpr size_t bytes(uint32_t workers) {
    const RingSizes sizes = ring_sizes(workers);
    const size_t link = sizeof(Link) + sizes.leases * sizeof(Lease) +
                        sizes.returns * sizeof(Frame*) + sizes.mail * sizeof(Mail);
    return link * workers * workers;
  }

 private:
  uint32_t workers_;
  RingSizes sizes_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<std::unique_ptr<Doorbell>> doorbells_;
  std::vector<std::unique_ptr<control::Cell>> connections_;
};

}  // namespace penstock::dataplane

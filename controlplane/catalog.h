#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/region.h"
#include "controlplane/rows.h"

namespace penstock::controlplane {

/// A mirror of the region's rows, merged to what an operator sees: one stream per name, with what
/// its subscribers on every worker add up to. Only rows that changed since the last look are read.
/// Any thread.
///
/// Every publish that ends is told exactly once: from the report that its worker sends, or, when
/// none comes (the ring was full, the data plane died), from the row as it was last seen.
class Catalog {
 public:
  /// This run is in sight now. When it is another than before, all streams of that one have ended.
  void attach(const Attachment& attachment);

  /// Reads what changed, and the reports of ended streams. Does nothing when the last look is
  /// younger than `age_ms_max`, and nothing for a run that is not the one in sight (a thread may
  /// hold on to one that is gone).
  void refresh(const Attachment& attachment, uint64_t now_ns, uint64_t age_ms_max = 0);

  /// The data plane is out of sight. Its streams are not shown any more, and not yet counted as
  /// ended: the same run may come back within a moment.
  void detach(uint64_t now_ns);

  /// Streams that ended since the last call, oldest first. `now_ns` decides which are not waited
  /// for any longer.
  [[nodiscard]] std::vector<EndedStream> take_ended(uint64_t now_ns, uint64_t now_unix_ms);

  /// Sorted by name.
  [[nodiscard]] std::vector<Stream> streams() const;
  [[nodiscard]] std::optional<Stream> stream(const std::string& name) const;
  /// Worker by worker, in the order of the slots.
  [[nodiscard]] std::vector<Connection> connections() const;
  [[nodiscard]] std::optional<Connection> connection(uint64_t connection_id) const;

  // A report travels with the next look at the ring, 250 ms at most; 2 s leave room for a busy box.
  static constexpr uint64_t report_wait_ns = 2'000'000'000;

 private:
  struct MirroredStream {
    uint32_t sequence = 0;
    bool used = false;
    bool replica = false;
    bool reported = false;  // its end was reported while the row was still there
    Stream row;
  };
  struct MirroredConnection {
    uint32_t sequence = 0;
    bool used = false;
    Connection row;
  };
  struct WorkerMirror {
    std::vector<MirroredStream> streams;
    std::vector<MirroredConnection> connections;
    // Of the worker, when these were last looked at.
    uint64_t stream_writes = 0;
    uint64_t connection_writes = 0;
  };

  /// What is sent for a stream outside of its owner.
  struct Sums {
    uint64_t subscribers = 0;
    uint64_t bytes_sent = 0;
    uint64_t frames_skipped = 0;
  };
  struct Departed {
    Stream stream;
    uint64_t gone_at_ns = 0;
  };

  void end_run(uint64_t now_unix_ms);
  void take_reports(const control::Region& region, uint32_t worker, uint64_t now_unix_ms);
  void refresh_streams(const control::Region& region, uint32_t worker, uint64_t now_ns);
  void refresh_connections(const control::Region& region, uint32_t worker);
  void leave(const MirroredStream& gone, uint64_t now_ns);
  void end(Stream stream, std::string reason, uint64_t now_unix_ms);
  [[nodiscard]] MirroredStream* find_publisher(uint64_t stream_id);
  [[nodiscard]] Sums replica_sums(const Stream& stream) const;
  [[nodiscard]] std::unordered_map<std::string_view, Sums> all_replica_sums() const;
  void add_sums(Stream& stream, const Sums& sums) const;

  mutable std::mutex mutex_;
  uint64_t run_id_ = 0;
  bool attached_ = false;
  uint64_t looked_at_ns_ = 0;
  uint64_t detached_at_ns_ = 0;
  std::vector<WorkerMirror> mirrors_;
  // By stream id: what replicas that are gone had sent for a stream that is still live. Without it
  // the stream's sums would go back whenever the last subscriber of a worker leaves.
  std::unordered_map<uint64_t, Sums> retired_;
  std::unordered_map<uint64_t, Departed>
      departed_;                    // by stream id: gone from its slot, no report yet
  std::vector<EndedStream> ended_;  // not yet taken
};

}  // namespace penstock::controlplane

#include "controlplane/catalog.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "controlplane/clock.h"
#include "controlplane/text.h"
#include "penstock/base/time.h"

namespace penstock::controlplane {
namespace {

// Streams that are gone and whose report has not come: as many as a full box has slots. Beyond it,
// they are not waited for.
constexpr size_t departed_max = 65'536;

constexpr std::string_view lost_report = "not known (its report was lost)";
constexpr std::string_view dataplane_ended = "the data plane ended";

}  // namespace

void Catalog::attach(const Attachment& attachment) {
  const std::lock_guard lock(mutex_);
  const uint64_t run_id = attachment.hello().run_id;
  if (run_id != run_id_ || mirrors_.size() != attachment.workers()) {
    end_run(unix_ms());
    run_id_ = run_id;
    mirrors_.assign(attachment.workers(), {});
  }
  attached_ = true;
  looked_at_ns_ = 0;
}

void Catalog::refresh(const Attachment& attachment, uint64_t now_ns, uint64_t age_ms_max) {
  const std::lock_guard lock(mutex_);
  const bool in_sight =
      attached_ && attachment.hello().run_id == run_id_ && mirrors_.size() == attachment.workers();
  if (!in_sight || now_ns < looked_at_ns_ + age_ms_max * ns_per_ms) return;
  looked_at_ns_ = now_ns;
  const control::Region& region = attachment.region();
  for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
    take_reports(region, worker, unix_ms());
    refresh_streams(region, worker, now_ns);
    refresh_connections(region, worker);
  }
}

void Catalog::end_run(uint64_t now_unix_ms) {
  const auto sums = all_replica_sums();
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredStream& slot : mirror.streams) {
      if (!slot.used || slot.replica || slot.reported) continue;
      Stream stream = slot.row;
      const auto of_name = sums.find(stream.name);
      add_sums(stream, of_name == sums.end() ? Sums{} : of_name->second);
      end(std::move(stream), std::string(dataplane_ended), now_unix_ms);
    }
  }
  for (auto& [id, departed] : departed_)
    end(std::move(departed.stream), std::string(dataplane_ended), now_unix_ms);
  departed_.clear();
  retired_.clear();
  mirrors_.clear();
  run_id_ = 0;
}

void Catalog::take_reports(const control::Region& region, uint32_t worker, uint64_t now_unix_ms) {
  std::array<control::StreamRow, 64> rows;
  while (const uint32_t count = region.worker(worker).ended.pop(rows)) {
    for (uint32_t i = 0; i < count; ++i) {
      const control::StreamRow& row = rows[i];
      if (row.stream_id == 0 || row.role != control::StreamRole::publisher) continue;
      Stream stream = stream_of(row, worker);
      const auto departed = departed_.find(stream.stream_id);
      if (departed != departed_.end()) {  // the sums were added when it left
        stream.bytes_sent = std::max(stream.bytes_sent, departed->second.stream.bytes_sent);
        stream.frames_skipped =
            std::max(stream.frames_skipped, departed->second.stream.frames_skipped);
        departed_.erase(departed);
      } else {
        add_sums(stream, replica_sums(stream));
        if (MirroredStream* slot = find_publisher(stream.stream_id)) slot->reported = true;
      }
      end(std::move(stream), clean_text(row.ended.view()), now_unix_ms);
    }
    if (count < rows.size())
      break;  // a worker that fills the ring as we empty it does not hold us here
  }
}

void Catalog::refresh_streams(const control::Region& region, uint32_t worker, uint64_t now_ns) {
  // Asked before the rows: one that is written meanwhile makes the next look find it.
  const uint64_t writes = region.worker(worker).stream_writes.observe();
  if (writes == std::exchange(mirrors_[worker].stream_writes, writes)) return;
  std::vector<MirroredStream>& mirror = mirrors_[worker].streams;
  const uint64_t said = region.worker(worker).stream_slots_used.observe();
  const auto used = static_cast<size_t>(std::min<uint64_t>(said, region.plan().streams_max));
  if (mirror.size() < used) mirror.resize(used);
  control::StreamRow row;
  for (size_t i = 0; i < mirror.size(); ++i) {
    const control::StreamSlot& slot = region.streams(worker)[i];
    MirroredStream& mirrored = mirror[i];
    const uint32_t sequence = slot.sequence();
    if (sequence == mirrored.sequence || !slot.read(row)) continue;
    const bool known_role =
        row.role == control::StreamRole::publisher || row.role == control::StreamRole::replica;
    const bool used_now = row.stream_id != 0 && known_role;
    if (mirrored.used && (!used_now || row.stream_id != mirrored.row.stream_id)) {
      leave(mirrored, now_ns);
      mirrored = {};
    }
    mirrored.sequence = sequence;
    if (!used_now) continue;
    mirrored.used = true;
    mirrored.replica = row.role == control::StreamRole::replica;
    mirrored.row = stream_of(row, worker);
  }
}

void Catalog::refresh_connections(const control::Region& region, uint32_t worker) {
  const uint64_t writes = region.worker(worker).connection_writes.observe();
  if (writes == std::exchange(mirrors_[worker].connection_writes, writes)) return;
  std::vector<MirroredConnection>& mirror = mirrors_[worker].connections;
  const uint64_t said = region.worker(worker).connection_slots_used.observe();
  const auto used = static_cast<size_t>(std::min<uint64_t>(said, region.plan().connections_max));
  if (mirror.size() < used) mirror.resize(used);
  control::ConnectionRow row;
  for (size_t i = 0; i < mirror.size(); ++i) {
    const control::ConnectionSlot& slot = region.connections(worker)[i];
    const uint32_t sequence = slot.sequence();
    if (sequence == mirror[i].sequence || !slot.read(row)) continue;
    mirror[i].sequence = sequence;
    mirror[i].used = row.connection_id != 0;
    mirror[i].row = mirror[i].used ? connection_of(row, worker) : Connection{};
  }
}

/// A row's slot was freed, or another stream has it.
void Catalog::leave(const MirroredStream& gone, uint64_t now_ns) {
  if (gone.replica) {
    if (find_publisher(gone.row.stream_id) == nullptr) return;
    Sums& sums = retired_[gone.row.stream_id];
    sums.bytes_sent += gone.row.bytes_sent;
    sums.frames_skipped += gone.row.frames_skipped;
    return;
  }
  if (!gone.reported && departed_.size() < departed_max) {
    Departed departed{gone.row, now_ns};
    add_sums(departed.stream, replica_sums(gone.row));
    departed_.insert_or_assign(gone.row.stream_id, std::move(departed));
  }
  retired_.erase(gone.row.stream_id);
}

void Catalog::end(Stream stream, std::string reason, uint64_t now_unix_ms) {
  ended_.push_back({std::move(stream), run_id_, now_unix_ms, std::move(reason)});
}

Catalog::MirroredStream* Catalog::find_publisher(uint64_t stream_id) {
  for (WorkerMirror& mirror : mirrors_) {
    for (MirroredStream& slot : mirror.streams) {
      if (slot.used && !slot.replica && slot.row.stream_id == stream_id) return &slot;
    }
  }
  return nullptr;
}

Catalog::Sums Catalog::replica_sums(const Stream& stream) const {
  Sums sums;
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredStream& slot : mirror.streams) {
      if (!slot.used || !slot.replica || slot.row.name != stream.name) continue;
      sums.subscribers += slot.row.subscribers;
      sums.bytes_sent += slot.row.bytes_sent;
      sums.frames_skipped += slot.row.frames_skipped;
    }
  }
  return sums;
}

std::unordered_map<std::string_view, Catalog::Sums> Catalog::all_replica_sums() const {
  std::unordered_map<std::string_view, Sums> sums;
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredStream& slot : mirror.streams) {
      if (!slot.used || !slot.replica) continue;
      Sums& of_name = sums[slot.row.name];
      of_name.subscribers += slot.row.subscribers;
      of_name.bytes_sent += slot.row.bytes_sent;
      of_name.frames_skipped += slot.row.frames_skipped;
    }
  }
  return sums;
}

void Catalog::add_sums(Stream& stream, const Sums& sums) const {
  stream.subscribers += sums.subscribers;
  stream.bytes_sent += sums.bytes_sent;
  stream.frames_skipped += sums.frames_skipped;
  const auto retired = retired_.find(stream.stream_id);
  if (retired == retired_.end()) return;
  stream.bytes_sent += retired->second.bytes_sent;
  stream.frames_skipped += retired->second.frames_skipped;
}

void Catalog::detach(uint64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (!attached_) return;
  attached_ = false;
  detached_at_ns_ = now_ns;
}

std::vector<EndedStream> Catalog::take_ended(uint64_t now_ns, uint64_t now_unix_ms) {
  const std::lock_guard lock(mutex_);
  if (!attached_ && !mirrors_.empty() && now_ns - detached_at_ns_ >= report_wait_ns)
    end_run(now_unix_ms);
  for (auto next = departed_.begin(); next != departed_.end();) {
    if (now_ns - next->second.gone_at_ns < report_wait_ns) {
      ++next;
      continue;
    }
    end(std::move(next->second.stream), std::string(lost_report), now_unix_ms);
    next = departed_.erase(next);
  }
  return std::exchange(ended_, {});
}

std::vector<Stream> Catalog::streams() const {
  const std::lock_guard lock(mutex_);
  if (!attached_) return {};
  const auto sums = all_replica_sums();
  std::unordered_map<std::string_view, const Stream*> publishers;
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredStream& slot : mirror.streams) {
      if (!slot.used || slot.replica) continue;
      // Two publishers of one name are seen for a moment when one follows the other on another
      // worker.
      const Stream*& publisher = publishers[slot.row.name];
      if (publisher == nullptr || publisher->since_unix_ms <= slot.row.since_unix_ms)
        publisher = &slot.row;
    }
  }
  std::vector<Stream> merged;
  merged.reserve(publishers.size());
  for (const auto& [name, publisher] : publishers) {
    const auto of_name = sums.find(name);
    merged.push_back(*publisher);
    add_sums(merged.back(), of_name == sums.end() ? Sums{} : of_name->second);
  }
  std::ranges::sort(merged, {}, &Stream::name);
  return merged;
}

std::optional<Stream> Catalog::stream(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (!attached_) return std::nullopt;
  const Stream* publisher = nullptr;
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredStream& slot : mirror.streams) {
      if (!slot.used || slot.replica || slot.row.name != name) continue;
      if (publisher == nullptr || publisher->since_unix_ms <= slot.row.since_unix_ms)
        publisher = &slot.row;
    }
  }
  if (publisher == nullptr) return std::nullopt;
  Stream merged = *publisher;
  add_sums(merged, replica_sums(merged));
  return merged;
}

std::vector<Connection> Catalog::connections() const {
  const std::lock_guard lock(mutex_);
  std::vector<Connection> rows;
  if (!attached_) return rows;
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredConnection& slot : mirror.connections) {
      if (slot.used) rows.push_back(slot.row);
    }
  }
  return rows;
}

std::optional<Connection> Catalog::connection(uint64_t connection_id) const {
  const std::lock_guard lock(mutex_);
  if (!attached_) return std::nullopt;
  for (const WorkerMirror& mirror : mirrors_) {
    for (const MirroredConnection& slot : mirror.connections) {
      if (slot.used && slot.row.connection_id == connection_id) return slot.row;
    }
  }
  return std::nullopt;
}

}  // namespace penstock::controlplane

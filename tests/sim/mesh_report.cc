#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/directory.h"
#include "dataplane/log_record.h"
#include "dataplane/worker.h"
#include "penstock/base/assert.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/peers.h"
#include "tests/sim/sim_engine.h"

// mesh_report [--json] [WORKERS ...]: what workers cost each other, for 2, 8, 16 and 64 of them.
// Every worker publishes streams and plays those of others; the name's home, the publisher and the
// players of a stream are on different workers (as far as there are so many), so that every mail
// crosses and is counted. Exit code 1 when a publish, a play or a frame costs more with more
// workers.
namespace penstock::sim {
namespace {

using control::Counter;
using control::Tunable;
using dataplane::WorkerId;

constexpr uint32_t streams_per_worker = 4;
constexpr uint32_t played_on_max = 4;  // other workers with one player each
constexpr uint32_t connections_max = 64;
constexpr uint32_t streams_max = 64;
constexpr uint64_t frame_memory_bytes = 8U << 20;
// A worker's log ring takes 1.9 MB and its verdicts 2.4 MB: rings to others are to stay near that.
constexpr uint64_t ring_bytes_per_worker_max = 8U << 20;
constexpr uint64_t phase_ms_max = 20'000;
constexpr uint64_t steady_ms = 1000;
constexpr uint32_t messages_per_publisher = 1'000'000;  // until told to leave

/// Stands in for a worker's engine with other workers, which may only wake it.
class WakeCount final : public engine::Engine {
 public:
  explicit WakeCount(uint64_t& wakes) : wakes_(wakes) {}
  void wake() override { ++wakes_; }

  std::span<engine::EngineEvent> poll(std::span<engine::EngineEvent>, Instant) override {
    PENSTOCK_ASSERT(false);
    return {};
  }
  std::optional<engine::ConnectionId> connect(const engine::Endpoint&) override { return {}; }
  void send(engine::ConnectionId, std::span<const Bytes>) override { PENSTOCK_ASSERT(false); }
  void set_reading(engine::ConnectionId, bool) override { PENSTOCK_ASSERT(false); }
  void set_low_water(engine::ConnectionId, uint32_t, engine::Rest) override {
    PENSTOCK_ASSERT(false);
  }
  void finish(engine::ConnectionId) override { PENSTOCK_ASSERT(false); }
  void close(engine::ConnectionId) override { PENSTOCK_ASSERT(false); }
  bool set_accepting(bool) override { return false; }
  void set_gather_max(uint64_t) override {}

 private:
  uint64_t& wakes_;
};

/// Zeroed memory that takes room only where it is touched.
class Mapping {
 public:
  explicit Mapping(uint64_t bytes)
      : bytes_(bytes),
        base_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    PENSTOCK_ASSERT(base_ != MAP_FAILED);
  }
  ~Mapping() { munmap(base_, bytes_); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] uint8_t* at(uint64_t offset) const { return static_cast<uint8_t*>(base_) + offset; }

 private:
  uint64_t bytes_;
  void* base_;
};

struct Row {
  uint32_t workers = 0;
  uint32_t played_on = 0;  // other workers that play each stream
  uint64_t ring_bytes_per_pair = 0;
  uint64_t ring_bytes = 0;
  uint64_t directory_entries_max = 0;  // of one worker
  double mail_per_publish = 0;
  double mail_per_play = 0;
  double mail_per_frame = 0;
  double mail_per_play_end = 0;
  double mail_per_publish_end = 0;
  double leases_per_frame = 0;
  double wakes_per_frame = 0;
};

class MeshWorld {
 public:
  explicit MeshWorld(uint32_t workers);
  Row run();

 private:
  void turn(WorkerId worker);
  void round();
  void until(const char* what, const std::function<bool()>& done);
  void for_ms(uint64_t ms);
  [[nodiscard]] std::string name_of(WorkerId publisher, uint32_t stream) const;
  [[nodiscard]] uint64_t counted(Counter counter) const;
  void publish_all();
  void play_all();

  uint32_t workers_count_;
  uint32_t played_on_;
  SimNetwork network_{1, {}};
  Oracle oracle_;
  control::RegionPlan plan_;
  Mapping region_memory_;
  Mapping frame_memory_;
  control::Region region_;
  dataplane::Mesh mesh_;
  uint64_t wakes_ = 0;
  uint64_t mail_ = 0;  // that crossed from one worker to another
  WakeCount wake_count_{wakes_};
  std::vector<std::unique_ptr<dataplane::LogRing>> logs_;
  std::vector<std::unique_ptr<SimEngine>> engines_;
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  std::vector<std::unique_ptr<SimPublisher>> publishers_;
  std::vector<std::unique_ptr<SimPlayer>> players_;
};

MeshWorld::MeshWorld(uint32_t workers)
    : workers_count_(workers),
      played_on_(std::min(played_on_max, workers - 1)),
      plan_{workers, streams_max, connections_max},
      region_memory_(plan_.region_bytes()),
      frame_memory_(frame_memory_bytes * workers),
      region_(region_memory_.at(0), plan_),
      mesh_(workers) {
  control::TunableValues values = control::tunable_defaults();
  values[static_cast<size_t>(Tunable::gop_bytes)] = 0;  // mail and frames, not the past
  SimControl(region_, ControlMode::absent, 1).write_state(values);
  const std::vector<engine::Engine*> wake_only(workers, &wake_count_);
  for (WorkerId id = 0; id < workers; ++id) {
    engines_.push_back(
        std::make_unique<SimEngine>(network_, connections_max, ClockMode::caller_advances));
    logs_.push_back(std::make_unique<dataplane::LogRing>());
    const dataplane::WorkerParts parts{
        .id = id,
        .engine = engines_.back().get(),
        .engines = wake_only,
        .mesh = &mesh_,
        .region = region_,
        .log = logs_.back().get(),
        .frame_memory = {frame_memory_.at(id * frame_memory_bytes), frame_memory_bytes},
        .random_seed = id + 1,
        .unix_minus_monotonic_ms = 1'700'000'000'000};
    workers_.push_back(std::make_unique<dataplane::Worker>(parts, network_.now()));
  }
}

void MeshWorld::turn(WorkerId worker) {
  const auto room = [&] {
    uint64_t slots = 0;
    for (WorkerId to = 0; to < workers_count_; ++to) {
      if (to != worker) slots += mesh_.link(worker, to).mail.free_slots();
    }
    return slots;
  };
  const uint64_t before = room();
  workers_[worker]->wait(network_.now());
  workers_[worker]->tick(network_.now());
  mail_ += before - room();
  mesh_.doorbell(worker).prepare_sleep();  // until its next turn: whoever has something wakes it
  dataplane::LogRecord records[16];
  while (logs_[worker]->pop(records) > 0) {
  }
}

void MeshWorld::round() {
  network_.advance_to(network_.now().after_ms(1));
  for (auto& publisher : publishers_) publisher->step();
  for (auto& player : players_) player->step();
  for (WorkerId worker = 0; worker < workers_count_; ++worker) turn(worker);
}

void MeshWorld::until(const char* what, const std::function<bool()>& done) {
  const Instant limit = network_.now().after_ms(phase_ms_max);
  while (!done()) {
    if (network_.now() > limit || !oracle_.failures.empty()) {
      std::fprintf(stderr, "%u workers: %s: %s\n", workers_count_, what,
                   oracle_.failures.empty() ? "does not come" : oracle_.failures[0].c_str());
      std::exit(1);
    }
    round();
  }
  for_ms(50);  // and what is still between workers
}

void MeshWorld::for_ms(uint64_t ms) {
  for (const Instant end = network_.now().after_ms(ms); network_.now() < end;) round();
}

/// A name whose home is the worker behind the publisher's.
std::string MeshWorld::name_of(WorkerId publisher, uint32_t stream) const {
  const WorkerId home = (publisher + 1) % workers_count_;
  for (uint32_t i = 0;; ++i) {
    std::string name =
        "s" + std::to_string(publisher) + "-" + std::to_string(stream) + "-" + std::to_string(i);
    if (dataplane::Directory::home_of("live/" + name, workers_count_) == home) return name;
  }
}

void MeshWorld::publish_all() {
  for (WorkerId worker = 0; worker < workers_count_; ++worker) {
    for (uint32_t stream = 0; stream < streams_per_worker; ++stream) {
      const rtmp::InitiatorSettings settings{
          .app = "live", .name = name_of(worker, stream), .tc_url = "rtmp://sim/live"};
      publishers_.push_back(std::make_unique<SimPublisher>(
          network_, network_.connect(*engines_[worker]), settings, publishers_.size() + 1, oracle_,
          messages_per_publisher, PublisherEnding::orderly));
    }
  }
  until("publish", [&] {
    return std::ranges::all_of(publishers_, [](const auto& p) { return p->source() != nullptr; });
  });
}

void MeshWorld::play_all() {
  for (WorkerId worker = 0; worker < workers_count_; ++worker) {
    for (uint32_t stream = 0; stream < streams_per_worker; ++stream) {
      for (uint32_t other = 0; other < played_on_; ++other) {
        // Behind the home where there are so many workers.
        const WorkerId at = (worker + (workers_count_ > played_on_ + 1 ? 2 : 1) + other);
        const rtmp::InitiatorSettings settings{.publish = false,
                                               .app = "live",
                                               .name = name_of(worker, stream),
                                               .tc_url = "rtmp://sim/live"};
        players_.push_back(
            std::make_unique<SimPlayer>(network_, network_.connect(*engines_[at % workers_count_]),
                                        settings, players_.size() + 1, oracle_, PlayerSpeed::fast));
      }
    }
  }
  until("play", [&] {
    return std::ranges::all_of(players_, [](const auto& p) { return !p->got().empty(); });
  });
}

uint64_t MeshWorld::counted(Counter counter) const {
  uint64_t sum = 0;
  for (uint32_t worker = 0; worker < workers_count_; ++worker) {
    sum += region_.worker(worker).counters[static_cast<size_t>(counter)].get();
  }
  return sum;
}

Row MeshWorld::run() {
  Row row{.workers = workers_count_, .played_on = played_on_};
  row.ring_bytes = dataplane::Mesh::bytes(workers_count_);
  row.ring_bytes_per_pair = row.ring_bytes / workers_count_ / workers_count_;
  const auto mail_since_last = [&](size_t events) {
    return static_cast<double>(std::exchange(mail_, 0)) / static_cast<double>(events);
  };
  for_ms(10);
  publish_all();
  row.mail_per_publish = mail_since_last(publishers_.size());
  play_all();
  row.mail_per_play = mail_since_last(players_.size());
  for (const auto& worker : workers_) {
    row.directory_entries_max = std::max(row.directory_entries_max, worker->directory().size());
  }
  const uint64_t frames = counted(Counter::frames_made);
  const uint64_t leases = counted(Counter::leases_sent);
  wakes_ = 0;
  for_ms(steady_ms);
  const auto made = static_cast<double>(counted(Counter::frames_made) - frames);
  row.leases_per_frame = static_cast<double>(counted(Counter::leases_sent) - leases) / made;
  row.wakes_per_frame = static_cast<double>(wakes_) / made;
  row.mail_per_frame = static_cast<double>(std::exchange(mail_, 0)) / made;
  for (auto& player : players_) player->leave();
  until("leave",
        [&] { return std::ranges::all_of(players_, [](const auto& p) { return p->gone(); }); });
  row.mail_per_play_end = mail_since_last(players_.size());
  for (auto& publisher : publishers_) publisher->leave();
  until("end", [&] {
    return std::ranges::all_of(workers_, [](const auto& w) { return w->connections() == 0; });
  });
  row.mail_per_publish_end = mail_since_last(publishers_.size());
  return row;
}

/// Of the heap, for a name as long as most are.
double directory_bytes_per_entry() {
  constexpr uint32_t entries = 10'000;
  const size_t before = mallinfo2().uordblks;
  dataplane::Directory directory;
  for (uint32_t i = 0; i < entries; ++i) {
    directory.claim("live/camera-" + std::to_string(100'000 + i), i + 1, 0);
  }
  return static_cast<double>(mallinfo2().uordblks - before) / entries;
}

/// What must not grow with the number of workers. Rows with so few workers that home, publisher and
/// players share one have less mail, never more.
bool constant(const std::vector<Row>& rows) {
  bool holds = true;
  const Row& most = rows.back();
  for (const Row& row : rows) {
    const auto same = [&](const char* what, double here, double there) {
      const bool apart = row.workers > row.played_on + 1;
      if (apart ? here == there : here <= there) return;
      std::fprintf(stderr, "%s: %.3f with %u workers, %.3f with %u\n", what, here, row.workers,
                   there, most.workers);
      holds = false;
    };
    same("mail per publish", row.mail_per_publish, most.mail_per_publish);
    same("mail per play", row.mail_per_play, most.mail_per_play);
    same("mail per frame", row.mail_per_frame, 0);
    same("mail per end of play", row.mail_per_play_end, most.mail_per_play_end);
    same("mail per end of publish", row.mail_per_publish_end, most.mail_per_publish_end);
    same("leases per frame", row.leases_per_frame, row.played_on);
    if (row.ring_bytes > row.workers * ring_bytes_per_worker_max)
      same("bytes of rings", static_cast<double>(row.ring_bytes), 0);
    if (row.wakes_per_frame > row.played_on) same("wakes per frame", row.wakes_per_frame, 0);
  }
  return holds;
}

void print_table(const std::vector<Row>& rows, double entry_bytes) {
  std::printf(
      "workers  played on  rings KiB/pair  MiB/worker  MiB  names/worker  mail: publish  play  "
      "frame  play's end  publish's end  leases/frame  wakes/frame\n");
  for (const Row& row : rows) {
    const double mib = static_cast<double>(row.ring_bytes) / (1 << 20);
    std::printf(
        "%7u %10u %15.1f %11.1f %4.0f %13llu %14.2f %5.2f %6.2f %11.2f %14.2f %13.2f %12.2f\n",
        row.workers, row.played_on, static_cast<double>(row.ring_bytes_per_pair) / 1024,
        mib / row.workers, mib, static_cast<unsigned long long>(row.directory_entries_max),
        row.mail_per_publish, row.mail_per_play, row.mail_per_frame, row.mail_per_play_end,
        row.mail_per_publish_end, row.leases_per_frame, row.wakes_per_frame);
  }
  std::printf("a name in the directory takes %.0f bytes, on its home alone\n", entry_bytes);
}

void print_json(const std::vector<Row>& rows, double entry_bytes) {
  nlohmann::json out{{"directory_bytes_per_entry", entry_bytes}, {"rows", nlohmann::json::array()}};
  for (const Row& row : rows) {
    out["rows"].push_back({{"workers", row.workers},
                           {"played_on", row.played_on},
                           {"ring_bytes_per_pair", row.ring_bytes_per_pair},
                           {"ring_bytes", row.ring_bytes},
                           {"directory_entries_max", row.directory_entries_max},
                           {"mail_per_publish", row.mail_per_publish},
                           {"mail_per_play", row.mail_per_play},
                           {"mail_per_frame", row.mail_per_frame},
                           {"mail_per_play_end", row.mail_per_play_end},
                           {"mail_per_publish_end", row.mail_per_publish_end},
                           {"leases_per_frame", row.leases_per_frame},
                           {"wakes_per_frame", row.wakes_per_frame}});
  }
  std::printf("%s\n", out.dump(2).c_str());
}

int report(int argc, char** argv) {
  bool json = false;
  std::vector<uint32_t> counts;
  for (int i = 1; i < argc; ++i) {
    if (argv[i] == std::string_view("--json")) {
      json = true;
      continue;
    }
    const unsigned long workers = std::strtoul(argv[i], nullptr, 10);
    if (workers < 2 || workers > workers_max) {
      std::fprintf(stderr, "usage: %s [--json] [WORKERS ...], each 2 to %zu\n", argv[0],
                   workers_max);
      return 2;
    }
    counts.push_back(static_cast<uint32_t>(workers));
  }
  if (counts.empty()) counts = {2, 8, 16, 64};
  std::ranges::sort(counts);
  std::vector<Row> rows;
  for (const uint32_t workers : counts) rows.push_back(MeshWorld(workers).run());
  const double entry_bytes = directory_bytes_per_entry();
  json ? print_json(rows, entry_bytes) : print_table(rows, entry_bytes);
  return constant(rows) ? 0 : 1;
}

}  // namespace
}  // namespace penstock::sim

int main(int argc, char** argv) { return penstock::sim::report(argc, argv); }

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "penstock/base/fault.h"
#include "penstock/base/limits.h"
#include "penstock/base/spsc_ring.h"
#include "penstock/control/counters.h"
#include "penstock/control/tunables.h"

// The shared region: a sealed memfd that the data plane owns and hands to one control process at a
// time over a Unix socket. Everything has a fixed width; nothing is a pointer. Both sides treat
// what they read as input from a stranger.
//
//   RegionHeader | Wanted | WorkerArea[workers] | per worker: StreamSlot[streams_max],
//   ConnectionSlot[connections_max]
namespace penstock::control {

constexpr uint64_t region_magic = 0x3130'4B43'5453'4E50;  // "PNSTCK01" little-endian
constexpr uint32_t region_version = 8;

/// Fixed-size text, zero-terminated and zero-padded. Too long is cut.
template <size_t Capacity>
struct Text {
  std::array<char, Capacity> chars{};

  void set(std::string_view text) {
    chars.fill(0);
    const size_t count = text.size() < Capacity - 1 ? text.size() : Capacity - 1;
    if (count > 0) std::memcpy(chars.data(), text.data(), count);
  }
  [[nodiscard]] std::string_view view() const {
    size_t length = 0;
    while (length < Capacity && chars[length] != 0) ++length;
    return {chars.data(), length};
  }
};

using NameText = Text<stream_name_bytes_max + 1>;
using AddressText = Text<address_text_bytes_max>;
using SoftwareText = Text<64>;
using ReasonText = Text<128>;

/// A row that one writer replaces and others read whole (a sequence lock). The payload is words of
/// relaxed atomics, so a torn read is no data race; it is noticed by the sequence and read again.
template <typename T>
class SeqSlot {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(sizeof(T) % 8 == 0);
  static constexpr size_t word_count = sizeof(T) / 8;

 public:
  /// The one writer.
  void write(const T& value) {
    uint64_t words[word_count];
    std::memcpy(words, &value, sizeof(T));
    const uint32_t sequence = sequence_.load(std::memory_order_relaxed);  // relaxed: one writer
    // relaxed, ordered by the fence: odd says that the words below are being changed
    sequence_.store(sequence + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(
        std::memory_order_release);  // no word is written before the odd number is visible
    // relaxed: the two sequence stores around them order the words
    for (size_t i = 0; i < word_count; ++i) words_[i].store(words[i], std::memory_order_relaxed);
    // release: who reads this number sees all the words
    sequence_.store(sequence + 2, std::memory_order_release);
  }

  /// Any reader. False when the writer was in the way every time, or died within a write: use the
  /// last value you had.
  [[nodiscard]] bool read(T& value) const {
    uint64_t words[word_count];
    for (int attempt = 0; attempt < 64; ++attempt) {
      const uint32_t before =
          sequence_.load(std::memory_order_acquire);  // acquire: words are read after it
      if (before % 2 != 0) continue;
      // relaxed: checked by the sequence below
      for (size_t i = 0; i < word_count; ++i) words[i] = words_[i].load(std::memory_order_relaxed);
      std::atomic_thread_fence(
          std::memory_order_acquire);  // the words are read before the number is read again
      if (sequence_.load(std::memory_order_relaxed) ==
          before) {  // relaxed: the fence above orders it
        std::memcpy(static_cast<void*>(&value), words, sizeof(T));
        return true;
      }
    }
    return false;
  }

  /// Changes with every write; lets a reader skip rows that stand still.
  [[nodiscard]] uint32_t sequence() const {
    return sequence_.load(std::memory_order_acquire);  // acquire: as in read
  }
  /// A new writer takes over from one that died within a write. Only while nobody else writes.
  void repair() {
    const uint32_t sequence = sequence_.load(std::memory_order_relaxed);  // relaxed: one writer
    if (sequence % 2 != 0)
      sequence_.store(sequence + 1, std::memory_order_release);  // release: as in write
  }

 private:
  std::atomic<uint32_t> sequence_{0};
  uint32_t padding_ = 0;
  std::array<std::atomic<uint64_t>, word_count> words_{};
};

/// One word with one writer.
class Cell {
 public:
  void set(uint64_t value) {
    value_.store(value, std::memory_order_relaxed);
  }  // relaxed: a lone number
  void add(uint64_t value) {
    // relaxed, and no read-modify-write: there is one writer
    value_.store(value_.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t get() const {
    return value_.load(std::memory_order_relaxed);
  }  // relaxed: a lone number
  void publish(uint64_t value) {
    value_.store(value, std::memory_order_release);
  }  // release: what it announces is there
  [[nodiscard]] uint64_t observe() const {
    return value_.load(std::memory_order_acquire);
  }  // acquire: pairs with publish

 private:
  std::atomic<uint64_t> value_{0};
};

enum class AdmissionMode : uint32_t { open = 0, keys = 1, login = 2 };
enum class LogLevel : uint32_t { trace = 0, debug = 1, info = 2, warning = 3, error = 4 };

// 65,536 keys of 63 bytes. Larger key sets belong into the key store, not into a list.
constexpr size_t keys_bytes_max = 4 * 1024 * 1024;

// Paths and names of certificates, not their content: 64 of them with paths of 100 bytes and three
// names of 30 take 20 KiB.
constexpr size_t certificates_bytes_max = 64 * 1024;

// A line of users_text() is about 90 bytes, and so many more as patterns are given: 40,000 users.
constexpr size_t users_bytes_max = 4 * 1024 * 1024;

/// What a publisher that comes without credentials is told to log in by. `query`: nothing yet, it
/// may bring a user and a password with the name that it publishes.
enum class LoginOffer : uint32_t { adobe = 0, llnw = 1, query = 2 };

/// The state that the control plane wants, whole. Repeating it is harmless.
struct WantedState {
  uint64_t epoch = 0;  // grows with every change
  TunableValues tunables{};
  uint32_t tuned_live[2] = {};  // bit per tunable: set by the operator at run time, not by the file
  AdmissionMode admission = AdmissionMode::open;
  LogLevel log_level = LogLevel::info;
  uint32_t draining = 0;    // 1: stop accepting, close publishers paced
  Text<256> drain_to;       // peers that can reconnect are sent there; empty: to where they came to
  uint32_t keys_bytes = 0;  // length of keys below
  uint64_t keys_hash = 0;   // FNV-1a of keys: tells a half-written list
  uint64_t certificates_hash = 0;   // FNV-1a of certificates, in the same way
  uint32_t certificates_bytes = 0;  // length of certificates below
  uint32_t tls_tickets = 0;         // sent after a TLS 1.3 handshake
  uint64_t users_hash = 0;          // FNV-1a of users, in the same way
  uint64_t certificate_files = 0;   // another number: their files are read at once
  uint32_t users_bytes = 0;         // length of users below
  LoginOffer login_offer = LoginOffer::adobe;
};
// The last bit of tuned_live is log_level's.
constexpr size_t tuned_log_level_bit = 63;
static_assert(tunable_count <= tuned_log_level_bit);

/// The lists are written before state; the state's hashes say which lists belong to it.
struct Wanted {
  SeqSlot<WantedState> state;
  std::array<char, keys_bytes_max> keys{};  // "app/name\n" ..., sorted
  // config::certificates_text(); read by the data plane's main alone, never by a worker
  std::array<char, certificates_bytes_max> certificates{};
  std::array<char, users_bytes_max> users{};  // users_text()
};

/// What the data plane says about TLS. Written by its main; never anything of a private key.
struct TlsRow {
  Text<104> path;                // which way records take, and why
  uint32_t certificates = 0;     // that serve
  uint32_t tickets = 0;          // sent after a TLS 1.3 handshake
  uint64_t loaded_unix_ms = 0;   // when what serves was loaded; 0: never
  uint64_t expires_unix_s = 0;   // the first of them to end; 0: there is none
  uint64_t refused_unix_ms = 0;  // when newer files or a newer list were refused; 0: none are
  Text<256> problem;             // why, and what serves instead; empty: all that is wanted serves
  uint64_t wanted_epoch = 0;     // of Wanted, when its list was last looked at
  Text<1024> cautions;  // a line each: what serves, and is probably not meant or soon at its end
};

/// Whether the data plane can keep on disk what its workers run with. Written by its main.
struct KeptRow {
  uint64_t failing_since_unix_ms = 0;  // 0: it can, or has had nothing to keep since it could
  Text<248> problem;                   // of the last attempt
};

enum class StreamRole : uint32_t { publisher = 0, replica = 1 };

/// One published stream on its owner, or one replica of it on a worker with subscribers of its own
/// (then only stream_id, name, role, subscribers and what is sent is filled).
struct StreamRow {
  uint64_t stream_id = 0;  // unique in a run of the data plane; 0: the slot is free
  NameText name;
  StreamRole role = StreamRole::publisher;
  uint32_t worker = 0;
  uint64_t connection_id = 0;
  AddressText publisher;
  SoftwareText encoder;
  uint64_t since_unix_ms = 0;
  SoftwareText video_codec;
  SoftwareText audio_codec;
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t sample_rate = 0;
  uint32_t channels = 0;
  uint32_t video_bits_per_second = 0;
  uint32_t audio_bits_per_second = 0;
  uint32_t fps_milli = 0;
  uint32_t keyframe_interval_ms = 0;
  int32_t av_drift_ms = 0;
  uint32_t timestamp_jumps = 0;
  uint32_t subscribers = 0;  // on this worker
  uint32_t last_timestamp = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;  // to subscribers of this worker
  uint64_t frames_received = 0;
  uint64_t frames_skipped = 0;  // not queued to slow subscribers of this worker
  uint64_t frames_dropped = 0;  // lost for all, because of our own limits
  uint64_t gop_bytes = 0;
  ReasonText ended;  // in reports of an ended stream: why
};

enum class ConnectionRole : uint32_t {
  handshake = 0,
  idle = 1,
  publisher = 2,
  subscriber = 3,
  waiting = 4
};

struct ConnectionRow {
  uint64_t connection_id = 0;  // unique in a run of the data plane; 0: the slot is free
  ConnectionRole role = ConnectionRole::handshake;
  uint32_t worker = 0;
  AddressText peer;
  SoftwareText software;
  NameText name;  // of the stream it publishes or plays
  uint64_t since_unix_ms = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t queued_bytes = 0;
  uint64_t frames_skipped = 0;
  Text<8> transport;  // "rtmp", "rtmps", ...: what carries it
};

enum class CommandKind : uint32_t {
  kick_stream = 1,      // ends the publish stream_id with text
  kick_connection = 2,  // ends connection_id with text
  verdict = 3,          // answers request_id: allowed, text
  trace = 4,            // allowed = 1: log every message of connection_id; 0: stop
};

struct Command {
  CommandKind kind{};
  uint32_t allowed = 0;
  uint64_t stream_id = 0;
  uint64_t connection_id = 0;
  uint64_t request_id = 0;
  ReasonText text;
};

/// Asked once per publish or play. The query may carry a key: it is never logged.
struct VerdictRequest {
  uint64_t request_id = 0;
  uint64_t connection_id = 0;
  uint32_t publish = 0;  // 1 publish, 0 play
  uint32_t padding = 0;
  NameText name;
  AddressText peer;
  Text<query_bytes_max + 8> query;
};

using CommandRing = SpscRing<Command, 1024>;         // control -> worker
using VerdictRing = SpscRing<VerdictRequest, 1024>;  // worker -> control
using EndedRing =
    SpscRing<StreamRow, 1024>;  // worker -> control: rows of ended streams, for the history

enum class LinkNumberKind : uint32_t {
  engine = 0,  // what passed between the device and the worker
  tcp = 1,     // what our own TCP made of it
  device = 2,  // as the driver counts and names it
};

/// One that only grows.
struct LinkNumber {
  uint64_t value = 0;
  LinkNumberKind kind{};
  Text<60> name;
};

// Engine and TCP have about 110. Drivers of fast cards have 50 to 280.
constexpr size_t link_numbers_max = 400;

/// What a worker's engine says of its network device; without a device where the kernel has it.
/// Written by main. Workers that share a device have the same of it, and the first of them alone
/// has its numbers.
struct LinkRow {
  Text<128> device;
  Text<32> driver;
  Text<128> offloads;  // what the device does for us
  uint32_t up = 0;
  uint32_t mbps = 0;  // 0: not known
  uint32_t numbers_used = 0;
  uint32_t numbers_left_out = 0;  // for which there was no room
  std::array<LinkNumber, link_numbers_max> numbers{};
};

/// What one worker shares. The worker writes all of it but `commands` and `link`.
struct WorkerArea {
  alignas(cache_line_bytes) Cell applied_epoch;  // of Wanted
  Cell heartbeat_ns;                             // monotonic clock, at least every 100 ms
  Cell stream_slots_used;  // slots below this number have been used at least once
  Cell connection_slots_used;
  // Rows written, so that who mirrors them need not look where nothing has changed: 10,000
  // connections that wait are 1.3 MB of cache lines.
  Cell stream_writes;
  Cell connection_writes;
  Cell core;
  Cell busy_ns;  // time spent in ticks outside of waiting
  Cell frame_memory_bytes;
  alignas(cache_line_bytes) std::array<Cell, counter_count> counters;
  std::array<Cell, fault_count> faults;
  alignas(cache_line_bytes) CommandRing commands;
  alignas(cache_line_bytes) VerdictRing verdicts;
  alignas(cache_line_bytes) EndedRing ended;
  alignas(cache_line_bytes) SeqSlot<LinkRow> link;
};

using StreamSlot = SeqSlot<StreamRow>;
using ConnectionSlot = SeqSlot<ConnectionRow>;

struct RegionHeader {
  uint64_t magic = region_magic;
  uint32_t version = region_version;
  uint32_t workers = 0;
  uint64_t region_bytes = 0;
  uint32_t streams_max = 0;      // StreamSlots of each worker
  uint32_t connections_max = 0;  // ConnectionSlots of each worker
  uint64_t started_unix_ms = 0;
  uint64_t run_id = 0;  // random: another data plane, or the same after a restart, differs
  uint32_t process_id = 0;
  uint32_t padding = 0;
  Cell control_heartbeat_ns;  // monotonic clock, written by the control plane: fresh means that
                              // asking for verdicts pays
  Cell kept_epoch;  // of Wanted: what a data plane that dies now would start from; written by main
  SeqSlot<TlsRow> tls;       // written by main
  SeqSlot<KeptRow> kept;     // written by main
  Cell connections_allowed;  // what there are descriptors for, at most limits.connections_max
  Doorbell questions;        // workers to the control plane: there are VerdictRequests
};

static_assert(offsetof(RegionHeader, magic) == 0);
static_assert(offsetof(RegionHeader, version) == 8);
static_assert(offsetof(RegionHeader, workers) == 12);
static_assert(offsetof(RegionHeader, region_bytes) == 16);
static_assert(offsetof(RegionHeader, streams_max) == 24);
static_assert(offsetof(RegionHeader, connections_max) == 28);
static_assert(offsetof(RegionHeader, started_unix_ms) == 32);
static_assert(offsetof(RegionHeader, run_id) == 40);
static_assert(offsetof(RegionHeader, process_id) == 48);
static_assert(offsetof(RegionHeader, control_heartbeat_ns) == 56);
static_assert(offsetof(RegionHeader, kept_epoch) == 64);
static_assert(offsetof(RegionHeader, tls) == 72);
static_assert(sizeof(TlsRow) == 392 + 8 + 1024 && sizeof(KeptRow) == 256);
static_assert(offsetof(RegionHeader, kept) == 72 + 8 + sizeof(TlsRow));
static_assert(offsetof(RegionHeader, connections_allowed) ==
              offsetof(RegionHeader, kept) + 8 + sizeof(KeptRow));
static_assert(offsetof(RegionHeader, questions) == 1792);
static_assert(sizeof(RegionHeader) == offsetof(RegionHeader, questions) + cache_line_bytes);
static_assert(workers_max <= Doorbell::ringers_max);
static_assert(sizeof(StreamRow) % 8 == 0 && sizeof(ConnectionRow) % 8 == 0 &&
              sizeof(WantedState) % 8 == 0);
static_assert(sizeof(LinkNumber) == 72 && sizeof(LinkRow) == 304 + link_numbers_max * 72);
static_assert(sizeof(Command) == 160 && sizeof(VerdictRequest) == 2384);

/// Where the parts of a region lie, from the numbers in its header alone.
struct RegionPlan {
  uint32_t workers = 0;
  uint32_t streams_max = 0;
  uint32_t connections_max = 0;

  static constexpr uint64_t aligned(uint64_t bytes) { return (bytes + 4095) / 4096 * 4096; }
  [[nodiscard]] constexpr uint64_t wanted_offset() const { return aligned(sizeof(RegionHeader)); }
  [[nodiscard]] constexpr uint64_t worker_offset(uint32_t worker) const {
    return wanted_offset() + aligned(sizeof(Wanted)) + worker * aligned(sizeof(WorkerArea));
  }
  [[nodiscard]] constexpr uint64_t streams_offset(uint32_t worker) const {
    return worker_offset(workers) + worker * aligned(sizeof(StreamSlot) * streams_max);
  }
  [[nodiscard]] constexpr uint64_t connections_offset(uint32_t worker) const {
    return streams_offset(workers) + worker * aligned(sizeof(ConnectionSlot) * connections_max);
  }
  [[nodiscard]] constexpr uint64_t region_bytes() const { return connections_offset(workers); }
};

/// A mapped region. It does not own the mapping.
class Region {
 public:
  Region() = default;
  Region(void* base, RegionPlan plan) : base_(static_cast<std::byte*>(base)), plan_(plan) {}

  [[nodiscard]] bool mapped() const { return base_ != nullptr; }
  [[nodiscard]] const RegionPlan& plan() const { return plan_; }
  [[nodiscard]] RegionHeader& header() const { return at<RegionHeader>(0); }
  [[nodiscard]] Wanted& wanted() const { return at<Wanted>(plan_.wanted_offset()); }
  [[nodiscard]] WorkerArea& worker(uint32_t worker) const {
    return at<WorkerArea>(plan_.worker_offset(worker));
  }
  [[nodiscard]] StreamSlot* streams(uint32_t worker) const {
    return &at<StreamSlot>(plan_.streams_offset(worker));
  }
  [[nodiscard]] ConnectionSlot* connections(uint32_t worker) const {
    return &at<ConnectionSlot>(plan_.connections_offset(worker));
  }
  /// As the worker does: whoever mirrors rows sees by the count that there is something to see.
  void write_row(uint32_t worker, uint32_t number, const StreamRow& row) const {
    streams(worker)[number].write(row);
    Cell& writes = this->worker(worker).stream_writes;
    writes.publish(writes.get() + 1);
  }
  void write_row(uint32_t worker, uint32_t number, const ConnectionRow& row) const {
    connections(worker)[number].write(row);
    Cell& writes = this->worker(worker).connection_writes;
    writes.publish(writes.get() + 1);
  }

  /// The plan in a header read from a mapping of `mapped_bytes`, or a plan with no workers when it
  /// is not one of ours.
  [[nodiscard]] static RegionPlan plan_of(const RegionHeader& header, uint64_t mapped_bytes) {
    const RegionPlan plan{header.workers, header.streams_max, header.connections_max};
    const bool sane = header.magic == region_magic && header.version == region_version &&
                      plan.workers >= 1 && plan.workers <= workers_max &&
                      plan.streams_max <= 1'000'000 && plan.connections_max <= 1'000'000 &&
                      header.region_bytes == plan.region_bytes() &&
                      plan.region_bytes() <= mapped_bytes;
    return sane ? plan : RegionPlan{};
  }

 private:
  template <typename T>
  T& at(uint64_t offset) const {
    return *reinterpret_cast<T*>(base_ + offset);
  }

  std::byte* base_ = nullptr;
  RegionPlan plan_{};
};

/// FNV-1a, 64 bit: equality of lists, spread of names over workers. Not against somebody who
/// chooses the input.
[[nodiscard]] constexpr uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return hash;
}

}  // namespace penstock::control

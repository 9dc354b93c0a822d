#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "penstock/control/attach.h"
#include "penstock/control/layout.h"

namespace penstock::controlplane {

/// The region of one run of the data plane, mapped, and the socket that shows that both sides live.
/// What is read from it is input from a stranger. Shared between threads; the mapping stays until
/// the last of them lets go of it.
class Attachment {
 public:
  /// The text says what is wrong, for the log. Waits at most a second for a data plane that is
  /// busy.
  [[nodiscard]] static std::expected<std::shared_ptr<Attachment>, std::string> attach(
      const std::string& socket_path);
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  [[nodiscard]] const control::Region& region() const { return region_; }
  [[nodiscard]] uint32_t workers() const { return region_.plan().workers; }
  [[nodiscard]] const control::AttachHello& hello() const { return hello_; }
  /// What the data plane was started with, as TOML without keys; may be empty.
  [[nodiscard]] const std::string& started_config() const { return started_config_; }
  [[nodiscard]] uint64_t started_unix_ms() const { return started_unix_ms_; }

  [[nodiscard]] int socket() const { return socket_; }
  /// Readable when a worker has asked while we sleep.
  [[nodiscard]] int bell() const { return bell_; }
  /// After the last look at what workers ask, before sleeping: false when somebody has asked since
  /// woke_up().
  [[nodiscard]] bool may_sleep();
  /// Before the first look.
  void woke_up();

  /// The data plane is gone, or has taken another control process instead of us.
  [[nodiscard]] bool hung_up() const;

  /// False: the worker's ring is full (or there is no such worker). Any thread.
  [[nodiscard]] bool order(uint32_t worker, const control::Command& command);
  /// Wakes workers, bit per worker; nothing is lost when that does not work, only time.
  void ring(uint64_t worker_mask);
  void ring_all() { ring(UINT64_MAX); }

 private:
  Attachment(int socket, int bell, void* base, uint64_t bytes, control::RegionPlan plan,
             const control::AttachPacket& packet);

  int socket_;
  int bell_;
  void* base_;
  uint64_t bytes_;
  control::Region region_;
  control::AttachHello hello_;
  std::string started_config_;
  uint64_t started_unix_ms_;
  std::mutex order_mutex_;  // a command ring has one producer: us, one thread at a time
};

/// The present attachment, if there is one. Any thread.
class RegionLink {
 public:
  [[nodiscard]] std::shared_ptr<Attachment> current() const;
  void set(std::shared_ptr<Attachment> attachment);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Attachment> current_;
};

// A worker beats at least every 100 ms. Ten missed beats are not scheduling noise of a loaded box
// any more.
constexpr uint64_t heartbeat_stale_ms = 1'000;

/// Milliseconds since the worker's last heartbeat; 0 when its clock is ahead.
[[nodiscard]] uint64_t heartbeat_age_ms(const control::Region& region, uint32_t worker,
                                        uint64_t now_ns);

/// The least epoch that all workers have applied.
[[nodiscard]] uint64_t applied_epoch(const control::Region& region);

}  // namespace penstock::controlplane

#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "dataplane/engine/engine.h"
#include "dataplane/engine/uring/listener.h"
#include "dataplane/engine/uring/ring.h"

namespace penstock::engine {

/// The listeners of one engine: keeps a multishot accept on each while accepting is on, rests while
/// the host has no descriptor left, and closes them when accepting is off.
class Acceptor {
 public:
  Acceptor(Ring& ring, SocketOptions options) : ring_(ring), options_(std::move(options)) {}
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  std::expected<void, std::string> open(std::span<const Endpoint> wanted);
  /// Whether all listeners are open when they should be; the rest follows in maintain().
  bool set_on(bool on);
  /// Moves every listener on towards what is wanted. Nothing to do while settled().
  void maintain(Instant now);
  [[nodiscard]] bool settled() const { return settled_; }
  /// When maintain() has something to do next without a completion; never() when nothing waits.
  [[nodiscard]] Instant retry_at(Instant now) const;

  /// An accept's completion. The accepted descriptor, or -1.
  int on_accept(uint32_t index, const io_uring_cqe& completion);
  void on_cancelled(uint32_t index) { listeners_[index].cancelling = false; }

  /// As bound.
  [[nodiscard]] std::span<const Endpoint> endpoints() const { return endpoints_; }
  [[nodiscard]] uint64_t pauses() const { return pauses_; }

 private:
  struct Listener {
    Endpoint endpoint;
    int fd = -1;
    bool accepting = false;  // an accept is in flight
    bool cancelling = false;
    Instant retry_at;  // no accept and no opening before
  };

  void start(Listener& listener, Instant now);
  void stop(Listener& listener);
  [[nodiscard]] uint32_t index_of(const Listener& listener) const {
    return static_cast<uint32_t>(&listener - listeners_.data());
  }

  Ring& ring_;
  SocketOptions options_;
  std::vector<Listener> listeners_;
  std::vector<Endpoint> endpoints_;
  bool on_ = true;
  bool settled_ = false;
  uint64_t pauses_ = 0;
};

}  // namespace penstock::engine

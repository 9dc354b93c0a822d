#include "dataplane/engine/uring/acceptor.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "dataplane/engine/uring/listener.h"
#include "dataplane/engine/uring/operation.h"

namespace penstock::engine {
namespace {

// Without descriptors or memory accepting rests so long: 10 futile tries per second, and peers wait
// in the backlog.
constexpr uint64_t accept_pause_ns = 100 * ns_per_ms;

// A listener that cannot be opened again: somebody else has taken the port meanwhile.
constexpr uint64_t open_pause_ns = 1 * ns_per_s;

}  // namespace

Acceptor::~Acceptor() {
  for (const Listener& listener : listeners_) {
    if (listener.fd >= 0) ::close(listener.fd);
  }
}

std::expected<void, std::string> Acceptor::open(std::span<const Endpoint> wanted) {
  for (const Endpoint& endpoint : wanted) {
    Listener& listener = listeners_.emplace_back(Listener{.endpoint = endpoint});
    auto fd = open_listener(listener.endpoint, options_);
    if (!fd) return std::unexpected(std::move(fd.error()));
    listener.fd = *fd;
    endpoints_.push_back(listener.endpoint);
  }
  return {};
}

bool Acceptor::set_on(bool on) {
  on_ = on;
  settled_ = false;
  bool all_open = true;
  for (Listener& listener : listeners_) {
    listener.retry_at = {};
    if (on && listener.fd < 0) {
      listener.fd = open_listener(listener.endpoint, options_).value_or(-1);
    }
    all_open = all_open && listener.fd >= 0;
  }
  return !on || all_open;
}

void Acceptor::maintain(Instant now) {
  settled_ = true;
  for (Listener& listener : listeners_) {
    if (on_) {
      start(listener, now);
      settled_ = settled_ && listener.accepting;
    } else {
      stop(listener);
      settled_ = settled_ && listener.fd < 0;
    }
  }
}

void Acceptor::start(Listener& listener, Instant now) {
  if (listener.accepting || now < listener.retry_at) return;
  if (listener.fd < 0) {
    listener.fd = open_listener(listener.endpoint, options_).value_or(-1);
    if (listener.fd < 0) {
      listener.retry_at = now.after_ns(open_pause_ns);
      return;
    }
  }
  io_uring_sqe& sqe = ring_.next_sqe();
  // No address: all accepts of one multishot would write it to the same place.
  io_uring_prep_multishot_accept(&sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  sqe.user_data = user_data_of(Operation::accept, index_of(listener));
  listener.accepting = true;
}

void Acceptor::stop(Listener& listener) {
  if (listener.accepting && !listener.cancelling) {
    io_uring_sqe& sqe = ring_.next_sqe();
    io_uring_prep_cancel64(&sqe, user_data_of(Operation::accept, index_of(listener)), 0);
    sqe.user_data = user_data_of(Operation::cancel_accept, index_of(listener));
    listener.cancelling = true;
  }
  if (!listener.accepting && listener.fd >= 0) {
    ::close(listener.fd);
    listener.fd = -1;
  }
}

Instant Acceptor::retry_at(Instant now) const {
  Instant first = Instant::never();
  if (settled_) return first;
  for (const Listener& listener : listeners_) {
    if (listener.retry_at > now) first = std::min(first, listener.retry_at);
  }
  return first;
}

int Acceptor::on_accept(uint32_t index, const io_uring_cqe& completion) {
  Listener& listener = listeners_[index];
  if ((completion.flags & IORING_CQE_F_MORE) == 0) {
    listener.accepting = false;
    settled_ = false;
    // Descriptors or memory have run out (the kernel looks for a descriptor before it looks for a
    // connection, so trying at once would spin), or something that we do not know, which a pause
    // cannot make worse. A peer that gave up while it was accepted is no reason to make others
    // wait.
    const bool harmless = completion.res >= 0 || completion.res == -ECANCELED ||
                          completion.res == -ECONNABORTED || completion.res == -EINTR;
    if (!harmless) {
      ++pauses_;
      listener.retry_at = monotonic_now().after_ns(accept_pause_ns);
    }
  }
  return completion.res >= 0 ? completion.res : -1;
}

}  // namespace penstock::engine

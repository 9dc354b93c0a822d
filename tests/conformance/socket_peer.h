#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "tests/conformance/world.h"

namespace penstock::conformance {

/// A socket of the kernel's; it may still be connecting.
class SocketPeer final : public Peer {
 public:
  explicit SocketPeer(int fd) : fd_(fd) {}
  SocketPeer(const SocketPeer&) = delete;
  SocketPeer& operator=(const SocketPeer&) = delete;
  ~SocketPeer() override {
    if (fd_ >= 0) ::close(fd_);
  }

  size_t write(Bytes bytes) override {
    if (fd_ < 0) return 0;
    const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0) note(errno);
    return done > 0 ? static_cast<size_t>(done) : 0;
  }
  size_t read(MutableBytes out) override {
    if (fd_ < 0) return 0;
    const ssize_t done = ::recv(fd_, out.data(), out.size(), MSG_DONTWAIT);
    if (done < 0) note(errno);
    if (done == 0) at_end_ = true;
    return done > 0 ? static_cast<size_t>(done) : 0;
  }
  bool at_end() override { return at_end_; }
  bool was_reset() override {
    uint8_t byte = 0;
    if (fd_ >= 0 && ::recv(fd_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0) note(errno);
    return reset_;
  }
  void finish() override { ::shutdown(fd_, SHUT_WR); }
  void reset() override {
    const linger now{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd_);
    fd_ = -1;
  }

 private:
  void note(int error) {
    if (error == ECONNRESET || error == EPIPE || error == ECONNREFUSED) reset_ = true;
  }
  int fd_;
  bool at_end_ = false;
  bool reset_ = false;
};

}  // namespace penstock::conformance

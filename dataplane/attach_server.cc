#include "dataplane/attach_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace penstock::dataplane {
namespace {

/// The socket's mode keeps others out; this holds where the folder's owner has loosened it.
bool same_user(int socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == geteuid() || peer.uid == 0;
}

bool send_hello(int socket, const control::AttachHello& hello, const std::string& config,
                const control::AttachDescriptors& descriptors) {
  iovec parts[2] = {{const_cast<control::AttachHello*>(&hello), sizeof(hello)},
                    {const_cast<char*>(config.data()), config.size()}};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(descriptors))] = {};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof(ancillary);
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(descriptors));
  std::memcpy(CMSG_DATA(rights), &descriptors, sizeof(descriptors));
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

}  // namespace

std::expected<AttachServer, std::string> AttachServer::listen(std::string path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return std::unexpected(
        path + ": too long for a Unix socket (107 bytes); choose a shorter dataplane.state_dir");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  AttachServer server(path, listener);
  ::unlink(path.c_str());  // the caller holds the state folder's lock, so whoever made it is dead
  const mode_t before = umask(0177);
  const bool bound = listener >= 0 &&
                     bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
                     ::listen(listener, 4) == 0;
  umask(before);
  if (!bound) return std::unexpected(path + ": " + std::strerror(errno));
  return server;
}

AttachServer::AttachServer(AttachServer&& other) noexcept
    : path_(std::move(other.path_)),
      listener_(std::exchange(other.listener_, -1)),
      attached_(std::exchange(other.attached_, -1)) {}

AttachServer::~AttachServer() {
  if (attached_ >= 0) ::close(attached_);
  if (listener_ >= 0) {
    ::close(listener_);
    ::unlink(path_.c_str());
  }
}

bool AttachServer::accept(const control::AttachHello& hello, const std::string& config,
                          control::AttachDescriptors descriptors) {
  const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (socket < 0) return false;
  if (!same_user(socket) || !send_hello(socket, hello, config, descriptors)) {
    ::close(socket);
    return false;
  }
  if (attached_ >= 0) ::close(attached_);
  attached_ = socket;
  return true;
}

bool AttachServer::take_bells() {
  if (attached_ < 0) return false;
  bool rang = false;
  control::AttachBell bell;
  while (true) {
    const ssize_t got = recv(attached_, &bell, sizeof(bell), MSG_DONTWAIT | MSG_TRUNC);
    if (got == static_cast<ssize_t>(sizeof(bell))) rang = true;
    if (got > 0) continue;
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      ::close(attached_);
      attached_ = -1;
    }
    return rang;
  }
}

}  // namespace penstock::dataplane
